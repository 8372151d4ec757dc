"""Sending over real associations: each object has an outcome, whatever the peer does."""

from __future__ import annotations

import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from held import is_held
from pydicom import dcmread
from pydicom.uid import (
    Comprehensive3DSRStorage,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MRImageStorage,
    RLELossless,
    SegmentationStorage,
)
from pynetdicom.presentation import build_context
from pynetdicom.transport import AssociationSocket

from bt_node.deliver.association import _receive, associate
from bt_node.deliver.folder import find_files, send_folder
from bt_node.deliver.send import OutgoingFile, Peer, echo, send
from bt_node.domain.result import SendOutcome
from bt_node.receive.negotiation import agree, read_request, supported_contexts
from bt_node.simulate.fake_pacs import FakePacs, Faults
from bt_node.simulate.node_process import free_port

pytestmark = pytest.mark.integration

ME = "BT_NODE"
MakeFile = Callable[..., OutgoingFile]


def dataset_bytes(content: bytes) -> bytes:
    """The data set of a Part 10 file without preamble and meta information (PS3.10 7.1)."""
    length = int.from_bytes(content[140:144], "little")  # value of (0002,0000), explicit VR little endian UL
    return content[144 + length :]


def test_objects_of_several_classes_arrive_byte_for_byte_over_one_association(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile
) -> None:
    files = [
        make_file(1),
        make_file(2, SegmentationStorage),
        make_file(3, Comprehensive3DSRStorage, ImplicitVRLittleEndian),
        make_file(4, syntax=RLELossless),
        make_file(5, syntax=DeflatedExplicitVRLittleEndian),
    ]
    content = files[0].path.read_bytes()
    data_set = dataset_bytes(content)
    # A group length, retired but seen: whoever decodes and encodes the file again drops it.
    group_length = b"\x08\x00\x00\x00UL\x04\x00" + (2).to_bytes(4, "little")
    files[0].path.write_bytes(content[: -len(data_set)] + group_length + data_set)
    outcomes = send(fake_peer, ME, files, 10)
    assert [outcome.detail for outcome in outcomes] == ["stored"] * 5
    assert [outcome.sop_instance_uid for outcome in outcomes] == [file.sop_instance_uid for file in files]
    assert pacs.associations == 1
    assert pacs.calling_ae_titles == [ME]
    for file in files:
        assert dataset_bytes(pacs.file(file.sop_instance_uid)) == dataset_bytes(file.path.read_bytes())


def test_a_refused_sop_class_is_named_and_the_others_still_go(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile
) -> None:
    pacs.faults = Faults(refused_sop_classes=frozenset({Comprehensive3DSRStorage}))
    segmentation, report = send(
        fake_peer, ME, [make_file(1, SegmentationStorage), make_file(2, Comprehensive3DSRStorage)]
    )
    assert segmentation.delivered
    assert report == SendOutcome(
        "2.25.70002",
        None,
        delivered=False,
        detail="presentation context not accepted: Comprehensive 3D SR Storage, Explicit VR Little Endian",
        permanent=True,
    )


def test_a_peer_that_accepts_no_context_at_all_is_reported_object_by_object(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile
) -> None:
    pacs.faults = Faults(refused_sop_classes=frozenset({MRImageStorage}))
    outcomes = send(fake_peer, ME, [make_file(1), make_file(2)])
    assert all(o.permanent and "presentation context not accepted: MR Image Storage" in o.detail for o in outcomes)


@pytest.mark.parametrize(
    ("own", "other"),
    [
        (ExplicitVRLittleEndian, ImplicitVRLittleEndian),
        (ImplicitVRLittleEndian, ExplicitVRLittleEndian),
        (DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian),
    ],
)
def test_an_uncompressed_file_is_rewritten_when_the_peer_takes_only_another_uncompressed_syntax(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile, own: str, other: str
) -> None:
    pacs.faults = Faults(only_syntaxes=(other,))
    file = make_file(1, syntax=own)
    assert send(fake_peer, ME, [file])[0].delivered
    arrived = pacs.dataset(file.sop_instance_uid)
    assert arrived.file_meta.TransferSyntaxUID == other
    assert arrived == dcmread(file.path)


def test_compressed_pixels_are_never_rewritten(pacs: FakePacs, fake_peer: Peer, make_file: MakeFile) -> None:
    pacs.faults = Faults(only_syntaxes=(ExplicitVRLittleEndian,))
    outcomes = send(fake_peer, ME, [make_file(1, syntax=RLELossless), make_file(2)])
    assert outcomes[0].detail == "presentation context not accepted: MR Image Storage, RLE Lossless"
    assert outcomes[0].permanent
    assert outcomes[1].delivered


def test_each_object_has_its_own_status(pacs: FakePacs, fake_peer: Peer, make_file: MakeFile) -> None:
    files = [make_file(number) for number in range(1, 5)]
    pacs.faults = Faults(status_for={"2.25.70001": 0xA700, "2.25.70002": 0xB000, "2.25.70003": 0xC123})
    outcomes = send(fake_peer, ME, files)
    assert [o.status for o in outcomes] == [0xA700, 0xB000, 0xC123, 0]
    assert [o.delivered for o in outcomes] == [False, True, False, True]
    assert [o.permanent for o in outcomes] == [False, False, True, False]
    assert pacs.sop_instance_uids == ("2.25.70002", "2.25.70004")


def test_a_refused_association_says_that_the_peer_does_not_know_us(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile
) -> None:
    pacs.faults = Faults(refuse_association=True)
    outcomes = send(fake_peer, ME, [make_file(1), make_file(2)])
    assert {o.detail for o in outcomes} == {"no association: refused: calling AE title not recognised (permanent)"}
    assert not any(o.delivered or o.permanent for o in outcomes)


class SlowToNotice(threading.Event):
    """What wakes the caller of `associate`: it takes its time, as on a busy machine; the library goes on."""

    def wait(self, timeout: float | None = None) -> bool:
        woken = super().wait(timeout)
        time.sleep(0.3)
        return woken


def test_a_rejection_that_comes_before_the_caller_looks_is_not_lost(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = AssociationSocket.__init__

    def open_slowly(self: AssociationSocket, *arguments: object, **named: object) -> None:
        opened(self, *arguments, **named)
        if not self._ready.is_set():  # ours, not the one that the fake PACS accepted
            self._ready = SlowToNotice()

    monkeypatch.setattr(AssociationSocket, "__init__", open_slowly)
    pacs.faults = Faults(refuse_association=True)
    (outcome,) = send(fake_peer, ME, [make_file(1)])
    assert outcome.detail == "no association: refused: calling AE title not recognised (permanent)"


def test_nobody_listening_is_connection_refused(make_file: MakeFile) -> None:
    outcomes = send(Peer("PACS", "127.0.0.1", free_port()), ME, [make_file(1), make_file(2)], 5)
    assert [o.detail for o in outcomes] == ["no association: connection refused"] * 2


def test_an_unknown_host_is_an_outcome_and_no_exception(make_file: MakeFile) -> None:
    assert send(Peer("PACS", "no-such-host.invalid", 104), ME, [make_file(1)], 5)[0].detail == (
        "no association: host name not known"
    )


def test_a_peer_that_accepts_the_connection_and_says_nothing_costs_one_timeout(make_file: MakeFile) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        started = time.monotonic()
        outcomes = send(Peer("PACS", "127.0.0.1", silent.getsockname()[1]), ME, [make_file(1), make_file(2)], 1)
        assert time.monotonic() - started < 5
    assert {o.detail for o in outcomes} == {"no association: no answer to the association request within 1 s"}


def test_a_peer_that_falls_silent_after_an_object_costs_one_timeout(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile
) -> None:
    pacs.faults = Faults(answer_after_seconds=3)
    started = time.monotonic()
    outcomes = send(fake_peer, ME, [make_file(number) for number in range(1, 6)], 1)
    assert time.monotonic() - started < 4
    assert outcomes[0].detail == "no answer within 1 s"
    assert {o.detail for o in outcomes[1:]} == {"no association: the destination stopped answering (waited 1 s)"}


def test_a_peer_that_stops_reading_in_the_middle_of_an_object_does_not_hold_us_for_ever(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bt_node.deliver.send.SLOWEST_BYTES_PER_SECOND", 1e12)
    reading_again = threading.Event()
    monkeypatch.setattr(pacs, "_on_data", lambda event: len(event.data) > 9000 and reading_again.wait(30))
    pacs.stop()
    with pacs:  # its handlers are bound when it starts
        started = time.monotonic()
        outcomes = send(Peer(pacs.ae_title, "127.0.0.1", pacs.port), ME, [make_file(1, side=4000)], 1)
        assert time.monotonic() - started < 10
        reading_again.set()
    assert outcomes[0].detail == "no answer within 1 s"


@pytest.mark.parametrize("accepts", [False, True], ids=["association", "object"])
def test_a_peer_whose_answer_drips_does_not_hold_us_for_ever(make_file: MakeFile, accepts: bool) -> None:
    over = threading.Event()

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            header = connection.recv(6, socket.MSG_WAITALL)
            asked = read_request(connection.recv(int.from_bytes(header[2:]), socket.MSG_WAITALL))
            answer = agree(asked, supported_contexts(), 16384).pdu
            if accepts:
                connection.sendall(answer)
                answer = b"\4\0\0\0\x40\0" + bytes(0x4000)
            for byte in answer:
                connection.sendall(bytes((byte,)))
                if over.wait(0.1):
                    return

    def deliver() -> None:
        outcomes.extend(send(Peer("PACS", "127.0.0.1", listening.getsockname()[1]), ME, [make_file(1)], 1))

    outcomes: list[SendOutcome] = []
    with socket.create_server(("127.0.0.1", 0)) as listening:
        assert not is_held(serve, deliver, over, 6)
    assert not outcomes[0].delivered


def test_a_peer_that_takes_an_object_bit_by_bit_does_not_hold_us_for_ever(
    make_file: MakeFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Our A-ABORT waits behind the rest of the object."""
    monkeypatch.setattr("bt_node.deliver.send.SLOWEST_BYTES_PER_SECOND", 1e12)
    over = threading.Event()
    file = make_file(1, side=3000)

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as connection:
            header = connection.recv(6, socket.MSG_WAITALL)
            asked = read_request(connection.recv(int.from_bytes(header[2:]), socket.MSG_WAITALL))
            connection.sendall(agree(asked, supported_contexts(), 16384).pdu)
            while connection.recv(16384) and not over.wait(0.2):
                pass

    def deliver() -> None:
        outcomes.extend(send(Peer("PACS", "127.0.0.1", listening.getsockname()[1]), ME, [file], 1))

    outcomes: list[SendOutcome] = []
    with socket.socket() as listening:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)  # else the kernel takes it all
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        assert not is_held(serve, deliver, over, 20)
    assert outcomes[0].detail == "no answer within 1 s"


def test_a_pdu_beyond_all_bounds_is_not_read() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs, pytest.raises(OSError, match="limit"):
        _receive(ours, 1.0, Counter(), 0x7FFFFFFF)


def test_an_answer_waits_for_the_sender_and_not_for_the_librarys_own_thread(fake_peer: Peer) -> None:
    with associate(fake_peer, ME, [build_context(MRImageStorage)], 5) as association:
        association.dimse.msg_queue.put((1, "the answer"))
        assert association.dimse.get_msg(block=False) == (None, None)
        assert association.dimse.get_msg(block=True) == (1, "the answer")


def test_a_connection_reset_in_the_middle_of_one_object_does_not_keep_the_others_from_arriving(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile
) -> None:
    pacs.faults = Faults(drop_after_bytes=200_000, times=1)
    files = [make_file(1), make_file(2, side=512), make_file(3), make_file(4)]
    outcomes = send(fake_peer, ME, files, 5)
    assert [o.detail for o in outcomes] == [
        "stored",
        "the association ended before an answer came",
        "stored",
        "stored",
    ]
    assert not outcomes[1].permanent
    assert pacs.associations == 2


def test_a_peer_that_always_resets_is_given_up_after_three_associations(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile
) -> None:
    pacs.faults = Faults(drop_after_bytes=5_000)
    outcomes = send(fake_peer, ME, [make_file(number) for number in range(1, 8)], 5)
    assert pacs.associations == 3
    assert len(outcomes) == 7
    assert outcomes[-1].detail == "not sent: the destination drops every association"


def test_a_file_that_is_gone_or_is_another_object_is_an_outcome_of_its_own(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile, tmp_path: Path
) -> None:
    good, real = make_file(1), make_file(2)
    text = tmp_path / "text.dcm"
    text.write_text("not DICOM")
    outcomes = send(
        fake_peer,
        ME,
        [
            OutgoingFile(tmp_path / "gone.dcm", MRImageStorage, "2.25.1"),
            OutgoingFile(text, MRImageStorage, "2.25.2"),
            OutgoingFile(real.path, MRImageStorage, "2.25.3"),
            good,
        ],
    )
    assert [o.detail for o in outcomes] == [
        "the file is missing",
        "the file cannot be read as DICOM Part 10",
        "the file holds another object than the one to be sent",
        "stored",
    ]


def test_a_file_whose_meta_information_names_another_object_goes_under_the_data_sets_own_uid(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile
) -> None:
    """As anonymisers leave them: Orthanc and dcmtk refuse or keep by the data set's UID."""
    file = make_file(1, syntax=RLELossless)
    content = file.path.read_bytes()
    file.path.write_bytes(content.replace(b"2.25.70001", b"2.25.79999", 1))
    (found,) = find_files(file.path).files
    assert found.sop_instance_uid == "2.25.70001"
    assert send(fake_peer, ME, [found])[0].delivered
    assert pacs.sop_instance_uids == ("2.25.70001",)
    assert pacs.dataset("2.25.70001").PixelData == dcmread(file.path).PixelData


def test_no_objects_need_no_association(fake_peer: Peer, pacs: FakePacs) -> None:
    assert send(fake_peer, ME, []) == ()
    assert pacs.associations == 0


def test_a_second_send_gives_the_peer_the_same_objects(pacs: FakePacs, fake_peer: Peer, make_file: MakeFile) -> None:
    file = make_file(1)
    assert [send(fake_peer, ME, [file])[0].delivered for _ in range(2)] == [True, True]
    assert pacs.sop_instance_uids == (file.sop_instance_uid,)


def test_two_destinations_do_not_wait_for_each_other(pacs: FakePacs, fake_peer: Peer, make_file: MakeFile) -> None:
    file, slow_outcome = make_file(1), []
    with FakePacs("SLOW", faults=Faults(answer_after_seconds=2)) as slow:
        peer = Peer("SLOW", "127.0.0.1", slow.port)
        thread = threading.Thread(target=lambda: slow_outcome.extend(send(peer, ME, [file], 10)))
        thread.start()
        started = time.monotonic()
        assert send(fake_peer, ME, [file])[0].delivered
        assert time.monotonic() - started < 1.5
        thread.join()
    assert slow_outcome[0].delivered


def test_patient_text_is_in_no_outcome_and_in_no_log(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG", logger="bt_node")
    pacs.faults = Faults(status=0xC000)
    outcomes = send(fake_peer, ME, [make_file(1)])
    assert "Doe" not in caplog.text + str(outcomes)


# ---------------------------------------------------------------- echo


def test_echo_says_answered_or_why_not(pacs: FakePacs, fake_peer: Peer) -> None:
    assert echo(fake_peer, ME).ok
    pacs.faults = Faults(refuse_association=True)
    refused = echo(fake_peer, ME)
    assert not refused.ok
    assert "calling AE title not recognised" in refused.detail
    pacs.stop()
    assert echo(fake_peer, ME, 5).detail == "no association: connection refused"


# ---------------------------------------------------------------- a folder


def test_a_folder_is_searched_to_the_bottom_by_content(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile, tmp_path: Path
) -> None:
    make_file(1)
    make_file(2, name="deep/er/no_suffix")
    make_file(3, sop_class="1.2.840.10008.1.3.10", name="DICOMDIR")
    folder = tmp_path / "outgoing"
    (folder / "readme.txt").write_text("hello")
    (folder / "fake.dcm").write_bytes(b"\0" * 128 + b"DICM" + b"\1" * 7)
    seen: list[tuple[int, int, bool]] = []
    summary = send_folder(
        fake_peer, ME, folder, lambda done, total, outcome: seen.append((done, total, outcome.delivered))
    )
    assert seen == [(1, 2, True), (2, 2, True)]
    assert summary.all_stored
    assert (summary.directories, summary.others) == (1, 2)
    assert set(pacs.sop_instance_uids) == {"2.25.70001", "2.25.70002"}


def test_one_file_may_be_given_instead_of_a_folder(make_file: MakeFile) -> None:
    assert [f.sop_instance_uid for f in find_files(make_file(1).path).files] == ["2.25.70001"]


def test_more_kinds_than_one_association_can_name_go_over_several(
    pacs: FakePacs, fake_peer: Peer, make_file: MakeFile
) -> None:
    from pynetdicom import AllStoragePresentationContexts

    classes = [str(context.abstract_syntax) for context in AllStoragePresentationContexts[:70]]
    files = [make_file(number, sop_class, side=2) for number, sop_class in enumerate(classes)]
    summary = send_folder(fake_peer, ME, files[0].path.parent)
    assert (summary.stored, pacs.associations) == (70, 2)
