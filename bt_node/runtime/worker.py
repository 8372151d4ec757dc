"""The worker process: trips, timetable, deliveries. The models live in a process of their own."""

from __future__ import annotations

import logging
import os
import socket
import threading
from collections.abc import Sequence

from bt_node.config import Config, Destination
from bt_node.domain.audit import AuditEvent, AuditRecord
from bt_node.domain.proof import ProofWanted
from bt_node.domain.study import Role
from bt_node.infer.release import SegmenterManifest, read_release
from bt_node.jobs import Ear, JobBook, not_configured, open_book
from bt_node.receive.spool import Spool
from bt_node.runtime.alerts import note_stopped
from bt_node.runtime.courier import Courier, CourierSettings
from bt_node.runtime.disk_guard import why_paused
from bt_node.runtime.examining import build_examiner
from bt_node.runtime.housekeeping import Housekeeper
from bt_node.runtime.journey import Traveller
from bt_node.runtime.outlets import build_outlet
from bt_node.runtime.own_spool import own_spool
from bt_node.runtime.process import stop_on_signals
from bt_node.runtime.pulse import Pulse
from bt_node.runtime.runner import RunnerSettings, StudyRunner
from bt_node.runtime.timetable import build_timetable
from bt_node.runtime.trip_process import TRIP_COMMAND, TripProcess, limits_of

logger = logging.getLogger(__name__)

_RETIRE_EVERY_SECONDS = 3600


def build_runner(config: Config, book: JobBook, spool: Spool, traveller: Traveller) -> StudyRunner:
    """The part of the worker that runs jobs."""
    settings = RunnerSettings(
        worker=f"{socket.gethostname()}:{os.getpid()}",
        lease_seconds=config.schedule.lease_seconds,
        max_attempts=config.schedule.max_attempts,
        retry_pause_seconds=config.schedule.retry_pause_seconds,
        destinations=_names(config),
        not_answered_report=config.results.not_answered_report,
    )
    return StudyRunner(book, spool, traveller, settings)


def build_couriers(config: Config, book: JobBook, spool: Spool) -> list[Courier]:
    """One courier for each configured destination."""
    return [
        Courier(target.name, build_outlet(config, target), book, spool, _courier_settings(config, target))
        for target in config.destinations
    ]


def _courier_settings(config: Config, target: Destination) -> CourierSettings:
    times = config.delivery
    return CourierSettings(
        first_pause_seconds=times.first_pause_seconds,
        longest_pause_seconds=times.max_pause_seconds,
        give_up_seconds=times.give_up_hours * 3600,
        proof=ProofWanted(target.proof),
        proof_timeout_seconds=times.proof_timeout_seconds,
    )


def roles_read(config: Config) -> tuple[Role, ...]:
    """The sequences that the configured segmenter reads; its manifest tells, without torch.

    Raises:
        ReleaseError: there is no such release, or it is no segmenter's.
    """
    manifest = read_release(config.models.folder / config.models.segmenter).manifest
    return manifest.input.roles if isinstance(manifest, SegmenterManifest) else ()


def run_worker(
    config: Config, stopping: threading.Event | None = None, trip_command: Sequence[str] = TRIP_COMMAND
) -> None:
    """Work through the timetable until asked to stop. Blocks.

    Args:
        config: the node's configuration.
        stopping: set to stop; None: SIGTERM and SIGINT do.
        trip_command: what runs the trips; tests have a fast one of their own.

    Raises:
        Alarm: schema not current, a model release is damaged.
    """
    stopped = stopping or threading.Event()
    if stopping is None:
        stop_on_signals(stopped)
    trips = TripProcess(config, limits_of(config), trip_command)
    trips.start()  # it loads the models while we do the rest
    try:
        _work(config, trips, stopped)
    finally:
        trips.stop()
    logger.info("worker stopped")


def _names(config: Config) -> tuple[str, ...]:
    return tuple(destination.name for destination in config.destinations)


def _retire(config: Config, book: JobBook) -> None:
    for job_id in book.retire_destinations(_names(config), config.delivery.give_up_hours * 3600):
        logger.warning("job %d: given up on a destination that no worker has served for long", job_id)


def _work(config: Config, trips: TripProcess, stopped: threading.Event) -> None:
    book = open_book(config.database.url)
    spool = own_spool(config, book)
    runner = build_runner(config, book, spool, trips)
    runner.stopping = stopped  # the job in hand goes back at once
    for name, number in book.unknown_destinations(_names(config)).items():
        logger.warning("%s; %d job(s) wait for it", not_configured(name), number)
    housekeeper = Housekeeper(book, spool, config, build_examiner(config, book, spool, roles_read(config)))
    pulse = Pulse(spool.root, "worker", lambda: why_paused(spool))
    timetable = build_timetable(config, runner, build_couriers(config, book, spool), housekeeper, pulse.beat)
    # Not at once: after a long rest of the node, workers that know more destinations may only be starting.
    timetable.every(_RETIRE_EVERY_SECONDS, "retire", lambda: _retire(config, book))
    if not runner.prepare():
        return
    ear = Ear(config.database.url, timetable.knock_for)
    timetable.start()
    ear.start()
    process = f"{socket.gethostname()}:{os.getpid()}"
    book.note_audit(AuditRecord(AuditEvent.STARTED, process, detail="worker"))
    logger.info("worker started")
    try:
        with pulse:
            stopped.wait()
    finally:
        ear.stop()
        timetable.stop()
        note_stopped(book, process, "worker")
        book.close()
