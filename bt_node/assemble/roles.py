"""Which series is T1, T1C, T2 and FLAIR: the trip from all series to one for each role, reasons kept.

The rules stand beside this file as data: `exclusion` (what can be none of them), `words` and `physics` (what it is),
`weighting` (both together), `contrast` (before or after), `ranking` (which of several).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from bt_node.assemble.candidate import Candidate, candidates_of
from bt_node.assemble.contrast import Contrast, Verdicts, settle, stated
from bt_node.assemble.exclusion import why_excluded
from bt_node.assemble.physics import Weighting
from bt_node.assemble.ranking import Fit, best_of, why_better
from bt_node.assemble.weighting import Judgement, judge_weighting
from bt_node.domain.study import Ambiguity, Role, RoleAssignment, RoleChoice, SetAside, StudyFacts

_ROLE_OF = {Weighting.T2: Role.T2, Weighting.FLAIR: Role.FLAIR}


def choose_roles(study: StudyFacts) -> RoleAssignment:
    """Choose one series for each role, or say why there is none.

    Args:
        study: header facts of all series.

    Returns:
        For each role a sure choice with its reason, or an ambiguity that names the equally good candidates, or
        neither (it is missing). Every other series stands in `set_aside` with its reason. The order of the series
        makes no difference, and no free text of the scanner is in any reason.
    """
    everything = candidates_of(study)
    book = _Book(list(study.set_aside))
    book.set_aside += [
        SetAside(series.series_instance_uid, series.series_number, "holds no slices")
        for series in study.series
        if not series.slices
    ]
    images = _usable_images(everything, book)
    judged = _judged(images, book)
    t1s = [candidate for candidate in judged if judged[candidate].weighting is Weighting.T1]
    contrast = settle(t1s, everything)
    for role, fits in _fits(judged, contrast, stated(everything), book).items():
        book.decide(role, fits)
    return book.assignment()


@dataclass
class _Book:
    """Where the outcome is written down."""

    set_aside: list[SetAside]
    choices: dict[Role, RoleChoice] = field(default_factory=dict)
    ambiguous: list[Ambiguity] = field(default_factory=list)

    def lay_aside(self, candidate: Candidate, reason: str) -> None:
        self.set_aside.append(candidate.set_aside(reason))

    def decide(self, role: Role, fits: Sequence[Fit]) -> None:
        """One best fit becomes the choice; several become an ambiguity; the rest are set aside beside it."""
        if not fits:
            return
        best = best_of(fits)
        if len(best) == 1:
            self.choices[role] = RoleChoice(role, best[0].candidate.series, best[0].reason)
        else:
            self.ambiguous.append(Ambiguity(role, tuple(_shown(fit.candidate) for fit in best)))
            for fit in best:
                self.lay_aside(fit.candidate, f"fits {role} as well as another series does: a person must decide")
        for fit in fits:
            if fit not in best:
                phrase = why_better(best[0], fit)
                self.lay_aside(fit.candidate, f"fits {role}, but {best[0].candidate.name} is preferred: {phrase}")

    def assignment(self) -> RoleAssignment:
        in_order = {role: self.choices[role] for role in Role if role in self.choices}
        return RoleAssignment(in_order, _merged(self.set_aside), tuple(self.ambiguous))


def _usable_images(everything: Sequence[Candidate], book: _Book) -> list[Candidate]:
    images: list[Candidate] = []
    for candidate in everything:
        reason = why_excluded(candidate)
        if reason is None:
            images.append(candidate)
        else:
            book.lay_aside(candidate, reason)
    return images


def _judged(images: Sequence[Candidate], book: _Book) -> dict[Candidate, Judgement]:
    judged: dict[Candidate, Judgement] = {}
    for candidate in images:
        judgement = judge_weighting(candidate)
        if judgement.weighting is None:
            book.lay_aside(candidate, judgement.reason)
        else:
            judged[candidate] = judgement
    return judged


def _fits(
    judged: Mapping[Candidate, Judgement], contrast: Verdicts, said: Verdicts, book: _Book
) -> dict[Role, list[Fit]]:
    fits: dict[Role, list[Fit]] = {role: [] for role in Role}
    for candidate, judgement in judged.items():
        if judgement.weighting is Weighting.T1:
            _place_t1(candidate, judgement, contrast[candidate], fits, book)
        elif judgement.weighting is not None:
            after = said.get(candidate)
            fits[_ROLE_OF[judgement.weighting]].append(
                Fit(
                    candidate,
                    f"{judgement.reason}; {candidate.shape}",
                    judgement.certainty,
                    unwanted_contrast=bool(after and after.given),
                )
            )
    return fits


def _place_t1(
    candidate: Candidate, judgement: Judgement, contrast: Contrast, fits: Mapping[Role, list[Fit]], book: _Book
) -> None:
    if contrast.given is None:
        book.lay_aside(candidate, f"T1, but {contrast.reason}")
        return
    role = Role.T1C if contrast.given else Role.T1
    reason = f"{judgement.reason}; {contrast.reason}; {candidate.shape}"
    fits[role].append(Fit(candidate, reason, judgement.certainty, contrast_certainty=contrast.certainty))


def _shown(candidate: Candidate) -> str:
    return f"{candidate.name} ({candidate.shape})"


def _merged(entries: Sequence[SetAside]) -> tuple[SetAside, ...]:
    """Volumes of one series with the same reason become one entry."""
    counted: dict[tuple[str, int | None, str], int] = {}
    for entry in entries:
        key = (entry.series_instance_uid, entry.series_number, entry.reason)
        counted[key] = counted.get(key, 0) + entry.instances
    merged = [SetAside(uid, number, reason, count) for (uid, number, reason), count in counted.items()]
    return tuple(sorted(merged, key=lambda e: (e.series_number or 0, e.series_instance_uid, e.reason)))
