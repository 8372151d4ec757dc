"""Which report a new one replaces, now that a report's UID is known only when it is written."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bt_node.domain.result import EarlierReport, EncodedObject


def latest_or_next(
    earlier: Sequence[EarlierReport], encode: Callable[[EarlierReport | None], EncodedObject]
) -> EncodedObject:
    """The latest of the earlier reports once more where nothing has changed, else one that replaces it.

    A run that is repeated finds its own report in the book. Written with the same predecessor it has the same
    content, and so the same UID: that is how it is known again. An older report that would be right again does not
    come back: an archive holds the later one, which names it as replaced, and it takes a new report to say so.

    Args:
        earlier: reports on this study that may have reached an archive, oldest first.
        encode: writes the report with this predecessor.
    """
    if not earlier:
        return encode(None)
    *before, latest = earlier
    for predecessor in (*reversed(before), None):
        again = encode(predecessor)
        if again.sop_instance_uid == latest.sop_instance_uid:
            return again
    return encode(latest)
