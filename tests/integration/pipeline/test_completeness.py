"""A node that looks at a study's headers and asks its source: real files, real associations, the test's own clock."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicom_builder import STUDY_UID, oblique_grid, ramp_volume, write_series
from job_desk import Clock
from orthanc import OrthancServer, orthanc

from bt_node.assemble.completeness import Rules
from bt_node.config import Config, Roles
from bt_node.deliver.peer import Peer
from bt_node.domain.receipt import ReceivedInstance
from bt_node.domain.states import JobState
from bt_node.jobs import JobBook, open_book, upgrade_schema
from bt_node.pipeline.completeness import Asking, Examiner
from bt_node.runtime.sources import sources_to_ask
from bt_node.simulate.fake_pacs import FakePacs, Faults
from bt_node.simulate.node_process import free_port

__all__ = ["orthanc"]
pytestmark = pytest.mark.integration

SECRET = "DoeJane1970"
QUIET, WAIT, PAUSE = 30.0, 600.0, 60.0
SLICES = 12
VOLUME = ramp_volume(oblique_grid((SLICES, 8, 8), spacing=(20.0, 20.0, 10.0)))
SPIN_ECHO = {"EchoTime": "12", "RepetitionTime": "550", "ScanningSequence": "SE"}
INVERTED = {"EchoTime": "120", "RepetitionTime": "9000", "InversionTime": "2500", "ScanningSequence": ["SE", "IR"]}
T2 = {"EchoTime": "100", "RepetitionTime": "5000", "ScanningSequence": "SE"}
SERIES: dict[int, tuple[str, dict[str, Any]]] = {
    5: ("T1 nativ", {**SPIN_ECHO, "AcquisitionTime": "100000"}),
    6: ("T2 tra", {**T2, "AcquisitionTime": "100300"}),
    7: ("FLAIR tra", {**INVERTED, "AcquisitionTime": "100500"}),
    8: ("T1 KM", {**SPIN_ECHO, "AcquisitionTime": "101500", "ContrastBolusAgent": "Gd"}),
}


class Node:
    """Job book, files and examiner of a node, and a source that has the study."""

    def __init__(self, folder: Path, migrated: Path, study: dict[int, list[Path]], peer: Peer) -> None:
        self.study, self.clock = study, Clock()
        self.url = f"sqlite:///{shutil.copy(migrated, folder / 'jobs.sqlite')}"
        self.book: JobBook = open_book(self.url, now=self.clock)
        self.rules = Rules(WAIT)
        self.peer = peer

    def examiner(self, **asking: Any) -> Examiner:
        known = {"sources": {"PACS": self.peer}, "attempts": 3, "pause_s": PAUSE, "timeout_s": 5.0}
        return Examiner(lambda _job: self._files(), self.rules, Asking(**(known | asking)), Roles())

    def _files(self) -> dict[str, Path]:
        held = self.book.instance_paths(1)
        return {uid: Path(path) for uid, path in held.items()}

    def receive(self, *paths: Path) -> None:
        for path in paths:
            ds = pydicom.dcmread(path, stop_before_pixels=True)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            self.book.record_instance(
                ReceivedInstance(
                    str(ds.SOPInstanceUID), str(ds.SOPClassUID), STUDY_UID, str(ds.SeriesInstanceUID),
                    "1.2.840.10008.1.2.1", str(path), 1000, digest, "PACS",
                ),
                "",
            )  # fmt: skip

    def everything_but(self, *lacking: Path) -> None:
        self.receive(*(path for paths in self.study.values() for path in paths if path not in lacking))

    def round(self, examiner: Examiner, after: float = 0.0) -> JobState:
        self.clock.forward(after)
        self.book.sweep_complete(QUIET, 300.0, examiner)
        return JobState(self.view["state"])

    @property
    def view(self) -> dict[str, Any]:
        return self.book.view(STUDY_UID)

    @property
    def reason(self) -> str:
        return str(self.view["completeness"][-1]["reason"])


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> dict[int, list[Path]]:
    """Files of each series by number, in the order of their slices."""
    made = tmp_path_factory.mktemp("study")
    for number, (description, facts) in SERIES.items():
        words = {"SeriesDescription": f"{description} {SECRET}", "PatientName": SECRET}
        write_series(made, VOLUME, series_number=number, **words, **facts)
    files: dict[int, list[Path]] = {number: [] for number in SERIES}
    for path in made.glob("*.dcm"):
        files[int(pydicom.dcmread(path, stop_before_pixels=True).SeriesNumber)].append(path)
    return {number: sorted(paths, key=_depth) for number, paths in files.items()}


def _depth(path: Path) -> int:
    return int(pydicom.dcmread(path, stop_before_pixels=True).InstanceNumber)


@pytest.fixture
def pacs(study: dict[int, list[Path]]) -> Iterator[FakePacs]:
    with FakePacs("PACS") as running:
        running.take(*(path for paths in study.values() for path in paths))
        yield running


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("book") / "migrated.sqlite"
    upgrade_schema(f"sqlite:///{file}")
    return file


@pytest.fixture
def node(tmp_path: Path, migrated: Path, study: dict[int, list[Path]], pacs: FakePacs) -> Iterator[Node]:
    made = Node(tmp_path, migrated, study, Peer("PACS", "127.0.0.1", pacs.port))
    yield made
    made.book.close()


def test_a_full_study_goes_on_as_soon_as_it_is_quiet_and_the_evidence_says_why(node: Node, pacs: FakePacs) -> None:
    node.everything_but()
    assert node.round(node.examiner(), QUIET) is JobState.READY
    assert pacs.find_requests == 1
    (row,) = node.view["completeness"]
    assert row["reason"] == (
        "quiet for 30 s with 48 images; T1, T1C, T2, FLAIR found; all that PACS has in 4 series arrived"
    )
    evidence = row["evidence"]
    assert [(each["series_number"], each["instances"]) for each in evidence["arrived"]] == [
        (number, SLICES) for number in sorted(SERIES)
    ]
    assert {each["instances"] for each in evidence["asked"][0]["series"]} == {SLICES}
    assert SECRET not in str(node.view)


@pytest.mark.parametrize(("said", "rank"), [("STAT", 2), ("high ", 1), ("LOW", 0), ("", 0)])
def test_a_study_that_was_asked_for_urgently_is_urgent(node: Node, tmp_path: Path, said: str, rank: int) -> None:
    """Requested Procedure Priority (0040,1003)."""
    first = node.study[min(node.study)][0]
    marked = pydicom.dcmread(first)
    marked.add_new(0x00401003, "SH", said)
    marked.save_as(tmp_path / "marked.dcm")
    node.receive(tmp_path / "marked.dcm")
    node.everything_but(first)
    assert node.round(node.examiner(), QUIET) is JobState.READY
    assert node.view["priority"] == rank


def test_an_image_that_lacks_is_waited_for_and_when_it_comes_the_study_goes_on(node: Node, pacs: FakePacs) -> None:
    last = node.study[7][-1]  # the top slice: no gap tells of it
    examiner = node.examiner()
    node.everything_but(last)
    assert node.round(examiner, QUIET) is JobState.RECEIVING
    assert node.view["waiting_for"].startswith("PACS to send series 7: 11 of 12 images arrived; goes on without in ")
    assert node.round(examiner, PAUSE) is JobState.RECEIVING
    assert pacs.find_requests == 2, "it is asked again: the study may still change there"
    node.receive(last)
    assert node.round(examiner) is JobState.RECEIVING, "an image has just come"
    assert node.round(examiner, QUIET) is JobState.READY
    assert [row["complete"] for row in node.view["completeness"]] == [False, True]


def test_what_never_comes_is_waited_for_so_long_and_travels_with_the_job(node: Node) -> None:
    node.everything_but(node.study[7][-1])
    examiner = node.examiner()
    node.round(examiner, QUIET)
    assert node.round(examiner, WAIT - QUIET - 1) is JobState.RECEIVING
    assert node.round(examiner, 1) is JobState.READY
    assert node.reason.endswith("waited in vain for PACS to send series 7: 11 of 12 images arrived")
    job = node.book.claim("worker", 60)
    assert job is not None
    (short,) = job.gaps.short
    assert (short.series_number, short.expected, short.arrived) == (7, 12, 11)


def test_a_source_that_claims_more_than_it_ever_sends_blocks_nothing(node: Node, pacs: FakePacs) -> None:
    uid = str(pydicom.dcmread(node.study[5][0]).SeriesInstanceUID)
    pacs.faults = Faults(counts={uid: SLICES + 1})
    node.everything_but()
    examiner = node.examiner()
    assert node.round(examiner, QUIET) is JobState.RECEIVING
    assert node.round(examiner, WAIT) is JobState.READY
    assert "series 5: 12 of 13 images arrived" in node.reason


def test_a_source_without_numbers_is_counted_image_by_image(node: Node, pacs: FakePacs) -> None:
    pacs.faults = Faults(no_counts=True)
    node.everything_but(node.study[6][-1])
    assert node.round(node.examiner(), QUIET) is JobState.RECEIVING
    assert "series 6: 11 of 12 images arrived" in node.reason


def test_a_source_that_is_down_is_asked_so_often_and_then_quiet_time_decides(node: Node, pacs: FakePacs) -> None:
    pacs.stop()
    node.everything_but()
    examiner = node.examiner()
    assert node.round(examiner, QUIET) is JobState.RECEIVING
    assert node.view["waiting_for"].startswith("an answer of PACS (connection refused); goes on without in ")
    assert node.round(examiner, PAUSE - 1) is JobState.RECEIVING
    assert node.round(examiner, 1) is JobState.RECEIVING
    assert node.round(examiner, PAUSE) is JobState.READY
    assert "PACS did not tell what it has (connection refused), so quiet time alone decides" in node.reason
    assert node.view["completeness"][-1]["evidence"]["asked"][0]["failures"] == 3


def test_a_source_that_comes_back_is_heard(node: Node, pacs: FakePacs) -> None:
    pacs.faults = Faults(find_status=0xA700, times=1)
    node.everything_but()
    examiner = node.examiner()
    assert node.round(examiner, QUIET) is JobState.RECEIVING
    assert node.round(examiner, PAUSE) is JobState.READY
    assert "all that PACS has" in node.reason


def test_a_source_that_answers_too_slowly_counts_as_silent(node: Node, pacs: FakePacs) -> None:
    pacs.faults = Faults(answer_after_seconds=2.0)
    node.everything_but()
    assert node.round(node.examiner(timeout_s=0.5, attempts=1), QUIET) is JobState.READY
    assert "no full answer within 0.5 s" in node.reason


def test_a_source_that_is_down_is_not_tried_for_each_study_in_turn(node: Node, pacs: FakePacs) -> None:
    pacs.faults = Faults(find_status=0xA700)
    node.everything_but()
    other = "1.2.3.4"
    node.book.record_instance(
        ReceivedInstance("1.2.3.4.1", "1.2", other, "1.2.3.4.0", "1.2", "x", 1, "ab", "PACS"), ""
    )
    node.round(node.examiner(), QUIET)
    assert pacs.find_requests == 1
    assert [node.book.view(uid)["state"] for uid in (STUDY_UID, other)] == ["RECEIVING", "RECEIVING"]


def test_a_study_of_somebody_else_is_not_asked_about(node: Node, pacs: FakePacs) -> None:
    node.everything_but()
    assert node.round(node.examiner(sources={"OTHER": node.peer}), QUIET) is JobState.READY
    assert pacs.find_requests == 0


def test_without_a_source_a_missing_sequence_and_a_missing_slice_are_waited_for(node: Node) -> None:
    node.everything_but(*node.study[7], node.study[5][6])
    examiner = node.examiner(sources={})
    assert node.round(examiner, QUIET) is JobState.RECEIVING
    assert node.view["completeness"][-1]["evidence"]["waits_for"] == [
        "FLAIR, which no series is",
        "slices of series 5 (T1): two are 20.0 mm apart where 10.0 mm is expected",
    ]
    assert node.round(examiner, WAIT) is JobState.READY


def test_files_that_cannot_be_read_yet_are_left_to_the_run_that_says_so(node: Node) -> None:
    node.receive(*node.study[5])
    examiner = Examiner(lambda _job: {"1.2.3": Path("/nowhere")}, node.rules, Asking(), Roles())
    assert node.round(examiner, QUIET) is JobState.READY
    assert node.view["completeness"][-1]["evidence"]["looked"] == {"trouble": "spool-file-missing"}


@pytest.mark.e2e
def test_orthanc_as_the_source(
    orthanc: OrthancServer, tmp_path: Path, migrated: Path, study: dict[int, list[Path]]
) -> None:
    orthanc.clear()
    orthanc.add_modality("BT_NODE", free_port())
    for paths in study.values():
        for path in paths:
            orthanc.upload(path)
    node = Node(tmp_path, migrated, study, Peer(orthanc.ae_title, orthanc.host, orthanc.dicom_port))
    examiner = node.examiner()
    node.everything_but(study[8][0])
    assert node.round(examiner, QUIET) is JobState.RECEIVING
    assert "series 8: 11 of 12 images arrived" in node.reason
    node.receive(study[8][0])
    assert node.round(examiner, QUIET) is JobState.READY
    assert node.reason.endswith("all that PACS has in 4 series arrived")
    node.book.close()


def test_the_configuration_says_where_to_ask() -> None:
    config = Config.model_validate(
        {
            "sources": [
                {"ae_title": "PACS", "host": "198.51.100.7", "query_port": 104},
                {"ae_title": "ROUTER", "query_host": "pacs", "query_port": 4242, "query_ae_title": "PACS_FIND"},
                {"ae_title": "SCANNER", "host": "198.51.100.8"},
            ]
        }
    )
    assert sources_to_ask(config) == {
        "PACS": Peer("PACS", "198.51.100.7", 104),
        "ROUTER": Peer("PACS_FIND", "pacs", 4242),
    }
