"""How urgent the requester called a study.

Requested Procedure Priority (0040,1003) is no attribute of the MR IOD: scanners that write it take it over from the
worklist (PS3.4 Table K.6-1). Where it is absent the study is routine until a person says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

import pydicom

from bt_node.assemble.study import UNREADABLE
from bt_node.assemble.values import text
from bt_node.domain.priority import Priority

_FILES = 3  # one request lies behind all images of a study; a damaged file or two do no harm


def requested_priority(paths: Iterable[Path]) -> Priority:
    """The most urgent word in the first few files of a study."""
    found = [_priority_in(path) for path in islice(paths, _FILES)]
    return max(found, key=lambda each: each.rank, default=Priority.ROUTINE)


def _priority_in(path: Path) -> Priority:
    try:
        ds = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=["RequestedProcedurePriority"])
    except (OSError, *UNREADABLE):
        return Priority.ROUTINE
    return Priority.of_header(text(ds, "RequestedProcedurePriority"))
