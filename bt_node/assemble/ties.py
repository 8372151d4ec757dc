"""Series that would serve a role equally: which of them is taken, by rule.

They have one sequence and one geometry and differ in time alone. Before contrast comes first (T1, T2, FLAIR), then
what was acquired nearest to the other series chosen, then the later repeat. Where another choice could be wrong
(another slab of the head, contrast unknown) there is no rule, and a person is asked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from statistics import median

import numpy as np

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.contrast import Basis, Verdicts
from bt_node.assemble.ranking import Fit
from bt_node.assemble.twins import Clock, same_settings
from bt_node.domain.study import Role

_CLOSE = 0.05
_OVERLAP = 0.8  # of the slab: heads are planned anew, but two halves of a head are two things
_SAME_VISIT_S = 6 * 3600.0
_SAME_MOMENT_S = 10.0


class AgainstContrast(IntEnum):
    """Where a series lies against the injection."""

    BEFORE = 0
    UNKNOWN = 1
    AFTER = 2


_SIDES = {None: AgainstContrast.UNKNOWN, True: AgainstContrast.AFTER, False: AgainstContrast.BEFORE}


@dataclass(frozen=True)
class Timeline:
    """When the series of one study were acquired, and when contrast came, as far as the T1 tell.

    Attributes:
        clock: acquisition times.
        verdicts: what is known about contrast of each T1.
        injection_s: (known to be without until, known to be with from) by evidence outside the T1.
    """

    clock: Clock
    verdicts: Verdicts
    injection_s: tuple[float | None, float | None] = (None, None)

    def when(self, candidate: Candidate) -> float | None:
        """Acquisition time in seconds; SeriesNumber where the study has no usable times."""
        if self.clock.usable:
            return self.clock.time(candidate)
        number = candidate.series.series_number
        return None if number is None else float(number)

    def order(self, candidate: Candidate) -> AgainstContrast:
        """Before, after, or not known: between the last T1 without and the first with contrast nobody can tell."""
        verdict = self.verdicts.get(candidate)
        if verdict is not None and verdict.basis not in _SILENT:
            return _SIDES[verdict.given]
        here = self.when(candidate)
        if here is None:
            return AgainstContrast.UNKNOWN
        without, with_ = self._known(given=False), self._known(given=True)
        if any(0 <= here - time < self._visit for time in with_):
            return AgainstContrast.AFTER
        return (
            AgainstContrast.BEFORE
            if any(0 <= time - here < self._visit for time in without)
            else AgainstContrast.UNKNOWN
        )

    @property
    def _visit(self) -> float:
        return _SAME_VISIT_S if self.clock.usable else math.inf

    def _known(self, *, given: bool) -> list[float]:
        times = [
            time
            for candidate, verdict in self.verdicts.items()
            if verdict.given is given and verdict.basis not in _SILENT and (time := self.when(candidate)) is not None
        ]
        outside = self.injection_s[given]
        return times if outside is None or not self.clock.usable else [*times, outside]

    def contrast_comes_after(self, candidates: Sequence[Candidate]) -> bool:
        """Whether contrast was given later on in the visit: then the earlier of several is the safer one."""
        times = [time for candidate in candidates if (time := self.when(candidate)) is not None]
        return any(0 < later - max(times) < self._visit for later in self._known(given=True)) if times else False


_SILENT = frozenset({Basis.SILENT, Basis.SILENT_BEFORE})


def serve_equally(role: Role, fits: Sequence[Fit], *, plain_t1: bool) -> bool:
    """Whether fits that no criterion tells apart differ in time alone, so that none of them could be wrong.

    Args:
        role: what they fit.
        fits: two or more.
        plain_t1: whether the study has a T1 before contrast beside them.
    """
    first, *others = (fit.candidate for fit in fits)
    if not all(same_settings(first, other) and _same_place(first, other) for other in others):
        return False
    if role not in (Role.T1, Role.T1C):
        return True
    if any(fit.contrast in _SILENT for fit in fits):
        return False
    same_words = len({fit.candidate.texts for fit in fits}) == 1
    return role is Role.T1 or same_words or plain_t1  # else a word that we do not know may deny contrast in one


def _same_place(one: Candidate, other: Candidate) -> bool:
    a, b = one.shape, other.shape
    lengths = zip((*a.pixel_mm, a.spacing_mm, a.coverage_mm), (*b.pixel_mm, b.spacing_mm, b.coverage_mm), strict=True)
    if not all(abs(x - y) <= _CLOSE * max(x, y) for x, y in lengths):
        return False
    first = np.array(one.series.slices[0].orientation)
    normal = np.cross(first[:3], first[3:])
    (low, high), (bottom, top) = (
        (min(depths), max(depths))
        for depths in (
            [float(np.dot(facts.position, normal)) for facts in each.series.slices] for each in (one, other)
        )
    )
    return min(high, top) - max(low, bottom) >= _OVERLAP * max(high - low, top - bottom)


def break_tie(
    role: Role, fits: Sequence[Fit], timeline: Timeline, chosen: Sequence[Candidate]
) -> tuple[Fit, str] | None:
    """The fit to take of several that serve equally, and why; None where times and numbers tell nothing.

    Args:
        role: what they fit.
        fits: two or more that `serve_equally`.
        timeline: times and contrast.
        chosen: the series of the other roles.
    """
    when = {fit: time for fit in fits if (time := timeline.when(fit.candidate)) is not None}
    if len(when) < len(fits):
        return None
    others = [time for candidate in chosen if (time := timeline.when(candidate)) is not None]
    middle = median(others) if others else 0.0
    early = timeline.contrast_comes_after([fit.candidate for fit in fits])
    step = _SAME_MOMENT_S if timeline.clock.usable else 1.0
    rules: list[tuple[Callable[[Fit], float], str]] = []
    if role is not Role.T1C:
        rules.append((lambda fit: float(timeline.order(fit.candidate)), "taken before contrast"))
        if early and role is not Role.T1:  # of a T1 it is known that it is before contrast
            rules.append((lambda fit: when[fit] // step, "earlier, and contrast came at some time after it"))
    if others:
        rules.append((lambda fit: abs(when[fit] - middle) // step, "nearest in time to the other series"))
    rules.append((lambda fit: -when[fit], "the later repeat"))
    left = list(fits)
    for score, phrase in rules:
        best = min(map(score, left))
        kept = [fit for fit in left if score(fit) == best]
        if len(kept) == 1:
            return kept[0], phrase
        left = kept
    return None
