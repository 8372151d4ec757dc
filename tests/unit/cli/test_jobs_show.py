"""What `bt-node jobs show` tells of sequences, slices and regions that were not assessed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from bt_node.cli.jobs import _print_view
from bt_node.domain.study import Role
from bt_node.domain.tumour import (
    Findings,
    Region,
    RegionMeasurement,
    ReleaseIdentity,
    SliceAnswer,
    SliceBasis,
    TumourType,
    TumourTypeFinding,
)
from bt_node.pipeline.record import findings_facts

RELEASE = ReleaseIdentity("r", "1", "a" * 64)
SLICE = SliceAnswer(0, 1.0, TumourType.GLIOMA, 0.91, level_mm=12.34, sop_instance_uid="1.2.3.4")
GLIOMA = TumourTypeFinding(
    {kind: 0.91 if kind is TumourType.GLIOMA else 0.03 for kind in TumourType}, 1, RELEASE, (SLICE,), SliceBasis.CORE
)


def shown(capsys: pytest.CaptureFixture[str], findings: dict[str, Any]) -> str:
    view = {"id": 1, "state": "DONE", "study_instance_uid": "1.2", "findings": findings, "timings_s": {}}
    _print_view(view | {name: [] for name in ("roles", "set_aside", "results", "history")})
    return capsys.readouterr().out


def test_a_job_tells_its_sequences_even_where_it_found_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    text = shown(capsys, {"sequences": {"used": ["T1C", "T2"], "missing": ["FLAIR"], "undecided": []}})
    assert "sequences used: T1C, T2" in text
    assert "sequences missing: FLAIR" in text
    assert "undecided" not in text


def test_a_job_that_was_not_looked_at_tells_nothing_of_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    assert "sequences" not in shown(capsys, {})


def test_the_slices_and_the_disagreement_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {region: RegionMeasurement(region, 0.0) for region in Region}
    text = shown(capsys, findings_facts(Findings(measured, RELEASE, GLIOMA)))
    assert "1 slices through the outlined tumour core" in text
    assert "z 12.3 mm" in text
    assert "1.2.3.4" in text
    assert "NO" in text.split("models agree")[1].splitlines()[0]


def test_where_something_is_outlined_the_type_is_shown_given_a_tumour(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {region: RegionMeasurement(region, 3.5) for region in Region}
    alone = {kind: 0.8 if kind is TumourType.NONE else 0.2 / 3 for kind in TumourType}
    doubtful = replace(GLIOMA, probabilities=alone, given_tumour={})
    facts = findings_facts(Findings(measured, RELEASE, doubtful))
    assert facts["tumour_type"]["name"] == "indeterminate"
    assert facts["tumour_type"]["probabilities"]["no_tumour"] == 0.8
    lines = shown(capsys, facts).splitlines()
    assert any("P(glioma), given a tumour" in line and "0.3333" in line for line in lines)
    assert any("tumour type" in line and "indeterminate" in line for line in lines)
    assert not any("P(no_tumour)" in line for line in lines)


def test_what_was_not_assessed_is_never_shown_as_a_volume(capsys: pytest.CaptureFixture[str]) -> None:
    measured = {Region.WT: RegionMeasurement(Region.WT, 3.5)}
    because = "T1C is missing"
    findings = Findings(measured, RELEASE, missing=(Role.T1C,), no_type_because=because)
    lines = shown(capsys, findings_facts(findings)).splitlines()
    assert any("ET ml" in line and "not assessed" in line for line in lines)
    assert any("WT ml" in line and "3.5" in line for line in lines)
    assert any("tumour type" in line and because in line for line in lines)
    assert not any("models agree" in line for line in lines)
