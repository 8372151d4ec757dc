"""How many jobs a second are claimed and ended, on SQLite and PostgreSQL, with 1, 4 and 16 workers.

python -m bench.claims [JOBS]

Each worker is a process of its own that claims, renews once and ends a job as a worker does, until none is left. With
one machine for all of them this is what the database and its locks allow, not what more hosts would.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from bench.machine import describe_machine
from bench.trials.cluster import find_initdb, running_cluster
from bt_node.domain.receipt import ReceivedInstance
from bt_node.jobs import open_book, upgrade_schema

JOBS = 320
WORKERS = (1, 4, 16)

_WORKER = """
import sys
from bt_node.jobs import RunRecord, open_book
book = open_book(sys.argv[1])
book.counts()
print("up", flush=True)
sys.stdin.readline()
done = []
while job := book.claim(sys.argv[2], 600.0):
    book.renew_lease(job.id, job.token, 600.0)
    book.publish(job.id, job.token, RunRecord(), [], [])
    done.append(job.id)
print(*done)
"""


def fill(url: str, jobs: int) -> None:
    upgrade_schema(url)
    book = open_book(url)
    for number in range(jobs):
        book.record_instance(
            ReceivedInstance(
                f"1.2.{number}.1.1", "1.2.840.10008.5.1.4.1.1.4", f"1.2.{number}", f"1.2.{number}.1",
                "1.2.840.10008.1.2.1", f"instances/{number}.dcm", 1, f"{number}", "BENCH",
            ),
            "",
        )  # fmt: skip
    assert len(book.sweep_complete(0.0, 300.0)) == jobs
    book.close()


def claims_a_second(url: str, workers: int, jobs: int) -> float:
    """Rate over all workers; every job is taken exactly once, or this fails."""
    fill(url, jobs)
    crew = [
        subprocess.Popen(
            [sys.executable, "-c", _WORKER, url, f"w{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        for n in range(workers)
    ]
    for each in crew:
        assert each.stdout is not None
        each.stdout.readline()
    started = time.perf_counter()
    for each in crew:
        assert each.stdin is not None
        each.stdin.write("go\n")
        each.stdin.flush()
    taken = Counter(word for each in crew for word in each.communicate(timeout=600)[0].split())
    seconds = time.perf_counter() - started
    assert len(taken) == jobs
    assert set(taken.values()) == {1}
    return jobs / seconds


def main() -> None:
    print(describe_machine())
    jobs = int(sys.argv[1]) if len(sys.argv) > 1 else JOBS
    print(f"{jobs} jobs, each claimed, renewed and ended, a second:\n")
    print("| workers | SQLite | PostgreSQL (fsync off) |")
    print("|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch, running_cluster(find_initdb()) as server:
        for workers in WORKERS:
            sqlite = claims_a_second(f"sqlite:///{Path(scratch) / f'{workers}.db'}", workers, jobs)
            postgres = claims_a_second(server.create_database(f"claims{workers}"), workers, jobs)
            print(f"| {workers} | {sqlite:.0f} | {postgres:.0f} |", flush=True)


if __name__ == "__main__":
    main()
