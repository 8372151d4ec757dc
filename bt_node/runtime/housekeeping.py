"""What keeps the job book moving: complete studies, changed studies, dead workers, retention."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path

from bt_node.config import Config
from bt_node.domain.errors import IllegalMoveError
from bt_node.jobs import JobBook
from bt_node.pipeline.completeness import Examiner
from bt_node.receive.spool import Spool
from bt_node.runtime.edges import log_error
from bt_node.runtime.lease_watch import LeaseWatch
from bt_node.runtime.reconciler import Reconciler
from bt_node.runtime.scrub import Scrubber

logger = logging.getLogger(__name__)


class Housekeeper:
    """The timetable's rounds that need no model."""

    def __init__(self, book: JobBook, spool: Spool, config: Config, examiner: Examiner) -> None:
        self._book, self._spool, self._config, self._examiner = book, spool, config, examiner
        self._reconciler = Reconciler(book, spool)
        self._scrubber = Scrubber(book, spool, config.schedule.scrub_mib_per_minute)
        self._watch = LeaseWatch(config.schedule.lease_seconds)

    def sweep(self) -> None:
        """Free the jobs of dead workers, reopen studies that grew."""
        times, delivery = self._config.schedule, self._config.delivery
        for lease in self._watch.silent(self._book.held_leases()):
            if self._book.expire_lease(lease, times.max_attempts, times.retry_pause_seconds):
                logger.warning("job %d: its worker is gone", lease.job_id)
        longest = times.retry_pause_seconds * 2**times.max_attempts
        self._book.mend_times(longest, delivery.max_pause_seconds)
        for job_id in self._book.settle_all():
            logger.warning("job %d: its deliveries were over, and nobody had said so", job_id)
        for job_id in self._book.reopen_changed():
            logger.info("job %d: new images arrived, opened again", job_id)

    def mend(self) -> None:
        """Compare spool and job book, and mend what crashes left.

        Raises:
            SpoolGoneError: the spool is not there; nothing is done, for a lost mount says nothing of any file.
        """
        self._spool.require()
        self._reconciler.mend()

    def scrub(self) -> None:
        """Read some of the received files again, and name what is not what was received."""
        self._scrubber.round()

    def complete(self) -> None:
        """Pass on the studies that are complete. Sources are asked here: a slow one holds up no other round."""
        rules = self._config.completeness
        quiet, stale = rules.quiet_seconds, rules.stale_association_seconds
        for job_id in self._book.sweep_complete(quiet, stale, self._examiner):
            logger.info("job %d: complete", job_id)

    def retain(self) -> None:
        """Remove the files of studies that ended longer ago than [storage] retention_days (0 keeps all).

        Raises:
            SpoolGoneError: the spool is not there; its files would stay, and their rows be gone.
        """
        days = self._config.storage.retention_days
        if not days:
            return
        self._spool.require()
        for job_id in self._book.purge_candidates(days):
            try:
                self._book.purge(job_id, self._remove)
            except (OSError, IllegalMoveError) as error:  # it may not keep the others' files, and so fill the disk
                log_error(logger, f"job {job_id}: retention", error)
            else:
                logger.info("job %d: files removed after %s days", job_id, days)
        self._book.forget_refusals(days)

    def _remove(self, paths: Sequence[str]) -> None:
        # Files before rows: a crash in between leaves rows, which the next round purges. The other way round it would
        # leave files, which the reconciler takes for a new study.
        for path in paths:
            self._spool.require()
            self._remove_one(self._spool.absolute(path))

    def _remove_one(self, path: Path) -> None:
        """Delete a file and the folders that it leaves empty, up to the spool's root.

        Either may be gone already (a round that was interrupted), or be filled again by a listener at this moment.
        """
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._spool.root:
                return
            try:
                folder.rmdir()
            except FileNotFoundError:
                continue
            except OSError:  # not empty
                return
