"""Mends what a crash left between the spool and the job book.

The file is the truth of what was received: a file without a row gets its row. The other direction is the worker's:
a study whose files are lost is HELD with their names, and goes on when they are sent again
(`bt_node/runtime/reconciler.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import PurePosixPath

from bt_node.domain.errors import InstanceConflictError
from bt_node.receive.errors import EncodingError
from bt_node.receive.instance import describe, identity_of
from bt_node.receive.part10 import read_stored_file
from bt_node.receive.ports import ReceiptBook
from bt_node.receive.spool import Spool, instance_path

_log = logging.getLogger(__name__)

# Its own association: the study it mends is open until the whole pass is over, then becomes quiet like any other.
_ASSOCIATION = "reconcile/0"


@dataclass(frozen=True)
class Reconciliation:
    """What one pass did: temporary files removed, files given their row, files that are no instance of ours."""

    leftovers_removed: int
    recorded: tuple[str, ...]
    unreadable: tuple[str, ...]


def reconcile(spool: Spool, book: ReceiptBook) -> Reconciliation:
    """Remove temporary files of dead writers and record every stored file that the book does not know.

    Safe beside a running listener: a live temporary file is locked, and recording twice is recording once.
    """
    removed = spool.remove_leftovers()
    recorded: list[str] = []
    unreadable: list[str] = []
    try:
        for path in _unknown(spool, book):
            (recorded if _record(spool, book, path) else unreadable).append(path)
    finally:
        if recorded:
            book.association_closed(_ASSOCIATION)
    if removed or recorded or unreadable:
        _log.warning(
            "reconciled the spool: %d leftover file(s) removed, %d recorded, %d unreadable",
            removed, len(recorded), len(unreadable),
        )  # fmt: skip
    return Reconciliation(removed, tuple(recorded), tuple(unreadable))


def _unknown(spool: Spool, book: ReceiptBook) -> Iterator[str]:
    """Stored files that the book does not have, found with one question for each study."""
    for study, paths in groupby(spool.stored(), key=lambda path: PurePosixPath(path).parts[1]):
        found = list(paths)
        known = book.study_paths(study)  # asked after the files were seen: what came since is not taken for unknown
        yield from (path for path in found if path not in known)


def _record(spool: Spool, book: ReceiptBook, path: str) -> bool:
    """Record one file; False when it is not the instance its name says (it stays where it is, for a person)."""
    try:
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
