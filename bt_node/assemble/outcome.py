"""Where the outcome of choosing is written down: choices, questions, order of candidates, what was set aside."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.doubts import doubts_about
from bt_node.assemble.ranking import Fit, Order
from bt_node.assemble.twins import Clock
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

    def lay_aside(self, candidate: Candidate, reason: str) -> None:
        """No role uses this series."""
        self.set_aside.append(candidate.set_aside(reason))

    def decide(self, role: Role, fits: Sequence[Fit]) -> None:
        """One best fit becomes the choice; several become a question; the rest are set aside beside it."""
        if not fits:
            return
        placed = self.order.sorted(fits)
        best = [fit for place, fit in placed if place == 1]
        first = best[0]
        if len(best) > 1 and self.clock.one_acquisition([fit.candidate for fit in best]):
            best, equal = [first], best[1:]  # the same measurement: either serves
            for fit in equal:
                self.lay_aside(
                    fit.candidate,
                    f"fits {role}, but {first.candidate.name} is of the same acquisition and numbered first",
                )
        self.ranking[role] = tuple(self._ranked(place, fit, first) for place, fit in placed)
        if len(best) == 1:
            self.choices[role] = RoleChoice(role, first.candidate.series, first.reason, doubts_about(first))
        else:
            self.ask(role, [shown(fit.candidate) for fit in best])
            for fit in best:
                self.lay_aside(fit.candidate, f"fits {role} as well as another series does: a person must decide")
        for place, fit in placed:
            if place > 1:
                phrase = self.order.why_better(first, fit)
                self.lay_aside(fit.candidate, f"fits {role}, but {first.candidate.name} is preferred: {phrase}")

    def assign(self, role: Role, candidate: Candidate, word: Assigned, others: Sequence[Fit]) -> None:
        """A person's choice; whatever else fits is set aside beside it."""
        reason = f"assigned by {word.by}; {candidate.shape}"
        self.choices[role] = RoleChoice(role, candidate.series, reason)
        chosen = Ranked(1, word.series_instance_uid, candidate.series.series_number, reason)
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

    def _ranked(self, place: int, fit: Fit, first: Fit) -> Ranked:
        beaten = "" if place == 1 else f"{first.candidate.name}: {self.order.why_better(first, fit)}"
        return self._entry(place, fit, beaten)

    @staticmethod
    def _entry(place: int, fit: Fit, beaten_by: str) -> Ranked:
        series = fit.candidate.series
        doubts = doubts_about(fit)
        return Ranked(place, series.series_instance_uid, series.series_number, fit.reason, doubts, beaten_by)


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
