"""The log: one line an event, to standard error; job numbers, UIDs and words of our own only.

Everything passes one handler. Libraries quote what they handle (a patient's name, a peer's UID of 60 kB), so of their
records and warnings only library, kind and place in the code are written, and of repeats only the 1st, 10th, 100th …
Our own records may hold a peer's words: whatever is not printable is escaped, and a line is bounded.
"""

from __future__ import annotations

import logging
import sys
import threading
import traceback
import warnings
from collections import Counter
from pathlib import PurePath
from types import TracebackType
from typing import Any

from bt_node.domain.text import one_line

_FORMAT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_BRIEF = "%(levelname)s: %(message)s"
_OURS = "bt_node"
_LONGEST_LINE = 2000
_LONGEST_NAME = 80
_PLACES = 500  # of libraries that are counted apart; a place is a line of code, so there are few
_FRAMES = 12
_USUALLY_IGNORED = (DeprecationWarning, PendingDeprecationWarning, ImportWarning, ResourceWarning)

_log = logging.getLogger(__name__)


def set_up_logging(level: str, *, brief: bool = False) -> None:
    """Send our own logs at `level` to standard error, and what libraries warn of, without its text.

    Errors that nobody caught are logged too, by class and place.

    Args:
        level: of our own logs.
        brief: without time and logger, for commands.
    """
    handler = logging.StreamHandler()
    handler.addFilter(_Repeats())
    handler.setFormatter(_OneLine(_BRIEF if brief else _FORMAT))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    logging.getLogger(_OURS).setLevel(level)
    _hear_warnings()
    _hear_uncaught_errors()


def place_of(error: BaseException) -> str:
    """Where an error came from, innermost last: files, lines and functions, never a value."""
    return _frames(error.__traceback__)


def _frames(trace: TracebackType | None) -> str:
    frames = traceback.StackSummary.extract(traceback.walk_tb(trace), lookup_lines=False)
    shown = [f"{_short(frame.filename)}:{frame.lineno} in {frame.name}" for frame in frames[-_FRAMES:]]
    return " > ".join(shown) or "an unknown place"


def _short(path: str) -> str:
    return "/".join(PurePath(path).parts[-3:])


def _is_ours(record: logging.LogRecord) -> bool:
    return record.name == _OURS or record.name.startswith(f"{_OURS}.")


class _Repeats(logging.Filter):
    """Counts the records of each place in a library, and lets the 1st, 10th, 100th … pass."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()
        self._seen: Counter[tuple[object, ...]] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        if _is_ours(record):
            return True
        place: tuple[object, ...] = (record.name, record.levelno, record.pathname, record.lineno)
        with self._lock:
            if place not in self._seen and len(self._seen) >= _PLACES:
                place = ()
            self._seen[place] += 1
            seen = self._seen[place]
        record.seen = seen
        return str(seen).strip("0") == "1"


class _OneLine(logging.Formatter):
    """One printable line of bounded length for each record."""

    def format(self, record: logging.LogRecord) -> str:
        told = logging.makeLogRecord({**vars(record), "exc_info": None, "exc_text": None, "stack_info": None})
        told.msg, told.args = _words(record), None
        told.name = one_line(record.name, _LONGEST_NAME)
        return one_line(super().format(told), _LONGEST_LINE)


def _words(record: logging.LogRecord) -> str:
    said = _own_words(record) if _is_ours(record) else _place_in_library(record)
    error = record.exc_info[1] if record.exc_info else None
    return said if error is None else f"{said} [{type(error).__name__} at {place_of(error)}]"


def _own_words(record: logging.LogRecord) -> str:
    try:
        return record.getMessage()
    except Exception:  # noqa: BLE001 - our own mistake; the library would print the values as they are
        return f"{record.msg} (values that do not fit)"


def _place_in_library(record: logging.LogRecord) -> str:
    seen = getattr(record, "seen", 1)
    times = f" ({seen} times by now)" if seen > 1 else ""
    kind = getattr(record, "category", "remark")
    library = one_line(record.name, _LONGEST_NAME)
    return f"{kind} of {library} at {_short(record.pathname)}:{record.lineno}, its text kept back{times}"


# ---------------------------------------------------------------- what Python itself would print


def _hear_warnings() -> None:
    # Python remembers each text that it shows once, for ever; "always" remembers nothing, and we count ourselves.
    warnings.simplefilter("always")
    for category in _USUALLY_IGNORED:
        warnings.simplefilter("ignore", category)
    warnings.showwarning = _warned


def _warned(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    del message, file, line
    details = {"levelno": logging.WARNING, "levelname": "WARNING", "category": category.__name__}
    place = {"name": "py.warnings", "pathname": filename, "lineno": lineno}
    logging.getLogger("py.warnings").handle(logging.makeLogRecord({**details, **place}))


def _hear_uncaught_errors() -> None:
    def uncaught(kind: type[BaseException], _: BaseException, trace: TracebackType | None) -> None:
        if issubclass(kind, KeyboardInterrupt):
            return
        _log.critical("unexpected %s at %s", kind.__name__, _frames(trace))

    def in_thread(what: threading.ExceptHookArgs) -> None:
        if what.exc_type is not SystemExit:
            _log.error("a thread ended: unexpected %s at %s", what.exc_type.__name__, _frames(what.exc_traceback))

    def unraisable(what: Any) -> None:
        _log.warning("ignored %s at %s", what.exc_type.__name__, _frames(what.exc_traceback))

    sys.excepthook, threading.excepthook, sys.unraisablehook = uncaught, in_thread, unraisable
