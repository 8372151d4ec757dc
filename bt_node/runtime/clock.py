"""The one place that reads the wall clock. Leases and pauses do not: they use the database's clock."""

from __future__ import annotations

from datetime import datetime, time


def local_time_of_day() -> time:
    """The time of day where the node stands; windows in [schedule] are local, as people's nights are."""
    return datetime.now().astimezone().time()
