"""Studies that lack a sequence, from files to validated result objects."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from io import BytesIO
from pathlib import Path

import numpy as np
import pydicom
import pytest
import validators
from tiny_models import bright_parts_segmenter, fixed_classifier

from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series
from bt_node.domain.errors import RolesMissingError, StudyIncompleteError
from bt_node.domain.result import EncodedObject, ResultKind
from bt_node.domain.study import Role
from bt_node.domain.tumour import Region, SliceBasis
from bt_node.encode.readback import decode_segmentation
from bt_node.encode.results import NodeIdentity
from bt_node.pipeline.record import TripRecord
from bt_node.pipeline.trip import Models, StudyFiles, TripOutcome, run_trip
from bt_node.simulate.phantom import PhantomStudy, make_phantom

pytestmark = pytest.mark.integration

NODE = NodeIdentity("Example Organisation", "bt-node", "0.1.0", "node-0001")
FLEXIBLE = Models(
    bright_parts_segmenter((Role.FLAIR, Role.T1C)), fixed_classifier((4.0, 0.0, 0.0, 0.0)), require_all_roles=False
)
Peer = Callable[[str], str]


@pytest.fixture(scope="module")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"), coarse=2.0)


def travel(phantom: PhantomStudy, models: Models, *without: Role) -> tuple[TripOutcome, TripRecord]:
    left_out = {uid for role in without for uid in phantom.series[role].sop_instance_uids}
    paths = {uid: path for uid, path in phantom.paths_by_uid.items() if uid not in left_out}
    record = TripRecord()
    when = datetime(2026, 3, 1, 11, 2, 3, tzinfo=UTC)
    return run_trip(StudyFiles(paths, when), models, NODE, record), record


def complaints(outcome: TripOutcome, phantom: PhantomStudy, folder: Path, peer: Peer, *used: Role) -> tuple[str, ...]:
    for each in outcome.objects:
        (folder / f"{each.kind.value.lower()}.dcm").write_bytes(each.content)
    return validators.validate(folder, [phantom.series[role].folder for role in used], peer)


def report_of(outcome: TripOutcome) -> str:
    return str(pydicom.dcmread(BytesIO(outcome.objects[-1].content)).to_json())


def referred_series(each: EncodedObject) -> str:
    return str(pydicom.dcmread(BytesIO(each.content)).ReferencedSeriesSequence[0].SeriesInstanceUID)


def test_without_t1_everything_is_outlined_and_the_report_says_what_that_means(
    phantom: PhantomStudy, tmp_path: Path, peer: Peer
) -> None:
    outcome, record = travel(phantom, FLEXIBLE, Role.T1)
    assert outcome.findings.missing == (Role.T1,)
    assert outcome.findings.not_assessed == ()
    assert [each.kind for each in outcome.objects] == [ResultKind.SEG, ResultKind.SEG_DERIVED, ResultKind.SR]
    truth = phantom.truth.mask(Region.WT)
    found = outcome.labels.mask(Region.WT)
    assert 2 * (truth & found).sum() / (truth.sum() + found.sum()) > 0.5
    assert "CAUTION: T1 was missing: what is bright without contrast" in report_of(outcome)
    assert record.findings["sequences"] == {"used": ["T1C", "T2", "FLAIR"], "missing": ["T1"], "undecided": []}
    assert outcome.findings.models_agree
    kind = outcome.findings.tumour_type
    assert kind
    assert kind.basis is SliceBasis.CORE
    of_t1c = set(phantom.series[Role.T1C].sop_instance_uids)
    assert {each.sop_instance_uid for each in kind.slices} <= of_t1c
    assert record.findings["tumour_type"]["slices"][0]["z_mm"] is not None
    assert complaints(outcome, phantom, tmp_path, peer, Role.T1C, Role.T2, Role.FLAIR) == ()


def test_without_t1c_the_whole_tumour_is_outlined_on_flair_and_nothing_is_said_of_its_parts(
    phantom: PhantomStudy, tmp_path: Path, peer: Peer
) -> None:
    outcome, record = travel(phantom, FLEXIBLE, Role.T1C)
    assert outcome.findings.not_assessed == (Region.NCR, Region.ED, Region.ET, Region.TC)
    assert [each.kind for each in outcome.objects] == [ResultKind.SEG_DERIVED, ResultKind.SR]
    seg = outcome.objects[0]
    flair = phantom.series[Role.FLAIR]
    assert referred_series(seg) == flair.series_instance_uid
    facts = {one.series_instance_uid: one for one in read_study(phantom.paths_by_uid).series}
    grid = load_series(facts[flair.series_instance_uid], phantom.paths_by_uid).grid
    (whole,) = decode_segmentation(BytesIO(seg.content), grid)
    assert np.array_equal(whole, outcome.labels.mask(Region.WT))
    assert whole.any()
    text = report_of(outcome)
    assert "T1C was missing: enhancing tumour, necrotic core, tumour core and oedema were not assessed" in text
    assert "Tumour type: not assessed, because T1C is missing" in text
    assert "Not Evaluated" in text
    assert record.findings["volumes_ml"].keys() == {"WT"}
    assert record.findings["not_assessed"] == ["NCR", "ED", "ET", "TC"]
    assert record.findings["models_agree"] is None
    assert complaints(outcome, phantom, tmp_path, peer, Role.T1, Role.T2, Role.FLAIR) == ()


def test_a_site_that_requires_all_roles_holds_what_could_be_answered(phantom: PhantomStudy) -> None:
    strict = Models(FLEXIBLE.segmenter, FLEXIBLE.classifier)
    with pytest.raises(StudyIncompleteError, match="No series found for FLAIR"):
        travel(phantom, strict, Role.FLAIR)


def test_a_release_that_needs_all_sequences_refuses_whatever_the_site_says(phantom: PhantomStudy) -> None:
    rigid = Models(bright_parts_segmenter(), None, require_all_roles=False)
    with pytest.raises(RolesMissingError, match="No series found for T2"):
        travel(phantom, rigid, Role.T2)


def test_without_t1c_and_flair_no_release_answers(phantom: PhantomStudy) -> None:
    with pytest.raises(RolesMissingError, match="FLAIR or T1C"):
        travel(phantom, FLEXIBLE, Role.T1C, Role.FLAIR)
