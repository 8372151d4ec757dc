"""The one place that reads the wall clock. Leases and pauses do not: they use the database's clock."""

from __future__ import annotations

from datetime import UTC, datetime, time
from pathlib import Path
from time import time as time_now


def local_time_of_day() -> time:
    """The time of day where the node stands; windows in [schedule] are local, as people's nights are."""
    return datetime.now().astimezone().time()


def utc_now() -> datetime:
    """Now, for the scheduler."""
    return datetime.now(UTC)


def age_of_file_seconds(path: Path) -> float:
    """How long ago a file was written, by the clock that its time stamp comes from; 0 where it is gone."""
    try:
        return max(0.0, time_now() - path.stat().st_mtime)
    except FileNotFoundError:
        return 0.0
