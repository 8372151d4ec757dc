"""What the listener stands: peers that are slow, silent, too many or wrong. An honest one is served after each."""

from __future__ import annotations

import random
import re
import resource
import socket
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from itertools import repeat
from pathlib import Path

import pytest
from fakes.receipt_book import FakeReceiptBook
from pydicom import dcmread, uid
from receive_cases import Node, encoded, mr_slice, running, wait_until

from bench.trials.raw_peer import (
    RELEASE,
    associate_request,
    connect,
    pdu,
    pdv,
    raw_association,
    read_pdu,
    status_in,
    store_command,
    store_request,
)
from bt_node import receive
from bt_node.receive import command as cs
from bt_node.receive.command import encode_command
from bt_node.receive.settings import AllowedSource

pytestmark = pytest.mark.integration

DEFLATED = uid.DeflatedExplicitVRLittleEndian
ECHO = "1.2.840.10008.1.1"


@pytest.fixture
def node(tmp_path):
    with running(tmp_path) as node:
        yield node


def store(port: int, number: int = 1) -> int | None:
    """One honest C-STORE; None where no association was to be had."""
    with suppress(AssertionError, OSError), raw_association(port) as connection:
        connection.sendall(store_request(mr_slice(number)))
        status = status_in(read_pdu(connection))
        connection.sendall(RELEASE)
        assert read_pdu(connection)[:1] == b"\6"
        return status
    return None


def abort_reason(answer: bytes) -> tuple[int, int]:
    """Source and reason of an A-ABORT."""
    assert answer[:1] == b"\7", f"no A-ABORT but {answer[:12]!r}"
    return answer[8], answer[9]


def reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


# ---------------------------------------------------------------- slow and silent


def answer_while_sending(connection: socket.socket, parts: Iterable[bytes], pause_s: float) -> bytes | None:
    """What the node does to someone who goes on and on: its answer, b"" for an end; None where it bears all of it."""
    connection.settimeout(pause_s)
    patience = time.monotonic() + 30  # a machine may be slow; who has no deadline never answers
    for part in parts:
        try:
            connection.sendall(part)
            return connection.recv(4096)
        except TimeoutError:
            if time.monotonic() > patience:
                break
        except OSError:
            return b""
    return None


def test_an_association_request_that_drips_has_one_deadline(tmp_path):
    with running(tmp_path, acse_timeout_seconds=0.6) as node, connect(node.port) as connection:
        request = associate_request([(uid.MRImageStorage, (uid.ExplicitVRLittleEndian,))] * 100)
        answer = answer_while_sending(connection, (bytes((byte,)) for byte in request), 0.02)
        assert answer is not None
        assert answer[:1] in (b"", b"\7")
        assert node.listener.open_associations == 0
        wait_until(lambda: store(node.port) == 0)  # an honest one may need a second try within so short a deadline


def test_a_message_that_drips_in_good_pdus_is_ended(tmp_path):
    """Each PDU is whole and in time, but the message would take a week."""
    with running(tmp_path, dimse_timeout_seconds=0.5) as node, raw_association(node.port) as connection:
        connection.sendall(pdu(pdv(store_command(mr_slice()), command=True)))
        parts = repeat(pdu(pdv(b"x", command=False, last=False)))
        answer = answer_while_sending(connection, parts, 0.05)
        assert answer is not None
        assert answer[:1] in (b"", b"\7")
        connection.close()
        wait_until(lambda: node.book.closed == ["listener/1"])
        assert node.files() == []


def echo_command(field: int = cs.C_ECHO_RQ, **more: int) -> bytes:
    values = {cs.AFFECTED_SOP_CLASS_UID: ECHO, cs.COMMAND_FIELD: field, cs.MESSAGE_ID: 7}
    return encode_command(values | {cs.DATA_SET_TYPE: cs.NO_DATA_SET} | {getattr(cs, k): v for k, v in more.items()})


def test_fifty_associations_at_once_ten_of_them_slow_or_silent(tmp_path):
    settings = {"max_associations": 60, "max_associations_per_source": 60, "network_timeout_seconds": 3.0}
    with running(tmp_path, **settings) as node, ExitStack() as stack:
        bad = [stack.enter_context(raw_association(node.port)) for _ in range(5)]  # established, then silent
        for connection in bad[:2]:
            connection.sendall(store_request(mr_slice(1))[:5000])  # stopped within a PDU
        bad += [stack.enter_context(connect(node.port)) for _ in range(5)]  # never said a word, or half a header
        for connection in bad[7:]:
            connection.sendall(b"\1\0\0")

        def honest(sender: int) -> list[int | None]:
            with raw_association(node.port) as connection:
                statuses = []
                for number in range(5):
                    connection.sendall(store_request(mr_slice(1000 + sender * 10 + number, side=32)))
                    statuses.append(status_in(read_pdu(connection)))
                connection.sendall(RELEASE)
                read_pdu(connection)
                return statuses

        with ThreadPoolExecutor(40) as pool:
            answers = list(pool.map(honest, range(40)))
        assert answers == [[0] * 5] * 40
        wait_until(lambda: node.listener.open_associations == 0)
        assert len(node.files()) == 200


# ---------------------------------------------------------------- too many


def test_one_source_cannot_take_the_places_of_others(tmp_path):
    with running(tmp_path, max_associations=6, max_associations_per_source=2) as node, ExitStack() as stack:
        for _ in range(2):
            stack.enter_context(raw_association(node.port))
        with connect(node.port) as third:
            third.sendall(associate_request())
            assert read_pdu(third)[6:] == bytes((0, 2, 3, 2))  # A-ASSOCIATE-RJ, transient, local limit exceeded
        with socket.create_connection(("127.0.0.1", node.port), source_address=("127.0.0.2", 0)) as other:
            other.sendall(associate_request())
            assert read_pdu(other)[:1] == b"\2", "another source has its own"


def test_connections_of_one_source_leave_room_for_others(tmp_path):
    with running(tmp_path, max_associations_per_source=2) as node, ExitStack() as stack:
        flood = [stack.enter_context(connect(node.port)) for _ in range(100)]
        wait_until(lambda: sum(is_closed(each) for each in flood) == 90)  # two and eight to be told why
        with socket.create_connection(("127.0.0.1", node.port), source_address=("127.0.0.2", 0)) as other:
            other.sendall(associate_request())
            assert read_pdu(other)[:1] == b"\2"


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_strangers_of_many_addresses_leave_room_for_those_who_may_send(tmp_path):
    sources = (AllowedSource("SCANNER", "127.0.0.1"), AllowedSource("SCANNER", "10.0.0.0/8"))
    with running(tmp_path, sources=sources) as node, ExitStack() as strangers:
        for number in range(60):
            address = f"127.0.1.{number % 6 + 1}", 0
            silent = socket.create_connection(("127.0.0.1", node.port), timeout=5, source_address=address)
            strangers.enter_context(silent)
        wait_until(lambda: len(node.listener._server._threads) >= 18)
        assert store(node.port) == 0


def test_more_than_1024_open_sockets_are_no_trouble(tmp_path):
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 4000:
        pytest.skip("the system allows too few open files")
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4000, hard))
    try:
        many = {"max_associations": 1200, "max_associations_per_source": 1200}
        with running(tmp_path, **many) as node, ExitStack() as stack:
            for _ in range(1100):
                stack.enter_context(connect(node.port))
            assert store(node.port) == 0
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_running_out_of_descriptors_stops_nothing_for_good(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with running(tmp_path, max_associations=1000, max_associations_per_source=1000) as node:
        opened = len(list(Path("/proc/self/fd").iterdir()))
        resource.setrlimit(resource.RLIMIT_NOFILE, (opened + 20, hard))
        flood = []
        try:
            with suppress(OSError):
                while True:
                    flood.append(connect(node.port))
            time.sleep(0.3)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for connection in flood:
                connection.close()
        wait_until(lambda: store(node.port) == 0)


# ---------------------------------------------------------------- too large


@pytest.mark.parametrize(
    ("wrong", "reason"),
    [
        (pdu(b"", length=0xFFFFFFFF), 6),
        (pdu(b"", length=20_000_000), 6),
        (pdu(b"", 0x47), 1),
        (associate_request(), 2),
        (pdu(bytes(4), 6), 2),
        (pdu(pdv(b"data", command=False)), 6),
        (pdu(pdv(store_command(mr_slice()), command=True, context=5)), 6),
        (pdu(pdv(store_command(mr_slice()), command=True, length=1)), 6),
        (pdu(pdv(store_command(mr_slice()), command=True, length=0xFFFFFFFF)), 6),
        (pdu(b"\0\0\0"), 6),
        (pdu(pdv(store_command(mr_slice()), command=True)) * 2, 6),
        (pdu(pdv(bytes(60_000), command=True, last=False)) * 2, 6),  # a command set beyond 64 KiB
        (pdu(pdv(b"", command=True)), 6),
        (pdu(pdv(b"\xff" * 100, command=True)), 6),
        (pdu(pdv(store_command(mr_slice())[:-3], command=True)), 6),
        (pdu(pdv(encode_command({cs.COMMAND_FIELD: 1}), command=True)), 6),
    ],
)
def test_what_breaks_the_protocol_is_aborted_with_a_reason_and_others_go_on(node, wrong, reason):
    with raw_association(node.port) as connection:
        connection.sendall(wrong)
        assert abort_reason(read_pdu(connection)) == (2, reason)
        assert read_pdu(connection) == b""
    assert store(node.port) == 0
    assert len(node.files()) == 1


@pytest.mark.parametrize(
    "first", [pdu(b"data"), pdu(bytes(4), 5), pdu(b"\xff" * 300, 1), pdu(b"", 1), pdu(bytes(1_000_000), 1)]
)
def test_what_is_no_association_request_is_aborted(node, first):
    with connect(node.port) as connection:
        connection.sendall(first)
        assert read_pdu(connection)[:1] in {b"\7", b"\3"}
    assert store(node.port) == 0


def test_memory_does_not_follow_what_a_peer_sends_before_any_association(node):
    tracemalloc.start()
    try:
        with connect(node.port) as connection, suppress(OSError):
            connection.sendall(struct.pack(">BxL", 1, 0xFFFFFFFF))
            for _ in range(500):
                connection.sendall(bytes(100_000))
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


def test_a_large_data_set_goes_to_the_disk_and_not_into_memory(node):
    ds = mr_slice(side=32)
    ds.PixelData = bytes(60_000_000)
    request = store_request(ds)
    tracemalloc.start()
    try:
        with raw_association(node.port) as connection:
            connection.sendall(request)
            assert status_in(read_pdu(connection)) == 0
        assert tracemalloc.get_traced_memory()[1] < 4_000_000
    finally:
        tracemalloc.stop()
    assert node.path_of(ds).read_bytes().endswith(encoded(ds))


# ---------------------------------------------------------------- in the middle


def test_fifty_resets_within_a_data_set_leave_no_temporary_file(node):
    rng = random.Random(5)
    whole = store_request(mr_slice(side=256), piece=16_000)
    for _ in range(50):
        with raw_association(node.port) as connection:
            connection.sendall(whole[: rng.randrange(200, len(whole))])
            reset(connection)
    wait_until(lambda: len(node.book.closed) == 50)
    assert node.files() == []
    assert store(node.port) == 0


def test_a_release_within_a_message_stores_nothing(node):
    with raw_association(node.port) as connection:
        connection.sendall(store_request(mr_slice())[:3000])
    with raw_association(node.port) as connection:
        connection.sendall(pdu(pdv(store_command(mr_slice()), command=True)) + RELEASE)
        assert read_pdu(connection)[:1] == b"\6"
    wait_until(lambda: len(node.book.closed) == 2)
    assert node.files() == []


# ---------------------------------------------------------------- verbs and commands


@pytest.mark.parametrize("field", [0x0010, 0x0020, 0x0021, 0x0110, 0x0120, 0x0140, 0x0150, 0x7777])
def test_every_other_verb_is_an_unrecognised_operation(node, field):
    with raw_association(node.port, contexts=[(ECHO, [uid.ImplicitVRLittleEndian])]) as connection:
        connection.sendall(pdu(pdv(echo_command(field), command=True)))
        assert status_in(read_pdu(connection)) == 0x0211
        with_data = pdu(pdv(echo_command(field, DATA_SET_TYPE=cs.DATA_SET), command=True))
        connection.sendall(with_data + pdu(pdv(b"whatever", command=False)))
        assert status_in(read_pdu(connection)) == 0x0211
        connection.sendall(pdu(pdv(echo_command(), command=True)))
        assert status_in(read_pdu(connection)) == 0, "the association goes on"


def test_a_cancel_and_responses_that_nobody_waits_for_are_passed_over(node):
    with raw_association(node.port, contexts=[(ECHO, [uid.ImplicitVRLittleEndian])]) as connection:
        for field in (cs.C_CANCEL_RQ, 0x8001, 0x8100):
            connection.sendall(pdu(pdv(echo_command(field, MESSAGE_ID_RESPONDED_TO=1), command=True)))
        connection.sendall(pdu(pdv(echo_command(), command=True)))
        assert status_in(read_pdu(connection)) == 0


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"AFFECTED_SOP_INSTANCE_UID": "../../../../etc/passwd"}, 0x0117),
        ({"AFFECTED_SOP_INSTANCE_UID": "1.2." + "3" * 70}, 0x0117),
        ({"AFFECTED_SOP_INSTANCE_UID": ""}, 0x0117),
        ({"AFFECTED_SOP_CLASS_UID": ""}, 0x0122),
        ({"AFFECTED_SOP_CLASS_UID": "x" * 60_000}, 0x0122),
    ],
)
def test_a_c_store_of_a_name_that_is_none_is_refused_and_echoes_nothing(node, changed, status):
    ds = mr_slice()
    with raw_association(node.port) as connection:
        data = pdu(pdv(encoded(ds), command=False))
        connection.sendall(pdu(pdv(store_command(ds, **changed), command=True)) + data)
        answer = read_pdu(connection)
        assert status_in(answer) == status
        assert not any(value and value.encode() in answer for value in changed.values())
    assert node.files() == []
    assert store(node.port) == 0


def test_a_group_length_that_lies_is_not_believed(node):
    command = bytearray(store_command(mr_slice()))
    command[8:12] = b"\xff\xff\xff\x7f"
    with raw_association(node.port) as connection:
        connection.sendall(pdu(pdv(bytes(command), command=True)) + pdu(pdv(encoded(mr_slice()), command=False)))
        assert status_in(read_pdu(connection)) == 0


# ---------------------------------------------------------------- data sets


def element(tag: int, vr: bytes, value: bytes, length: int | None = None) -> bytes:
    size = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    long = vr in {b"OB", b"OW", b"SQ", b"UN", b"UT"}
    return head + (struct.pack("<HL", 0, size) if long else struct.pack("<H", size)) + value


def with_first(*elements: bytes, group_length: bytes = b"") -> bytes:
    """The data set of an honest slice with elements of group 0008 before its UIDs."""
    plain = encoded(mr_slice())
    return (
        group_length
        + plain[: plain.index(b"\x08\x00\x16\x00")]
        + b"".join(elements)
        + plain[plain.index(b"\x08\x00\x16\x00") :]
    )


DEEP = b"".join(
    element(0x00081140, b"SQ", struct.pack("<HHL", 0xFFFE, 0xE000, 0xFFFFFFFF), 0xFFFFFFFF) for _ in range(5000)
)
WRONG_DATA = {
    "sequences nested 5,000 deep": (DEEP, 0xC000),
    "an undefined length without end": (with_first(element(0x00080001, b"OB", b"", 0xFFFFFFFF)), 0xC000),
    "a sequence without end": (with_first(element(0x00080006, b"SQ", b"", 0xFFFFFFFF)), 0xC000),
    "a value of 4 GiB": (with_first(element(0x00080001, b"UN", b"", 0xFFFFFFFE)), 0xC000),
    "a VR that is none": (with_first(b"\x08\x00\x01\x00\x00\xff\x02\x00ab"), 0xC000),
    "another file type": (b"\x7fELF\2\1\1" + bytes(600), 0xC000),
    "a script": (b"#!/bin/sh\nrm -rf /\n" * 40, 0xC000),
    "nothing": (b"", 0xC000),
    "a wrong VR": (with_first(element(0x00080008, b"SH", b"ORIGINAL")), 0),
    "group length that lies": (with_first(group_length=element(0x00080000, b"UL", b"\xff\xff\xff\xff")), 0),
    "a character set that is none": (with_first(element(0x00080006, b"CS", b"ISO_IR 999")), 0),
    "bytes that are no text": (with_first(element(0x00080008, b"CS", b"\xff\xfe\0\x80")), 0),
    "a private creator with elements of its own": (
        with_first(element(0x00090010, b"LO", b"EVIL\n\x1b[2J "), element(0x00091001, b"UN", b"\0" * 300)), 0),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG_DATA)
def test_a_strange_data_set_is_kept_as_it_came_or_not_understood(node, case):
    data, status = WRONG_DATA[case]
    with raw_association(node.port) as connection:
        command = store_command(mr_slice())
        connection.sendall(
            pdu(pdv(command, command=True)) + pdu(pdv(data[:100_000], command=False, last=len(data) <= 100_000))
        )
        if len(data) > 100_000:
            connection.sendall(pdu(pdv(data[100_000:], command=False)))
        assert status_in(read_pdu(connection)) == status
        connection.sendall(store_request(mr_slice(2)))
        assert status_in(read_pdu(connection)) == 0, "the association goes on"
    assert len(node.files()) == (2 if status == 0 else 1)
    if status == 0:
        content = node.path_of(mr_slice(1)).read_bytes()
        assert content.endswith(data)
        assert content.startswith(bytes(128) + b"DICM"), "the preamble is ours"


def test_a_deflate_bomb_costs_no_memory(node):
    """64 GiB of zeros in a private element before the UIDs."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    bomb = squeeze.compress(element(0x00080001, b"UN", b"", 0xFFFFFFF0))
    block = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    zeros = block.compress(bytes(64 * 1024 * 1024)) + block.flush(zlib.Z_FULL_FLUSH)
    bomb += squeeze.flush(zlib.Z_FULL_FLUSH) + zeros * 20
    tracemalloc.start()
    try:
        with raw_association(node.port, contexts=[(uid.MRImageStorage, [DEFLATED])]) as connection:
            connection.sendall(pdu(pdv(store_command(mr_slice()), command=True)))
            pieces = [bomb[start : start + 100_000] for start in range(0, len(bomb), 100_000)]
            for piece in pieces:
                connection.sendall(pdu(pdv(piece, command=False, last=piece is pieces[-1])))
            assert status_in(read_pdu(connection)) == 0xC000
        assert tracemalloc.get_traced_memory()[1] < 60_000_000
    finally:
        tracemalloc.stop()
    assert node.files() == []


def test_uids_far_behind_private_elements_are_found(node):
    ds = mr_slice()
    far = with_first(*(element(0x00090000 + 0x1000 + number, b"UN", bytes(30_000)) for number in range(40)))
    with raw_association(node.port) as connection:
        connection.sendall(pdu(pdv(store_command(ds), command=True)))
        for start in range(0, len(far), 100_000):
            connection.sendall(
                pdu(pdv(far[start : start + 100_000], command=False, last=start + 100_000 >= len(far)))
            )
        assert status_in(read_pdu(connection)) == 0
    assert node.path_of(ds).read_bytes().endswith(far)


# ---------------------------------------------------------------- disk, book, clock


def test_a_disk_that_was_full_takes_again_when_there_is_room(small_disk):
    with running(small_disk) as node, raw_association(node.port) as connection:
        ballast = small_disk / "ballast"
        ballast.write_bytes(bytes(900_000))
        for number, expected in ((1, 0xA700), (2, 0xA700)):
            connection.sendall(store_request(mr_slice(number, side=300)))
            assert status_in(read_pdu(connection)) == expected
        assert node.files() == []
        ballast.unlink()
        connection.sendall(store_request(mr_slice(1, side=300)))
        assert status_in(read_pdu(connection)) == 0
        assert dcmread(node.path_of(mr_slice(1))).Rows == 300


def test_a_book_that_was_away_takes_again_on_the_same_association(node):
    with raw_association(node.port) as connection:
        node.book.failing = OSError("away")
        connection.sendall(store_request(mr_slice()))
        assert status_in(read_pdu(connection)) == 0xA700
        node.book.failing = None
        connection.sendall(store_request(mr_slice()))
        assert status_in(read_pdu(connection)) == 0
    assert list(node.book.instances) == [mr_slice().SOPInstanceUID]


def test_steps_of_the_clock_end_no_transfer(tmp_path, monkeypatch):
    with running(tmp_path, network_timeout_seconds=30.0) as node, raw_association(node.port) as connection:
        real = time.time
        for step in (3600, -3600):
            whole = store_request(mr_slice(step + 5000))
            connection.sendall(whole[:5000])
            monkeypatch.setattr(time, "time", lambda step=step: real() + step)
            connection.sendall(whole[5000:])
            assert status_in(read_pdu(connection)) == 0


def test_the_receive_stage_never_asks_the_wall_clock():
    folder = Path(receive.__file__).parent
    wall = re.compile(r"\btime\.time\(|\bdatetime\b|\.settimeout\(None\)|\bselect\.select\b")
    assert [path.name for path in folder.glob("*.py") if wall.search(path.read_text(encoding="utf-8"))] == []


# ---------------------------------------------------------------- twice at once


def test_the_same_study_in_two_associations_of_two_listeners_at_once_is_stored_once(tmp_path):
    book = FakeReceiptBook()
    slow_machine = dict.fromkeys(("acse_timeout_seconds", "dimse_timeout_seconds", "network_timeout_seconds"), 60.0)
    with running(tmp_path, book=book, share_port=True, name="one", **slow_machine) as one, ExitStack() as stack:
        port = one.port
        two = stack.enter_context(
            running(tmp_path, book=book, share_port=True, name="two", port=port, **slow_machine)
        )
        requests = [store_request(mr_slice(number, side=100)) for number in range(1, 31)]
        senders = [*four_each(port, one, two, stack)]

        def send(number: int) -> list[int | None]:
            statuses = []
            for request in requests if number % 2 else reversed(requests):
                senders[number].sendall(request)
                statuses.append(status_in(read_pdu(senders[number])))
            senders[number].sendall(RELEASE)
            read_pdu(senders[number])
            return statuses

        with ThreadPoolExecutor(8) as pool:
            assert list(pool.map(send, range(8))) == [[0] * 30] * 8
        wait_until(lambda: one.listener.open_associations + two.listener.open_associations == 0, 60)
    assert len(one.files()) == len(book.instances) == 30


def four_each(port: int, one: Node, two: Node, stack: ExitStack) -> Iterator[socket.socket]:
    """Four associations with each of two listeners on one port: the kernel's hash decides who gets a connection."""
    taken = {one: 0, two: 0}
    while min(taken.values()) < 4:
        before = {node: node.listener.open_associations for node in taken}
        association = raw_association(port)
        connection = association.__enter__()
        connection.settimeout(60)
        (node,) = (node for node in taken if node.listener.open_associations > before[node])
        if taken[node] == 4:
            connection.sendall(RELEASE)
            assert read_pdu(connection)[:1] == b"\6"
            association.__exit__(None, None, None)
            wait_until(lambda node=node: node.listener.open_associations == 4, 60)
            continue
        taken[node] += 1
        stack.push(association)
        yield connection


def test_two_different_objects_of_one_uid_at_once_are_one_kept_and_one_refused(tmp_path):
    for turn in range(10):
        with running(tmp_path / str(turn)) as node, ExitStack() as stack:
            connections = [stack.enter_context(raw_association(node.port)) for _ in range(2)]
            requests = [store_request(mr_slice(1, seed=seed)) for seed in (1, 2)]
            together = threading.Barrier(2)

            def send(connection, request, together=together):
                together.wait()
                connection.sendall(request)
                return status_in(read_pdu(connection))

            with ThreadPoolExecutor(2) as pool:
                assert sorted(pool.map(send, connections, requests)) == [0, 0x0111]
            assert len(node.files()) == 1


def test_an_object_known_from_another_study_is_refused_and_its_file_taken_away(node):
    first, moved = mr_slice(1), mr_slice(1, StudyInstanceUID="1.2.77")
    with raw_association(node.port) as connection:
        for ds, status in ((first, 0), (moved, 0x0111), (first, 0)):
            connection.sendall(store_request(ds))
            assert status_in(read_pdu(connection)) == status
    assert node.files() == [node.path_of(first)]
