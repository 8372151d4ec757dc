"""Mends what a crash left between the spool and the job book.

The file is the truth of what was received: a file without a row gets its row. The other direction is the worker's:
a study whose files are lost is HELD with their names, and goes on when they are sent again
(`bt_node/runtime/reconciler.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import groupby

from bt_node.domain.errors import InstanceConflictError
from bt_node.receive.errors import EncodingError
from bt_node.receive.instance import describe, identity_of
from bt_node.receive.part10 import read_stored_file
from bt_node.receive.ports import ReceiptBook
from bt_node.receive.spool import Spool, instance_path

_log = logging.getLogger(__name__)

# Its own association: the study it mends is open until the whole pass is over, then becomes quiet like any other.
_ASSOCIATION = "reconcile/0"
_EVERYWHERE = 144  # each so many passes: once a day, with one every ten minutes
_State = tuple[int, int]  # time of change (ns), and how many instances of the study the job book has


@dataclass(frozen=True)
class Reconciliation:
    """What one pass did: temporary files removed, files given their row, files that are no instance of ours."""

    leftovers_removed: int
    recorded: tuple[str, ...]
    unreadable: tuple[str, ...]


class Remembered:
    """Folders of series that need not be looked into again: every file had its row, and nothing has changed since.

    Nothing has changed where the folder's time of change is the same, and the job book has as many instances of the
    study: a database that went back in time (a restored dump, a replica that lagged behind) has fewer. A folder is
    skipped once two passes found it in order and unchanged. Who puts a file into it after the second pass began gives
    it a later time of change, however coarse the file system's clock is.
    """

    def __init__(self) -> None:
        self._in_order: dict[str, tuple[_State, bool]] = {}
        self._found: dict[str, tuple[_State, bool]] = {}
        self._passes = 0

    def begin(self) -> None:
        """A pass begins. Now and then it looks everywhere."""
        self._passes += 1
        self._in_order, self._found = (self._found if self._passes % _EVERYWHERE else {}), {}

    def skips(self, folders: Mapping[str, _State]) -> bool:
        """Whether this pass need not look into the folders of a study: all of them are as they were.

        All, because instances that the database has lost and as many new ones in another folder leave their number.
        """
        skipped = all(self._in_order.get(folder) == (state, True) for folder, state in folders.items())
        if skipped:
            self._found |= {folder: (state, True) for folder, state in folders.items()}
        return skipped

    def found_in_order(self, folder: str, state: _State) -> None:
        """Every file of the folder, listed after it was in this state, has its row."""
        self._found[folder] = (state, folder in self._in_order and self._in_order[folder][0] == state)


def reconcile(spool: Spool, book: ReceiptBook, remembered: Remembered | None = None) -> Reconciliation:
    """Remove temporary files of dead writers and record every stored file that the book does not know.

    Safe beside a running listener: a live temporary file is locked, and recording twice is recording once.

    Args:
        spool: what is on the disk.
        book: what is recorded.
        remembered: from pass to pass, so that a spool of a million files is not listed each time.
    """
    work = _Pass(spool, book, remembered or Remembered())
    try:
        work.run()
    finally:
        if work.recorded:
            book.association_closed(_ASSOCIATION)
    if work.removed or work.recorded or work.unreadable:
        _log.warning(
            "reconciled the spool: %d leftover file(s) removed, %d recorded, %d unreadable",
            work.removed, len(work.recorded), len(work.unreadable),
        )  # fmt: skip
    return Reconciliation(work.removed, tuple(work.recorded), tuple(work.unreadable))


class _Pass:
    """One pass over the spool, and what it did."""

    def __init__(self, spool: Spool, book: ReceiptBook, remembered: Remembered) -> None:
        self._spool, self._book, self._remembered = spool, book, remembered
        self.removed = 0
        self.recorded: list[str] = []
        self.unreadable: list[str] = []

    def run(self) -> None:
        self._remembered.begin()
        self.removed += self._spool.remove_leftovers()
        recorded = self._book.recorded_by_study()
        for study, found in groupby(self._spool.series_folders(), key=lambda folder: folder[0].split("/")[1]):
            folders = {folder: (changed_at, recorded.get(study, 0)) for folder, changed_at in found}
            if not self._remembered.skips(folders):
                self._look_into(study, folders)

    def _look_into(self, study: str, folders: Mapping[str, _State]) -> None:
        """The folders of one study, with one question to the book."""
        stored = {folder: self._spool.stored_in(folder) for folder in folders}
        known = self._book.study_paths(study)  # asked after the files were seen: what came since is not unknown
        for folder, state in folders.items():
            self.removed += self._spool.remove_leftovers_in(folder)
            unknown = [path for path in stored[folder] if path not in known]
            for path in unknown:
                (self.recorded if _record(self._spool, self._book, path) else self.unreadable).append(path)
            if not unknown:
                self._remembered.found_in_order(folder, state)


def _record(spool: Spool, book: ReceiptBook, path: str) -> bool:
    """Record one file; False when it is not the instance its name says (it stays where it is, for a person)."""
    try:
        spool.make_name_durable(path)  # who placed it may have been killed before he could
        stored = read_stored_file(spool.absolute(path))
        identity = identity_of(stored)  # as far as it is needed: the data set may have gigabytes
        place = instance_path(identity.study_instance_uid, identity.series_instance_uid, identity.sop_instance_uid)
    except (OSError, ValueError, EncodingError) as error:
        _log.error("%s in the spool cannot be read: %s", path, type(error).__name__)
        return False
    if place != path:
        _log.error("%s in the spool holds another instance than its name says", path)
        return False
    try:
        book.record_instance(describe(path, stored, identity), _ASSOCIATION)
    except InstanceConflictError:
        _log.error("%s in the spool has the SOPInstanceUID of another object", path)
        return False
    return True
