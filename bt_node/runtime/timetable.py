"""The worker's timetable (APScheduler 3.11). The queue is our own table; the scheduler only knocks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from apscheduler.executors.pool import ThreadPoolExecutor
from apscheduler.schedulers.background import BackgroundScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from bt_node.config import Config
from bt_node.receive.spool import Spool
from bt_node.runtime.clock import local_time_of_day, utc_now
from bt_node.runtime.courier import Courier
from bt_node.runtime.disk_guard import DiskGuard
from bt_node.runtime.edges import log_error
from bt_node.runtime.housekeeping import Housekeeper
from bt_node.runtime.runner import StudyRunner
from bt_node.runtime.window import is_open

logger = logging.getLogger(__name__)

_RETENTION_EVERY_SECONDS = 3600
_BEAT_SECONDS = 5


def build_timetable(
    config: Config,
    runner: StudyRunner,
    couriers: Sequence[Courier],
    housekeeper: Housekeeper,
    beat: Callable[[], None] = lambda: None,
) -> BackgroundScheduler:
    """Sweep, work, one delivery round for each destination, and retention. Not started yet.

    A round that is still going when its time comes again is not started twice (max_instances=1), and missed rounds
    are made up once (coalesce). `beat` is called while the timetable goes on.
    """
    threads = 6 + len(couriers)
    scheduler = BackgroundScheduler(
        executors={"default": ThreadPoolExecutor(threads)},
        job_defaults={"max_instances": 1, "coalesce": True, "misfire_grace_time": None},
    )
    times = config.schedule
    work = CronTrigger.from_crontab(times.cron) if times.cron else IntervalTrigger(seconds=times.claim_seconds)
    scheduler.add_job(_safely("sweep", housekeeper.sweep), IntervalTrigger(seconds=times.sweep_seconds), id="sweep")
    scheduler.add_job(
        _safely("completeness", housekeeper.complete), IntervalTrigger(seconds=times.sweep_seconds), id="complete"
    )
    guard = DiskGuard(Spool(config.storage.spool, config.storage.min_free_mib))
    scheduler.add_job(_safely("work", lambda: _drain(runner, times.window, guard)), work, id="work")
    scheduler.add_job(beat, IntervalTrigger(seconds=_BEAT_SECONDS), id="pulse")
    # The first time at once: a crash may have been the reason for this start.
    scheduler.add_job(
        _safely("reconciler", housekeeper.mend),
        IntervalTrigger(minutes=times.reconcile_minutes),
        id="reconcile",
        next_run_time=utc_now(),
    )
    for courier in couriers:
        scheduler.add_job(
            _safely(f"deliver to {courier.name}", courier.deliver_due),
            IntervalTrigger(seconds=times.deliver_seconds),
            id=f"deliver-{courier.name}",
        )
    scheduler.add_job(
        _safely("retention", housekeeper.retain), IntervalTrigger(seconds=_RETENTION_EVERY_SECONDS), id="retention"
    )
    return scheduler


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
