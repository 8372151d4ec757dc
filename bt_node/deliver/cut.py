"""Ending a connection that another thread is reading from or writing to."""

from __future__ import annotations

import socket
from contextlib import suppress


def cut(connection: socket.socket) -> None:
    """End it both ways at once: who waits for the other side finds that it has gone."""
    with suppress(OSError):  # closed by now
        # Not the method of a TLS socket, which drops the encryption first: who is sending would go on in clear.
        socket.socket.shutdown(connection, socket.SHUT_RDWR)
