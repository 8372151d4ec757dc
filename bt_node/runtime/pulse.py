"""Is the process alive? A process answers on a socket of its own, and `bt-node health` asks.

The socket is of Linux's abstract kind: no file that a full disk could hinder or a crash could leave behind. Its name
comes from the spool's path, so that several nodes may live on one machine. Whoever asks looks at the account of who
answers: another account's process under this name does not count.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import socket
import struct
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Self

logger = logging.getLogger(__name__)

_BEATS_WITHIN_S = 60.0
_ANSWER_WITHIN_S = 2.0
_LONGEST_ANSWER = 1024
_PEER_CREDENTIALS = struct.Struct("3i")  # pid, uid, gid of SO_PEERCRED
ALIVE, STUCK = "alive", "stuck"


def address_of(spool: Path, part: str) -> str:
    """Name of the socket of a node's part ("listener", "worker")."""
    node = hashlib.sha256(str(spool.absolute()).encode()).hexdigest()[:16]
    return f"\0bt-node/{os.getuid()}/{node}/{part}"


class Pulse:
    """Answers whoever asks; use as a context manager. `beat` must be called now and then, or it answers "stuck"."""

    def __init__(self, spool: Path, part: str, note: Callable[[], str] = lambda: "") -> None:
        """Prepare to answer.

        Args:
            spool: the node's spool, which tells it from others on this machine.
            part: which of its processes this is.
            note: a word more for those who ask; "" for none.
        """
        self._address, self._part, self._note = address_of(spool, part), part, note
        self._beaten_at = time.monotonic()
        self._socket: socket.socket | None = None

    def beat(self) -> None:
        """Its work goes on. A systemd unit with WatchdogSec hears it too."""
        self._beaten_at = time.monotonic()
        _tell_systemd("WATCHDOG=1")

    def __enter__(self) -> Self:
        self.beat()
        _tell_systemd("READY=1")
        listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listening.bind(self._address)
            listening.listen(8)
        except OSError as error:
            listening.close()
            # A second worker of the same node on this machine: the first answers for both.
            logger.info("bt-node health asks another %s on this machine (%s)", self._part, error.strerror)
            return self
        self._socket = listening
        threading.Thread(target=self._answer, name="pulse", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._socket is not None:
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
            self._socket.close()

    def _answer(self) -> None:
        listening = self._socket
        while listening is not None and listening.fileno() != -1:
            try:
                connection, _ = listening.accept()
            except OSError:
                return  # closed
            with connection:
                connection.settimeout(_ANSWER_WITHIN_S)
                try:
                    connection.sendall(self._word().encode()[:_LONGEST_ANSWER])
                except Exception as error:  # noqa: BLE001 - edge: whoever asks next gets an answer all the same
                    logger.warning("a question for the pulse was not answered: %s", type(error).__name__)

    def _word(self) -> str:
        silent = time.monotonic() - self._beaten_at
        if silent > _BEATS_WITHIN_S:
            return f"{STUCK} for {silent:.0f} s"
        note = self._note()
        return f"{ALIVE}, {note}" if note else ALIVE


def _tell_systemd(word: str) -> None:
    """sd_notify(3): one datagram, where a service manager of Type=notify listens."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as telling, contextlib.suppress(OSError):
        telling.sendto(word.encode(), address.replace("@", "\0", 1) if address.startswith("@") else address)


def ask(spool: Path, part: str) -> str | None:
    """What the part answers ("alive", "alive, paused: …", "stuck for 90 s"); None where nobody does."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.settimeout(_ANSWER_WITHIN_S)
        try:
            asking.connect(address_of(spool, part))
            credentials = asking.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER_CREDENTIALS.size)
            if _PEER_CREDENTIALS.unpack(credentials)[1] != os.getuid():
                return None
            answer = asking.recv(_LONGEST_ANSWER).decode("utf-8", "replace")
        except OSError:
            return None
    return answer or None
