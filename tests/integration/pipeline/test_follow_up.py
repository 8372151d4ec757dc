"""A patient comes again with a tumour that grew by a known factor: job book, spool, registration, SEG and report.

The outline is the phantom's truth, so that every volume is known; only what is about follow-ups runs. The whole trip,
with models and real associations, is in tests/e2e/test_follow_up.py.
"""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
import validators
from pydicom.dataset import Dataset

from bt_node.assemble.study import read_study
from bt_node.convert.measure import measure
from bt_node.convert.stack import load_series
from bt_node.domain.receipt import ReceivedInstance
from bt_node.domain.result import SendOutcome
from bt_node.domain.role import Role
from bt_node.domain.states import JobState
from bt_node.domain.tumour import Findings, LabelMap, Region, ReleaseIdentity
from bt_node.encode.results import EncodeRequest, NodeIdentity, encode_results
from bt_node.jobs import ClaimedJob, JobBook, RunRecord, StoredResult, open_book, upgrade_schema
from bt_node.pipeline.follow_up import Memory, Outlined, compare
from bt_node.pipeline.record import TripRecord
from bt_node.receive.part10 import read_stored_file
from bt_node.receive.spool import Spool, instance_path
from bt_node.simulate.mr_series import Patient
from bt_node.simulate.phantom import PhantomStudy, make_phantom
from bt_node.simulate.uids import repeatable_uid

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

JANE = Patient(name="Doe^Jane", patient_id="H-0815", birth_date="19610203", sex="F")
HER_NAMESAKE = replace(JANE, patient_id="H-4711")
ELSEWHERE_MM = (11.0, -6.0, 8.0)  # she lies elsewhere in the scanner than last time
SMALL_MM, GREAT_MM = (12.0, 14.0, 12.0), (15.0, 17.5, 15.0)
NODE = NodeIdentity("Example Organisation", "bt-node", "0.1.0", "node-0001")
SEGMENTER = ReleaseIdentity("truth", "1", "a" * 64)
Triple = tuple[float, float, float]


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> dict[str, PhantomStudy]:
    """One head, with a small tumour and with that tumour grown; cores are exact ellipsoids."""
    folder = tmp_path_factory.mktemp("phantoms")
    return {
        name: make_phantom(folder / name, core_axes_mm=axes, oedema_axes_mm=axes, irregularity_mm=0.0, coarse=2.0)
        for name, axes in (("small", SMALL_MM), ("great", GREAT_MM))
    }


@dataclass(frozen=True)
class Visit:
    """One study of a patient: T1c files with headers of their own, and what should be outlined in it."""

    study_instance_uid: str
    paths: dict[str, Path]
    truth: LabelMap

    def carved(self, *boxes: tuple[slice, slice, slice]) -> Visit:
        """The same images with an outline of boxes of enhancing tumour."""
        array = np.zeros_like(self.truth.array)
        for box in boxes:
            array[box] = 3
        return replace(self, truth=LabelMap(array, self.truth.grid))


def visit(
    phantom: PhantomStudy, folder: Path, day: str, who: Patient = JANE, shift_mm: Triple = (0.0, 0.0, 0.0)
) -> Visit:
    study = repeatable_uid(folder, day, who.patient_id)
    paths = {}
    for number, source in enumerate(phantom.series[Role.T1C].paths):
        dataset = pydicom.dcmread(source)
        dataset.PatientName, dataset.PatientID, dataset.PatientBirthDate = who.name, who.patient_id, who.birth_date
        dataset.StudyDate, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = day, study, f"{study}.1"
        dataset.SOPInstanceUID = dataset.file_meta.MediaStorageSOPInstanceUID = f"{study}.1.{number}"
        place = [float(a) + b for a, b in zip(dataset.ImagePositionPatient, shift_mm, strict=True)]
        dataset.ImagePositionPatient = [f"{value:.4f}" for value in place]
        paths[str(dataset.SOPInstanceUID)] = folder / day / f"{number:04d}.dcm"
        paths[str(dataset.SOPInstanceUID)].parent.mkdir(parents=True, exist_ok=True)
        dataset.save_as(paths[str(dataset.SOPInstanceUID)])
    return Visit(study, paths, phantom.truth)


@dataclass
class Node:
    """Job book and spool of a node with a site key; what it makes is "sent" by hand."""

    folder: Path
    book: JobBook
    spool: Spool

    def take(self, seen: Visit) -> int:
        """Receive a study, run it and send its results; returns the job's number."""
        for sop_instance_uid, path in seen.paths.items():
            place = instance_path(seen.study_instance_uid, f"{seen.study_instance_uid}.1", sop_instance_uid)
            content = path.read_bytes()
            self.spool.write(place, [content])
            self.book.record_instance(
                ReceivedInstance(
                    sop_instance_uid=sop_instance_uid,
                    sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
                    study_instance_uid=seen.study_instance_uid,
                    series_instance_uid=f"{seen.study_instance_uid}.1",
                    transfer_syntax_uid="1.2.840.10008.1.2.1",
                    path=place,
                    size_bytes=len(content),
                    digest=read_stored_file(self.spool.absolute(place)).digest(),
                    calling_ae_title="PACS",
                ),
                "",
            )
        (job_id,) = self.book.sweep_complete(0.0, 300.0)
        self.run(seen)
        return job_id

    def run(self, seen: Visit) -> None:
        job = self.book.claim("worker", 600.0)
        assert job is not None
        record = TripRecord()
        stored = self._travel(job, seen, record)
        facts = RunRecord(findings=record.findings, remembered=record.remembered)
        self.book.publish(job.id, job.token, facts, stored, ("archive",))
        for due in self.book.due_deliveries("archive", 100):
            outcome = SendOutcome(due.sop_instance_uid, 0x0000, delivered=True, detail="stored")
            self.book.record_delivery(job.id, "archive", outcome, None, give_up=False)
        assert self.book.settle_deliveries(job.id) is JobState.DONE

    def _travel(self, job: ClaimedJob, seen: Visit, record: TripRecord) -> list[StoredResult]:
        """The parts of a trip that follow-ups rest on, with the truth for an outline."""
        paths = {each.sop_instance_uid: self.spool.absolute(each.path) for each in job.instances}
        (series,) = read_study(paths).series
        stack = load_series(series, paths)
        labels = LabelMap(seen.truth.array, stack.grid)
        findings = Findings(measure(labels), SEGMENTER)
        memory = Memory(
            b"k" * 32, lambda patient, day: self.book.former_study(patient, day, job.id), self.spool.absolute("")
        )
        compared = compare(memory, Outlined(Role.T1C, stack, labels), findings, {Role.T1C: stack}, paths)
        record.note_findings(findings)
        record.note_comparison(compared.follow_up, compared.remembered, compared.why_not)
        request = EncodeRequest(stack, paths, labels, findings, job.analysed_at, NODE, follow_up=compared.follow_up)
        return [
            StoredResult.of(
                each,
                self.spool.store_result(job.id, each.sop_instance_uid, each.content),
                hashlib.sha256(each.content).hexdigest(),
            )
            for each in encode_results(request)
        ]

    def again(self, job_id: int, seen: Visit) -> None:
        self.book.retry(job_id, "test")
        self.run(seen)

    def purge(self, job_id: int) -> None:
        self.book.purge(job_id, lambda paths: [self.spool.absolute(path).unlink() for path in paths])

    def view(self, job_id: int) -> dict[str, Any]:
        return dict(self.book.view(job_id))

    def findings(self, job_id: int) -> dict[str, Any]:
        return dict(self.view(job_id)["findings"])

    def files(self, job_id: int) -> dict[str, Path]:
        return {each["kind"]: self.spool.absolute(each["path"]) for each in self.view(job_id)["results"]}


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    url = f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    upgrade_schema(url)
    book = open_book(url)
    yield Node(tmp_path, book, Spool(tmp_path / "spool"))
    book.close()


@pytest.fixture
def january(phantoms: dict[str, PhantomStudy], tmp_path: Path) -> Visit:
    return visit(phantoms["small"], tmp_path, "20260105")


@pytest.fixture
def march(phantoms: dict[str, PhantomStudy], tmp_path: Path) -> Visit:
    """Grown, and lying elsewhere."""
    return visit(phantoms["great"], tmp_path, "20260301", shift_mm=ELSEWHERE_MM)


def tracking(path: Path) -> dict[str, str]:
    return {str(item.TrackingID): str(item.TrackingUID) for item in pydicom.dcmread(path).SegmentSequence}


def texts(path: Path) -> str:
    def below(item: Dataset) -> Iterator[str]:
        yield str(item.get("TextValue", ""))
        for child in item.get("ContentSequence", []):
            yield from below(child)

    return " ".join(below(pydicom.dcmread(path)))


def test_volumes_of_both_and_the_change_are_right_and_tracking_uids_go_on(node: Node, january: Visit, march: Visit):
    first = node.take(january)
    assert "follow_up" not in node.findings(first)
    second = node.take(march)
    told = node.findings(second)["follow_up"]
    assert (told["former_job"], told["former_day"], told["days"]) == (first, "2026-01-05", 55)
    for name, change in told["volumes_ml"].items():
        then, now = (seen.truth.volume_ml(Region(name)) for seen in (january, march))
        assert change["former"] == pytest.approx(then, abs=0.001)
        assert change["present"] == pytest.approx(now, abs=0.001)
        assert change["change"] == pytest.approx(now - then, abs=0.002)
        assert change["percent"] == (pytest.approx(100 * (now - then) / then, abs=0.2) if then else None)
    grown = told["volumes_ml"]["TC"]
    by_formula = np.prod(GREAT_MM) / np.prod(SMALL_MM)
    assert grown["present"] / grown["former"] == pytest.approx(by_formula, rel=0.05)
    assert (told["compared"], told["because"], told["same_tumour"]) == ("REGISTERED", "", True)
    (lesion,) = told["lesions"]
    assert lesion["former_ml"] < lesion["present_ml"]
    for kind in ("SEG", "SEG_DERIVED"):
        assert tracking(node.files(first)[kind]) == tracking(node.files(second)[kind])
    said = texts(node.files(second)["SR"])
    assert "study of the same patient of 2026-01-05, 55 days earlier" in said
    assert "The heads were registered" in said


def test_neither_name_nor_id_nor_birth_date_is_in_the_job_book(node: Node, january: Visit):
    node.take(january)
    with closing(sqlite3.connect(node.folder / "jobs.sqlite")) as connection:
        dump = "\n".join(connection.iterdump())
    assert 'INSERT INTO "remembered"' in dump
    for secret in (*JANE.name.split("^"), JANE.patient_id, JANE.birth_date, "1961-02-03"):
        assert secret not in dump


def test_run_again_it_makes_the_same_objects_and_is_not_its_own_former_study(
    node: Node, january: Visit, march: Visit
):
    first, second = node.take(january), node.take(march)
    for job, seen in ((first, january), (second, march)):
        before = {each["kind"]: (each["sop_instance_uid"], each["sha256"]) for each in node.view(job)["results"]}
        node.again(job, seen)
        after = {each["kind"]: (each["sop_instance_uid"], each["sha256"]) for each in node.view(job)["results"]}
        assert before == after
    assert "follow_up" not in node.findings(first)
    assert node.findings(second)["follow_up"]["former_job"] == first


def test_another_id_under_the_same_name_is_another_patient(
    node: Node, january: Visit, phantoms: dict[str, PhantomStudy], tmp_path: Path
):
    first = node.take(january)
    job = node.take(visit(phantoms["small"], tmp_path, "20260302", HER_NAMESAKE))
    assert "follow_up" not in node.findings(job)
    assert "PertinentOtherEvidenceSequence" not in pydicom.dcmread(node.files(job)["SR"])
    assert not set(tracking(node.files(job)["SEG"]).values()) & set(tracking(node.files(first)["SEG"]).values())


def test_an_id_that_many_share_is_nobodys_and_the_job_says_so(
    node: Node, phantoms: dict[str, PhantomStudy], tmp_path: Path
):
    nobody = replace(JANE, patient_id="ANONYMOUS")
    jobs = [node.take(visit(phantoms["small"], tmp_path, day, nobody)) for day in ("20260105", "20260301")]
    for job in jobs:
        assert "no patient ID" in node.findings(job)["no_follow_up_because"]
        assert "follow_up" not in node.findings(job)


def test_an_older_study_that_arrives_later_is_compared_with_what_was_before_it(
    node: Node, january: Visit, march: Visit, phantoms: dict[str, PhantomStudy], tmp_path: Path
):
    """February comes after March: it looks back to January, and March's report stays as it is."""
    first = node.take(january)
    node.purge(first)  # which study is the former one needs no images: without them this is quicker
    last = node.take(march)
    node.purge(last)
    report = node.view(last)["results"]
    february = node.take(visit(phantoms["small"], tmp_path, "20260202"))
    assert node.findings(february)["follow_up"]["former_job"] == first
    assert node.view(last)["results"] == report
    april = node.take(visit(phantoms["small"], tmp_path, "20260401"))
    assert node.findings(april)["follow_up"]["former_job"] == last


def test_without_the_former_files_volumes_are_compared_and_a_lone_tumour_keeps_its_uids(
    node: Node, january: Visit, march: Visit
):
    first = node.take(january)
    kept = tracking(node.files(first)["SEG"])
    node.purge(first)
    second = node.take(march)
    told = node.findings(second)["follow_up"]
    assert (told["former_job"], told["compared"]) == (first, "NUMBERS")
    assert told["because"] == "the former images are no longer on this node"
    assert told["same_tumour"]
    assert told["volumes_ml"]["WT"]["former"] == pytest.approx(january.truth.volume_ml(Region.WT), abs=0.001)
    assert tracking(node.files(second)["SEG"]) == kept
    assert "no longer on this node" in texts(node.files(second)["SR"])


RIGHT, LEFT, NEW = np.s_[8:13, 30:42, 30:42], np.s_[10:14, 50:60, 55:64], np.s_[15:18, 30:40, 60:68]


def test_of_several_lesions_each_is_followed_by_itself(node: Node, january: Visit, march: Visit):
    """One stays, one vanishes, one is new, although the patient lies elsewhere."""
    node.take(january.carved(RIGHT, LEFT))
    second = node.take(march.carved(RIGHT, NEW))
    told = node.findings(second)["follow_up"]
    assert told["compared"] == "REGISTERED"
    assert [(bool(each["former_ml"]), bool(each["present_ml"])) for each in told["lesions"]] == [
        (True, True),
        (False, True),
        (True, False),
    ]
    assert len({each["tracking_uid"] for each in told["lesions"]}) == 3
    assert "2: new" in texts(node.files(second)["SR"])


def test_a_tumour_elsewhere_is_another_one(node: Node, january: Visit, march: Visit):
    first, second = node.take(january.carved(RIGHT)), node.take(march.carved(NEW))
    told = node.findings(second)["follow_up"]
    assert (told["compared"], told["same_tumour"]) == ("REGISTERED", False)
    assert not set(tracking(node.files(first)["SEG"]).values()) & set(tracking(node.files(second)["SEG"]).values())


def test_without_the_former_files_nothing_is_said_of_several_lesions(node: Node, january: Visit, march: Visit):
    first = node.take(january.carved(RIGHT, LEFT))
    node.purge(first)
    told = node.findings(node.take(march.carved(RIGHT, LEFT)))["follow_up"]
    assert (told["compared"], told["same_tumour"], told["lesions"]) == ("NUMBERS", False, [])
    assert told["volumes_ml"]["WT"]["percent"] == pytest.approx(0.0, abs=0.1)


@pytest.mark.parametrize("kept", [0, 400, -300], ids=["empty", "header cut", "end cut"])
def test_a_former_outline_that_is_damaged_stops_nothing(node: Node, january: Visit, march: Visit, kept: int):
    damaged = node.files(node.take(january))["SEG_DERIVED"]
    damaged.write_bytes(damaged.read_bytes()[:kept])
    told = node.findings(node.take(march))["follow_up"]
    assert (told["compared"], told["because"]) == ("NUMBERS", "the former outline cannot be read as it was made")


def test_former_images_that_are_damaged_are_not_registered(node: Node, january: Visit, march: Visit):
    node.take(january)
    file = next((node.spool.root / "instances").glob("*/*/*.dcm"))
    content = bytearray(file.read_bytes())
    content[-100] ^= 0xFF
    file.write_bytes(bytes(content))
    told = node.findings(node.take(march))["follow_up"]
    assert (told["compared"], told["because"]) == ("NUMBERS", "the former images are not what was received")


def test_an_outline_that_is_not_the_remembered_one_is_not_trusted(
    node: Node, january: Visit, march: Visit, phantoms: dict[str, PhantomStudy], tmp_path: Path
):
    """Somebody exchanged the former SEG in the spool, for one on the same grid: only the numbers count."""
    other = node.take(visit(phantoms["small"], tmp_path, "20251201").carved(RIGHT))
    first = node.take(january)
    node.files(first)["SEG_DERIVED"].write_bytes(node.files(other)["SEG_DERIVED"].read_bytes())
    told = node.findings(node.take(march))["follow_up"]
    assert told["former_job"] == first
    assert (told["compared"], told["because"]) == ("NUMBERS", "the former outline cannot be read as it was made")


def test_every_validator_finds_the_second_report_clean(
    node: Node, january: Visit, march: Visit, tmp_path: Path, peer
):
    for seen, name in ((january, "former"), (march, "out")):
        (tmp_path / name).mkdir()
        for kind, path in node.files(node.take(seen)).items():
            (tmp_path / name / f"{kind}.dcm").write_bytes(path.read_bytes())
    sources = [tmp_path / "20260105", tmp_path / "20260301", tmp_path / "former"]
    assert validators.validate(tmp_path / "out", sources, peer) == ()
