"""What every edge of a process does with an error that nobody foresaw."""

from __future__ import annotations

import logging

from bt_node.domain.errors import BtNodeError
from bt_node.runtime.logs import place_of


def log_error(logger: logging.Logger, what: str, error: BaseException) -> None:
    """Log an error so that an engineer finds the place, without the text of a foreign error.

    A library's message may quote a header value (a patient's name in a failed date, say); our own errors word
    themselves from facts. Frames are code, not values, so they are safe.
    """
    if isinstance(error, BtNodeError):
        logger.error("%s: %s [%s]", what, error, error.code)
        return
    logger.error("%s: unexpected %s at %s", what, type(error).__name__, place_of(error))
