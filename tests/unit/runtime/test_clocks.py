"""Wall clocks that are set by an hour, watchers that sleep, databases that go away: no lease is lost or stuck."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from datetime import timedelta

import pytest

from bt_node.jobs import HeldLease
from bt_node.runtime import timetable as module
from bt_node.runtime.clock import utc_now
from bt_node.runtime.clock_watch import ClockWatch
from bt_node.runtime.lease_watch import LeaseWatch
from bt_node.runtime.timetable import Timetable

HOUR = 3600.0


class Ticks:
    """Clocks that a test moves."""

    def __init__(self) -> None:
        self.now, self.wall = 1000.0, 1_800_000_000.0

    def forward(self, seconds: float) -> None:
        self.now += seconds
        self.wall += seconds


@pytest.fixture
def ticks() -> Ticks:
    return Ticks()


@pytest.fixture
def watch(ticks: Ticks) -> LeaseWatch:
    return LeaseWatch(60.0, lambda: ticks.now)


def looks(watch: LeaseWatch, ticks: Ticks, seconds: float, leases: list[HeldLease]) -> list[HeldLease]:
    """Look every five seconds for so long; what was silent at the end."""
    found: list[HeldLease] = []
    for _ in range(int(seconds // 5)):
        ticks.forward(5.0)
        found = watch.silent(leases)
    return found


def test_a_lease_that_nobody_renews_is_silent_after_its_length_and_not_before(
    watch: LeaseWatch, ticks: Ticks
) -> None:
    lease = HeldLease(1, 1, 500.0)
    assert looks(watch, ticks, 65.0, [lease]) == []
    assert looks(watch, ticks, 5.0, [lease]) == [lease]


def test_a_renewed_lease_is_never_silent(watch: LeaseWatch, ticks: Ticks) -> None:
    for until in range(20):
        assert looks(watch, ticks, 15.0, [HeldLease(1, 1, float(until))]) == []


@pytest.mark.parametrize("step", [HOUR, -HOUR])
def test_the_time_in_the_row_does_not_matter(watch: LeaseWatch, ticks: Ticks, step: float) -> None:
    """The database's clock was set: the end lies an hour off, and only whether it changes counts."""
    assert looks(watch, ticks, 60.0, [HeldLease(1, 1, 500.0)]) == []
    assert looks(watch, ticks, 60.0, [HeldLease(1, 1, 515.0 + step)]) == []
    assert looks(watch, ticks, 70.0, [HeldLease(1, 1, 515.0 + step)]) == [HeldLease(1, 1, 515.0 + step)]


def test_a_watcher_that_slept_or_found_no_database_for_long_judges_nobody(watch: LeaseWatch, ticks: Ticks) -> None:
    lease = HeldLease(1, 1, 500.0)
    looks(watch, ticks, 20.0, [lease])
    ticks.forward(HOUR)
    assert watch.silent([lease]) == []
    assert looks(watch, ticks, 60.0, [lease]) == [lease], "and a worker that is gone is found all the same"


def test_a_clock_that_is_set_is_noticed_once_and_its_slow_correction_is_not(ticks: Ticks) -> None:
    clock = ClockWatch(lambda: ticks.wall, lambda: ticks.now)
    ticks.forward(100.0)
    assert clock.step() == 0.0
    ticks.wall -= HOUR
    assert clock.step() == pytest.approx(-HOUR)
    ticks.wall += 0.5
    assert clock.step() == 0.0


@pytest.fixture
def timetable(ticks: Ticks) -> Iterator[Timetable]:
    made = Timetable(2, ClockWatch(lambda: ticks.wall, lambda: ticks.now))
    yield made
    made.stop()


def test_rounds_go_on_when_the_clock_is_set_back(
    timetable: Timetable, ticks: Ticks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a step back the scheduler believes that every round is an hour away."""
    monkeypatch.setattr(module, "_LOOK_AT_THE_CLOCK_EVERY_SECONDS", 0.05)
    knocked = threading.Event()
    timetable.every(HOUR, "round", knocked.set)
    timetable.start()
    assert not knocked.wait(0.3)
    ticks.wall -= HOUR
    assert knocked.wait(20.0)


def test_a_round_can_be_knocked_at(timetable: Timetable) -> None:
    knocked = threading.Event()
    timetable.every(HOUR, "round", knocked.set)
    timetable.start()
    timetable.knock("round")
    assert knocked.wait(20.0)
    timetable.knock("no such round")
    (job,) = timetable._scheduler.get_jobs()
    assert job.next_run_time - utc_now() > timedelta(minutes=50)
