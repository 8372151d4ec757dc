"""The TCP side of the listener: each accepted connection gets limits and deadlines that pynetdicom does not set.

pynetdicom 3.0.4 waits for ever for the rest of a PDU, and reads as many bytes as a header declares. Both end here,
below it: the socket reads one whole PDU at a time, no longer than a deadline and no larger than was agreed.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass
from socketserver import BaseServer
from typing import Any, cast

from pynetdicom.transport import ThreadedAssociationServer

_HEADER = struct.Struct(">BxL")  # PS3.8 9.3.1: PDU type, reserved, PDU length
_ASSOCIATE_RQ, _P_DATA, _ABORT = 0x01, 0x04, 0x07
_KNOWN_TYPES = range(_ASSOCIATE_RQ, _ABORT + 1)
# 128 contexts with every transfer syntax there is, and user information, stay far below.
_MAX_ASSOCIATE_RQ = 1024 * 1024
_MAX_OTHER_PDU = 64 * 1024
# PS3.8 9.3.8: A-ABORT by the service provider, reason 6 (invalid PDU parameter value)
_ABORT_INVALID_LENGTH = bytes((_ABORT, 0, 0, 0, 0, 4, 0, 0, 2, 6))
_TCP_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only
_BACKLOG = 128


class PduTooLargeError(OSError):
    """A PDU header declares more than was agreed. An OSError: pynetdicom then ends the association."""


@dataclass(frozen=True)
class WireLimits:
    """Limits of a server and each of its connections.

    Attributes:
        max_pdu_bytes: largest P-DATA-TF PDU.
        pdu_seconds: what one PDU may take from its first to its last byte.
        max_connections: connections at once, associations or not; each costs two threads.
    """

    max_pdu_bytes: int
    pdu_seconds: float
    max_connections: int


class GuardedSocket(socket.socket):
    """An accepted connection whose `recv` hands out the bytes of PDUs that were read whole, in time and in bounds."""

    def __init__(self, accepted: socket.socket, limits: WireLimits) -> None:
        super().__init__(accepted.family, accepted.type, accepted.proto, fileno=accepted.detach())
        self._limits = limits
        self._ready = memoryview(b"")
        self.settimeout(limits.pdu_seconds)
        self.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def recv(self, bufsize: int, flags: int = 0, /) -> bytes:
        """At most `bufsize` bytes of the PDU in hand, reading the next one if there is none; b"" at the end."""
        if flags:
            return super().recv(bufsize, flags)
        if not self._ready:
            self._ready = memoryview(self._read_pdu())
        taken, self._ready = self._ready[:bufsize], self._ready[bufsize:]
        return bytes(taken)

    def _read_pdu(self) -> bytearray:
        """Header and body of the next PDU; shorter when the peer hung up. An unknown type is a header alone."""
        deadline = time.monotonic() + self._limits.pdu_seconds
        pdu = self._read_exactly(_HEADER.size, deadline)
        if len(pdu) < _HEADER.size:
            return pdu
        pdu_type, length = _HEADER.unpack(pdu)
        if pdu_type in _KNOWN_TYPES:
            self._check_length(pdu_type, length)
            pdu += self._read_exactly(length, deadline)
        return pdu

    def _check_length(self, pdu_type: int, length: int) -> None:
        # Some peers count the six bytes of the header into the maximum that was agreed.
        limit = {_ASSOCIATE_RQ: _MAX_ASSOCIATE_RQ, _P_DATA: self._limits.max_pdu_bytes + _HEADER.size}
        if length <= limit.get(pdu_type, _MAX_OTHER_PDU):
            return
        self.settimeout(1.0)
        self.sendall(_ABORT_INVALID_LENGTH)
        raise PduTooLargeError(f"PDU of type {pdu_type} declares {length} bytes")

    def _read_exactly(self, length: int, deadline: float) -> bytearray:
        buffer = bytearray(length)
        view, filled = memoryview(buffer), 0
        self._acknowledge_at_once()
        while filled < length:
            self.settimeout(max(deadline - time.monotonic(), 0.001))
            received = self.recv_into(view[filled:])
            if not received:
                break
            filled += received
        view.release()
        del buffer[filled:]
        return buffer

    def _acknowledge_at_once(self) -> None:
        """A sender with Nagle's algorithm holds its last segment until we acknowledge: 20 instances/s, or 700.

        The kernel clears the option by itself, so it is set again at each read.
        """
        if _TCP_QUICKACK is not None:
            self.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)


class GuardedServer(ThreadedAssociationServer):
    """pynetdicom's association server over guarded sockets."""

    request_queue_size = _BACKLOG
    daemon_threads = True

    def __init__(self, *args: Any, limits: WireLimits, **kwargs: Any) -> None:
        self._wire_limits = limits
        super().__init__(*args, **kwargs)

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept one connection."""
        accepted, address = cast(socket.socket, self.socket).accept()
        return GuardedSocket(accepted, self._wire_limits), address

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - socketserver's signature
        """Whether one more connection may be served; if not it is closed at once."""
        return len(self.active_associations) < self._wire_limits.max_connections

    def shutdown(self) -> None:
        """Stop accepting and close the listening socket; associations go on."""
        BaseServer.shutdown(self)  # pynetdicom's own also wants to be in its AE's list of servers
        self.server_close()
