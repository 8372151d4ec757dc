"""Which workers fell silent: leases that this process has watched unchanged for long enough.

No wall clock takes part. A renewal writes another end into the lease's row; whoever watches a row and sees the same
end for a whole lease, on a clock of its own that only goes forward, knows that nobody renews it. So a clock that
jumps by an hour, on this host or on the database's, neither ends a lease nor keeps a dead worker's job.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable

from bt_node.jobs import HeldLease

# As often as a living worker renews. More than this between two looks proves nothing: we slept, or the database was
# away and nobody could renew.
_LOOKS_PER_LEASE = 4


class LeaseWatch:
    """Watches leases from one look to the next."""

    def __init__(self, lease_seconds: float, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._monotonic = lease_seconds, monotonic
        self._looked_at = monotonic()
        self._unchanged: dict[HeldLease, float] = {}

    def silent(self, leases: Iterable[HeldLease]) -> list[HeldLease]:
        """Those of the leases held now that have not changed for longer than a lease."""
        now = self._monotonic()
        since = min(now - self._looked_at, self._seconds / _LOOKS_PER_LEASE)
        self._looked_at = now
        self._unchanged = {
            lease: self._unchanged[lease] + since if lease in self._unchanged else 0.0 for lease in leases
        }
        return [lease for lease, seconds in self._unchanged.items() if seconds > self._seconds]
