"""Reads what was received again, little by little: a disk loses bits of files that nobody reads.

What it finds is named in the log. Nothing is changed: a study that is still to be analysed is verified before
(`travel.py`), and who sends the image again mends it (`receive/store.py`).
"""

from __future__ import annotations

import logging
import random
from collections import deque

from bt_node.jobs import JobBook, RecordedFile
from bt_node.receive.part10 import Kept, look_at
from bt_node.receive.spool import Spool

logger = logging.getLogger(__name__)

ROUND_SECONDS = 60
_ASKED_AT_ONCE = 200
_MIB = 1024 * 1024


class Scrubber:
    """Goes through the received files again and again, at most so much a round on the average.

    It begins anywhere, so that a worker that is restarted each day does not read the same files for ever.
    """

    def __init__(self, book: JobBook, spool: Spool, mib_per_round: float) -> None:
        self._book, self._spool = book, spool
        self._per_round = mib_per_round * _MIB
        self._allowed = 0.0
        self._behind: int | None = None
        self._next: deque[RecordedFile] = deque()

    def round(self) -> None:
        """Read on, until what is allowed in a round is read or the last file was; the next round begins anew then.

        Raises:
            SpoolGoneError: the spool is not there.
        """
        self._spool.require()
        self._allowed = min(self._allowed, 0.0) + self._per_round  # one large file is made up for later
        if self._behind is None:
            self._behind = random.randint(0, self._book.last_recorded())  # noqa: S311 - no secret
        while self._allowed > 0 and (file := self._following()) is not None:
            self._allowed -= file.size_bytes
            self._read(file)

    def _following(self) -> RecordedFile | None:
        """The next file; None after the last."""
        if not self._next:
            self._next.extend(self._book.recorded_after(self._behind or 0, _ASKED_AT_ONCE))
        if not self._next:
            self._behind = 0
            return None
        file = self._next.popleft()
        self._behind = file.number
        return file

    def _read(self, file: RecordedFile) -> None:
        found = self._look_at(file)
        if found is Kept.SOUND:
            return
        now = self._book.held_instances([file.sop_instance_uid]).get(file.sop_instance_uid)
        if now != file.held or self._look_at(file) is Kept.SOUND:
            return  # retention, or who sent it again, was there
        self._spool.require()
        word = "gone from the spool" if found is Kept.GONE else "not what was received"
        logger.error("job %d: instance %s is %s; send it again", file.job_id, file.sop_instance_uid, word)

    def _look_at(self, file: RecordedFile) -> Kept:
        held = file.held
        try:
            return look_at(self._spool.absolute(held.path), held.digest, held.transfer_syntax_uid)
        except OSError as error:
            logger.warning("job %d: an instance cannot be read now: %s", file.job_id, error.strerror)
            return Kept.SOUND
