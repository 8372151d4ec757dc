"""Wrong studies from files through the whole trip: each is rejected or held with a named reason, a head is not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
import torch
from tiny_models import bright_parts_segmenter, fixed_classifier

from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import read_study
from bt_node.convert import prepare as preparation
from bt_node.convert.register import reference_report
from bt_node.convert.stack import load_series
from bt_node.domain.errors import BrainMaskError, HeaderError, Hold, NoHeadError
from bt_node.domain.geometry import Volume
from bt_node.domain.study import Role
from bt_node.encode.results import NodeIdentity
from bt_node.infer.brain import load_brain_finder
from bt_node.infer.release import Intended
from bt_node.pipeline import trip
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import Models, StudyFiles, TripOutcome, run_trip
from bt_node.simulate import misfits
from bt_node.simulate.mr_series import Patient, StudyHeader, write_series
from bt_node.simulate.phantom import PhantomStudy, _protocols, make_phantom
from bt_node.simulate.uids import repeatable_uid

pytestmark = pytest.mark.integration

NODE = NodeIdentity("Example Organisation", "bt-node", "0.1.0", "node-0001")
BRAIN = load_brain_finder(torch.device("cpu"))
MODELS = Models(bright_parts_segmenter(), fixed_classifier((4.0, 0.0, 0.0, 0.0)), brain=BRAIN)
WHEN = datetime(2026, 3, 1, 11, 2, 3, tzinfo=UTC)


@pytest.fixture
def aligned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Series that lie on one another as made: neither registration nor shading is what is tried here."""
    monkeypatch.setattr(preparation, "register_all", lambda _, others: {r: reference_report(r) for r in others})
    monkeypatch.setattr(preparation, "without_shading", lambda head, _: head.array)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=2.0)


@pytest.fixture(scope="module")
def heads(phantom: PhantomStudy) -> Mapping[Role, Volume]:
    chosen = choose_roles(read_study(phantom.paths_by_uid)).choices
    return {role: load_series(choice.series, phantom.paths_by_uid).volume for role, choice in chosen.items()}


def written(folder: Path, volumes: Mapping[Role, Volume], patient: Patient | None = None) -> dict[str, Path]:
    """The volumes as a study, with the headers that the phantom's scanner writes."""
    key = str(folder)
    header = StudyHeader(key, patient or Patient(), repeatable_uid(key, "study"), repeatable_uid(key, "frame"))
    paths: dict[str, Path] = {}
    for role, volume in volumes.items():
        blocks = [(volume.array, volume.grid)]
        series = write_series(folder / role.value, header, _protocols(True)[role], blocks)
        paths |= dict(zip(series.sop_instance_uids, series.paths, strict=True))
    return paths


def travel(paths: Mapping[str, Path], models: Models = MODELS) -> tuple[TripOutcome, TripRecord]:
    record = TripRecord()
    return run_trip(StudyFiles(paths, WHEN), models, NODE, record), record


def test_a_head_is_not_held_and_its_numbers_are_kept(phantom: PhantomStudy) -> None:
    outcome, record = travel(phantom.paths_by_uid)
    assert outcome.held_because == ()
    assert record.findings["verdict"]["decision"] in ("SEND", "CAUTION")
    quality = record.findings["quality"]
    assert set(quality["series"]) == {"T1", "T1C", "T2", "FLAIR"}
    assert quality["brain"]["cut_off"] < 0.3
    assert quality["outline"]["parts"] >= 1


@pytest.mark.usefixtures("aligned")
def test_who_found_the_brain_is_kept_and_makes_results_of_its_own(phantom: PhantomStudy) -> None:
    """Another mask may make another outline: under the same UID an archive would keep the first for ever."""
    learned, by_rule = travel(phantom.paths_by_uid), travel(phantom.paths_by_uid, replace(MODELS, brain=None))
    assert learned[1].findings["quality"]["brain"]["found_by"].startswith("deepbet 1.0.2 (")
    assert by_rule[1].findings["quality"]["brain"]["found_by"] == "brightness and shape"
    uids = [{each.sop_instance_uid for each in outcome.objects} for outcome, _ in (learned, by_rule)]
    assert not uids[0] & uids[1]


@pytest.mark.parametrize("make", [misfits.bottle, misfits.noise], ids=["bottle", "noise"])
def test_what_is_no_head_is_rejected_before_anything_is_registered(tmp_path: Path, make) -> None:
    with pytest.raises(NoHeadError):
        travel(written(tmp_path, make()))


@pytest.mark.usefixtures("aligned")
@pytest.mark.parametrize("make", [misfits.knee, misfits.spine, misfits.legs], ids=["knee", "spine", "legs"])
def test_other_parts_of_the_body_without_a_header_that_says_so_get_no_answer(tmp_path: Path, make) -> None:
    paths = written(tmp_path, make())
    with pytest.raises(BrainMaskError):
        travel(paths, replace(MODELS, brain=None))
    try:
        outcome, _ = travel(paths)
    except Hold:
        return
    assert outcome.held_because


@pytest.mark.usefixtures("aligned")
@pytest.mark.parametrize("upper", [True, False], ids=["upper half", "lower half"])
def test_half_a_head_is_held(tmp_path: Path, heads: Mapping[Role, Volume], upper: bool) -> None:
    half = misfits.cut_in_height(heads, keep=0.55, upper=upper)
    outcome, record = travel(written(tmp_path, half))
    assert any("cut off" in why for why in outcome.held_because)
    assert record.findings["verdict"]["decision"] == "HOLD"
    assert outcome.findings.cautions[: len(outcome.held_because)] == outcome.held_because, "it says so once released"
    assert outcome.objects, "the result is kept for a person's word"


@pytest.mark.usefixtures("aligned")
def test_heavy_motion_is_held(tmp_path: Path, heads: Mapping[Role, Volume]) -> None:
    moved = {role: misfits.ghosted(head, shift_mm=6.0, seed=1) for role, head in heads.items()}
    outcome, record = travel(written(tmp_path, moved))
    assert any("ghosts" in why for why in outcome.held_because)
    assert "ghosts" in record.findings["verdict"]["checks"]
    assert all(pydicom.dcmread(path).Modality == "MR" for path in list(tmp_path.rglob("*.dcm"))[:1])


@pytest.mark.usefixtures("aligned")
def test_a_child_is_held_where_the_release_is_for_adults_and_no_age_is_written(
    tmp_path: Path, heads: Mapping[Role, Volume]
) -> None:
    segmenter = bright_parts_segmenter()
    for_adults = Models(
        type(segmenter)(
            segmenter.identity,
            segmenter.input,
            segmenter.output,
            segmenter.network,
            segmenter.device,
            Intended(min_age_years=18),
        ),
        None,
    )
    child = written(tmp_path, heads, Patient(birth_date="20190505"))
    outcome, record = travel(child, for_adults)
    assert outcome.held_because == (
        "The patient is younger than the 18 years that the model's card asks for at least.",
    )
    assert not any(f"{age}" in str(record.findings["verdict"]) for age in ("6.6", "2019", "0505"))


def test_headers_that_results_cannot_be_made_of_are_refused_before_a_model_runs(
    phantom: PhantomStudy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = {}
    for uid, path in phantom.paths_by_uid.items():
        ds = pydicom.dcmread(path)
        ds.PatientID = ["123", "456"]
        paths[uid] = tmp_path / f"{uid}.dcm"
        ds.save_as(paths[uid])

    def ran(*_: object) -> None:
        raise AssertionError("something was computed")

    monkeypatch.setattr(trip, "prepare", ran)
    with pytest.raises(HeaderError, match="PatientID holds several values"):
        travel(paths)
