"""Does a peer that never comes to an end hold the one who talks to it?"""

from __future__ import annotations

import threading
from collections.abc import Callable


def is_held(serve: Callable[[], None], deliver: Callable[[], None], over: threading.Event, seconds: float) -> bool:
    """Whether `deliver`, beside `serve`, is still at it after some seconds; then `over` is set, and both may end."""
    serving, delivering = (threading.Thread(target=each, daemon=True) for each in (serve, deliver))
    serving.start()
    delivering.start()
    delivering.join(seconds)
    held = delivering.is_alive()
    over.set()
    delivering.join(10)
    return held
