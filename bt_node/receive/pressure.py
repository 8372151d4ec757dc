"""Bounds on what one association may pile up in memory, as event handlers in pynetdicom's reading thread.

While a handler here waits nothing is read from the peer, so TCP itself slows the sender down.
"""

from __future__ import annotations

import logging
import time

from pynetdicom.events import Event

_log = logging.getLogger(__name__)

# We negotiate no asynchronous operations window, so an honest peer has one request unanswered (PS3.7 D.3.3.3).
_MAX_WAITING_REQUESTS = 2
_PAUSE_S = 0.002


def hold_back(event: Event) -> None:
    """Before one more request is queued: wait until the earlier ones are being answered (EVT_DIMSE_RECV)."""
    association = event.assoc
    while association.is_established and association.dimse.msg_queue.qsize() >= _MAX_WAITING_REQUESTS:
        time.sleep(_PAUSE_S)


def bound_instance(event: Event, max_instance_bytes: int) -> None:
    """Abort an association whose data set in transfer has grown beyond the limit (EVT_PDU_RECV)."""
    message = event.assoc.dimse.message
    if message is None or message.data_set is None or message.data_set.tell() <= max_instance_bytes:
        return
    _log.error("a data set of more than %d bytes is not taken: association aborted", max_instance_bytes)
    event.assoc.abort()
