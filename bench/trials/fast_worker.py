"""A worker with fast trips, which may be told to kill itself: `python bench/trials/fast_worker.py CONFIG [LEASE]`.

With BT_TRIAL_DIE="publish:before" the process kills itself (SIGKILL) whenever it comes to that point, as often as
BT_TRIAL_TIMES says, which is counted in files below BT_TRIAL_MARKS. The product itself has no such door: the points
are put around its methods here.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bench.trials.fast_trips import COMMAND
from bt_node.config import load_config
from bt_node.jobs import JobBook
from bt_node.receive.spool import Spool
from bt_node.runtime.logs import set_up_logging
from bt_node.runtime.worker import run_worker

# Each step at which the worker changes what is kept. After "claim" and its like it dies where something was done.
POINTS: dict[str, type] = {
    "sweep_complete": JobBook,
    "claim": JobBook,
    "note_stage": JobBook,
    "renew_lease": JobBook,
    "store_result": Spool,
    "publish": JobBook,
    "due_deliveries": JobBook,
    "record_delivery": JobBook,
    "record_kept": JobBook,
    "settle_deliveries": JobBook,
}
_ALWAYS = ("note_stage", "record_delivery", "record_kept")


def arm(point: str, times: int, marks: Path) -> None:
    """Put a crash point, "name:before" or "name:after", around its method."""
    name, when = point.split(":")
    owner = POINTS[name]
    original = getattr(owner, name)

    def dying(*args: Any, **words: Any) -> Any:
        if when == "before":
            die(point, times, marks)
        result = original(*args, **words)
        if when == "after" and (result or name in _ALWAYS):
            die(point, times, marks)
        return result

    setattr(owner, name, dying)


def die(point: str, times: int, marks: Path) -> None:
    """Kill this process, unless it has been done often enough."""
    marks.mkdir(parents=True, exist_ok=True)
    done = len(list(marks.glob(f"{point}.*")))
    if done < times:
        (marks / f"{point}.{done}").touch()
        os.kill(os.getpid(), signal.SIGKILL)


def main(arguments: list[str], arm_points: Callable[..., None] = arm) -> None:
    config = load_config(Path(arguments[0]), {})
    if len(arguments) > 1:  # shorter than an administrator may choose: a trial has no minute to wait
        schedule = config.schedule.model_copy(update={"lease_seconds": float(arguments[1])})
        config = config.model_copy(update={"schedule": schedule})
    if "BT_TRIAL_DIE" in os.environ:
        arm_points(os.environ["BT_TRIAL_DIE"], int(os.environ["BT_TRIAL_TIMES"]), Path(os.environ["BT_TRIAL_MARKS"]))
    set_up_logging(config.logging.level)
    run_worker(config, trip_command=COMMAND)


if __name__ == "__main__":
    main(sys.argv[1:])
