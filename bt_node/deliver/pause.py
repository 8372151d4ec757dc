"""How long to wait before a destination is tried again."""

from __future__ import annotations

_LARGEST_DOUBLING = 30  # keeps the power finite; any longest pause is reached long before


def pause_before_attempt(attempt: int, first: float, longest: float) -> float:
    """Seconds to wait before an attempt: first, twice that, four times, …, never more than `longest`.

    There is no jitter: one courier serves one destination with one association at a time, so no crowd of senders
    comes back at the same moment, and an operator can read the next attempt off the previous ones.

    Args:
        attempt: 0 is the very first attempt, which waits for nothing; 1 is the first repeat.
        first: seconds before the first repeat.
        longest: seconds that no pause exceeds.
    """
    if attempt <= 0:
        return 0.0
    return float(min(first * 2.0 ** min(attempt - 1, _LARGEST_DOUBLING), longest))
