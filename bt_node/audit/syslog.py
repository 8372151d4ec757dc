"""Syslog messages (RFC 5424) for the audit trail, over UDP (RFC 5426) or TLS (RFC 5425), after PS3.15 A.6 and A.7."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol
from urllib.parse import urlsplit

from bt_node.domain.audit import AuditEntry
from bt_node.domain.errors import SyslogError

_FACILITY = 10  # security/authorization messages, PS3.15 A.6
_NOTICE, _WARNING = 5, 4
_MSGID = "DICOM+RFC3881"  # PS3.15 A.6
_BOM = b"\xef\xbb\xbf"  # RFC 5424 6.4: what follows is UTF-8
_APP_NAME = "bt-node"
_UDP_PORT, _TLS_PORT = 514, 6514
_LARGEST_DATAGRAM = 65507
_TIMEOUT_S = 20.0


@dataclass(frozen=True)
class Receiver:
    """Where messages go: `udp://host[:port]` or `tls://host[:port]`."""

    scheme: str
    host: str
    port: int

    @classmethod
    def of(cls, url: str) -> Receiver:
        """Read the URL.

        Raises:
            ValueError: it is none of the two.
        """
        parts = urlsplit(url)
        if parts.scheme not in {"udp", "tls"} or not parts.hostname or parts.path not in {"", "/"}:
            raise ValueError("a syslog receiver is udp://host[:514] or tls://host[:6514]")
        return cls(parts.scheme, parts.hostname, parts.port or (_UDP_PORT if parts.scheme == "udp" else _TLS_PORT))

    @property
    def name(self) -> str:
        """The same, whole."""
        return f"{self.scheme}://{self.host}:{self.port}"


class Send(Protocol):
    """Sends one syslog message."""

    def __call__(self, message: bytes) -> None:
        """Send it, or raise OSError."""


def syslog_message(entry: AuditEntry, xml: str, *, warning: bool) -> bytes:
    """HEADER, no structured data, and the audit message (RFC 5424 6)."""
    priority = _FACILITY * 8 + (_WARNING if warning else _NOTICE)
    at = datetime.fromtimestamp(entry.at, tz=UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    host, _, process = entry.source.rpartition(":")
    header = f"<{priority}>1 {at} {_word(host, 255)} {_APP_NAME} {_word(process, 128)} {_MSGID} - "
    return header.encode("ascii") + _BOM + xml.encode("utf-8")


def _word(text: str, longest: int) -> str:
    """PRINTUSASCII without spaces; "-" is nil."""
    return re.sub(r"[^\x21-\x7e]", "_", text)[:longest] or "-"


@contextmanager
def connected(receiver: Receiver, tls: ssl.SSLContext | None) -> Iterator[Send]:
    """A way to the receiver.

    Args:
        receiver: where to.
        tls: the context for `tls://`.

    Raises:
        SyslogError: it cannot be reached, or breaks off.
    """
    try:
        if receiver.scheme == "udp":
            with _udp(receiver) as datagrams:
                yield datagrams.send_one
        else:
            with _tls(receiver, tls) as connection:
                # RFC 5425 4.3.1: octet counting.
                yield lambda message: connection.sendall(b"%d " % len(message) + message)
                _close(connection)
    except OSError as failure:
        word = failure.strerror or getattr(failure, "reason", None) or type(failure).__name__
        raise SyslogError(receiver.name, str(word).lower()) from failure


class _Datagrams:
    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send_one(self, message: bytes) -> None:
        if len(message) > _LARGEST_DATAGRAM:
            raise OSError(0, "a message is too large for UDP: use tls://")
        self._connection.send(message)


@contextmanager
def _udp(receiver: Receiver) -> Iterator[_Datagrams]:
    family, kind, protocol, _, address = socket.getaddrinfo(receiver.host, receiver.port, type=socket.SOCK_DGRAM)[0]
    with socket.socket(family, kind, protocol) as connection:
        connection.settimeout(_TIMEOUT_S)
        connection.connect(address)
        yield _Datagrams(connection)


@contextmanager
def _tls(receiver: Receiver, tls: ssl.SSLContext | None) -> Iterator[ssl.SSLSocket]:
    if tls is None:
        raise OSError(0, "tls:// needs --ca")
    with (
        socket.create_connection((receiver.host, receiver.port), _TIMEOUT_S) as connection,
        tls.wrap_socket(connection, server_hostname=receiver.host) as secured,
    ):
        yield secured


def _close(connection: ssl.SSLSocket) -> None:
    """Tell the end and wait for the answer (RFC 5425 4.4): until then something may still be on its way."""
    with contextlib.suppress(ssl.SSLEOFError):  # collectors that close without a word have read up to ours
        connection.unwrap()
