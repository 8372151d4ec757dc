"""On which series the outline is drawn: the configured ones, each in its own place although the patient had moved."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import validators
from tiny_models import bright_parts_segmenter

from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series
from bt_node.domain.geometry import BoolArray, Grid
from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.domain.study import Role
from bt_node.domain.tumour import LabelMap, Region
from bt_node.encode.readback import decode_segmentation
from bt_node.encode.results import NodeIdentity
from bt_node.pipeline.outline import drawn_on
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import Models, StudyFiles, TripOutcome, run_trip
from bt_node.simulate.phantom import PhantomStudy, make_phantom

pytestmark = pytest.mark.integration

NODE = NodeIdentity("Example Organisation", "bt-node", "0.1.0", "node-0001")
MODELS = Models(bright_parts_segmenter(), None)
Peer = Callable[[str], str]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=2.0)


def travel(phantom: PhantomStudy, *segment_on: Role) -> TripOutcome:
    when = datetime(2026, 3, 1, 11, 2, 3, tzinfo=UTC)
    models = replace(MODELS, segment_on=segment_on)
    return run_trip(StudyFiles(phantom.paths_by_uid, when), models, NODE, TripRecord())


@pytest.fixture(scope="module")
def both(phantom: PhantomStudy) -> TripOutcome:
    return travel(phantom, Role.T1C, Role.FLAIR)


def header(each: EncodedObject) -> pydicom.Dataset:
    return pydicom.dcmread(BytesIO(each.content))


def grid_of(phantom: PhantomStudy, role: Role) -> Grid:
    facts = {one.series_instance_uid: one for one in read_study(phantom.paths_by_uid).series}
    return load_series(facts[phantom.series[role].series_instance_uid], phantom.paths_by_uid).grid


def carried(outline: LabelMap, grid: Grid, motion: np.ndarray) -> BoolArray:
    """The whole tumour of `outline` (T1c), carried by a known motion (4×4) to another series' grid."""
    points = grid.index_to_world(np.indices(grid.shape).reshape(3, -1).T)
    back = np.linalg.inv(motion)
    index = np.rint(outline.grid.world_to_index(points @ back[:3, :3].T + back[:3, 3])).astype(int)
    inside = ((index >= 0) & (index < outline.grid.shape)).all(axis=1)
    found = np.zeros(len(points), dtype=bool)
    found[inside] = outline.mask(Region.WT)[tuple(index[inside].T)]
    return found.reshape(grid.shape)


def dice(a: BoolArray, b: BoolArray) -> float:
    return float(2 * (a & b).sum() / (a.sum() + b.sum()))


def test_each_series_gets_segs_of_its_own(phantom: PhantomStudy, both: TripOutcome) -> None:
    pair = [ResultKind.SEG, ResultKind.SEG_DERIVED]
    assert [each.kind for each in both.objects] == [*pair, *pair, ResultKind.SR]
    assert [each.series_number for each in both.objects] == [9001, 9002, 9011, 9012, 9101]
    segs = [header(each) for each in both.objects[:4]]
    on = [phantom.series[role].series_instance_uid for role in (Role.T1C, Role.T1C, Role.FLAIR, Role.FLAIR)]
    assert [str(seg.ReferencedSeriesSequence[0].SeriesInstanceUID) for seg in segs] == on
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert len({str(seg[keyword].value) for seg in segs}) == 4
    frames = {
        role: str(
            pydicom.dcmread(phantom.paths_by_uid[phantom.series[role].sop_instance_uids[0]]).FrameOfReferenceUID
        )
        for role in (Role.T1C, Role.FLAIR)
    }
    assert [str(seg.FrameOfReferenceUID) for seg in segs] == [frames[Role.T1C]] * 2 + [frames[Role.FLAIR]] * 2
    # The coarse phantom's slices are far apart, which is a caution.
    assert segs[2].SeriesDescription == "CAUTION, AI SEG FLAIR: for research use only, not for diagnosis"
    tracked = [[str(item.TrackingUID) for item in seg.SegmentSequence] for seg in segs]
    assert tracked[:2] == tracked[2:]


def test_the_outline_lies_on_the_lesion_in_each_series_although_the_patient_moved_between(
    phantom: PhantomStudy, both: TripOutcome
) -> None:
    flair = grid_of(phantom, Role.FLAIR)
    _, drawn = decode_segmentation(BytesIO(both.objects[3].content), flair)
    there = carried(both.labels, flair, phantom.motion[Role.FLAIR])
    unmoved = carried(both.labels, flair, np.eye(4))
    # Slices are 11 mm thick here, and cut the outline at other levels; the exact way back is tested in unit/convert.
    assert dice(drawn, there) > 0.85
    assert dice(drawn, there) > dice(drawn, unmoved) + 0.03


def test_the_report_measures_the_first_series_and_names_all_segs(both: TripOutcome) -> None:
    report = header(both.objects[-1])
    named = {
        str(item.ReferencedSOPInstanceUID)
        for study in report.CurrentRequestedProcedureEvidenceSequence
        for series in study.ReferencedSeriesSequence
        for item in series.ReferencedSOPSequence
    }
    assert {each.sop_instance_uid for each in both.objects[:4]} <= named
    text = report.to_json()
    assert "drawn on the FLAIR series as well" in text
    assert both.findings.measurements[Region.WT].volume_ml == pytest.approx(both.labels.volume_ml(Region.WT))


def test_all_of_it_passes_the_validators(
    phantom: PhantomStudy, both: TripOutcome, tmp_path: Path, peer: Peer
) -> None:
    for number, each in enumerate(both.objects):
        (tmp_path / f"{number}_{each.kind.value.lower()}.dcm").write_bytes(each.content)
    assert validators.validate(tmp_path, [phantom.series[role].folder for role in Role], peer) == ()


def test_flair_alone_is_drawn_on_and_measured(phantom: PhantomStudy, both: TripOutcome) -> None:
    outcome = travel(phantom, Role.FLAIR)
    assert [each.series_number for each in outcome.objects] == [9001, 9002, 9101]
    seg = header(outcome.objects[0])
    assert str(seg.ReferencedSeriesSequence[0].SeriesInstanceUID) == phantom.series[Role.FLAIR].series_instance_uid
    assert outcome.labels.grid.is_close(grid_of(phantom, Role.FLAIR))
    old = {each.sop_instance_uid for each in both.objects}
    assert not old & {each.sop_instance_uid for each in outcome.objects}


@pytest.mark.parametrize(
    ("given", "wanted", "drawn"),
    [
        ((Role.T1C, Role.FLAIR), (Role.T1C,), (Role.T1C,)),
        ((Role.T1C, Role.FLAIR), (Role.FLAIR, Role.T1C), (Role.FLAIR, Role.T1C)),
        ((Role.FLAIR, Role.T2), (Role.T1C, Role.FLAIR), (Role.FLAIR,)),
        ((Role.FLAIR, Role.T2), (Role.T1C,), (Role.FLAIR,)),
        ((Role.T1, Role.T2), (Role.T1C,), (Role.T2,)),
    ],
)
def test_a_series_that_is_missing_is_passed_over(
    given: tuple[Role, ...], wanted: tuple[Role, ...], drawn: tuple[Role, ...]
) -> None:
    assert drawn_on(given, wanted) == drawn
