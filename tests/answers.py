"""A destination that answers a request for an association with whatever bytes a test wants."""

from __future__ import annotations

import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from bench.trials.raw_peer import pdu, read_pdu

APPLICATION, CONTEXT_RESULT, SYNTAX, USER, LENGTH = 0x10, 0x21, 0x40, 0x50, 0x51
CLASS, VERSION = 0x52, 0x55
IMPLICIT = b"1.2.840.10008.1.2"


def item(kind: int, body: bytes) -> bytes:
    """An item or sub-item of PS3.8 9.3.2 and 9.3.3."""
    return struct.pack(">BxH", kind, len(body)) + body


def accepted(context_id: int, syntax: bytes | None = IMPLICIT, result: int = 0) -> bytes:
    """A presentation context item of an A-ASSOCIATE-AC; without a transfer syntax for None."""
    return item(CONTEXT_RESULT, bytes((context_id, 0, result, 0)) + (b"" if syntax is None else item(SYNTAX, syntax)))


def answer(*contexts: bytes, application: bytes = b"1.2.840.10008.3.1.1.1", about: bytes | None = None) -> bytes:
    """An A-ASSOCIATE-AC."""
    user = item(LENGTH, struct.pack(">L", 16384)) + item(CLASS, b"1.2.3") if about is None else about
    items = item(APPLICATION, application) + b"".join(contexts) + item(USER, user)
    return pdu(struct.pack(">HH", 1, 0) + b"PACS".ljust(16) + b"BT_NODE".ljust(16) + bytes(32) + items, pdu_type=2)


@contextmanager
def answering(make: Callable[[], bytes]) -> Iterator[int]:
    """Listens on loopback; each request gets `make()`, and what is sent then is read. Yields the port."""
    server = socket.create_server(("127.0.0.1", 0))

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(10)
            read_pdu(connection)
            connection.sendall(make())
            while connection.recv(65536):
                pass

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = server.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield server.getsockname()[1]
    finally:
        with suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        server.close()
