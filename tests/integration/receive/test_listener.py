"""The listener over real associations, with pynetdicom as the peer."""

from __future__ import annotations

import logging
import os
import queue
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from fakes.receipt_book import FakeReceiptBook
from pydicom import dcmread, uid
from pynetdicom import AE, evt
from receive_cases import (
    NATIVE,
    SERIES,
    STUDY,
    Node,
    associate,
    encoded,
    in_syntax,
    mr_slice,
    running,
    send,
    send_bytes,
    wait_until,
)

from bench.trials.raw_peer import associate_request, connect, pdu, raw_association, read_pdu, status_in, store_request
from bt_node.receive.errors import ListenError
from bt_node.receive.negotiation import STORAGE_CLASSES, TRANSFER_SYNTAXES
from bt_node.receive.reconcile import reconcile
from bt_node.receive.settings import AllowedSource

pytestmark = pytest.mark.integration


@pytest.fixture
def node(tmp_path):
    with running(tmp_path) as node:
        yield node


def store(node: Node, *datasets) -> list[int]:
    association = associate(node.port)
    statuses = [send(association, ds).Status for ds in datasets]
    association.release()
    return statuses


# ---------------------------------------------------------------- what is stored


@pytest.mark.parametrize("syntax", TRANSFER_SYNTAXES)
def test_each_transfer_syntax_is_stored_byte_for_byte_and_reads_again(node, syntax):
    ds = in_syntax(mr_slice(), syntax)
    association = associate(node.port, [(uid.MRImageStorage, [syntax])])
    assert association.is_established
    assert send(association, ds).Status == 0x0000
    association.release()
    content = node.path_of(ds).read_bytes()
    assert content.endswith(encoded(ds))
    read = dcmread(node.path_of(ds))
    assert read.file_meta.TransferSyntaxUID == syntax
    assert len(content) == 144 + read.file_meta.FileMetaInformationGroupLength + len(encoded(ds))
    assert read.SOPInstanceUID == ds.SOPInstanceUID
    if syntax in {*NATIVE, uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless}:
        assert read.pixel_array.tolist() == mr_slice().pixel_array.tolist()
    assert node.book.instances[ds.SOPInstanceUID].transfer_syntax_uid == syntax


def test_every_sop_class_of_the_conformance_statement_is_accepted(node):
    classes = sorted(STORAGE_CLASSES)
    association = associate(node.port, [(sop_class, [uid.ImplicitVRLittleEndian]) for sop_class in classes])
    assert sorted(str(context.abstract_syntax) for context in association.accepted_contexts) == classes
    association.release()


def test_a_sop_class_we_do_not_keep_is_rejected_in_negotiation(node):
    association = associate(
        node.port, [(uid.DigitalMammographyXRayImageStorageForPresentation, NATIVE), (uid.MRImageStorage, NATIVE)]
    )
    assert [context.result for context in association.rejected_contexts] == [3]  # PS3.8 Table 9-18
    association.release()


def test_of_several_transfer_syntaxes_the_least_compressed_is_chosen(node):
    offered = [uid.JPEG2000, uid.ExplicitVRBigEndian, uid.JPEGLSLossless, uid.ImplicitVRLittleEndian]
    association = associate(node.port, [(uid.MRImageStorage, offered)])
    assert association.accepted_contexts[0].transfer_syntax == [uid.ImplicitVRLittleEndian]
    association.release()


def test_c_echo_is_answered(node):
    association = associate(node.port, [("1.2.840.10008.1.1", [uid.ImplicitVRLittleEndian])])
    assert association.send_c_echo().Status == 0x0000
    association.release()


def test_the_same_instance_again_is_success_and_a_different_object_is_refused(node):
    assert store(node, mr_slice(1)) == [0]
    content = node.path_of(mr_slice(1)).read_bytes()
    assert store(node, mr_slice(1), mr_slice(1, seed=9), mr_slice(2)) == [0, 0x0111, 0]
    assert node.path_of(mr_slice(1)).read_bytes() == content
    assert [refusal.status for refusal in node.book.refusals] == [0x0111]


def test_a_large_instance_in_many_pdus_is_stored_whole(node):
    ds = mr_slice(side=1400)
    assert store(node, ds) == [0]
    assert node.path_of(ds).read_bytes().endswith(encoded(ds))


# ---------------------------------------------------------------- refusals over the wire


def test_a_refusal_carries_status_comment_and_offending_element(node):
    association = associate(node.port)
    response = send(association, mr_slice(), sop_instance="1.2.3.4")
    assert response.Status == 0xA900
    assert response.ErrorComment == "SOPInstanceUID differs from the command"
    assert response.OffendingElement == 0x00080018
    assert send(association, mr_slice()).Status == 0, "the association goes on"
    association.release()


@pytest.mark.filterwarnings("ignore:Invalid value for VR UI")
@pytest.mark.parametrize("evil", ["../../../../tmp/evil", "/etc/cron.d/evil", "1.2.3;rm -rf", "1.2.3\n4"])
def test_an_affected_uid_that_is_a_path_is_refused_and_writes_nothing(node, tmp_path, evil):
    association = associate(node.port)
    assert send(association, mr_slice(), sop_instance=evil).Status == 0x0117
    association.release()
    assert node.files() == []
    assert node.book.refusals[0].sop_instance_uid == ""


def test_a_data_set_of_another_class_than_its_context_is_refused(node):
    contexts = [
        (uid.MRImageStorage, [uid.ExplicitVRLittleEndian]),
        (uid.CTImageStorage, [uid.ExplicitVRLittleEndian]),
    ]
    association = associate(node.port, contexts)
    context = next(c.context_id for c in association.accepted_contexts if c.abstract_syntax == uid.CTImageStorage)
    assert send(association, mr_slice(), context=context).Status == 0x0122
    association.release()
    assert node.files() == []


def test_garbage_is_not_understood(node):
    association = associate(node.port)
    response = send_bytes(
        association,
        b"\xff" * 500,
        sop_class=uid.MRImageStorage,
        sop_instance="1.2.3",
        syntax=uid.ExplicitVRLittleEndian,
    )
    assert response.Status == 0xC000
    association.release()


def test_a_disk_that_fills_is_out_of_resources_and_leaves_no_half_file(small_disk):
    with running(small_disk) as node:
        association = associate(node.port)
        statuses = [send(association, mr_slice(number, side=300)).Status for number in range(1, 9)]
        association.release()
        assert statuses[0] == 0
        assert statuses[-1] == 0xA700
        stored = [number for number, status in enumerate(statuses, 1) if status == 0]
        assert [path.name for path in node.files()] == [f"{SERIES}.{number}.dcm" for number in stored]
        for path in node.files():
            assert dcmread(path).pixel_array.shape == (300, 300)


def test_a_disk_below_its_guard_is_out_of_resources(tmp_path):
    with running(tmp_path, min_free_mib=1e12) as node:
        assert store(node, mr_slice()) == [0xA700]
        assert [refusal.status for refusal in node.book.refusals] == [0xA700]


# ---------------------------------------------------------------- durability


def test_the_answer_comes_after_file_name_and_row_are_durable(node, monkeypatch):
    order: list[str] = []
    real_fsync, real_link, record = os.fsync, os.link, node.book.record_instance

    def fsync(descriptor):
        order.append(
            "fsync file" if ".part" in Path(f"/proc/self/fd/{descriptor}").readlink().name else "fsync folder"
        )
        real_fsync(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(os, "link", lambda *a: (order.append("name"), real_link(*a)))
    monkeypatch.setattr(node.book, "record_instance", lambda *a: (order.append("row"), record(*a)))
    association = associate(node.port)
    assert send(association, mr_slice()).Status == 0
    order.append("answer")
    association.release()
    made = order.index("fsync file")  # before it, the folders that had to be made
    assert set(order[:made]) == {"fsync folder"}
    assert order[made:] == ["fsync file", "name", "fsync folder", "row", "answer"]


DIES_BEFORE_THE_ROW = """
import os, signal, sys
from pathlib import Path
from fakes.receipt_book import FakeReceiptBook
from receive_cases import Node

class DiesBeforeTheRow(FakeReceiptBook):
    def record_instance(self, instance, association):
        os.kill(os.getpid(), signal.SIGKILL)

node = Node(Path(sys.argv[1]), book=DiesBeforeTheRow())
node.listener.start()
print(node.port, flush=True)
signal.pause()
"""


def test_kill_9_between_file_and_row_is_no_success_and_is_mended_at_the_next_start(tmp_path):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    command = [sys.executable, "-c", DIES_BEFORE_THE_ROW, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as first:
        assert first.stdout is not None
        association = associate(int(first.stdout.readline()))
        with pytest.raises(queue.Empty):
            send(association, mr_slice(), timeout=1)
        assert first.wait(timeout=10) == -signal.SIGKILL
        association.kill()
    with running(tmp_path, book=FakeReceiptBook()) as second:
        assert [path.name for path in second.files()] == [f"{SERIES}.1.dcm"]
        assert list(second.book.instances) == [mr_slice().SOPInstanceUID]
        assert second.book.open == set()
        assert store(second, mr_slice()) == [0]
        assert len(second.files()) == 1


def test_reconcile_beside_a_running_listener_disturbs_nothing(node):
    stop = threading.Event()

    def mend():
        while not stop.is_set():
            reconcile(node.spool, node.book)

    mending = threading.Thread(target=mend)
    mending.start()
    try:
        statuses = store(node, *(mr_slice(number) for number in range(1, 31)))
    finally:
        stop.set()
        mending.join()
    # A temporary file may be swept in the instant before it is locked: then 0xA700, and the peer sends it again.
    assert set(statuses) <= {0, 0xA700}
    assert statuses.count(0) >= 20
    assert len(node.book.instances) == statuses.count(0) == len(node.files())


# ---------------------------------------------------------------- who may come in


def answer_to(port: int, **titles: str) -> bytes:
    """The PDU that answers an association request; by a client that can lose no answer."""
    with connect(port) as connection:
        connection.sendall(associate_request(**titles))
        return read_pdu(connection)


@pytest.mark.parametrize(
    ("titles", "reason"),
    [
        ({"calling": "STRANGER"}, 3),
        ({"called": "OTHER"}, 7),
        ({"calling": "ELSEWHERE"}, 3),
    ],
)
def test_who_is_not_configured_is_rejected_for_good(tmp_path, titles, reason):
    with running(tmp_path, sources=(AllowedSource("SCANNER"), AllowedSource("ELSEWHERE", "192.0.2.1"))) as node:
        assert answer_to(node.port, **titles) == pdu(bytes((0, 1, 1, reason)), pdu_type=3)
        assert node.listener.open_associations == 0
        assert store(node, mr_slice()) == [0]


def test_unknown_sources_are_let_in_where_the_settings_say_so(tmp_path):
    with running(tmp_path, sources=(), accept_unknown_sources=True) as node:
        association = associate(node.port, calling="ANYONE")
        assert send(association, mr_slice()).Status == 0
        association.release()


def test_more_associations_than_allowed_are_refused_for_now(tmp_path):
    with running(tmp_path, max_associations=2) as node:
        held = [associate(node.port) for _ in range(2)]
        third = answer_to(node.port)
        assert (third[0], third[7], third[8]) == (
            3,
            2,
            3,
        )  # A-ASSOCIATE-RJ, transient, by the presentation service provider
        for association in held:
            association.release()
        wait_until(lambda: node.listener.open_associations == 0)
        assert store(node, mr_slice()) == [0]


# ---------------------------------------------------------------- how associations end


def connection_of(association) -> socket.socket:
    return association.dul.socket.socket


def reset(association) -> None:
    """The peer's machine is gone: RST, no A-ABORT."""
    connection = connection_of(association)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


ENDINGS = {
    "released": lambda association: association.release(),
    "aborted": lambda association: association.abort(),
    "connection closed": lambda association: connection_of(association).shutdown(socket.SHUT_RDWR),
    "connection reset": reset,
}


@pytest.mark.parametrize("ending", ENDINGS)
def test_an_association_is_closed_in_the_book_exactly_once_however_it_ends(node, ending):
    association = associate(node.port)
    assert send(association, mr_slice()).Status == 0
    assert node.book.open == {("listener/1", STUDY)}
    assert node.book.closed == []
    ENDINGS[ending](association)
    wait_until(lambda: node.book.closed != [])
    assert node.book.addresses == ["127.0.0.1"]
    time.sleep(0.3)
    assert node.book.closed == ["listener/1"]
    assert node.book.open == set()
    assert node.listener.open_associations == 0
    association.kill()


def test_an_association_that_falls_silent_is_ended_by_the_network_timeout(tmp_path):
    with running(tmp_path, network_timeout_seconds=1.0) as node:
        association = associate(node.port)
        send(association, mr_slice())
        started = time.monotonic()
        wait_until(lambda: node.book.closed == ["listener/1"])
        assert time.monotonic() - started < 5
        association.kill()


def test_a_peer_that_stops_within_a_pdu_is_freed_by_the_deadline(tmp_path):
    with running(tmp_path, network_timeout_seconds=1.0) as node:
        association = associate(node.port)
        connection_of(association).sendall(struct.pack(">BxLL", 4, 1000, 996) + b"\1\3half")
        wait_until(lambda: node.book.closed == ["listener/1"])
        assert node.files() == []
        association.kill()


def test_peers_that_stop_within_the_first_header_do_not_lock_out_others(tmp_path):
    with running(tmp_path, network_timeout_seconds=1.0, acse_timeout_seconds=1.0, max_associations=4) as node:
        stalled = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(8)]
        for connection in stalled:
            connection.sendall(b"\1\0\0")
        wait_until(lambda: _can_store(node), seconds=15)
        for connection in stalled:
            connection.close()


def _can_store(node: Node) -> bool:
    association = associate(node.port)
    if not association.is_established:
        return False
    status = send(association, mr_slice()).Status
    association.release()
    return status == 0


def test_fifty_resets_in_the_middle_of_a_data_set_leave_nothing_behind(node):
    data = encoded(mr_slice())
    for _ in range(50):
        association = associate(node.port)
        command_only = connection_of(association)
        command_only.sendall(struct.pack(">BxLLBB", 4, len(data) + 6, len(data) + 2, 1, 0) + data[: len(data) // 2])
        reset(association)
        association.kill()
    wait_until(lambda: len(node.book.closed) == 50)
    assert node.files() == []
    assert store(node, mr_slice()) == [0]


def test_stopping_ends_open_associations_and_closes_them_in_the_book(tmp_path):
    node = Node(tmp_path)
    node.listener.start()
    association = associate(node.port)
    send(association, mr_slice())
    node.listener.stop(grace_s=0.2)
    assert node.book.closed == ["listener/1"]
    association.kill()


# ---------------------------------------------------------------- start and load


def test_a_taken_port_is_named_and_leaves_the_running_listener_alone(node, tmp_path):
    association = associate(node.port)
    send(association, mr_slice())
    second = Node(tmp_path, book=node.book, port=node.port)
    with pytest.raises(ListenError, match=f"Port {node.port} on 127.0.0.1 is already in use") as caught:
        second.listener.start()
    assert caught.value.code == "cannot-listen"
    assert node.book.started == ["listener"], "the second never told the book that it started"
    assert node.book.open == {("listener/1", STUDY)}
    association.release()


def test_starting_tells_the_book_and_restarting_takes_the_port_again(tmp_path):
    with running(tmp_path) as first:
        port = first.port
        assert first.book.started == ["listener"]
    with running(tmp_path, port=port) as again:
        assert again.port == port
        assert store(again, mr_slice()) == [0]


def test_many_interleaved_associations_store_everything_once(node):
    def one_sender(offset: int) -> list[int]:
        association = associate(node.port)
        statuses = []
        for number in range(12):
            statuses.append(send(association, mr_slice(offset + number, side=32)).Status)
            statuses.append(send(association, mr_slice(9000 + number, side=32)).Status)  # all send these too
        association.release()
        return statuses

    with ThreadPoolExecutor(8) as pool:
        statuses = [status for each in pool.map(one_sender, range(100, 900, 100)) for status in each]
    assert set(statuses) == {0}
    assert len(node.book.instances) == 8 * 12 + 12
    assert len(node.files()) == 8 * 12 + 12
    wait_until(lambda: node.listener.open_associations == 0)
    assert sorted(node.book.closed) == sorted(f"listener/{n}" for n in range(1, 9))


def test_requests_pipelined_while_the_disk_is_slow_do_not_pile_up_in_memory(node, monkeypatch):
    """What is not read yet stays with the sender: its connection takes what the system buffers, and no more."""
    let_go = threading.Event()
    record = node.book.record_instance
    monkeypatch.setattr(node.book, "record_instance", lambda *a: (let_go.wait(20), record(*a)))
    with raw_association(node.port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 64 * 1024)
        requests = [store_request(mr_slice(number, side=500), message=number) for number in range(1, 81)]
        sender = threading.Thread(target=lambda: [connection.sendall(each) for each in requests])
        before = resident_mib()
        sender.start()
        sender.join(1.0)
        assert sender.is_alive(), "all 40 MB were taken while none could be stored"
        assert resident_mib() - before < 20
        let_go.set()
        assert [status_in(read_pdu(connection)) for _ in requests] == [0] * len(requests)
        sender.join()
    assert len(node.files()) == 80


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def test_a_data_set_beyond_the_limit_is_not_taken(tmp_path):
    with running(tmp_path, max_instance_bytes=300_000) as node:
        association = associate(node.port)
        assert send(association, mr_slice(1, side=300)).Status == 0
        with pytest.raises(queue.Empty):
            send(association, mr_slice(2, side=1000), timeout=1)
        wait_until(lambda: node.book.closed == ["listener/1"])
        assert len(node.files()) == 1
        association.kill()


def test_a_flood_of_connections_is_closed_and_others_are_served_again(tmp_path):
    with running(tmp_path, acse_timeout_seconds=1.0, max_associations=2) as node:
        flood = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(120)]
        time.sleep(0.5)
        assert threading.active_count() < 120
        for connection in flood:
            connection.close()
        wait_until(lambda: _can_store(node), seconds=15)


def test_no_patient_text_is_logged_on_the_way_in(node, caplog):
    with caplog.at_level(logging.DEBUG):
        assert store(node, mr_slice(1), mr_slice(1, seed=3)) == [0, 0x0111]
    assert not any(word in caplog.text for word in ("Doe", "Jane", "SECRET", "19700101"))


def test_pynetdicoms_own_scu_is_served(node):
    entity = AE("SCANNER")
    entity.add_requested_context(uid.MRImageStorage)
    sent = []
    handlers = [(evt.EVT_DIMSE_SENT, sent.append)]
    association = entity.associate("127.0.0.1", node.port, ae_title="BT_NODE", evt_handlers=handlers)
    assert [association.send_c_store(mr_slice(number)).Status for number in (1, 2, 3)] == [0, 0, 0]
    association.release()
