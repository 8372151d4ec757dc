"""PostgreSQL restarted under load: python -m bench.trials.postgres_restarts [RESTARTS]

Three workers and two listeners share one database and one spool, as they would on several hosts; two senders send
until every instance was answered with success. The server is stopped in the middle (immediate: as by a crash) and
started again, twenty times. In the end: nothing lost, nothing twice.
"""

from __future__ import annotations

import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from bench.machine import describe_machine
from bench.trials.cluster import PostgresServer, find_initdb, running_cluster
from bench.trials.harness import TITLE, Verdict, Worker, is_over, judge, make_study, plan, send, study_uid, wait
from bt_node.jobs import open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodeProcess

RESTARTS, WORKERS, LISTENERS, STUDIES = 20, 3, 2, 60
_BETWEEN_SECONDS = 1.0


@dataclass(frozen=True)
class Outcome:
    """How often the database was restarted, how often a folder had to be sent, and what became of the studies."""

    restarts: int
    sent: int
    verdict: Verdict


def run(
    folder: Path, server: PostgresServer, *, restarts: int, workers: int, listeners: int, studies: int
) -> Outcome:
    """Load from two senders, over all listeners; restarts from here."""
    url = server.create_database("trial")
    with ExitStack() as stack:
        pacs = stack.enter_context(FakePacs(TITLE))
        planned = plan(pacs, database={"url": url}, storage={"spool": str(folder / "shared" / "spool")})
        nodes = [
            stack.enter_context(NodeProcess(folder / f"node-{number}", planned, "listener"))
            for number in range(listeners)
        ]
        for node in nodes:
            node.wait_until_listening(TITLE)
        (folder / "shared" / "behaviour").mkdir(parents=True)
        (folder / "shared" / "behaviour" / "default").write_text("sleep 0.1")  # so that restarts meet trips
        crew = [Worker(nodes[number % listeners], place=1 + number // listeners).start() for number in range(workers)]
        for worker in crew:
            stack.callback(worker.stop)
        wait(lambda: all(worker.is_up for worker in crew), "the workers are up")
        folders = [make_study(folder / "studies", number) for number in range(studies)]
        senders = stack.enter_context(ThreadPoolExecutor(2))
        sending = [
            senders.submit(send, nodes[number % listeners], each, 300.0) for number, each in enumerate(folders)
        ]
        for _ in range(restarts):
            time.sleep(_BETWEEN_SECONDS)
            server.restart()
        tries = sum(each.result() for each in sending)
        book = open_book(url)
        for number in range(studies):
            wait(lambda: is_over(book, study_uid(number)), f"study {number} ends", 300.0)  # noqa: B023
        book.close()
        for worker in crew:
            assert worker.lives, "a worker ended"
        return Outcome(restarts, tries, judge(nodes[0], pacs, range(studies)))


def main() -> None:
    print(describe_machine())
    restarts = int(sys.argv[1]) if len(sys.argv) > 1 else RESTARTS
    started = time.monotonic()
    with running_cluster(find_initdb()) as server, tempfile.TemporaryDirectory() as scratch:
        outcome = run(Path(scratch), server, restarts=restarts, workers=WORKERS, listeners=LISTENERS, studies=STUDIES)
    print(f"{WORKERS} workers, {LISTENERS} listeners: {outcome}, {time.monotonic() - started:.0f} s")
    sys.exit(bool(outcome.verdict.problems))


if __name__ == "__main__":
    main()
