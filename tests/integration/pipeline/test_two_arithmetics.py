"""One study, two machines whose arithmetic differs: one UID never stands for two contents."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
import torch
from tiny_models import BrightParts, bright_parts_segmenter

from bt_node.domain.result import EarlierReport, EncodedObject
from bt_node.encode.results import NodeIdentity
from bt_node.infer import segmenter as segmenter_module
from bt_node.infer.release import read_release
from bt_node.infer.segmenter import load_segmenter
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import Models, StudyFiles, TripOutcome, run_trip
from bt_node.simulate.phantom import PhantomStudy, make_phantom

pytestmark = pytest.mark.integration

RELEASE = Path(__file__).resolve().parents[3] / "models" / "bt-segmenter-0.2"
NODE = NodeIdentity("Example Organisation", "bt-node", "0.1.0", "node-0001")


class InBfloat16(BrightParts):
    """The same network where a processor computes in bfloat16: eight bits of each number are left."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.bfloat16().float()).bfloat16().float()


SEGMENTER = bright_parts_segmenter()
FINE, COARSE = Models(SEGMENTER, None), Models(replace(SEGMENTER, network=InBfloat16()), None)


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=2.0)


@pytest.fixture(scope="module")
def fine(phantom: PhantomStudy) -> TripOutcome:
    return travel(phantom, FINE)


@pytest.fixture(scope="module")
def coarse(phantom: PhantomStudy, fine: TripOutcome) -> TripOutcome:
    """What a second machine makes of the study after the first one's report has left."""
    return travel(phantom, COARSE, fine)


def travel(phantom: PhantomStudy, models: Models, before: TripOutcome | None = None) -> TripOutcome:
    when = datetime(2026, 3, 1, 11, 2, 3, tzinfo=UTC)
    sent = () if before is None else (as_sent(before.objects[-1]),)
    return run_trip(StudyFiles(phantom.paths_by_uid, when, earlier_reports=sent), models, NODE, TripRecord())


def as_sent(report: EncodedObject) -> EarlierReport:
    return EarlierReport(report.sop_class_uid, report.sop_instance_uid, report.series_instance_uid)


def test_two_arithmetics_draw_two_outlines_under_different_uids(fine: TripOutcome, coarse: TripOutcome) -> None:
    assert (fine.labels.array != coarse.labels.array).any()
    assert [each.kind for each in fine.objects] == [each.kind for each in coarse.objects]
    assert fine.objects[0].content != coarse.objects[0].content, "the outline"
    assert fine.objects[-1].content != coarse.objects[-1].content, "the report"
    uids_differ_exactly_where_contents_do(fine.objects, coarse.objects)


def test_the_second_report_says_that_it_replaces_the_first(fine: TripOutcome, coarse: TripOutcome) -> None:
    document = pydicom.dcmread(BytesIO(coarse.objects[-1].content))
    (study,) = document.PredecessorDocumentsSequence
    (series,) = study.ReferencedSeriesSequence
    (replaced,) = series.ReferencedSOPSequence
    assert replaced.ReferencedSOPInstanceUID == fine.objects[-1].sop_instance_uid


def test_the_same_arithmetic_makes_the_same_objects_again(phantom: PhantomStudy, fine: TripOutcome) -> None:
    assert travel(phantom, FINE, fine).objects == fine.objects


def test_the_released_segmenter_in_bfloat16_and_in_float32(
    phantom: PhantomStudy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whether the outlines differ is the processor's affair; that UIDs differ exactly where contents do is ours."""
    models = Models(load_segmenter(read_release(RELEASE), torch.device("cpu")), None)
    made = []
    for in_bfloat16 in (True, False):
        monkeypatch.setattr(segmenter_module, "has_fast_bfloat16", lambda device, answer=in_bfloat16: answer)
        made.append(travel(phantom, models).objects)
    uids_differ_exactly_where_contents_do(*made)


def uids_differ_exactly_where_contents_do(first: Sequence[EncodedObject], second: Sequence[EncodedObject]) -> None:
    for one, other in zip(first, second, strict=True):
        assert (one.content == other.content) == (one.sop_instance_uid == other.sop_instance_uid)
        assert (one.content == other.content) == (one.series_instance_uid == other.series_instance_uid)
