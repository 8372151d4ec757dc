"""The guarded socket: whole PDUs, in time and in bounds."""

from __future__ import annotations

import socket
import struct
import threading
import time

import pytest

from bt_node.receive.transport import GuardedSocket, PduTooLargeError, WireLimits


@pytest.fixture
def pair():
    server = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()
    guarded = GuardedSocket(accepted, WireLimits(max_pdu_bytes=4096, pdu_seconds=0.4, max_connections=10))
    yield guarded, peer
    for each in (guarded, peer, server):
        each.close()


def pdu(body: bytes, pdu_type: int = 4, length: int | None = None) -> bytes:
    return struct.pack(">BxL", pdu_type, len(body) if length is None else length) + body


def take(guarded: GuardedSocket, count: int) -> bytes:
    """As pynetdicom reads: in small pieces, until it has what it wants."""
    got = b""
    while len(got) < count and (piece := guarded.recv(min(7, count - len(got)))):
        got += piece
    return got


def test_pdus_come_out_byte_by_byte_as_they_went_in(pair):
    guarded, peer = pair
    first, second = pdu(bytes(range(200))), pdu(b"", 5)
    peer.sendall(first + second)
    assert take(guarded, len(first)) == first
    assert take(guarded, len(second)) == second


def test_a_pdu_that_stops_half_way_ends_at_its_deadline(pair):
    guarded, peer = pair
    peer.sendall(b"\4\0\0")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        guarded.recv(6)
    assert 0.3 < time.monotonic() - started < 2


def test_a_pdu_that_drips_ends_at_the_same_deadline(pair):
    guarded, peer = pair
    peer.sendall(pdu(b"", length=4000))
    stop = threading.Event()

    def drip():
        while not stop.wait(0.05):
            peer.sendall(b"x")

    dripping = threading.Thread(target=drip)
    dripping.start()
    started = time.monotonic()
    try:
        with pytest.raises(TimeoutError):
            take(guarded, 4006)
    finally:
        stop.set()
        dripping.join()
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(("pdu_type", "length"), [(4, 0xFFFFFFFF), (4, 4103), (1, 0xFFFFFFFF), (5, 1_000_000)])
def test_a_header_that_declares_too_much_is_aborted_before_its_body(pair, pdu_type, length):
    guarded, peer = pair
    peer.sendall(pdu(b"", pdu_type, length))
    with pytest.raises(PduTooLargeError):
        guarded.recv(6)
    assert peer.recv(10) == bytes((7, 0, 0, 0, 0, 4, 0, 0, 2, 6))  # A-ABORT, PS3.8 9.3.8


def test_a_pdu_as_large_as_advertised_is_taken(pair):
    guarded, peer = pair
    whole = pdu(bytes(4096))
    peer.sendall(whole)
    assert take(guarded, len(whole)) == whole


def test_a_peer_that_hangs_up_is_seen_as_the_end(pair):
    guarded, peer = pair
    peer.sendall(pdu(b"abc", length=100))
    peer.close()
    assert take(guarded, 106) == pdu(b"abc", length=100)
    assert guarded.recv(6) == b""


def test_an_unknown_pdu_type_is_handed_on_for_pynetdicom_to_refuse(pair):
    guarded, peer = pair
    peer.sendall(pdu(b"", 0x47, 0xFFFFFFFF))
    assert take(guarded, 6) == pdu(b"", 0x47, 0xFFFFFFFF)


def test_answers_leave_without_delay(pair):
    guarded, _ = pair
    assert guarded.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_sender_with_nagle_is_not_made_to_wait_for_a_delayed_acknowledgement(pair):
    """Two small writes, as a command and the end of a data set: 44 ms each time where the kernel delays its ACK."""
    guarded, peer = pair
    seconds = []
    for _ in range(60):
        started = time.monotonic()
        peer.send(pdu(bytes(150)))
        peer.send(pdu(bytes(250)))
        take(guarded, 156)
        take(guarded, 256)
        guarded.sendall(bytes(100))
        peer.recv(100)
        seconds.append(time.monotonic() - started)
    assert min(seconds[30:]) < 0.02  # the first exchanges of a connection are never delayed
