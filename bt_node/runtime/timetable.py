"""The worker's timetable (APScheduler 3.11). The queue is our own table; the scheduler only knocks."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.jobstores.base import JobLookupError
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.base import BaseTrigger
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from bt_node.config import Config
from bt_node.domain.states import JobState
from bt_node.receive.spool import Spool
from bt_node.runtime.clock import local_time_of_day, utc_now
from bt_node.runtime.clock_watch import ClockWatch
from bt_node.runtime.courier import Courier
from bt_node.runtime.disk_guard import DiskGuard
from bt_node.runtime.edges import log_error
from bt_node.runtime.housekeeping import Housekeeper
from bt_node.runtime.runner import StudyRunner
from bt_node.runtime.scrub import ROUND_SECONDS
from bt_node.runtime.window import is_open

logger = logging.getLogger(__name__)

_RETENTION_EVERY_SECONDS = 3600
_BEAT_SECONDS = 5
_LOOK_AT_THE_CLOCK_EVERY_SECONDS = 1.0
_WORK = "work"


class Timetable:
    """Rounds that come again and again. One that is still going when its time comes is not started twice.

    Missed rounds are made up once. When somebody sets the wall clock, every round is planned anew: the scheduler
    plans by it, and would otherwise rest for as long as the clock was set back.
    """

    def __init__(self, threads: int, clock: ClockWatch | None = None) -> None:
        self._scheduler = BackgroundScheduler(
            executors={"default": ThreadPoolExecutor(threads)},
            job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
        )
        self._takes_up: dict[JobState, tuple[str, ...]] = {}
        self._clock = clock or ClockWatch()
        self._stopped = threading.Event()
        self._guard = threading.Thread(target=self._watch_the_clock, name="clock-watch", daemon=True)

    def add(self, name: str, action: Callable[[], object], trigger: BaseTrigger, *, at_once: bool = False) -> None:
        """One more round; an error in it is logged, and the next one tries again."""
        first = {"next_run_time": utc_now()} if at_once else {}
        self._scheduler.add_job(_safely(name, action), trigger, id=name, **first)

    def wake(self, state: JobState, *names: str) -> None:
        """These rounds take up jobs in this state; see `knock_for`."""
        self._takes_up[state] = names

    def every(self, seconds: float, name: str, action: Callable[[], object], *, at_once: bool = False) -> None:
        """One more round, each so many seconds."""
        self.add(name, action, IntervalTrigger(seconds=seconds), at_once=at_once)

    def action(self, name: str) -> Callable[[], None]:
        """What a round does."""
        done: Callable[[], None] = self._scheduler.get_job(name).func
        return done

    def knock(self, name: str) -> None:
        """Have a round begin now; where it is going already, its end looks again."""
        with suppress(JobLookupError):
            self._scheduler.modify_job(name, next_run_time=utc_now())

    def knock_for(self, state: JobState) -> None:
        """A job is in this state now: have the rounds begin that take it up."""
        for name in self._takes_up.get(state, ()):
            self.knock(name)

    def start(self) -> None:
        """Begin."""
        self._scheduler.start()
        self._guard.start()

    def stop(self) -> None:
        """Wait for the rounds that are going, and begin no other."""
        self._stopped.set()
        self._scheduler.shutdown(wait=True)

    def plan_anew(self) -> None:
        """Begin every interval now, and look up the next time of every cron expression."""
        for job in self._scheduler.get_jobs():
            if isinstance(job.trigger, IntervalTrigger):
                self.knock(job.id)
            else:
                job.reschedule(job.trigger)

    def _watch_the_clock(self) -> None:
        while not self._stopped.wait(_LOOK_AT_THE_CLOCK_EVERY_SECONDS):
            step = self._clock.step()
            if step:
                logger.warning("the clock was set by %+.0f s; all rounds are planned anew", step)
                self.plan_anew()


def build_timetable(
    config: Config,
    runner: StudyRunner,
    couriers: Sequence[Courier],
    housekeeper: Housekeeper,
    beat: Callable[[], None] = lambda: None,
) -> Timetable:
    """Sweep, work, one delivery round for each destination, reconciler and retention. Not started yet.

    `beat` is called while the timetable goes on.
    """
    timetable = Timetable(threads=7 + len(couriers))
    times = config.schedule
    work = CronTrigger.from_crontab(times.cron) if times.cron else IntervalTrigger(seconds=times.claim_seconds)
    timetable.every(times.sweep_seconds, "sweep", housekeeper.sweep)
    timetable.every(times.sweep_seconds, "complete", housekeeper.complete)
    guard = DiskGuard(Spool(config.storage.spool, config.storage.min_free_mib))
    guard.has_room()  # it has seen the spool's marker from now on
    timetable.add(_WORK, lambda: _drain(runner, times.window, guard), work)
    timetable.every(_BEAT_SECONDS, "pulse", beat)
    # The first time at once: a crash may have been the reason for this start.
    timetable.every(times.reconcile_minutes * 60, "reconcile", housekeeper.mend, at_once=True)
    if times.scrub_mib_per_minute:
        timetable.every(ROUND_SECONDS, "scrub", housekeeper.scrub)
    for courier in couriers:
        timetable.every(times.deliver_seconds, f"deliver to {courier.name}", courier.deliver_due)
    timetable.wake(JobState.DELIVERING, *(f"deliver to {courier.name}" for courier in couriers))
    if not times.cron:  # cron says when to begin; nobody else does
        timetable.wake(JobState.READY, _WORK)
    timetable.every(_RETENTION_EVERY_SECONDS, "retention", housekeeper.retain)
    return timetable


def _drain(runner: StudyRunner, window: str, guard: DiskGuard) -> None:
    """Run jobs until the queue is empty, the window closes, or the disk is nearly full."""
    while is_open(window, local_time_of_day()) and guard.has_room() and runner.run_next():
        pass


def _safely(what: str, action: Callable[[], object]) -> Callable[[], None]:
    """The edge between one round and the next: an error is logged, and the next round tries again."""

    def run() -> None:
        try:
            action()
        except Exception as error:  # noqa: BLE001 - edge of the timetable
            log_error(logger, what, error)

    return run
