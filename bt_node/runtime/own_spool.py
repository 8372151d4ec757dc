"""Which folder is the spool of this job book: the start-up condition that `serve` and `check` share."""

from __future__ import annotations

from bt_node.config import Config
from bt_node.jobs import JobBook
from bt_node.receive.spool import Spool

_LOOKED_FOR = 100  # of the files received last; one of them in the folder says enough


def own_spool(config: Config, book: JobBook) -> Spool:
    """The spool, marked as such at its first use.

    Raises:
        WrongSpoolError: as for `require_own_spool`.
        OSError: it cannot be made or marked.
    """
    spool = Spool(config.storage.spool, config.storage.min_free_mib)
    spool.take_up(book.last_paths(_LOOKED_FOR))
    return spool


def require_own_spool(config: Config, book: JobBook) -> None:
    """Refuse a folder that cannot be the spool of the job book (a lost mount, perhaps); changes nothing.

    Raises:
        WrongSpoolError: it is not marked, and none of the files received last lies in it.
    """
    Spool(config.storage.spool).require_right(book.last_paths(_LOOKED_FOR))
