"""What the long-running processes share: signals, exit codes, the job book at the right revision."""

from __future__ import annotations

import signal
import threading
from types import FrameType

from bt_node.config import Config
from bt_node.domain.errors import Alarm
from bt_node.jobs import JobBook, open_book, schema_revision

# Exit codes of sysexits.h: a supervisor must not restart what only its administrator can mend.
EX_CONFIG = 78


class SchemaError(Alarm):
    """The database has another schema than this release of the node."""

    code = "schema-revision"

    def __init__(self, current: str | None, head: str | None) -> None:
        super().__init__(
            f"The database is at schema revision {current or 'none'}, this node needs {head}.",
            remedy="Run `bt-node db upgrade`.",
        )


def open_current_book(config: Config) -> JobBook:
    """Open the job book, or say that its schema must be upgraded first.

    Raises:
        SchemaError: the database is new, or older or newer than this node.
    """
    url = config.database.url
    current, head = schema_revision(url)
    if current != head:
        raise SchemaError(current, head)
    return open_book(url)


def stop_on_signals(stopping: threading.Event) -> None:
    """Turn SIGTERM and SIGINT into an event; the process ends when its work is put away."""

    def stop(number: int, frame: FrameType | None) -> None:
        del number, frame
        stopping.set()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
