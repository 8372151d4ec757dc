"""What the long-running processes share: signals and exit codes."""

from __future__ import annotations

import signal
import threading
from types import FrameType

# Exit codes of sysexits.h: a supervisor must not restart what only its administrator can mend.
EX_CONFIG = 78


def stop_on_signals(stopping: threading.Event) -> None:
    """Turn SIGTERM and SIGINT into an event; the process ends when its work is put away."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
