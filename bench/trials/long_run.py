"""10,000 instances in 200 studies through the node, with fast trips: python -m bench.trials.long_run [STUDIES]

Rate of ingest and of finished studies, and memory of listener, worker and trip process, for each tenth of the run.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

from bench.machine import describe_machine
from bench.trials.harness import TITLE, Worker, is_over, judge, make_study, plan, send, study_uid, wait
from bt_node.jobs import open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodeProcess

STUDIES, INSTANCES, SIDE = 200, 50, 64
_PARTS = 10


def memory_mib(pid: int | None) -> float:
    """Resident memory of a process."""
    if pid is None:
        return 0.0
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmRSS")).split()[1]) / 1024


def child_of(pid: int) -> int | None:
    """The trip process of a worker."""
    children = Path(f"/proc/{pid}/task").glob("*/children")
    return next((int(word) for each in children for word in each.read_text().split()), None)


def main() -> None:
    print(describe_machine())
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else STUDIES
    with (
        tempfile.TemporaryDirectory() as scratch,
        FakePacs(TITLE) as pacs,
        NodeProcess(Path(scratch) / "node", plan(pacs), "listener") as node,
    ):
        node.wait_until_listening(TITLE)
        worker = Worker(node).start()
        wait(lambda: worker.is_up, "the worker is up")
        book = open_book(node.config.database.url)
        started = time.monotonic()
        print("| studies | instances/s | s to the end of the last | listener MiB | worker MiB | trips MiB |")
        print("|---|---|---|---|---|---|")
        for part in range(_PARTS):
            numbers = range(part * studies // _PARTS, (part + 1) * studies // _PARTS)
            folders = [make_study(Path(scratch) / "studies", number, INSTANCES, SIDE) for number in numbers]
            began = time.monotonic()
            for folder in folders:
                send(node, folder)
            rate = len(folders) * INSTANCES / (time.monotonic() - began)
            sent = time.monotonic()
            wait(lambda: all(is_over(book, study_uid(number)) for number in numbers), "studies end", 600.0)  # noqa: B023
            assert node.process is not None
            assert worker.process is not None
            pids = (node.process.pid, worker.process.pid, child_of(worker.process.pid))
            figures = " | ".join(f"{memory_mib(pid):.0f}" for pid in pids)
            print(
                f"| {numbers[0]}-{numbers[-1]} | {rate:.0f} | {time.monotonic() - sent:.1f} | {figures} |", flush=True
            )
        verdict = judge(node, pacs, range(studies), INSTANCES)
        book.close()
        worker.stop()
    print(f"{studies * INSTANCES} instances, {verdict}, {time.monotonic() - started:.0f} s")
    sys.exit(bool(verdict.problems))


if __name__ == "__main__":
    main()
