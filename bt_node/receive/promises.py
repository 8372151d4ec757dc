"""Storage commitments that were asked of us and not reported yet, as files of the spool: a crash forgets none."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bt_node.domain.receipt import HeldInstance
from bt_node.receive.part10 import Kept, look_at
from bt_node.receive.ports import ReceiptBook
from bt_node.receive.references import Reference, References
from bt_node.receive.spool import COMMITMENTS, Spool

_log = logging.getLogger(__name__)

# Failure Reason (0008,1197), PS3.3 C.14.1.1
_NO_SUCH_INSTANCE, _CLASS_INSTANCE_CONFLICT = 0x0112, 0x0119


@dataclass(frozen=True)
class Promise:
    """A report that we owe.

    Attributes:
        requester: AE title that asked, and gets the report.
    """

    requester: str
    transaction_uid: str
    referenced: tuple[Reference, ...]

    @property
    def path(self) -> str:
        """Where it is kept, below the spool's root; the same request again is the same file."""
        name = hashlib.sha256(f"{self.requester}\n{self.transaction_uid}".encode()).hexdigest()[:32]
        return f"{COMMITMENTS}/{name}.json"


class Promises:
    """The reports that we owe, and what they say."""

    def __init__(self, spool: Spool, book: ReceiptBook) -> None:
        self._spool = spool
        self._book = book

    def keep(self, promise: Promise) -> None:
        """Make it durable.

        Raises:
            SpoolWriteError: the disk did not take it.
        """
        content = json.dumps(vars(promise)).encode()
        self._spool.write(promise.path, (content,), replace=True)

    def forget(self, promise: Promise) -> None:
        """It was reported."""
        self._spool.remove(promise.path)

    def owed(self) -> Iterator[Promise]:
        """All that are kept; what cannot be read is left for a person."""
        for path in sorted((self._spool.root / COMMITMENTS).glob("[!.]*.json")):
            try:
                yield _read(path)
            except (OSError, ValueError, KeyError, TypeError):
                _log.error("%s/%s cannot be read: no report is made of it", COMMITMENTS, path.name)

    def report(self, promise: Promise) -> References:
        """Look for each object: its digest in the book, and the same bytes in the spool now.

        Raises:
            Exception: the book does not answer; try again later.
        """
        held = self._book.held_instances([instance for _, instance in promise.referenced])
        kept: list[Reference] = []
        failed: list[tuple[str, str, int]] = []
        lies_there: dict[str, bool] = {}  # a request may name one large object thousands of times
        for sop_class, instance in promise.referenced:
            row = held.get(instance)
            if row is not None and row.path not in lies_there:
                lies_there[row.path] = self._lies_there(row)
            if row is None or not lies_there[row.path]:
                failed.append((sop_class, instance, _NO_SUCH_INSTANCE))
            elif row.sop_class_uid != sop_class:
                failed.append((sop_class, instance, _CLASS_INSTANCE_CONFLICT))
            else:
                kept.append((sop_class, instance))
        return References(promise.transaction_uid, tuple(kept), tuple(failed))

    def _lies_there(self, row: HeldInstance) -> bool:
        try:
            return look_at(self._spool.absolute(row.path), row.digest, row.transfer_syntax_uid) is Kept.SOUND
        except OSError:
            return False


def _read(path: Path) -> Promise:
    content = json.loads(path.read_bytes())
    return Promise(
        content["requester"], content["transaction_uid"], tuple((one, other) for one, other in content["referenced"])
    )
