"""Compares spool and job book, both ways, at the worker's start and on the timetable, and mends what differs.

| found | what becomes of it |
|---|---|
| half-written file of a dead writer | removed; a live one holds a lock |
| received file without a row | gets its row, and its study goes on (`receive/reconcile.py`) |
| row without its file | the study is HELD (`files-lost`) when a worker wants it, until all files are there again |
| received file that changed | the same (`files-damaged`); who sends it again mends it; `scrub.py` looks for them |
| result that waits to be sent, whose file is gone or changed | never sent: the study runs again and makes it again |
| result file that no row names | removed: its run died before recording it, and the next run writes it anew |

A result that was sent and not recorded as sent needs nothing here: it is still due, and goes out again as the same
object. Every step may run beside listeners, workers and other reconcilers.
"""

from __future__ import annotations

import hashlib
import logging
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from bt_node.domain.errors import FilesDamagedError, FilesLostError
from bt_node.domain.receipt import HeldInstance
from bt_node.domain.states import JobState
from bt_node.jobs import JobBook
from bt_node.receive.part10 import Kept, look_at
from bt_node.receive.reconcile import Remembered, reconcile
from bt_node.receive.spool import Spool
from bt_node.runtime.clock import age_of_file_seconds

logger = logging.getLogger(__name__)

# A run stores its results seconds before it records them; what is this old and has no row is nobody's.
_NOBODYS_AFTER_SECONDS = 3600.0
_WANTS_FILES = (FilesLostError.code, FilesDamagedError.code)


class Reconciler:
    """Mends what crashes, full disks and hands left between spool and job book."""

    def __init__(self, book: JobBook, spool: Spool) -> None:
        self._book, self._spool = book, spool
        self._remembered = Remembered()

    def mend(self) -> None:
        """One pass over everything."""
        reconcile(self._spool, self._book, self._remembered)
        self.mend_inputs()
        self.mend_results()
        self.remove_nobodys_results()

    def mend_inputs(self) -> None:
        """Tell of lost images, and let a study go on whose lost or damaged images are there again."""
        for job_id, state, code in self._book.jobs_that_need_files():
            waits = state is JobState.HELD and code in _WANTS_FILES
            files = self._book.input_files(job_id).values()
            lost = sum(not self._spool.absolute(file.path).is_file() for file in files)
            if lost:
                logger.error("job %d (%s): %d of %d instances are not in the spool", job_id, state, lost, len(files))
            elif waits and all(self._is_sound(file) for file in files) and self._book.files_are_back(job_id):
                logger.info("job %d: its lost or damaged images are in the spool again", job_id)

    def _is_sound(self, file: HeldInstance) -> bool:
        return look_at(self._spool.absolute(file.path), file.digest, file.transfer_syntax_uid) is Kept.SOUND

    def mend_results(self) -> None:
        """Run again what has a result to send whose file is not what was made."""
        damaged: dict[int, list[str]] = defaultdict(list)
        for result in self._book.waiting_results():
            if sha256_of(self._spool.absolute(result.path)) != result.sha256:
                damaged[result.job_id].append(result.sop_instance_uid)
        if damaged:
            self._spool.require()  # a disk that went away meanwhile damaged nothing
        for job_id, uids in damaged.items():
            if self._book.make_again(job_id, uids):
                logger.error("job %d: %d stored results are gone or changed; it runs again", job_id, len(uids))

    def remove_nobodys_results(self) -> None:
        """Remove result files without a row."""
        for folder in self._result_folders():
            old = {
                path.relative_to(self._spool.root).as_posix(): path
                for path in folder.glob("*.dcm")
                if age_of_file_seconds(path) > _NOBODYS_AFTER_SECONDS
            }
            if not old:
                continue
            for relative in self._book.unrecorded_results(int(folder.name), old.keys()):
                old[relative].unlink(missing_ok=True)
                logger.warning("job %s: removed a result that was never recorded", folder.name)

    def _result_folders(self) -> Iterator[Path]:
        results = self._spool.root / "results"
        if results.is_dir():
            yield from (folder for folder in sorted(results.iterdir()) if folder.name.isdecimal() and folder.is_dir())


def sha256_of(path: Path) -> str:
    """Hash (hex) of a file; empty where it cannot be read."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return ""
