"""Many workers, listeners and processes on one book: each job runs once, nothing is lost."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from job_desk import QUIET, STALE, Desk, received

from bt_node.domain.states import JobState
from bt_node.jobs import RunRecord, open_book

JOBS = 24
_WORKER_PROCESS = """
import sys
from bt_node.jobs import open_book
book = open_book(sys.argv[1])
print("up", flush=True)
sys.stdin.readline()
while job := book.claim(sys.argv[2], 600):
    print(job.id, job.attempt, flush=True)
"""


def _fill(desk: Desk) -> set[int]:
    for number in range(JOBS):
        desk.book.record_instance(received(f"1.2.{number}", 1), "listener/1")
    desk.book.association_closed("listener/1")
    desk.clock.forward(QUIET)
    return set(desk.book.sweep_complete(QUIET, STALE))


def test_threads_that_share_a_book_claim_each_job_once(desk: Desk):
    ready = _fill(desk)

    def work(worker: int) -> list[int]:
        claimed = []
        while job := desk.book.claim(f"worker-{worker}", 600):
            desk.book.publish(job.id, job.token, RunRecord(), [], [])
            claimed.append(job.id)
        return claimed

    with ThreadPoolExecutor(6) as pool:
        claimed = [job_id for claims in pool.map(work, range(6)) for job_id in claims]
    assert Counter(claimed) == Counter(ready)
    assert desk.book.counts()[JobState.DONE] == JOBS


def test_processes_claim_each_job_once(desk: Desk, url: str):
    ready = _fill(desk)
    command = [sys.executable, "-c", _WORKER_PROCESS, url]
    workers = [
        subprocess.Popen([*command, f"w{n}"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for n in range(3)
    ]
    for worker in workers:
        assert worker.stdout.readline() == "up\n"
    for worker in workers:  # all at once
        worker.stdin.write("go\n")
        worker.stdin.flush()
    lines = [line for worker in workers for line in worker.communicate(timeout=60)[0].splitlines()]
    assert Counter(lines) == Counter(f"{job_id} 1" for job_id in ready)


def test_a_sweep_beside_a_busy_listener_loses_no_image(url: str):
    """Whatever the order, a job that runs has all images, or is opened again."""
    book = open_book(url)

    def listen(_: int) -> None:
        for number in range(40):
            book.record_instance(received("1.2.3", number), "")

    def sweep(_: int) -> None:
        for _ in range(20):
            book.sweep_complete(0, STALE)
            if job := book.claim("worker", 600):
                book.publish(job.id, job.token, RunRecord(), [], [])
            book.reopen_changed()

    with ThreadPoolExecutor(3) as pool:
        tasks = [pool.submit(listen, 0), pool.submit(sweep, 0), pool.submit(sweep, 1)]
        for task in tasks:
            task.result(timeout=60)
    book.reopen_changed()
    book.sweep_complete(0, STALE)
    job = book.claim("worker", 600)
    if job is not None:
        assert len(job.instances) == 40
    else:
        assert book.view("1.2.3")["state"] == "DONE"
    assert book.view("1.2.3")["instances"] == 40
    book.close()


def test_two_listeners_that_meet_a_new_study_at_once_make_one_job(url: str):
    book = open_book(url)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: book.record_instance(received("1.2.3", n), f"listener/{n}"), range(8)))
    (summary,) = book.summaries()
    assert (summary.instances, summary.images) == (8, 8)
    assert len(book.view(summary.id)["history"]) == 1
    book.close()


def test_two_timetables_expire_a_lease_once(desk: Desk):
    job = desk.run()
    desk.clock.forward(1000)
    with ThreadPoolExecutor(2) as pool:
        lease = desk.lease(job.id)
        expired = list(pool.map(lambda _: desk.book.expire_lease(lease, 3), range(2)))
    assert sorted(expired) == [False, True]
    assert desk.moves(job.id)[-1] == ("RUNNING", "READY")
