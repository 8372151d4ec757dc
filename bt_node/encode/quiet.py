"""Keep patient text out of logs and warnings while DICOM libraries handle it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from pydicom import config


@contextmanager
def no_patient_text() -> Iterator[None]:
    """Silence pydicom's and highdicom's remarks on values: they quote the value, a patient's name for example.

    What they would say is checked elsewhere: `source` drops values that break their VR, `readback` decodes results.
    """
    loggers = [logging.getLogger(name) for name in ("highdicom", "pydicom")]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), config.disable_value_validation():
        warnings.simplefilter("ignore")
        try:
            for logger in loggers:
                logger.setLevel(logging.CRITICAL)
            yield
        finally:
            for logger, level in zip(loggers, levels, strict=True):
                logger.setLevel(level)
