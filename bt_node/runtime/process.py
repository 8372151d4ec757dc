"""What the long-running processes share: their names, signals and exit codes."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from enum import StrEnum
from types import FrameType

# Exit codes of sysexits.h: a supervisor must not restart what only its administrator can mend.
EX_CONFIG = 78


_PR_SET_PDEATHSIG = 1  # prctl(2)


def ends_with_us() -> Callable[[], None]:
    """What a child of this process does before it becomes another program: it is stopped (SIGTERM) when we die.

    For subprocess' `preexec_fn` in a process without other threads; the signal comes at the death of the thread that
    starts the child. Elsewhere than on Linux it does nothing.
    """
    parent = os.getpid()
    prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None  # looked up here: a child may not wait

    def arrange() -> None:
        if prctl is not None:
            prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it died before we could ask for its signal
            os._exit(os.EX_UNAVAILABLE)

    return arrange


class Part(StrEnum):
    """The two processes of a node."""

    LISTENER = "listener"
    WORKER = "worker"


def stop_on_signals(stopping: threading.Event) -> None:
    """Turn SIGTERM and SIGINT into an event; the process ends when its work is put away."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
