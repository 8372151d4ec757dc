"""A dump put back under living processes: python -m bench.trials.restored_dump

A listener and a worker live while `pg_restore --clean` takes PostgreSQL back to a dump made three studies ago: two of
them were done since, one is in hand. In the end every study is done, and the PACS has each result once.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from bench.machine import describe_machine
from bench.trials.cluster import PostgresServer, find_initdb, running_cluster
from bench.trials.harness import TITLE, Verdict, Worker, is_over, judge, make_study, plan, send, study_uid, wait
from bt_node.jobs import open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodeProcess

STUDIES = 4


def run(folder: Path, server: PostgresServer) -> Verdict:
    """What became of the studies."""
    url = server.create_database("restored")
    programs, dump = Path(find_initdb()).parent, folder / "dump"
    with ExitStack() as stack:
        pacs = stack.enter_context(FakePacs(TITLE))
        node = stack.enter_context(NodeProcess(folder / "node", plan(pacs, database={"url": url}), "listener"))
        node.wait_until_listening(TITLE)
        worker = Worker(node).start()
        stack.callback(worker.stop)
        wait(lambda: worker.is_up, "the worker is up")
        book = open_book(url)
        stack.callback(book.close)
        folders = [make_study(folder / "studies", number) for number in range(STUDIES)]

        def take(number: int) -> None:
            send(node, folders[number])
            wait(lambda: is_over(book, study_uid(number)), f"study {number} ends")

        take(0)
        subprocess.run([programs / "pg_dump", "-Fc", "-f", dump, url], check=True)
        take(1)
        take(2)
        send(node, folders[3])
        subprocess.run([programs / "pg_restore", "--clean", "--if-exists", "-d", url, dump], check=True)
        for number in range(STUDIES):  # known again by the reconciler, without a restart
            wait(lambda: is_over(book, study_uid(number)), f"study {number} ends again")  # noqa: B023
        return judge(node, pacs, range(STUDIES))


def main() -> None:
    print(describe_machine())
    with running_cluster(find_initdb()) as server, tempfile.TemporaryDirectory() as scratch:
        verdict = run(Path(scratch), server)
    print(verdict)
    sys.exit(bool(verdict.problems))


if __name__ == "__main__":
    main()
