"""What keeps the job book moving: complete studies, changed studies, dead workers, retention."""

from __future__ import annotations

import logging
from pathlib import Path

from bt_node.config import Config
from bt_node.jobs import JobBook
from bt_node.pipeline.completeness import Examiner
from bt_node.receive.spool import Spool

logger = logging.getLogger(__name__)


class Housekeeper:
    """The timetable's rounds that need no model."""

    def __init__(self, book: JobBook, spool: Spool, config: Config, examiner: Examiner) -> None:
        self._book, self._spool, self._config, self._examiner = book, spool, config, examiner

    def sweep(self) -> None:
        """Free the jobs of dead workers, reopen studies that grew."""
        for job_id in self._book.expire_leases(self._config.schedule.max_attempts):
            logger.warning("job %d: its worker is gone", job_id)
        for job_id in self._book.reopen_changed():
            logger.info("job %d: new images arrived, opened again", job_id)

    def complete(self) -> None:
        """Pass on the studies that are complete. Sources are asked here: a slow one holds up no other round."""
        rules = self._config.completeness
        quiet, stale = rules.quiet_seconds, rules.stale_association_seconds
        for job_id in self._book.sweep_complete(quiet, stale, self._examiner):
            logger.info("job %d: complete", job_id)

    def retain(self) -> None:
        """Remove the files of studies that ended longer ago than [storage] retention_days (0 keeps all)."""
        days = self._config.storage.retention_days
        if not days:
            return
        for job_id in self._book.purge_candidates(days):
            for path in self._book.forget(job_id):
                self._remove(self._spool.absolute(path))
            logger.info("job %d: files removed after %s days", job_id, days)
        self._book.forget_refusals(days)

    def _remove(self, path: Path) -> None:
        """Delete a file and the folders that it leaves empty, up to the spool's root."""
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self._spool.root or any(folder.iterdir()):
                return
            folder.rmdir()
