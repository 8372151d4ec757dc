"""When the GPU may work."""

from datetime import time

import pytest

from bt_node.runtime.window import is_open


@pytest.mark.parametrize(
    ("window", "now", "expected"),
    [
        ("", time(12), True),
        ("08:00-18:00", time(8), True),
        ("08:00-18:00", time(18), False),
        ("08:00-18:00", time(7, 59), False),
        ("20:00-06:00", time(23), True),
        ("20:00-06:00", time(5, 59), True),
        ("20:00-06:00", time(6), False),
        ("20:00-06:00", time(12), False),
    ],
)
def test_a_window_may_pass_midnight_and_its_end_is_outside(window: str, now: time, expected: bool) -> None:
    assert is_open(window, now) is expected
