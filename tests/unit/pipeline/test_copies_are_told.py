"""An image that was left out because the series holds it already is listed, like everything that is set aside."""

from __future__ import annotations

import numpy as np

from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.study import SliceFacts, StackedSeries
from bt_node.pipeline.record import TripRecord


def piece(uid: str) -> SliceFacts:
    return SliceFacts(uid, 0, (0.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0, 1.0, 0.0), (1.0, 1.0), 4, 4)


def test_copies_are_listed_with_their_number_and_reason() -> None:
    volume = Volume(np.zeros((1, 4, 4), dtype=np.float32), Grid((1, 4, 4), (1.0, 1.0, 5.0), (0.0, 0.0, 0.0)))
    record = TripRecord(roles=[{"series_instance_uid": "1.2.3", "series_number": 8}])
    twice = StackedSeries("1.2.3", volume, (piece("1.1"),), (piece("1.2"), piece("1.3")))
    once = StackedSeries("1.2.4", volume, (piece("2.1"),))
    record.note_copies([once, twice])
    (entry,) = record.set_aside
    assert (entry["series_instance_uid"], entry["series_number"], entry["instances"]) == ("1.2.3", 8, 2)
    assert "the very same image" in entry["reason"]
