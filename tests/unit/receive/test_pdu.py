"""The stream of PDUs: whole, in time and in bounds."""

from __future__ import annotations

import random
import socket
import struct
import threading
import time
import tracemalloc

import pytest

from bt_node.receive.pdu import AbortReason, PduStream, PeerGoneError, ProtocolError, WireLimits


@pytest.fixture
def pair():
    server = socket.create_server(("127.0.0.1", 0))
    peer = socket.create_connection(server.getsockname())
    accepted, _ = server.accept()
    accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    yield PduStream(accepted, WireLimits(max_pdu_bytes=4096, pdu_seconds=0.4)), peer
    for each in (accepted, peer, server):
        each.close()


def pdu(body: bytes, pdu_type: int = 4, length: int | None = None) -> bytes:
    return struct.pack(">BxL", pdu_type, len(body) if length is None else length) + body


def take(stream: PduStream, seconds: float = 5.0) -> tuple[int, bytes]:
    pdu_type, body = stream.read(time.monotonic() + seconds)
    return pdu_type, bytes(body)


@pytest.mark.parametrize("at_once", [1, 7, 100, 10_000])
def test_pdus_come_out_as_they_went_in_however_the_network_cuts_them(pair, at_once):
    stream, peer = pair
    rng = random.Random(at_once)
    bodies = [rng.randbytes(rng.choice((0, 1, 200, 4095, 4096))) for _ in range(40)]
    sent = b"".join(map(pdu, bodies))

    def send() -> None:
        for start in range(0, len(sent), at_once * 50):
            peer.sendall(sent[start : start + at_once * 50])

    sending = threading.Thread(target=send)
    sending.start()
    assert [take(stream) for _ in bodies] == [(4, body) for body in bodies]
    sending.join()


def test_a_silent_peer_ends_at_the_deadline_of_the_first_byte(pair):
    stream, _ = pair
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        take(stream, 0.2)
    assert 0.1 < time.monotonic() - started < 2


def test_a_pdu_that_stops_half_way_ends_at_its_deadline(pair):
    stream, peer = pair
    peer.sendall(b"\4\0\0")
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        take(stream)
    assert 0.3 < time.monotonic() - started < 2


def test_a_pdu_that_drips_ends_at_the_same_deadline(pair):
    stream, peer = pair
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
            take(stream)
    finally:
        stop.set()
        dripping.join()
    assert time.monotonic() - started < 2


@pytest.mark.parametrize(("pdu_type", "length"), [(4, 0xFFFFFFFF), (4, 4103), (1, 0xFFFFFFFF), (5, 1_000_000)])
def test_a_header_that_declares_too_much_is_refused_before_its_body(pair, pdu_type, length):
    stream, peer = pair
    peer.sendall(pdu(b"", pdu_type, length))
    with pytest.raises(ProtocolError, match="declares") as caught:
        take(stream)
    assert caught.value.reason == AbortReason.INVALID_PARAMETER


def test_an_unknown_type_of_pdu_is_refused_before_its_body(pair):
    stream, peer = pair
    peer.sendall(pdu(b"", 0x47, 0xFFFFFFFF))
    with pytest.raises(ProtocolError) as caught:
        take(stream)
    assert caught.value.reason == AbortReason.UNRECOGNISED_PDU


@pytest.mark.parametrize("size", [4096, 4102])  # some count the header into the maximum that was agreed
def test_a_pdu_as_large_as_advertised_is_taken(pair, size):
    stream, peer = pair
    peer.sendall(pdu(bytes(size)))
    assert take(stream) == (4, bytes(size))


def test_a_long_association_request_is_taken_whole(pair):
    stream, peer = pair
    body = random.Random(1).randbytes(900_000)
    sending = threading.Thread(target=peer.sendall, args=(pdu(body, 1) + pdu(b"next", 4),))
    sending.start()
    assert take(stream) == (1, body)
    assert take(stream) == (4, b"next")
    sending.join()


def test_a_long_request_that_is_declared_and_not_sent_costs_no_memory(pair):
    stream, peer = pair
    peer.sendall(pdu(b"", 1, 1_000_000))
    tracemalloc.start()
    with pytest.raises(TimeoutError):
        take(stream)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 300_000


def test_a_peer_that_hangs_up_within_a_pdu_is_seen_as_the_end(pair):
    stream, peer = pair
    peer.sendall(pdu(b"abc", length=100))
    peer.close()
    with pytest.raises(PeerGoneError):
        take(stream)


def test_a_peer_that_takes_no_answer_is_given_up_at_the_deadline(pair):
    stream, _ = pair
    started = time.monotonic()
    with pytest.raises(TimeoutError):
        stream.send(bytes(100_000_000))
    assert time.monotonic() - started < 5


def test_a_sender_with_nagle_is_not_made_to_wait_for_a_delayed_acknowledgement(pair):
    """Two small writes, as a command and the end of a data set: 44 ms each time where the kernel delays its ACK."""
    stream, peer = pair
    seconds = []
    for _ in range(60):
        started = time.monotonic()
        peer.send(pdu(bytes(150)))
        peer.send(pdu(bytes(250)))
        take(stream)
        take(stream)
        stream.send(bytes(100))
        peer.recv(100)
        seconds.append(time.monotonic() - started)
    assert min(seconds[30:]) < 0.02  # the first exchanges of a connection are never delayed
