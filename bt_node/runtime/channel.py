"""The channel between a worker and its trip process: JSON messages and bytes over a socket pair.

Trip process to worker: `ready`, `unfit`; `begins` and `ended` of each stage; `former?`; `arrival`, followed by the
contents of its objects. Worker to trip process: `configuration`, `travel`, `former`.
"""

from __future__ import annotations

import json
from multiprocessing.connection import Connection
from typing import Any

Message = dict[str, Any]


class Channel:
    """One end. Messages are dictionaries with the key "what"."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def send(self, what: str, **facts: Any) -> None:
        """Send one message.

        Raises:
            OSError: the other end is gone.
        """
        self._connection.send_bytes(json.dumps({"what": what, **facts}).encode())

    def receive(self) -> Message:
        """Wait for one message.

        Raises:
            EOFError: the other end is gone.
        """
        message: Message = json.loads(self._connection.recv_bytes())
        return message

    def send_content(self, content: bytes) -> None:
        """Send bytes as they are."""
        self._connection.send_bytes(content)

    def receive_content(self) -> bytes:
        """Wait for bytes as they are."""
        return self._connection.recv_bytes()

    def waits(self, seconds: float) -> bool:
        """Whether something (or the end) can be received within so many seconds."""
        return self._connection.poll(seconds)

    def close(self) -> None:
        """Let the other end see the end."""
        self._connection.close()
