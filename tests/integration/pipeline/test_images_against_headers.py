"""Headers that lie about what a series is, from files to the verdict: images speak before anything is outlined."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pydicom
import pytest
from tiny_models import bright_parts_segmenter

from bt_node.domain.errors import RolesContradictedError
from bt_node.domain.states import JobState
from bt_node.domain.study import Assigned, Role
from bt_node.encode.results import NodeIdentity
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import Models, StudyFiles, TripOutcome, run_trip
from bt_node.pipeline.verdicts import next_step
from bt_node.simulate.phantom import PhantomStudy, make_phantom

pytestmark = pytest.mark.integration

NODE = NodeIdentity("Example Organisation", "bt-node", "0.1.0", "node-0001")
WHEN = datetime(2026, 3, 1, 11, 2, 3, tzinfo=UTC)
TELLING = (
    "SeriesDescription",
    "EchoTime",
    "RepetitionTime",
    "InversionTime",
    "ScanningSequence",
    "SequenceVariant",
    "EchoTrainLength",
)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=2.0)


@pytest.fixture(scope="module")
def lying(phantom: PhantomStudy, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The same files, but T2 and FLAIR carry one another's headers."""
    folder = tmp_path_factory.mktemp("lying")
    paths = dict(phantom.paths_by_uid)
    for role, other in ((Role.T2, Role.FLAIR), (Role.FLAIR, Role.T2)):
        claim = pydicom.dcmread(phantom.series[other].paths[0], stop_before_pixels=True)
        for uid in phantom.series[role].sop_instance_uids:
            paths[uid] = Path(shutil.copy(paths[uid], folder / f"{uid}.dcm"))
            dataset = pydicom.dcmread(paths[uid])
            for word in TELLING:
                if word in dataset:
                    del dataset[word]
                if word in claim:
                    dataset[word] = claim[word]
            dataset.save_as(paths[uid])
    return paths


def travel(
    paths: dict[str, Path], assigned: dict[Role, Assigned] | None = None
) -> tuple[TripOutcome | RolesContradictedError, TripRecord]:
    record = TripRecord()
    try:
        outcome = run_trip(
            StudyFiles(paths, WHEN, assigned=assigned or {}), Models(bright_parts_segmenter(), None), NODE, record
        )
    except RolesContradictedError as held:
        return held, record
    return outcome, record


def test_t2_and_flair_with_one_another_s_headers_are_held_with_both_names_and_the_way_out(
    phantom: PhantomStudy, lying: dict[str, Path]
) -> None:
    held, record = travel(lying)
    assert isinstance(held, RolesContradictedError)
    step = next_step(held, attempt=1, max_attempts=3, pause_seconds=1.0)
    assert (step.target, step.code) == (JobState.HELD, "roles-contradicted")
    # What is called T2 is series 4, whose image is the FLAIR's.
    assert "series 4, chosen as T2, looks like FLAIR" in step.reason
    assert "series 3, chosen as FLAIR, looks like T2" in step.reason
    assert "bt-node jobs assign ID --t2 3 --flair 4" in step.reason
    said = {entry["role"]: entry["image"]["opinion"] for entry in record.roles}
    assert said == {"T1": "agrees", "T1C": "agrees", "T2": "contradicts", "FLAIR": "contradicts"}
    assert "segment" not in record.timings_s


def test_a_person_who_says_so_all_the_same_gets_the_result_with_a_caution_on_it(
    phantom: PhantomStudy, lying: dict[str, Path]
) -> None:
    word = {
        Role.T2: Assigned(phantom.series[Role.FLAIR].series_instance_uid, "cli:ann"),
        Role.FLAIR: Assigned(phantom.series[Role.T2].series_instance_uid, "cli:ann"),
    }
    outcome, record = travel(lying, word)
    assert isinstance(outcome, TripOutcome)
    cautions = [caution for caution in outcome.findings.cautions if "the image looks like" in caution]
    assert [caution.split(" is likely")[0] for caution in cautions] == ["T2", "FLAIR"]
    assert {entry["role"]: entry["certainty"] for entry in record.roles}["T2"] == "likely"
