"""The worker process: models, timetable, deliveries."""

from __future__ import annotations

import logging
import os
import socket
import threading

from bt_node import __version__
from bt_node.config import Config
from bt_node.deliver.peer import Peer
from bt_node.domain.audit import AuditEvent, AuditRecord
from bt_node.domain.study import Role
from bt_node.encode.results import NodeIdentity
from bt_node.infer.classifier import load_classifier
from bt_node.infer.device import choose_device, use_threads
from bt_node.infer.release import read_release
from bt_node.infer.segmenter import load_segmenter
from bt_node.jobs import JobBook, open_book
from bt_node.pipeline.trip import Models
from bt_node.receive.spool import Spool
from bt_node.runtime.alerts import note_stopped
from bt_node.runtime.courier import Courier, CourierSettings
from bt_node.runtime.examining import build_examiner
from bt_node.runtime.housekeeping import Housekeeper
from bt_node.runtime.process import stop_on_signals
from bt_node.runtime.runner import RunnerSettings, StudyRunner
from bt_node.runtime.site_key import site_key
from bt_node.runtime.timetable import build_timetable

logger = logging.getLogger(__name__)

MANUFACTURER = "bt-node project"
MODEL_NAME = "bt-node"


def load_models(config: Config) -> Models:
    """Load the releases that the configuration names, weights verified.

    Raises:
        ReleaseError: a release is missing or damaged; a weights file is not the one its manifest names.
    """
    use_threads(config.device.threads)
    device = choose_device(config.device.name)
    segmenter = load_segmenter(read_release(config.models.folder / config.models.segmenter), device)
    classifier = None
    if config.models.classifier:
        classifier = load_classifier(read_release(config.models.folder / config.models.classifier), device)
    logger.info("models loaded on %s", device)
    return Models(
        segmenter,
        classifier,
        require_all_roles=config.completeness.require_all_roles,
        site=config.roles,
        segment_on=tuple(Role(name) for name in config.results.segment_on),
    )


def node_identity(config: Config) -> NodeIdentity:
    """How result objects name this node. The AE title serves as serial number: a site knows its nodes by it."""
    return NodeIdentity(
        manufacturer=MANUFACTURER,
        model_name=MODEL_NAME,
        version=__version__,
        serial=config.listener.ae_title,
    )


def build_runner(config: Config, book: JobBook, spool: Spool, models: Models) -> StudyRunner:
    """The part of the worker that runs jobs."""
    settings = RunnerSettings(
        worker=f"{socket.gethostname()}:{os.getpid()}",
        lease_seconds=config.schedule.lease_seconds,
        max_attempts=config.schedule.max_attempts,
        retry_pause_seconds=config.schedule.retry_pause_seconds,
        destinations=tuple(destination.name for destination in config.destinations),
        not_answered_report=config.results.not_answered_report,
    )
    key = site_key(config.follow_up.key_file) if config.follow_up.enabled else None
    return StudyRunner(book, spool, models, node_identity(config), settings, key)


def build_couriers(config: Config, book: JobBook, spool: Spool) -> list[Courier]:
    """One courier for each configured destination."""
    settings = CourierSettings(
        calling_ae_title=config.listener.ae_title,
        timeout_seconds=config.delivery.timeout_seconds,
        first_pause_seconds=config.delivery.first_pause_seconds,
        longest_pause_seconds=config.delivery.max_pause_seconds,
        give_up_seconds=config.delivery.give_up_hours * 3600,
    )
    return [
        Courier(target.name, Peer(target.ae_title, target.host, target.port), book, spool, settings)
        for target in config.destinations
    ]


def run_worker(config: Config, stopping: threading.Event | None = None) -> None:
    """Work through the timetable until asked to stop. Blocks.

    Raises:
        Alarm: schema not current, a model release is damaged.
    """
    stopped = stopping or threading.Event()
    if stopping is None:
        stop_on_signals(stopped)
    book = open_book(config.database.url)
    spool = Spool(config.storage.spool, config.storage.min_free_mib)
    models = load_models(config)
    runner = build_runner(config, book, spool, models)
    for job_id in book.retire_destinations([target.name for target in config.destinations]):
        logger.warning("job %d: a destination it waited for is no longer configured", job_id)
    housekeeper = Housekeeper(book, spool, config, build_examiner(config, book, spool, models.segmenter.roles))
    timetable = build_timetable(config, runner, build_couriers(config, book, spool), housekeeper)
    timetable.start()
    process = f"{socket.gethostname()}:{os.getpid()}"
    book.note_audit(AuditRecord(AuditEvent.STARTED, process, detail="worker"))
    logger.info("worker started")
    try:
        stopped.wait()
    finally:
        runner.stopping.set()  # the job in hand goes back at its next stage
        timetable.shutdown(wait=True)
        note_stopped(book, process, "worker")
        book.close()
    logger.info("worker stopped")
