"""Log set-up: one line an event, to standard error, job numbers and UIDs only."""

from __future__ import annotations

import logging

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
# These libraries log what they handle (names of files, data set contents), or too often.
_QUIET = ("pynetdicom", "pydicom", "apscheduler", "highdicom", "sqlalchemy", "alembic", "matplotlib", "monai")


def set_up_logging(level: str) -> None:
    """Send our own logs at `level` to standard error; keep libraries to errors."""
    logging.basicConfig(level=level, format=_FORMAT, force=True)
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.ERROR)
    # pynetdicom and pydicom quote header values in warnings, and those may be patient data.
    logging.getLogger("py.warnings").setLevel(logging.ERROR)
    logging.captureWarnings(True)
