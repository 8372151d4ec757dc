"""`kill -9` of the worker at every step at which it changes what is kept: python -m bench.trials.worker_kills

At each point the worker kills itself three times, at the first three times that it comes there; each time another is
started. In the end: nothing lost, nothing twice in the PACS, nothing stuck.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.machine import describe_machine
from bench.trials.fast_worker import POINTS
from bench.trials.harness import (
    LEASE_SECONDS,
    TITLE,
    Verdict,
    Worker,
    is_over,
    judge,
    make_study,
    plan,
    send,
    study_uid,
    wait,
)
from bt_node.jobs import open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodeProcess

ALL_POINTS = tuple(f"{name}:{when}" for name in POINTS for when in ("before", "after"))
TIMES = 3


@dataclass(frozen=True)
class Outcome:
    """What came of one run of the trial: how often a worker died at each point, and what became of the studies."""

    deaths: dict[str, int]
    verdict: Verdict


def run(folder: Path, points: Sequence[str] = ALL_POINTS, times: int = TIMES) -> Outcome:
    """One study for each point, one after another."""
    deaths = {}
    with FakePacs(TITLE) as pacs, NodeProcess(folder / "node", plan(pacs), "listener") as node:
        node.wait_until_listening(TITLE)
        book = open_book(node.config.database.url)
        for number, point in enumerate(points):
            send(node, make_study(folder / "studies", number))
            if point.startswith("renew_lease"):  # a trip that outlasts a renewal
                make_slow(node, str(book.view(study_uid(number))["id"]))
            marks = folder / "marks"
            told = {"BT_TRIAL_DIE": point, "BT_TRIAL_TIMES": str(times), "BT_TRIAL_MARKS": str(marks)}
            worker = Worker(node, told).start()
            try:
                wait(lambda: is_over(book, study_uid(number)), point, 180.0, worker.revive)  # noqa: B023
            finally:
                worker.stop()
            deaths[point] = len(list(marks.glob(f"{point}.*")))
        book.close()
        return Outcome(deaths, judge(node, pacs, range(len(points))))


def make_slow(node: NodeProcess, job: str) -> None:
    """Let each stage of a job's trip take a while."""
    told = node.folder / "behaviour"
    told.mkdir(exist_ok=True)
    (told / job).write_text(f"sleep {LEASE_SECONDS / 6:.2f}")


def main() -> None:
    print(describe_machine())
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        outcome = run(Path(scratch))
    print(f"{sum(outcome.deaths.values())} kills at {len(outcome.deaths)} points: {outcome.deaths}")
    print(f"{outcome.verdict}, {time.monotonic() - started:.0f} s")
    sys.exit(bool(outcome.verdict.problems))


if __name__ == "__main__":
    main()
