"""PostgreSQL away for longer than a lease, with jobs in hand: python -m bench.trials.outages

Two workers hold a job each when the server is stopped as by a crash, and again when it is frozen, each time for
several lease lengths. A job may be tried once only: whoever counts an outage as an attempt fails every study.
"""

from __future__ import annotations

import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from bench.machine import describe_machine
from bench.trials.cluster import PostgresServer, find_initdb, running_cluster
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
from bt_node.domain.states import JobState
from bt_node.jobs import JobBook, open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodeProcess

WORKERS, STUDIES = 2, 4
_AWAY_SECONDS = 4 * LEASE_SECONDS
_SCHEDULE = {
    "sweep_seconds": 0.1, "claim_seconds": 0.1, "deliver_seconds": 0.1, "lease_seconds": 10, "max_attempts": 1,
    "reconcile_minutes": 0.02,
}  # fmt: skip


def run(folder: Path, server: PostgresServer, *, studies: int = STUDIES) -> Verdict:
    """What became of the studies."""
    url = server.create_database("outages")
    with ExitStack() as stack:
        pacs = stack.enter_context(FakePacs(TITLE))
        planned = plan(pacs, database={"url": url}, schedule=_SCHEDULE)
        node = stack.enter_context(NodeProcess(folder / "node", planned, "listener"))
        node.wait_until_listening(TITLE)
        behaviour = folder / "node" / "behaviour"
        behaviour.mkdir()
        (behaviour / "default").write_text("sleep 0.7")  # in each stage, so that an outage meets trips
        crew = [Worker(node, place=place).start() for place in range(1, WORKERS + 1)]
        for worker in crew:
            stack.callback(worker.stop)
        wait(lambda: all(worker.is_up for worker in crew), "the workers are up")
        for number in range(studies):
            send(node, make_study(folder / "studies", number))
        book = open_book(url)
        wait(lambda: _running(book, studies), "a job runs")
        server.call("pg_ctl", "stop", "-w", "-m", "immediate")
        time.sleep(_AWAY_SECONDS)
        server.start()
        wait(lambda: _running(book, studies), "a job runs again")
        with server.frozen():
            time.sleep(_AWAY_SECONDS)
        for number in range(studies):
            wait(lambda: is_over(book, study_uid(number)), f"study {number} ends", 300.0)  # noqa: B023
        book.close()
        return judge(node, pacs, range(studies))


def _running(book: JobBook, studies: int) -> bool:
    try:
        return any(book.view(study_uid(number))["state"] == JobState.RUNNING for number in range(studies))
    except Exception:  # noqa: BLE001 - the database may be on its way back
        return False


def main() -> None:
    print(describe_machine())
    with running_cluster(find_initdb()) as server, tempfile.TemporaryDirectory() as scratch:
        verdict = run(Path(scratch), server)
    print(verdict)
    sys.exit(bool(verdict.problems))


if __name__ == "__main__":
    main()
