"""PDUs of the upper layer protocol (PS3.8 chapter 9.3) read off a socket: whole, in time and in bounds.

A blocking read with a deadline, into one buffer that is allocated once; what is handed out are views into it. Nothing
is read from the peer while nobody asks for a PDU, so TCP itself slows down a peer that sends ahead.
"""

from __future__ import annotations

import socket
import struct
import time
from dataclasses import dataclass

ASSOCIATE_RQ, ASSOCIATE_AC, ASSOCIATE_RJ, P_DATA, RELEASE_RQ, RELEASE_RP, ABORT = range(1, 8)
KNOWN_TYPES = range(ASSOCIATE_RQ, ABORT + 1)
HEADER = struct.Struct(">BxL")  # PS3.8 9.3.1: PDU type, reserved, PDU length

# 128 contexts with every transfer syntax there is, and user information, stay far below.
_MAX_ASSOCIATE_RQ = 1024 * 1024
_MAX_OTHER_PDU = 1024
_READ_AHEAD = 64 * 1024
_CHUNK = 64 * 1024
_SHORTEST_WAIT_S = 0.001
_TCP_QUICKACK: int | None = getattr(socket, "TCP_QUICKACK", None)  # Linux only

RELEASE_RESPONSE = HEADER.pack(RELEASE_RP, 4) + bytes(4)  # PS3.8 9.3.7


class AbortReason:
    """PS3.8 Table 9-26, source 2 (service provider)."""

    NOT_SPECIFIED = 0
    UNRECOGNISED_PDU = 1
    UNEXPECTED_PDU = 2
    INVALID_PARAMETER = 6


def abort_pdu(reason: int) -> bytes:
    """A-ABORT by the service provider (PS3.8 9.3.8)."""
    return HEADER.pack(ABORT, 4) + bytes((0, 0, 2, reason))


class ProtocolError(Exception):
    """The peer broke PS3.8 or PS3.7: the association is aborted with a reason. Words are facts, never its bytes."""

    def __init__(self, reason: int, detail: str) -> None:
        self.reason, self.detail = reason, detail
        super().__init__(detail)


class PeerGoneError(OSError):
    """The peer closed its connection."""


@dataclass(frozen=True)
class WireLimits:
    """Limits of each connection.

    Attributes:
        max_pdu_bytes: largest P-DATA-TF PDU that was advertised.
        pdu_seconds: what one PDU may take from its first to its last byte, and one answer to be taken by the peer.
    """

    max_pdu_bytes: int
    pdu_seconds: float


class PduStream:
    """The PDUs of one connection; for one thread."""

    def __init__(self, connection: socket.socket, limits: WireLimits) -> None:
        self._connection = connection
        self._limits = limits
        self._buffer = memoryview(bytearray(limits.max_pdu_bytes + 2 * HEADER.size + _READ_AHEAD))
        self._start = self._end = 0

    def read(self, deadline: float, pdu_seconds: float | None = None) -> tuple[int, memoryview]:
        """Type and body of the next PDU; the body is a view that the next call overwrites.

        Args:
            deadline: when its first byte must be there, by the monotonic clock.
            pdu_seconds: what it may take after that, if not `limits.pdu_seconds`.

        Raises:
            TimeoutError: a deadline passed.
            PeerGoneError: the peer hung up.
            ProtocolError: an unknown type, or a length beyond what was agreed (before its body is read).
            OSError: the connection broke.
        """
        self._fill(1, deadline)
        whole = time.monotonic() + (self._limits.pdu_seconds if pdu_seconds is None else pdu_seconds)
        self._fill(HEADER.size, whole)
        pdu_type, length = HEADER.unpack_from(self._buffer, self._start)
        self._check(pdu_type, length)
        self._start += HEADER.size
        if length > len(self._buffer):
            return pdu_type, self._read_large(length, whole)
        self._fill(length, whole)
        body = self._buffer[self._start : self._start + length]
        self._start += length
        return pdu_type, body

    def send(self, data: bytes) -> None:
        """Send all of it within the limits' time.

        Raises:
            OSError: the connection broke, or (TimeoutError) the peer takes nothing.
        """
        self._connection.settimeout(self._limits.pdu_seconds)
        self._connection.sendall(data)

    def drain(self, seconds: float) -> None:
        """Wait until the peer hangs up (PS3.8 9.2, Sta13 with its ARTIM timer), throwing away what it still sends."""
        deadline = time.monotonic() + seconds
        while (remaining := deadline - time.monotonic()) > 0:
            self._connection.settimeout(max(remaining, _SHORTEST_WAIT_S))
            if not self._connection.recv_into(self._buffer):
                return

    def _check(self, pdu_type: int, length: int) -> None:
        if pdu_type not in KNOWN_TYPES:
            raise ProtocolError(AbortReason.UNRECOGNISED_PDU, "an unknown type of PDU")
        # Some peers count the six bytes of the header into the maximum that was agreed.
        limits = {ASSOCIATE_RQ: _MAX_ASSOCIATE_RQ, P_DATA: self._limits.max_pdu_bytes + HEADER.size}
        if length > limits.get(pdu_type, _MAX_OTHER_PDU):
            raise ProtocolError(AbortReason.INVALID_PARAMETER, f"a PDU of type {pdu_type} declares {length} bytes")

    def _fill(self, wanted: int, deadline: float) -> None:
        """Have `wanted` bytes from `_start` on in the buffer."""
        if self._start == self._end:
            self._start = self._end = 0
        elif self._start + wanted > len(self._buffer):
            kept = self._end - self._start
            self._buffer[:kept] = bytes(self._buffer[self._start : self._end])
            self._start, self._end = 0, kept
        while self._end - self._start < wanted:
            self._end += self._receive(self._buffer[self._end :], deadline)

    def _read_large(self, length: int, deadline: float) -> memoryview:
        """A body beyond the buffer; memory grows with what arrives, not with what was declared."""
        body = bytearray(self._buffer[self._start : self._end])
        self._start = self._end = 0
        while len(body) < length:
            got = self._receive(self._buffer[: min(_CHUNK, length - len(body))], deadline)
            body += self._buffer[:got]
        return memoryview(body)

    def _receive(self, into: memoryview, deadline: float) -> int:
        # A sender with Nagle's algorithm holds its last segment until we acknowledge: 20 instances/s, or 700. The
        # kernel clears the option by itself, so it is set again at each read.
        if _TCP_QUICKACK is not None:
            self._connection.setsockopt(socket.IPPROTO_TCP, _TCP_QUICKACK, 1)
        self._connection.settimeout(max(deadline - time.monotonic(), _SHORTEST_WAIT_S))
        received = self._connection.recv_into(into)
        if not received:
            raise PeerGoneError
        return received
