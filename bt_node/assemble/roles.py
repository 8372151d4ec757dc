"""Which series is T1, T1C, T2 and FLAIR: the trip from all series to one for each role, reasons kept.

The rules stand beside this file as data: `site` (a person's word, the site's own rules), `exclusion` (what can be
none of them), `words` and `physics` (what it is), `weighting` (both together), `contrast` (before or after),
`ranking` (which of several), `doubts` (what keeps a choice from being sure).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from bt_node.assemble.anatomy import names_another_part
from bt_node.assemble.candidate import Candidate, candidates_of
from bt_node.assemble.contrast import Basis as ContrastBasis
from bt_node.assemble.contrast import Contrast, Verdicts, injections, settle, stated
from bt_node.assemble.exclusion import why_excluded
from bt_node.assemble.outcome import Outcome, shown
from bt_node.assemble.physics import Weighting
from bt_node.assemble.ranking import Fit, Order, criteria
from bt_node.assemble.site import assigned_candidates, cannot_be_any, first_rule
from bt_node.assemble.ties import Timeline
from bt_node.assemble.twins import Clock, same_settings
from bt_node.assemble.weighting import Basis, Judgement, judge_weighting
from bt_node.config import Roles
from bt_node.domain.study import Assigned, Role, RoleAssignment, SetAside, StudyFacts

_ROLE_OF = {Weighting.T2: Role.T2, Weighting.FLAIR: Role.FLAIR}
_AFTER_CONTRAST = {Role.T1: False, Role.T1C: True}
NO_ONE: Mapping[Role, Assigned] = {}


def choose_roles(
    study: StudyFacts, site: Roles | None = None, assigned: Mapping[Role, Assigned] = NO_ONE
) -> RoleAssignment:
    """Choose one series for each role, or say why there is none.

    Args:
        study: header facts of all series.
        site: the site's own rules and preference.
        assigned: what a person decided about this study.

    Returns:
        For each role a choice (sure, or likely with its doubts), or an ambiguity that names the candidates, or
        neither (it is missing). Every other series stands in `set_aside` with its reason. The order of the series
        makes no difference, and no free text of the scanner is in any reason.
    """
    site = site or Roles()
    everything = candidates_of(study)
    outcome = Outcome(Order(criteria(site.prefer)), Clock(everything), list(study.set_aside) + _empty(study))
    work = _Work(outcome, assigned, everything)
    work.hear_the_person()
    work.apply_rules(site)
    work.judge_the_rest()
    work.decide()
    return outcome.assignment()


def _empty(study: StudyFacts) -> list[SetAside]:
    return [
        SetAside(series.series_instance_uid, series.series_number, "holds no slices")
        for series in study.series
        if not series.slices
    ]


@dataclass
class _Work:
    """One study while its roles are chosen."""

    outcome: Outcome
    assigned: Mapping[Role, Assigned]
    everything: list[Candidate]
    by_person: dict[Role, Candidate] = field(default_factory=dict)
    fits: dict[Role, list[Fit]] = field(default_factory=lambda: {role: [] for role in Role})
    known: dict[Candidate, Contrast] = field(default_factory=dict)
    contrast: Verdicts = field(default_factory=dict)
    disputed: dict[Role, list[str]] = field(default_factory=lambda: {role: [] for role in Role})
    rest: list[Candidate] = field(default_factory=list)

    def hear_the_person(self) -> None:
        """Take the series that a person named out of all further judging."""
        self.rest = list(self.everything)
        for role, volumes in assigned_candidates(self.everything, self.assigned).items():
            word = self.assigned[role]
            if len(volumes) == 1:
                self.by_person[role] = volumes[0]
                self._note_contrast(volumes[0], role, f"assigned by {word.by}")
            elif volumes:
                self.outcome.ask(role, [shown(volume) for volume in volumes])
                for volume in volumes:
                    self.outcome.lay_aside(volume, f"assigned to {role} by {word.by}, but it holds several volumes")
            else:
                gone = f"assigned to {role} by {word.by}, but not in the study any more"
                self.outcome.set_aside.append(SetAside(word.series_instance_uid, None, gone))
            self.rest = [candidate for candidate in self.rest if candidate not in volumes]

    def apply_rules(self, site: Roles) -> None:
        """Give roles by the site's own rules, or exclude by them."""
        for candidate in list(self.rest):
            rule = first_rule(candidate, site.rules)
            if rule is None:
                continue
            self.rest.remove(candidate)
            named = f'rule "{rule.name}"'
            impossible = cannot_be_any(candidate)
            if rule.role is None:
                self.outcome.lay_aside(candidate, named)
            elif impossible:
                self.outcome.lay_aside(candidate, f"{named} says {rule.role}, but it is no volume: {impossible}")
            else:
                role = Role(rule.role)
                self._note_contrast(candidate, role, named)
                self.fits[role].append(Fit(candidate, f"{named}; {candidate.shape}", Basis.BOTH, by_rule=True))

    def _note_contrast(self, candidate: Candidate, role: Role, why: str) -> None:
        if role in _AFTER_CONTRAST:
            self.known[candidate] = Contrast(_AFTER_CONTRAST[role], why, ContrastBasis.PERSON)

    def judge_the_rest(self) -> None:
        """By the built-in rules: exclusion, weighting, contrast."""
        judged = self._judged([candidate for candidate in self.rest if self._usable(candidate)])
        t1s = [candidate for candidate in judged if judged[candidate].weighting is Weighting.T1]
        contrast = self.contrast = settle(t1s, self.everything, self.known)
        said = stated(self.everything, t1s)
        for candidate, judgement in judged.items():
            self._place(candidate, judgement, contrast, said)

    def _usable(self, candidate: Candidate) -> bool:
        reason = why_excluded(candidate)
        if reason is not None:
            self.outcome.lay_aside(candidate, reason)
        return reason is None

    def _judged(self, images: Sequence[Candidate]) -> dict[Candidate, Judgement]:
        judged = {candidate: judge_weighting(candidate) for candidate in images}
        said = stated(self.everything)
        for candidate, judgement in judged.items():
            if judgement.weighting is None:
                self.outcome.lay_aside(candidate, judgement.reason)
                for weighting in judgement.disputed:
                    after = candidate in said and said[candidate].given
                    role = _ROLE_OF.get(weighting, Role.T1C if after else Role.T1)
                    self._dispute(role, candidate, judgement.reason)
        return {candidate: judgement for candidate, judgement in judged.items() if judgement.weighting}

    def _dispute(self, role: Role, candidate: Candidate, why: str) -> None:
        self.disputed[role].append(f"{shown(candidate)}: {why}")

    def _place(self, candidate: Candidate, judgement: Judgement, contrast: Verdicts, said: Verdicts) -> None:
        if judgement.weighting is not Weighting.T1:
            role = _ROLE_OF[judgement.weighting] if judgement.weighting else Role.T2
            after = bool(candidate in said and said[candidate].given)
            reason = f"{judgement.reason}; {candidate.shape}"
            self.fits[role].append(Fit(candidate, reason, judgement.basis, unwanted_contrast=after))
            return
        verdict = contrast[candidate]
        if verdict.given is None:
            self.outcome.lay_aside(candidate, f"T1, but {verdict.reason}")
            for role in _AFTER_CONTRAST:
                self._dispute(role, candidate, verdict.reason)
            return
        role = Role.T1C if verdict.given else Role.T1
        reason = f"{judgement.reason}; {verdict.reason}; {candidate.shape}"
        self.fits[role].append(Fit(candidate, reason, judgement.basis, verdict.basis))

    def _pair_up(self) -> None:
        """Note what was acquired with the same settings before and after contrast."""
        for role, other in ((Role.T1, Role.T1C), (Role.T1C, Role.T1)):
            there = [fit.candidate for fit in self.fits[other]]
            self.fits[role] = [
                replace(fit, paired=any(same_settings(fit.candidate, one) for one in there))
                for fit in self.fits[role]
            ]

    def decide(self) -> None:
        """One series for each role; where only disputed ones are left, a person is asked."""
        self._pair_up()
        self.outcome.timeline = self.timeline
        elsewhere = names_another_part(self.everything) is not None
        for role in Role:
            self.fits[role] = [replace(fit, other_part=elsewhere) for fit in self.fits[role]]
            if role in self.by_person:
                self.outcome.assign(role, self.by_person[role], self.assigned[role], self.fits[role])
            elif role in self.outcome.ambiguous:
                for fit in self.fits[role]:
                    self.outcome.lay_aside(
                        fit.candidate, f"fits {role}, but the series assigned holds several volumes"
                    )
            elif not self.fits[role] and self.disputed[role]:
                self.outcome.ask(role, self.disputed[role])
        self._decide_open_roles()

    def _decide_open_roles(self) -> None:
        """Clear ones first: of several that serve equally, what was acquired nearest to these is taken."""
        taken = {*self.by_person, *self.outcome.ambiguous}
        open_roles = [role for role in Role if self.fits[role] and role not in taken]
        for role in sorted(open_roles, key=lambda role: not self.outcome.is_clear(self.fits[role])):
            self.outcome.decide(role, self.fits[role], plain_t1=bool(self.fits[Role.T1]))

    @property
    def timeline(self) -> Timeline:
        """When contrast came, as far as it is known."""
        after, before = injections(self.everything, self.outcome.clock)
        until = max((time for time, _, _ in before), default=None)
        since = min((time for time, _, _ in after), default=None)
        return Timeline(self.outcome.clock, {**self.contrast, **self.known}, (until, since))
