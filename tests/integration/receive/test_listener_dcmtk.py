"""The listener with dcmtk as the peer: what hospitals' own tools send."""

from __future__ import annotations

import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from pydicom import dcmread, uid
from receive_cases import STUDY, in_syntax, mr_slice, running, save, wait_until

pytestmark = [pytest.mark.integration]


@pytest.fixture
def node(tmp_path):
    with running(tmp_path) as node:
        yield node


def call(*command: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=60, check=False)


def titles(calling: str = "SCANNER", called: str = "BT_NODE") -> tuple[str, ...]:
    return ("-aet", calling, "-aec", called)


def study(folder: Path, count: int, first: int = 1, **attributes) -> Path:
    for number in range(first, first + count):
        save(mr_slice(number, **attributes), folder / f"{number}.dcm")
    return folder


@pytest.mark.peer("echoscu")
def test_echoscu_is_answered_and_a_stranger_is_rejected(node, peer):
    echoscu = peer("echoscu")
    assert call(echoscu, *titles(), "127.0.0.1", node.port).returncode == 0
    stranger = call(echoscu, *titles(calling="STRANGER"), "127.0.0.1", node.port)
    assert stranger.returncode != 0
    assert "Calling AE Title Not Recognized" in stranger.stderr
    wrong = call(echoscu, *titles(called="WRONG"), "127.0.0.1", node.port)
    assert "Called AE Title Not Recognized" in wrong.stderr


@pytest.mark.peer("storescu")
def test_storescu_sends_a_folder_and_the_files_read_again(node, peer, tmp_path):
    folder = study(tmp_path / "in", 10)
    assert call(peer("storescu"), *titles(), "+sd", "127.0.0.1", node.port, folder).returncode == 0
    assert len(node.book.instances) == 10
    for number in range(1, 11):
        sent = mr_slice(number)
        kept = dcmread(node.path_of(sent))
        assert kept.PatientName == sent.PatientName
        assert kept.pixel_array.tobytes() == sent.pixel_array.tobytes()
    wait_until(lambda: node.book.closed == ["listener/1"])


@pytest.mark.peer("storescu")
def test_the_same_file_sent_by_storescu_and_in_another_syntax_is_one_instance(node, peer, tmp_path):
    storescu, path = peer("storescu"), save(mr_slice(), tmp_path / "one.dcm")
    for option in ("-xe", "-xi", "-xb", "-xd"):
        done = call(storescu, *titles(), option, "127.0.0.1", node.port, path)
        assert done.returncode == 0, done.stderr
    assert len(node.book.instances) == len(node.files()) == 1
    assert node.book.refusals == []


@pytest.mark.parametrize(
    ("tool", "options", "syntax"),
    [
        ("dcmcjpeg", ["+e1"], uid.JPEGLosslessSV1),
        ("dcmcjpeg", ["+el"], uid.JPEGLossless),
        ("dcmcjpls", [], uid.JPEGLSLossless),
        ("dcmcrle", [], uid.RLELossless),
    ],
)
@pytest.mark.peer("dcmsend")
def test_a_file_compressed_by_dcmtk_is_kept_as_it_is_and_is_the_same_object_uncompressed(
    node, peer, tmp_path, tool, options, syntax
):
    plain, small = save(mr_slice(), tmp_path / "plain.dcm"), tmp_path / "small.dcm"
    assert call(peer(tool), *options, plain, small).returncode == 0
    sent = call(peer("dcmsend"), *titles(), "-dn", "127.0.0.1", node.port, small)
    assert sent.returncode == 0, sent.stderr
    [instance] = node.book.instances.values()
    kept = dcmread(node.spool.absolute(instance.path))
    assert kept.file_meta.TransferSyntaxUID == instance.transfer_syntax_uid == syntax
    assert kept.pixel_array.tobytes() == mr_slice().pixel_array.tobytes()
    again = call(peer("dcmsend"), *titles(), "127.0.0.1", node.port, plain)
    assert again.returncode == 0, again.stderr
    assert (len(node.book.instances), node.book.refusals) == (1, []), "uncompressed it is the same object"


@pytest.mark.peer("dcmsend")
def test_dcmsend_reports_a_different_object_as_failed_and_ours_as_stored(node, peer, tmp_path):
    dcmsend = peer("dcmsend")
    first = call(dcmsend, *titles(), "+sd", "127.0.0.1", node.port, study(tmp_path / "one", 3))
    assert first.returncode == 0, first.stderr
    report = tmp_path / "report.txt"
    changed = study(tmp_path / "two", 3, EchoTime="9")
    call(dcmsend, *titles(), "+crf", report, "+sd", "127.0.0.1", node.port, changed)
    assert report.read_text().count("0x0111") == 3, report.read_text()
    assert [refusal.status for refusal in node.book.refusals] == [0x0111] * 3


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.peer("storescu")
def test_a_scanners_uid_with_a_leading_zero_is_forgiven(node, peer, tmp_path):
    path = save(mr_slice(SOPInstanceUID="1.2.826.0.042.007"), tmp_path / "zero.dcm")
    assert call(peer("storescu"), *titles(), "127.0.0.1", node.port, path).returncode == 0
    assert list(node.book.instances) == ["1.2.826.0.042.007"]


@pytest.mark.peer("storescu")
def test_many_storescus_at_once_store_everything(node, peer, tmp_path):
    storescu = peer("storescu")
    folders = [study(tmp_path / f"in{part}", 15, first=1 + part * 100) for part in range(4)]
    with ThreadPoolExecutor(4) as pool:
        done = list(
            pool.map(lambda folder: call(storescu, *titles(), "+sd", "127.0.0.1", node.port, folder), folders)
        )
    assert [each.returncode for each in done] == [0] * 4
    assert len(node.book.instances) == len(node.files()) == 60
    assert {instance.study_instance_uid for instance in node.book.instances.values()} == {STUDY}


@pytest.mark.peer("storescu")
def test_a_multi_frame_and_a_compressed_series_travel_with_the_rest(node, peer, tmp_path):
    save(mr_slice(1), tmp_path / "in" / "mr.dcm")
    save(in_syntax(mr_slice(2), uid.ImplicitVRLittleEndian), tmp_path / "in" / "implicit.dcm")
    save(mr_slice(3, SOPClassUID=uid.SecondaryCaptureImageStorage), tmp_path / "in" / "sc.dcm")
    save(mr_slice(4, SOPClassUID=uid.EnhancedMRImageStorage, NumberOfFrames=1), tmp_path / "in" / "emr.dcm")
    assert call(peer("storescu"), *titles(), "+sd", "127.0.0.1", node.port, tmp_path / "in").returncode == 0
    images = {i.sop_instance_uid.rpartition(".")[2]: i.is_image for i in node.book.instances.values()}
    assert images == {"1": True, "2": True, "3": False, "4": True}
