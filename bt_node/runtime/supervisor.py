"""`bt-node serve all`: listener and worker as two processes, so that torch never enters the listener."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from bt_node.runtime.process import EX_CONFIG, ends_with_us, stop_on_signals

logger = logging.getLogger(__name__)

_LOOK_EVERY_SECONDS = 0.2
_STOP_WITHIN_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 30.0
_HEALTHY_AFTER_SECONDS = 60.0


@dataclass
class _Child:
    name: str
    command: Sequence[str]
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    restart_at: float = 0.0
    failures: int = field(default=0)

    def start(self) -> None:
        # Two processes that nobody looks after would hold the port and the jobs against the next start.
        self.process = subprocess.Popen(self.command, preexec_fn=ends_with_us())  # noqa: PLW1509 - no threads here
        self.started_at = time.monotonic()

    def ended_with(self) -> int | None:
        return None if self.process is None else self.process.poll()

    def plan_restart(self) -> float:
        """Pause before the next start: 1 s, doubled with each quick death, at most 30 s."""
        if time.monotonic() - self.started_at > _HEALTHY_AFTER_SECONDS:
            self.failures = 0
        pause = min(2.0**self.failures, _LONGEST_PAUSE_SECONDS)
        self.failures += 1
        self.process = None
        self.restart_at = time.monotonic() + pause
        return pause


def run_all(arguments: Sequence[str]) -> int:
    """Start both processes, restart one that dies, pass on the stop signal. Returns the exit code.

    Args:
        arguments: the command line up to `serve`, for example `["--config", "config.toml"]`.
    """
    stopping = threading.Event()
    stop_on_signals(stopping)
    base = [sys.executable, "-m", "bt_node", *arguments, "serve"]
    children = [_Child(name, [*base, name]) for name in ("listener", "worker")]
    for child in children:
        child.start()
    code = 0
    while not stopping.wait(_LOOK_EVERY_SECONDS):
        code = _look_after(children)
        if code:
            break
    _stop(children)
    return code


def _look_after(children: Sequence[_Child]) -> int:
    """Restart what died. Returns EX_CONFIG when only the administrator can mend it."""
    for child in children:
        if child.process is None:
            if time.monotonic() >= child.restart_at:
                child.start()
            continue
        ended = child.ended_with()
        if ended is None:
            continue
        if ended == EX_CONFIG:
            logger.error("%s cannot start; see its message above", child.name)
            return EX_CONFIG
        logger.error("%s ended with %d; starting it again in %.0f s", child.name, ended, child.plan_restart())
    return 0


def _stop(children: Sequence[_Child]) -> None:
    running = [child.process for child in children if child.process is not None]
    for process in running:
        process.terminate()
    deadline = time.monotonic() + _STOP_WITHIN_SECONDS
    for process in running:
        try:
            process.wait(timeout=max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
