"""When the GPU may work: `[schedule] window = "20:00-06:00"`."""

from __future__ import annotations

from datetime import time


def is_open(window: str, now: time) -> bool:
    """Whether `now` lies in the window. An empty window is always open; one may pass midnight; the end is outside.

    Args:
        window: "" or "HH:MM-HH:MM", already checked by the configuration.
        now: local time of day.
    """
    if not window:
        return True
    start, end = (time.fromisoformat(part.strip()) for part in window.split("-"))
    wall = now.replace(tzinfo=None)
    if start <= end:
        return start <= wall < end
    return wall >= start or wall < end
