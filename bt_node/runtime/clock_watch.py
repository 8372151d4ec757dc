"""Notices that somebody set the wall clock: the timetable's rounds are planned by it, and would wait for an hour."""

from __future__ import annotations

import time
from collections.abc import Callable

_LEAST_STEP_SECONDS = 2.0  # less is the slow correction that time servers make all day


class ClockWatch:
    """Compares the wall clock with one that only goes forward."""

    def __init__(
        self, wall: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._wall, self._monotonic = wall, monotonic
        self._apart = wall() - monotonic()

    def step(self) -> float:
        """By how many seconds the wall clock was set since the last call; 0 where it was not."""
        apart = self._wall() - self._monotonic()
        step, self._apart = apart - self._apart, apart
        return step if abs(step) >= _LEAST_STEP_SECONDS else 0.0
