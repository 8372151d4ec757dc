"""No new work while the spool is gone or its disk nearly full: what is received and waits for delivery comes first.

Below [storage] min_free_mib the listener answers 0xA700, and the worker claims nothing: a run whose results cannot be
stored would only use up the study's attempts. Deliveries and retention go on, because they are what makes room.
"""

from __future__ import annotations

import logging

from bt_node.receive.spool import Spool

logger = logging.getLogger(__name__)


def why_paused(spool: Spool) -> str:
    """Why nothing new is begun, in words; "" where there is room."""
    if spool.is_gone:
        return f"paused: the spool's marker file is gone, is {spool.root} mounted?"
    free = spool.free_mib()
    if free >= spool.min_free_mib:
        return ""
    return f"paused: {free:.0f} MiB free at the spool, less than min_free_mib = {spool.min_free_mib:.0f}"


class DiskGuard:
    """Asked before each claim; logs when it begins to pause and when it goes on."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._paused = False

    def has_room(self) -> bool:
        """False while nothing new should be begun."""
        why = why_paused(self._spool)
        if why and not self._paused:
            logger.error("%s; no job is claimed meanwhile", why)
        if self._paused and not why:
            logger.warning("the spool is there and has room again; going on")
        self._paused = bool(why)
        return not why
