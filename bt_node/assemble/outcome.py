"""Where the outcome of choosing is written down: choices, questions, order of candidates, what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.doubts import doubts_about
from bt_node.assemble.ranking import EQUAL, Fit, Order
from bt_node.assemble.ties import Timeline, break_tie, serve_equally
from bt_node.assemble.twins import Clock, time_of_day
from bt_node.domain.study import Ambiguity, Assigned, Ranked, Role, RoleAssignment, RoleChoice, SetAside


@dataclass
class Outcome:
    """Fills while roles are decided; each series ends in exactly one place."""

    order: Order
    clock: Clock
    set_aside: list[SetAside]
    choices: dict[Role, RoleChoice] = field(default_factory=dict)
    ambiguous: dict[Role, Ambiguity] = field(default_factory=dict)
    ranking: dict[Role, tuple[Ranked, ...]] = field(default_factory=dict)
    chosen: dict[Role, Candidate] = field(default_factory=dict)
    tie_phrases: dict[Role, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.timeline = Timeline(self.clock, {})  # until contrast is known

    def lay_aside(self, candidate: Candidate, reason: str) -> None:
        """No role uses this series."""
        self.set_aside.append(candidate.set_aside(reason))

    def is_clear(self, fits: Sequence[Fit]) -> bool:
        """Whether one of them is the best, or those that are were made from one acquisition."""
        best = [fit.candidate for place, fit in self.order.sorted(fits) if place == 1]
        return len(best) == 1 or self.clock.one_acquisition(best)

    def decide(self, role: Role, fits: Sequence[Fit], *, plain_t1: bool) -> None:
        """One best fit becomes the choice; several that a rule cannot choose from become a question.

        Args:
            role: the role.
            fits: what fits it, one or more.
            plain_t1: whether the study has a T1 before contrast.
        """
        placed = self._without_tie(role, self.order.sorted(fits), plain_t1=plain_t1)
        best = [fit for place, fit in placed if place == 1]
        first = best[0]
        if len(best) > 1 and self.clock.one_acquisition([fit.candidate for fit in best]):
            best, equal = [first], best[1:]  # the same measurement: either serves
            for fit in equal:
                self.lay_aside(
                    fit.candidate,
                    f"fits {role}, but {first.candidate.name} is of the same acquisition and numbered first",
                )
        self.ranking[role] = tuple(self._ranked(role, place, fit, first) for place, fit in placed)
        if len(best) == 1:
            self.choices[role] = RoleChoice(role, first.candidate.series, first.reason, doubts_about(first))
            self.chosen[role] = first.candidate
        else:
            self.ask(role, [shown(fit.candidate) for fit in best])
            for fit in best:
                self.lay_aside(fit.candidate, f"fits {role} as well as another series does: a person must decide")
        for place, fit in placed:
            if place > 1:
                phrase = self._why_better(role, first, fit)
                self.lay_aside(fit.candidate, f"fits {role}, but {first.candidate.name} is preferred: {phrase}")

    def _without_tie(self, role: Role, placed: Sequence[tuple[int, Fit]], *, plain_t1: bool) -> list[tuple[int, Fit]]:
        """The same order, with one first where a rule chooses from several that serve equally."""
        best = [fit for place, fit in placed if place == 1]
        candidates = [fit.candidate for fit in best]
        if len(best) == 1 or self.clock.one_acquisition(candidates):
            return list(placed)
        if not serve_equally(role, best, plain_t1=plain_t1):
            return list(placed)
        found = break_tie(role, best, self.timeline, list(self.chosen.values()))
        if found is None:
            return list(placed)
        taken, phrase = found
        others = [fit for fit in best if fit is not taken]
        names = ", ".join(fit.candidate.name for fit in others)
        by = "" if self.clock.usable else ", by SeriesNumber"
        first = replace(taken, tie=True, reason=f"{taken.reason}; chosen before {names} (equal): {phrase}{by}")
        self.tie_phrases[role] = f"{phrase}{by}"
        return [(1, first), *((2, fit) for fit in others), *((p, fit) for p, fit in placed if p > 1)]

    def _why_better(self, role: Role, first: Fit, other: Fit) -> str:
        phrase = self.order.why_better(first, other)
        return self.tie_phrases.get(role, phrase) if phrase == EQUAL else phrase

    def assign(self, role: Role, candidate: Candidate, word: Assigned, others: Sequence[Fit]) -> None:
        """A person's choice; whatever else fits is set aside beside it."""
        reason = f"assigned by {word.by}; {candidate.shape}"
        self.choices[role] = RoleChoice(role, candidate.series, reason)
        self.chosen[role] = candidate
        chosen = self._shown_in_time(
            Ranked(1, word.series_instance_uid, candidate.series.series_number, reason), candidate
        )
        beaten = f"{candidate.name}: assigned by {word.by}"
        self.ranking[role] = (
            chosen,
            *(self._entry(place + 1, fit, beaten) for place, fit in self.order.sorted(others)),
        )
        for fit in others:
            self.lay_aside(fit.candidate, f"fits {role}, but {candidate.name} was assigned by {word.by}")

    def ask(self, role: Role, candidates: Sequence[str]) -> None:
        """Only a person can tell."""
        self.ambiguous[role] = Ambiguity(role, tuple(candidates))

    def assignment(self) -> RoleAssignment:
        """All of it, frozen."""
        return RoleAssignment(
            {role: self.choices[role] for role in Role if role in self.choices},
            _merged(self.set_aside),
            tuple(self.ambiguous[role] for role in Role if role in self.ambiguous),
            {role: self.ranking[role] for role in Role if role in self.ranking},
        )

    def _ranked(self, role: Role, place: int, fit: Fit, first: Fit) -> Ranked:
        beaten = "" if place == 1 else f"{first.candidate.name}: {self._why_better(role, first, fit)}"
        return self._entry(place, fit, beaten)

    def _entry(self, place: int, fit: Fit, beaten_by: str) -> Ranked:
        series = fit.candidate.series
        doubts = doubts_about(fit)
        entry = Ranked(place, series.series_instance_uid, series.series_number, fit.reason, doubts, beaten_by)
        return self._shown_in_time(entry, fit.candidate)

    def _shown_in_time(self, entry: Ranked, candidate: Candidate) -> Ranked:
        at = candidate.series.acquired_at_s
        order = self.timeline.order(candidate).name.lower()
        return replace(entry, acquired=time_of_day(at) if at is not None else "", against_contrast=order)


def shown(candidate: Candidate) -> str:
    """A series as a person is asked about it."""
    return f"{candidate.name} ({candidate.shape})"


def _merged(entries: Sequence[SetAside]) -> tuple[SetAside, ...]:
    """Volumes of one series with the same reason become one entry."""
    counted: dict[tuple[str, int | None, str], int] = {}
    for entry in entries:
        key = (entry.series_instance_uid, entry.series_number, entry.reason)
        counted[key] = counted.get(key, 0) + entry.instances
    merged = [SetAside(uid, number, reason, count) for (uid, number, reason), count in counted.items()]
    return tuple(sorted(merged, key=lambda e: (e.series_number or 0, e.series_instance_uid, e.reason)))
