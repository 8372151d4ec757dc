"""Syslog messages and the two ways they go."""

from __future__ import annotations

import re
import socket
import ssl
import threading

import pytest

from bt_node.audit.syslog import Receiver, connected, syslog_message
from bt_node.domain.audit import AuditEntry, AuditEvent, AuditRecord
from bt_node.domain.errors import SyslogError

ENTRY = AuditEntry(1, 1_800_000_000.5, "node 1:4711", AuditRecord(AuditEvent.STARTED, "a"), "00")


def test_a_message_is_rfc_5424_with_the_standard_s_facility_and_msgid():
    message = syslog_message(ENTRY, "<AuditMessage/>", warning=False)
    assert message == (
        b"<85>1 2027-01-15T08:00:00.500Z node_1 bt-node 4711 DICOM+RFC3881 - \xef\xbb\xbf<AuditMessage/>"
    )
    assert syslog_message(ENTRY, "", warning=True).startswith(b"<84>1 ")


@pytest.mark.parametrize(
    ("url", "name"),
    [("udp://collector", "udp://collector:514"), ("tls://10.0.0.1:7000", "tls://10.0.0.1:7000")],
)
def test_a_receiver_has_the_standard_s_port_unless_it_says_another(url: str, name: str):
    assert Receiver.of(url).name == name


@pytest.mark.parametrize("url", ["collector", "tcp://collector", "udp://", "udp://a/b"])
def test_another_word_is_refused(url: str):
    with pytest.raises(ValueError, match="udp://host"):
        Receiver.of(url)


def test_over_udp_each_message_is_a_datagram():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as collector:
        collector.bind(("127.0.0.1", 0))
        collector.settimeout(10)
        with connected(Receiver("udp", "127.0.0.1", collector.getsockname()[1]), None) as send:
            send(b"one")
            send(b"two")
        assert [collector.recv(100) for _ in range(2)] == [b"one", b"two"]


def test_a_message_too_large_for_a_datagram_is_not_cut():
    with (
        pytest.raises(SyslogError, match="too large for udp: use tls"),
        connected(Receiver("udp", "127.0.0.1", 9), None) as send,
    ):
        send(b"x" * 70_000)


def test_over_tls_messages_are_counted_and_the_end_is_told(tls_pair: tuple[ssl.SSLContext, ssl.SSLContext]):
    server_side, client_side = tls_pair
    received: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def collect() -> None:
            connection, _ = listener.accept()
            with server_side.wrap_socket(connection, server_side=True) as secured:
                while part := secured.recv(4096):
                    received.append(part)

        thread = threading.Thread(target=collect)
        thread.start()
        with connected(Receiver("tls", "127.0.0.1", listener.getsockname()[1]), client_side) as send:
            send(b"one")
            send("zwölf".encode())
        thread.join()
    stream = b"".join(received)
    assert stream == b"3 one" + b"6 zw\xc3\xb6lf"
    assert re.match(rb"\d+ ", stream)


def test_who_is_not_there_is_named():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with (
        pytest.raises(SyslogError, match=rf"tls://127.0.0.1:{port} did not take the audit trail: .*refused"),
        connected(Receiver("tls", "127.0.0.1", port), ssl.create_default_context()),
    ):
        pass


def test_tls_without_an_authority_is_refused():
    with pytest.raises(SyslogError, match="needs --ca"), connected(Receiver("tls", "127.0.0.1", 9), None):
        pass
