"""C-STORE without a wire: which status, which file, which row."""

from __future__ import annotations

import hashlib
import logging
import struct
import time
import zlib
from dataclasses import dataclass, replace

import pytest
from fakes.receipt_book import FakeReceiptBook
from pydicom import dcmread, uid
from receive_cases import STUDY, encoded, in_syntax, mr_slice

from bt_node.receive import header
from bt_node.receive.answers import Answer
from bt_node.receive.encoded import elements
from bt_node.receive.instance import StoreRequest
from bt_node.receive.part10 import StoredFile
from bt_node.receive.reconcile import Remembered, reconcile
from bt_node.receive.spool import Spool
from bt_node.receive.store import StoreScp

CT = "1.2.840.10008.5.1.4.1.1.2"


@pytest.fixture
def book() -> FakeReceiptBook:
    return FakeReceiptBook()


@pytest.fixture
def spool(tmp_path) -> Spool:
    return Spool(tmp_path / "spool")


@pytest.fixture
def scp(spool, book) -> Scp:
    return Scp(spool, book)


@dataclass(frozen=True)
class Asked:
    """A request and the bytes of its data set."""

    request: StoreRequest
    data: bytes


class Scp:
    """StoreScp, asked as an association asks it: the data set in pieces."""

    def __init__(self, spool: Spool, book: FakeReceiptBook, piece: int = 1000) -> None:
        self.inner = StoreScp(spool, book)
        self.piece = piece

    def answer(self, asked: Asked, association: str) -> Answer:
        reception = self.inner.begin(asked.request, association)
        for start in range(0, len(asked.data), self.piece):
            reception.write(memoryview(asked.data)[start : start + self.piece])
        return reception.answer()


def request(ds=None, syntax: str = uid.ExplicitVRLittleEndian, data: bytes | None = None, **changes) -> Asked:
    ds = mr_slice() if ds is None else ds
    plain = StoreRequest(
        sop_class_uid=str(ds.get("SOPClassUID", uid.MRImageStorage)),
        sop_instance_uid=str(ds.get("SOPInstanceUID", "1.2.3")),
        context_class_uid=str(ds.get("SOPClassUID", uid.MRImageStorage)),
        transfer_syntax_uid=syntax,
        calling_ae_title="SCANNER",
        called_ae_title="BT_NODE",
    )
    return Asked(replace(plain, **changes), encoded(in_syntax(ds, syntax)) if data is None else data)


def files(spool: Spool) -> list[str]:
    return sorted(path.relative_to(spool.root).as_posix() for path in spool.root.rglob("*") if path.is_file())


def test_a_stored_instance_lies_in_the_spool_as_it_came_and_is_recorded(scp, spool, book):
    asked = request()
    assert scp.answer(asked, "listener/1").status == 0x0000
    [instance] = book.instances.values()
    assert files(spool) == [instance.path]
    content = spool.absolute(instance.path).read_bytes()
    assert content[:132] == bytes(128) + b"DICM"
    assert content.endswith(asked.data)
    read = dcmread(spool.absolute(instance.path))
    assert read.file_meta.TransferSyntaxUID == uid.ExplicitVRLittleEndian
    assert read.file_meta.SourceApplicationEntityTitle == "SCANNER"
    assert read.PatientName == "Doe^Jane"
    assert (instance.study_instance_uid, instance.size_bytes, instance.is_image) == (STUDY, len(asked.data), True)
    assert book.open == {("listener/1", STUDY)}


@pytest.mark.parametrize("sop_class", [uid.CTImageStorage, uid.SegmentationStorage, uid.EnhancedMRColorImageStorage])
def test_a_companion_object_is_kept_but_is_no_image_of_ours(scp, book, sop_class):
    assert scp.answer(request(mr_slice(SOPClassUID=sop_class)), "listener/1").status == 0
    [instance] = book.instances.values()
    assert not instance.is_image


def test_the_same_instance_again_is_success_and_changes_nothing(scp, spool, book):
    scp.answer(request(), "listener/1")
    [path] = files(spool)
    before = spool.absolute(path).stat()
    assert scp.answer(request(), "listener/2").status == 0x0000
    after = spool.absolute(path).stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert len(book.instances) == 1
    assert book.refusals == []


@pytest.mark.parametrize(
    "syntax", [uid.ImplicitVRLittleEndian, uid.ExplicitVRBigEndian, uid.RLELossless, uid.JPEG2000Lossless]
)
def test_the_same_object_in_another_transfer_syntax_is_success_and_changes_nothing(scp, spool, book, syntax):
    scp.answer(request(), "listener/1")
    first = dict(book.instances)
    content = spool.absolute(files(spool)[0]).read_bytes()
    assert scp.answer(request(syntax=syntax), "listener/2").status == 0x0000
    assert book.instances == first
    assert spool.absolute(files(spool)[0]).read_bytes() == content


@pytest.mark.parametrize("change", [{"seed": 99}, {"EchoTime": "5"}, {"StudyInstanceUID": "1.2.77"}])
def test_a_different_object_under_a_known_uid_is_refused_and_noted(scp, spool, book, change):
    scp.answer(request(), "listener/1")
    kept = {path: spool.absolute(path).read_bytes() for path in files(spool)}
    first = dict(book.instances)
    answer = scp.answer(request(mr_slice(**change)), "listener/1")
    assert answer.status == 0x0111  # PS3.7 Annex C: duplicate SOP Instance
    assert answer.offending == (0x00080018,)
    assert {path: spool.absolute(path).read_bytes() for path in files(spool)} == kept
    assert book.instances == first
    [refusal] = book.refusals
    assert (refusal.status, refusal.calling_ae_title) == (0x0111, "SCANNER")
    assert refusal.sop_instance_uid == mr_slice().SOPInstanceUID


@pytest.mark.parametrize(
    ("asked", "status", "words"),
    [
        (request(mr_slice(SOPClassUID=CT), sop_class_uid=uid.MRImageStorage), 0x0122, "context"),
        (request(sop_class_uid=CT, context_class_uid=CT), 0xA900, "SOPClassUID differs"),
        (request(sop_instance_uid="1.2.3.4"), 0xA900, "SOPInstanceUID differs"),
        (request(sop_class_uid="1.2.3", context_class_uid="1.2.3"), 0x0122, "context"),
        (request(mr_slice(StudyInstanceUID=None)), 0xC000, "StudyInstanceUID is missing"),
        (request(mr_slice(SeriesInstanceUID="")), 0xC000, "SeriesInstanceUID is missing"),
        (request(mr_slice(SOPInstanceUID=None)), 0xC000, "SOPInstanceUID is missing"),
        (request(data=b""), 0xC000, "SOPClassUID is missing"),
        (request(data=b"\x89PNG\r\n\x1a\n" + bytes(400)), 0xC000, "unreadable"),
        (request(data=encoded(mr_slice())[:60]), 0xC000, "unreadable"),
        (request(transfer_syntax_uid=uid.DeflatedExplicitVRLittleEndian), 0xC000, "unreadable"),
    ],
)
def test_what_does_not_fit_is_refused_with_its_status_and_noted(scp, spool, book, asked, status, words):
    answer = scp.answer(asked, "listener/1")
    assert answer.status == status
    assert words in answer.comment
    assert not files(spool)
    assert not book.instances
    assert [refusal.status for refusal in book.refusals] == [status]


@pytest.mark.parametrize("evil", ["../../../../tmp/evil", "/etc/cron.d/evil", "1.2.3;rm -rf", "1.2.3\n4", ".."])
def test_a_uid_that_is_a_path_never_reaches_the_disk_or_the_book(scp, spool, book, tmp_path, evil):
    assert scp.answer(request(sop_instance_uid=evil), "listener/1").status == 0x0117  # PS3.7 Annex C
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID"):
        ds = mr_slice()
        ds[keyword]._value = evil
        assert scp.answer(request(ds), "listener/1").status == 0xC000
    assert not files(spool)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
    assert len(book.refusals) == 3
    assert all(evil not in (r.sop_instance_uid, r.study_instance_uid) and evil not in r.reason for r in book.refusals)


def test_a_book_out_of_reach_is_out_of_resources_and_the_next_try_succeeds(scp, spool, book):
    book.failing = OSError("no database")
    answer = scp.answer(request(), "listener/1")
    assert (answer.status, answer.comment) == (0xA700, "the job book is not available")
    book.failing = None
    assert scp.answer(request(), "listener/1").status == 0
    assert len(book.instances) == len(files(spool)) == 1


def test_a_row_that_fails_after_the_file_is_not_success_and_the_next_try_mends_it(scp, spool, book, monkeypatch):
    def failing(*_):
        raise OSError("database gone")

    monkeypatch.setattr(book, "record_instance", failing)
    assert scp.answer(request(), "listener/1").status == 0xA700
    monkeypatch.undo()
    assert len(files(spool)) == 1
    assert scp.answer(request(syntax=uid.ImplicitVRLittleEndian), "listener/1").status == 0
    [instance] = book.instances.values()
    assert instance.transfer_syntax_uid == uid.ExplicitVRLittleEndian, "the row tells of the file that lies there"


def test_a_full_disk_is_out_of_resources(tmp_path, book):
    spool = Spool(tmp_path / "spool", min_free_mib=1e12)
    answer = Scp(spool, book).answer(request(), "listener/1")
    assert answer.status == 0xA700
    assert len(answer.comment) <= 64
    assert not book.instances
    assert [refusal.status for refusal in book.refusals] == [0xA700]


def test_a_bug_is_a_processing_failure_and_its_text_stays_out_of_the_log(scp, book, monkeypatch, caplog):
    def broken(*_):
        raise RuntimeError("Doe^Jane")

    monkeypatch.setattr(scp.inner, "_keep", broken)
    assert scp.answer(request(), "listener/1").status == 0x0110
    assert "RuntimeError" in caplog.text
    assert "Doe" not in caplog.text


def test_no_patient_text_reaches_log_or_book(scp, book, caplog):
    with caplog.at_level(logging.DEBUG):
        scp.answer(request(), "listener/1")
        scp.answer(request(mr_slice(seed=5)), "listener/1")
        scp.answer(request(data=encoded(mr_slice())[:200]), "listener/1")
    seen = caplog.text + repr(book.instances) + repr(book.refusals)
    assert not any(word in seen for word in ("Doe", "Jane", "SECRET", "19700101"))


def test_a_file_lost_from_the_spool_comes_back_when_it_is_sent_again(scp, spool, book):
    scp.answer(request(), "listener/1")
    [path] = files(spool)
    spool.absolute(path).unlink()
    assert scp.answer(request(), "listener/1").status == 0
    assert files(spool) == [path]


def test_a_lost_file_comes_back_in_another_transfer_syntax(scp, spool, book):
    scp.answer(request(), "listener/1")
    [path] = files(spool)
    spool.absolute(path).unlink()
    implicit = request(syntax=uid.ImplicitVRLittleEndian)
    assert scp.answer(implicit, "listener/1").status == 0
    assert files(spool) == [path]
    [recorded] = book.instances.values()
    assert recorded.transfer_syntax_uid == uid.ImplicitVRLittleEndian
    assert scp.answer(implicit, "listener/1").status == 0


def test_a_file_that_retention_removes_while_it_is_sent_again_is_stored_again(scp, spool, book, monkeypatch):
    scp.answer(request(), "listener/1")
    [path] = files(spool)
    record = book.record_instances
    gone = []

    def remove_first(received):
        if not gone:
            gone.append(path)
            spool.absolute(path).unlink()
            book.instances.clear()
        return record(received)

    monkeypatch.setattr(book, "record_instances", remove_first)
    assert scp.answer(request(), "listener/1").status == 0
    assert gone
    assert files(spool) == [path]
    assert len(book.instances) == 1


def test_a_name_that_points_nowhere_is_refused_and_not_tried_for_ever(scp, spool):
    scp.answer(request(), "listener/1")
    [path] = files(spool)
    spool.absolute(path).unlink()
    spool.absolute(path).symlink_to("nowhere.dcm")
    assert scp.answer(request(), "listener/1").status == 0xA700


@pytest.mark.parametrize("again", ["sent again", "reconciled"])
def test_the_name_of_a_file_whose_writer_was_killed_is_made_durable(scp, spool, monkeypatch, again):
    class KilledError(BaseException):
        pass

    synced = []

    def dies(folder):
        if "instances" in folder.parts and len(folder.relative_to(spool.root).parts) == 3:
            raise KilledError

    monkeypatch.setattr("bt_node.receive.spool.sync_folder", dies)
    with pytest.raises(KilledError):
        scp.answer(request(), "listener/1")
    [path] = files(spool)
    monkeypatch.setattr("bt_node.receive.spool.sync_folder", synced.append)
    book = FakeReceiptBook()
    if again == "reconciled":
        assert reconcile(Spool(spool.root), book).recorded == (path,)
    else:
        assert Scp(Spool(spool.root), book).answer(request(), "listener/1").status == 0
    assert spool.absolute(path).parent in synced


def test_reconcile_gives_a_file_without_a_row_its_row(scp, spool, book):
    scp.answer(request(), "listener/1")
    other = FakeReceiptBook()
    report = reconcile(spool, other)
    assert other.instances == book.instances
    assert report.recorded == tuple(files(spool))
    assert other.open == set(), "the study is not kept open for ever"
    assert reconcile(spool, other).recorded == ()


def test_a_folder_in_order_is_not_looked_into_again_until_it_changes(scp, spool, book, monkeypatch):
    scp.answer(request(), "listener/1")
    [path] = files(spool)
    asked = []
    study_paths = book.study_paths
    monkeypatch.setattr(book, "study_paths", lambda study: asked.append(study) or study_paths(study))
    remembered = Remembered()
    for looks in (1, 2, 2, 2):  # twice, since its clock may be coarse
        reconcile(spool, book, remembered)
        assert len(asked) == looks
    book.instances.clear()
    time.sleep(0.01)  # the clock of a file system ticks every 4 ms
    again = spool.absolute(path).read_bytes()
    spool.absolute(path).unlink()
    spool.absolute(path).write_bytes(again)
    assert reconcile(spool, book, remembered).recorded == (path,)


def test_now_and_then_every_folder_is_looked_into(scp, spool, book, monkeypatch):
    monkeypatch.setattr("bt_node.receive.reconcile._EVERYWHERE", 5)
    scp.answer(request(), "listener/1")
    remembered = Remembered()
    for _ in range(3):
        reconcile(spool, book, remembered)
    counts = book.recorded_by_study()
    monkeypatch.setattr(book, "recorded_by_study", lambda: counts)
    book.instances.clear()  # by hand, so that the study's number of instances stays
    assert reconcile(spool, book, remembered).recorded == ()
    assert reconcile(spool, book, remembered).recorded == tuple(files(spool))


def test_reconcile_removes_leftovers_and_keeps_what_it_cannot_read(scp, spool):
    scp.answer(request(), "listener/1")
    folder = spool.absolute(files(spool)[0]).parent
    (folder / ".1.2.3.abc.part").write_bytes(b"half")
    (folder / "1.2.3.dcm").write_bytes(b"not DICOM")
    (folder / "1.2.4.dcm").write_bytes(spool.absolute(files(spool)[1]).read_bytes())
    report = reconcile(spool, FakeReceiptBook())
    assert report.leftovers_removed == 1
    assert len(report.recorded) == 1
    assert {path.rpartition("/")[2] for path in report.unreadable} == {"1.2.3.dcm", "1.2.4.dcm"}
    assert (folder / "1.2.3.dcm").exists()


def test_reconcile_never_holds_a_whole_data_set(scp, spool, book, monkeypatch):
    data = encoded(mr_slice(side=1024))
    scp.answer(request(data=data), "listener/1")
    asked = []
    head = StoredFile.head
    monkeypatch.setattr(StoredFile, "head", lambda self, limit: asked.append(limit) or head(self, limit))
    assert reconcile(spool, FakeReceiptBook()).recorded == tuple(files(spool))
    assert max(asked) < len(data)


def test_a_search_for_the_uids_among_millions_of_empty_elements_is_given_up_early(scp):
    empty = struct.pack("<HH2sH", 0x0009, 0x1001, b"LO", 0)
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    data = deflate.compress(empty * 1_000_000) + deflate.flush()
    asked = request(syntax=uid.DeflatedExplicitVRLittleEndian, data=data)
    seen = 0

    def counted(*args, **kwargs):
        nonlocal seen
        for element in elements(*args, **kwargs):
            seen += 1
            yield element

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(header, "elements", counted)
        assert scp.answer(asked, "listener/1").status == 0xC000
    assert seen < 800_000  # two looks for the store, two for the note


DAMAGE = {
    "a bit of the pixels": lambda content: content[:-9] + bytes([content[-9] ^ 1]) + content[-8:],
    "emptied": lambda _: b"",
    "cut off": lambda content: content[: len(content) // 2],
    "no preamble": lambda content: b"x" + content[1:],
    "another transfer syntax": lambda content: content.replace(b"1.2.840.10008.1.2.1\0", b"1.2.840.10008.1.2.2\0", 1),
    "meta information that is none": lambda content: content[:132] + bytes(100) + content[232:],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("syntax", [uid.ExplicitVRLittleEndian, uid.ImplicitVRLittleEndian])
def test_a_damaged_file_is_replaced_by_what_is_sent_again(scp, spool, book, damage, syntax, caplog):
    scp.answer(request(), "listener/1")
    [path] = files(spool)
    file = spool.absolute(path)
    damaged = DAMAGE[damage](file.read_bytes())
    file.write_bytes(damaged)
    again = request(syntax=syntax)
    assert scp.answer(again, "listener/2").status == 0
    assert files(spool) == [path]
    assert file.read_bytes().endswith(again.data)
    assert str(dcmread(file).file_meta.TransferSyntaxUID) == syntax
    [recorded] = book.instances.values()
    assert (recorded.digest, recorded.transfer_syntax_uid) == (hashlib.sha256(again.data).hexdigest(), syntax)
    assert "is not what was received" in caplog.text
    before = file.stat()
    assert scp.answer(again, "listener/2").status == 0
    assert (file.stat().st_ino, file.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_damaged_file_that_nobody_recorded_is_replaced_too(scp, spool, book):
    """A power cut between file and row, and a disk that lost what it had said was synced."""
    scp.answer(request(), "listener/1")
    [path] = files(spool)
    book.instances.clear()
    spool.absolute(path).write_bytes(b"")
    assert scp.answer(request(), "listener/1").status == 0
    assert spool.absolute(path).read_bytes().endswith(request().data)
    assert len(book.instances) == 1


def test_a_crash_between_a_mended_file_and_its_row_is_mended_by_sending_it_again(scp, spool, book, monkeypatch):
    class KilledError(BaseException):
        pass

    def dies(_):
        raise KilledError

    scp.answer(request(), "listener/1")
    [path] = files(spool)
    spool.absolute(path).write_bytes(b"")
    implicit = request(syntax=uid.ImplicitVRLittleEndian)
    monkeypatch.setattr(book, "replace_lost", dies)
    with pytest.raises(KilledError):
        scp.answer(implicit, "listener/1")
    monkeypatch.undo()
    assert scp.answer(request(), "listener/1").status == 0
    [recorded] = book.instances.values()
    assert spool.absolute(path).read_bytes().endswith(request().data)
    assert recorded.transfer_syntax_uid == uid.ExplicitVRLittleEndian
