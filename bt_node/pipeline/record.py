"""What a trip leaves in the job book: times of stages, roles, findings. UIDs and numbers, never free text."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bt_node.domain.follow_up import FollowUp, Remembered
from bt_node.domain.study import Role, RoleAssignment, SetAside, StackedSeries
from bt_node.domain.tumour import Findings, ReleaseIdentity, TumourTypeFinding
from bt_node.judge.witness import Statement

_SAME_IMAGE = "the very same image as another of this series, at the same place with the same pixels"


def _nobody_asked_to_stop() -> None:
    """The default checkpoint."""


def _nobody_waits(stage: str) -> None:
    """The default listener for stages that begin."""


def _nobody_listens(stage: str, seconds: float) -> None:
    """The default listener for finished stages."""


@dataclass
class TripRecord:
    """Fills while a study travels, so that a trip that fails half-way still tells how far it came.

    Attributes:
        checkpoint: called before each stage; raises when the worker must stop or has lost its lease.
        stage_begins: told the name of each stage before it begins.
        stage_done: told the name and seconds of each finished stage.
    """

    checkpoint: Callable[[], None] = _nobody_asked_to_stop
    stage_begins: Callable[[str], None] = _nobody_waits
    stage_done: Callable[[str, float], None] = _nobody_listens
    roles: list[dict[str, Any]] = field(default_factory=list)
    set_aside: list[dict[str, Any]] = field(default_factory=list)
    findings: dict[str, Any] = field(default_factory=dict)
    timings_s: dict[str, float] = field(default_factory=dict)
    remembered: Remembered | None = None

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time one stage, in seconds of a monotonic clock."""
        self.checkpoint()
        self.stage_begins(name)
        started = time.monotonic()
        try:
            yield
        finally:
            self.timings_s[name] = round(time.monotonic() - started, 3)
        self.stage_done(name, self.timings_s[name])

    def note_assignment(self, assignment: RoleAssignment) -> None:
        """Keep the chosen series, the ambiguous ones and those set aside, each with its reason."""
        self.roles = [
            {
                "role": role.value,
                "series_instance_uid": choice.series.series_instance_uid,
                "series_number": choice.series.series_number,
                "instances": len(choice.series.slices),
                "certainty": choice.certainty.value,
                "doubts": list(choice.doubts),
                "reason": choice.reason,
            }
            for role, choice in assignment.choices.items()
        ]
        self.set_aside = [_set_aside_facts(aside) for aside in assignment.set_aside]
        self.findings = {"sequences": _sequences(assignment)}

    def note_copies(self, stacks: Iterable[StackedSeries]) -> None:
        """Keep that images were left out because the series holds the very same one already."""
        for stack in stacks:
            if stack.copies:
                number = {entry["series_instance_uid"]: entry["series_number"] for entry in self.roles}
                uid = stack.series_instance_uid
                aside = SetAside(uid, number.get(uid), _SAME_IMAGE, len(stack.copies))
                self.set_aside.append(_set_aside_facts(aside))

    def note_comparison(self, follow_up: FollowUp | None, remembered: Remembered | None, why_not: str) -> None:
        """Keep the former study beside this one (or why there is no looking for one), and what to remember of it."""
        self.remembered = remembered
        if follow_up is not None:
            self.findings = self.findings | {"follow_up": follow_up.facts()}
        elif why_not:
            self.findings = self.findings | {"no_follow_up_because": why_not}

    def note_quality(self, part: str, facts: Mapping[str, Any]) -> None:
        """Keep what was measured of one part of the study (series, brain, outline), for whoever asks why."""
        self.findings = self.findings | {"quality": {**self.findings.get("quality", {}), part: facts}}

    def note_verdict(self, decision: str, held_because: Sequence[str], checks: Sequence[str]) -> None:
        """Keep what may become of the result, what holds it, and which limits were passed."""
        verdict = {"decision": decision, "held_because": list(held_because), "checks": list(checks)}
        self.findings = self.findings | {"verdict": verdict}

    def note_images(self, statements: Mapping[Role, Statement]) -> None:
        """Keep beside each role what the image of its series says about it."""
        for entry in self.roles:
            said = statements.get(Role(entry["role"]))
            if said is not None:
                entry["image"] = {"opinion": said.opinion.value, "why": said.why, "numbers": dict(said.numbers)}

    def note_certainty(self, assignment: RoleAssignment) -> None:
        """Keep how sure each role is after headers and images were heard together."""
        for entry in self.roles:
            choice = assignment.choices[Role(entry["role"])]
            entry |= {"certainty": choice.certainty.value, "doubts": list(choice.doubts)}

    def note_findings(self, findings: Findings) -> None:
        """Keep volumes, axes, tumour type and the releases that said so, beside the sequences they rest on."""
        self.findings = self.findings | findings_facts(findings)


def _set_aside_facts(aside: SetAside) -> dict[str, Any]:
    return {
        "series_instance_uid": aside.series_instance_uid,
        "series_number": aside.series_number,
        "instances": aside.instances,
        "reason": aside.reason,
    }


def _sequences(assignment: RoleAssignment) -> dict[str, list[str]]:
    return {
        "used": [role.value for role in assignment.choices],
        "missing": [role.value for role in assignment.missing],
        "undecided": [ambiguity.role.value for ambiguity in assignment.ambiguous],
    }


def _release_facts(release: ReleaseIdentity) -> dict[str, str]:
    return {"name": release.name, "version": release.version, "weights_sha256": release.weights_sha256}


def findings_facts(findings: Findings) -> dict[str, Any]:
    """Findings as plain values: volumes in ml and axes in mm by region, probabilities by tumour type."""
    facts: dict[str, Any] = {
        "research_use_only": "For research use only, not for diagnosis.",
        "volumes_ml": {region.value: round(m.volume_ml, 3) for region, m in findings.measurements.items()},
        "axes_mm": {
            region.value: {"long": round(m.long_axis_mm, 1), "perpendicular": round(m.perpendicular_axis_mm, 1)}
            for region, m in findings.measurements.items()
            if m.long_axis_mm is not None and m.perpendicular_axis_mm is not None
        },
        "not_assessed": [region.value for region in findings.not_assessed],
        "segmenter": _release_facts(findings.segmenter),
        "cautions": list(findings.cautions),
        "models_agree": findings.models_agree,
        "tumour_type": None if findings.tumour_type is None else _type_facts(findings, findings.tumour_type),
        "no_tumour_type_because": findings.no_type_because,
    }
    return facts


INDETERMINATE = "indeterminate"


def _type_facts(findings: Findings, finding: TumourTypeFinding) -> dict[str, Any]:
    """`name` is what the report says; `probabilities` are the classifier's own, "no tumour" among them."""
    named = findings.named_type if findings.tumour_outlined else finding.top
    return {
        "name": INDETERMINATE if named is None else named.value,
        "probabilities": {kind.value: round(p, 4) for kind, p in finding.probabilities.items()},
        "given_tumour": {kind.value: round(p, 4) for kind, p in finding.given_tumour.items()},
        "least_probability": finding.least_probability,
        "slices_used": finding.slices_used,
        "slices_chosen": finding.basis.value,
        "slices": [
            {
                "z_mm": None if each.level_mm is None else round(each.level_mm, 1),
                "sop_instance_uid": each.sop_instance_uid,
                "share": round(each.share, 4),
                "name": each.top.value,
                "probability": round(each.certainty, 4),
                "given_tumour_name": None if each.tumour_top is None else each.tumour_top.value,
                "given_tumour_probability": round(each.tumour_certainty, 4),
            }
            for each in finding.slices
        ],
        "classifier": _release_facts(finding.release),
    }
