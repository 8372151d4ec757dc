"""Peers that write into our log: in a request for an association, before anybody knows them."""

from __future__ import annotations

import struct

import pytest
from node_log import node_log
from pydicom import uid
from receive_cases import Node, running, wait_until

from bench.trials.raw_peer import connect, pdu, read_pdu
from bt_node.receive.settings import AllowedSource

pytestmark = pytest.mark.integration

APPLICATION, CONTEXT, ABSTRACT, SYNTAX, USER, LENGTH, CLASS, VERSION = 0x10, 0x20, 0x30, 0x40, 0x50, 0x51, 0x52, 0x55
FORGED = b"1\n2026-11-30 22:00:00,000 INFO    bt_node.runtime.courier: job 7: delivered\x1b[2J"
PLACES = ("application", "abstract", "syntax", "class", "version")


def item(kind: int, body: bytes) -> bytes:
    return struct.pack(">BxH", kind, len(body)) + body


def request(calling: bytes = b"SCANNER", **odd: bytes) -> bytes:
    """An A-ASSOCIATE-RQ (PS3.8 9.3.2) with other bytes where it names UIDs."""
    named = {
        "application": b"1.2.840.10008.3.1.1.1",
        "abstract": uid.MRImageStorage.encode(),
        "syntax": uid.ExplicitVRLittleEndian.encode(),
        "class": b"1.2.3",
        "version": b"V",
    } | odd
    context = b"\1\0\0\0" + item(ABSTRACT, named["abstract"]) + item(SYNTAX, named["syntax"])
    about = item(LENGTH, struct.pack(">L", 16384)) + item(CLASS, named["class"]) + item(VERSION, named["version"])
    items = item(APPLICATION, named["application"]) + item(CONTEXT, context) + item(USER, about)
    titles = b"BT_NODE".ljust(16) + calling.ljust(16)
    return pdu(struct.pack(">HH", 1, 0) + titles + bytes(32) + items, pdu_type=1)


@pytest.fixture
def strict(tmp_path) -> Node:
    with running(tmp_path, sources=(AllowedSource("SCANNER"),), accept_unknown_sources=False) as node:
        yield node


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    "forged", [FORGED, FORGED * 300, "\u2028\u202e\x9b2J".encode()], ids=["line", "long", "bidi"]
)
@pytest.mark.parametrize("calling", [b"SCANNER", b"STRANGER", b"A\n2026\x1b[2J"])
def test_a_request_writes_no_line_of_its_own(strict: Node, place: str, forged: bytes, calling: bytes) -> None:
    with node_log("DEBUG") as log, connect(strict.listener.port) as connection:
        connection.sendall(request(calling, **{place: forged}))
        kind = read_pdu(connection)[:1]
        connection.close()
        wait_until(lambda: not strict.listener.open_associations)
    assert kind in (b"\2", b"\3", b"\7")
    assert "delivered" not in log()
    assert all(line.isprintable() and len(line) < 2001 for line in log().split("\n"))
    assert len(log().splitlines()) < 8


@pytest.mark.parametrize(
    "sent", [pdu(b"GET / HTTP/1.0", pdu_type=0x47), pdu(b"\0" * 80, pdu_type=1), pdu(b"\0" * 8, pdu_type=4)]
)
def test_what_is_no_request_is_told_to_the_audit_trail(strict: Node, sent: bytes) -> None:
    with connect(strict.listener.port) as connection:
        connection.sendall(sent)
        assert read_pdu(connection)[:1] == b"\7"
    (calling, address, why) = strict.refused[0]
    assert (calling, address) == ("", "127.0.0.1")
    assert why


def test_a_request_that_goes_away_is_not_told(strict: Node) -> None:
    with connect(strict.listener.port):
        pass
    with connect(strict.listener.port) as connection:
        connection.sendall(request(b"STRANGER"))
        read_pdu(connection)
    assert [calling for calling, _, _ in strict.refused] == ["STRANGER"]
