"""Trips in a process of their own, which can be killed: when a stage hangs or takes too much memory, or at a stop."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from multiprocessing.connection import Connection
from pathlib import Path

from bt_node.config import Config
from bt_node.domain.errors import StageStalledError, TripDiedError, TripMemoryError, TripStartError
from bt_node.runtime.channel import Channel, Message
from bt_node.runtime.journey import Arrival, Companion, Journey, arrival_from_json, as_json, former_to_json

logger = logging.getLogger(__name__)

TRIP_COMMAND = (sys.executable, "-m", "bt_node.runtime.trip_child")

_LOOK_EVERY_SECONDS = 0.2
_MIB = 1024 * 1024
_SECONDS_PER_MINUTE = 60.0
_BETWEEN_STAGES = "none"
_LAST_BREATH_SECONDS = 2.0
# What a trip reads. It has no job book and no destinations, and shall know none of their passwords.
_TABLES = {"listener", "storage", "completeness", "roles", "results", "follow_up", "models", "device", "logging"}


@dataclass(frozen=True)
class Limits:
    """When a trip's process is killed; memory 0 means no limit."""

    stage_seconds: float
    memory_mib: int = 0


class TripProcess:
    """A traveller whose trips run in a child process. The models are loaded once, and again after a kill."""

    def __init__(self, config: Config, limits: Limits, command: Sequence[str] = TRIP_COMMAND) -> None:
        self._config = config.model_dump(mode="json", include=_TABLES)
        self._limits, self._command = limits, tuple(command)
        self._child: _Child | None = None

    @property
    def pid(self) -> int | None:
        """The process, where one runs."""
        return None if self._child is None else self._child.process.pid

    def start(self) -> None:
        """Start the process, without waiting for its models."""
        if self._child is None:
            self._child = _Child.start(self._command)
            self._child.channel.send("configuration", config=self._config)

    def prepare(self, check: Callable[[], None]) -> None:
        """Wait until the models are loaded; start the process anew where it died.

        Raises:
            TripStartError: it cannot start; only the administrator can mend it.
            TripDiedError: it died while it started, or did not start in time.
        """
        if self._child is not None and not self._child.alive:
            logger.warning("the process of the trips ended (%s); starting another", self._child.how_it_ended())
            self.stop()
        try:
            self.start()
            self._wait_until_ready(check)
        except BaseException:
            self.stop()
            raise

    def _wait_until_ready(self, check: Callable[[], None]) -> None:
        child = self._running()
        watch = _Watch(child, self._limits, "loading the models")
        while not child.ready:
            check()
            message = watch.next_message()
            if message is None:
                continue
            if message["what"] == "unfit":
                raise TripStartError(message["message"])
            child.ready = True

    def travel(self, journey: Journey, companion: Companion) -> Arrival:
        """See `Traveller.travel`. Whatever ends it early kills the process."""
        child = self._running()
        try:
            return self._follow(child, journey, companion)
        except BaseException:
            self.stop()
            raise

    def _follow(self, child: _Child, journey: Journey, companion: Companion) -> Arrival:
        watch = _Watch(child, self._limits, _BETWEEN_STAGES)
        watch.send("travel", journey=as_json(Journey, journey))
        while True:
            companion.check()
            message = watch.next_message()
            if message is None:
                continue
            match message["what"]:
                case "begins":
                    watch.stage = message["stage"]
                    companion.stage_begins(watch.stage)
                case "ended":
                    companion.stage_done(message["stage"], message["seconds"])
                case "former?":
                    found = companion.former(message["patient"], date.fromisoformat(message["before"]))
                    watch.send("former", former=former_to_json(found))
                case "arrival":
                    contents = [watch.next_content() for _ in range(message["contents"])]
                    return arrival_from_json(message["arrival"], contents)

    def stop(self) -> None:
        """Kill the process, where one runs. It holds nothing that could be lost."""
        if self._child is not None:
            self._child.kill()
            self._child = None

    def _running(self) -> _Child:
        if self._child is None:
            raise TripDiedError(_BETWEEN_STAGES, "it was not started")
        return self._child


@dataclass
class _Child:
    process: subprocess.Popen[bytes]
    channel: Channel
    lifeline: int
    ready: bool = False

    @classmethod
    def start(cls, command: Sequence[str]) -> _Child:
        ours, theirs = socket.socketpair()
        their_life, our_life = os.pipe()
        with theirs:
            passed = (theirs.fileno(), their_life)
            try:
                process = subprocess.Popen([*command, *map(str, passed)], pass_fds=passed, stdin=subprocess.DEVNULL)
            finally:
                os.close(their_life)
        return cls(process, Channel(Connection(ours.detach())), our_life)

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def how_it_ended(self) -> str:
        code = self.process.wait()
        if code >= 0:
            return f"exit code {code}"
        name = signal.Signals(-code).name
        return f"signal {-code} ({name}{', as when memory is short' if name == 'SIGKILL' else ''})"

    def memory_mib(self) -> float:
        """Resident memory; 0 where it cannot be told."""
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text(encoding="ascii").split()[1])
        except (OSError, IndexError, ValueError):
            return 0.0
        return pages * os.sysconf("SC_PAGE_SIZE") / _MIB

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(OSError):
            self.channel.close()
        os.close(self.lifeline)


class _Watch:
    """Looks at a process while it works: its messages, its progress, its memory, its end."""

    def __init__(self, child: _Child, limits: Limits, stage: str) -> None:
        self._child, self._limits = child, limits
        self.stage = stage
        self._heard_at = time.monotonic()

    def send(self, what: str, **facts: object) -> None:
        """Send a message; raises TripDiedError or StageStalledError."""
        with self._in_time():
            self._child.channel.send(what, **facts)

    def next_message(self) -> Message | None:
        """The next message, or None when nothing came for a moment.

        Raises:
            TripDiedError: the process is gone.
            StageStalledError: nothing came for too long.
            TripMemoryError: it took too much memory.
        """
        try:
            waits = self._child.channel.waits(_LOOK_EVERY_SECONDS)
        except (EOFError, OSError):
            raise self._died() from None
        if not waits:
            self._require_progress()
            return None
        with self._in_time():
            message = self._child.channel.receive()
        self._heard_at = time.monotonic()
        return message

    def next_content(self) -> bytes:
        """The next bytes of an arrival; raises TripDiedError or StageStalledError."""
        with self._in_time():
            return self._child.channel.receive_content()

    @contextlib.contextmanager
    def _in_time(self) -> Iterator[None]:
        """Kill the process where it stops within a message: whoever writes or reads one looks at nothing else."""
        stalled = threading.Event()

        def end() -> None:
            stalled.set()
            self._child.process.kill()

        timer = threading.Timer(self._limits.stage_seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        except (EOFError, OSError):
            raise (self._stalled() if stalled.is_set() else self._died()) from None
        finally:
            timer.cancel()

    def _stalled(self) -> StageStalledError:
        return StageStalledError(self.stage, self._limits.stage_seconds / _SECONDS_PER_MINUTE)

    def _require_progress(self) -> None:
        if time.monotonic() - self._heard_at > self._limits.stage_seconds:
            raise self._stalled()
        if self._limits.memory_mib and self._child.memory_mib() > self._limits.memory_mib:
            raise TripMemoryError(self.stage, self._limits.memory_mib)

    def _died(self) -> TripDiedError:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._child.process.wait(_LAST_BREATH_SECONDS)
        self._child.process.kill()  # where it only closed its end
        return TripDiedError(self.stage, self._child.how_it_ended())


def limits_of(config: Config) -> Limits:
    """The configuration's words."""
    return Limits(config.schedule.stage_timeout_minutes * _SECONDS_PER_MINUTE, config.device.memory_limit_mib)
