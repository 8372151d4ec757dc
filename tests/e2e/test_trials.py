"""Workers that are killed, frozen or cut off, studies sent twice: the short form of the trials in bench/trials."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from bench.trials import outages, postgres_restarts, restored_dump, worker_kills
from bench.trials.cluster import PostgresServer
from bench.trials.harness import (
    LEASE_SECONDS,
    TITLE,
    Worker,
    is_over,
    judge,
    make_study,
    plan,
    send,
    study_uid,
    wait,
)
from bt_node.jobs import JobBook, open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodeProcess

pytestmark = pytest.mark.e2e


@pytest.fixture
def pacs() -> Iterator[FakePacs]:
    with FakePacs(TITLE) as made:
        yield made


@pytest.fixture
def node(pacs: FakePacs, tmp_path: Path) -> Iterator[NodeProcess]:
    with NodeProcess(tmp_path / "node", plan(pacs), "listener") as made:
        made.wait_until_listening(TITLE)
        yield made


@pytest.fixture
def book(node: NodeProcess) -> Iterator[JobBook]:
    opened = open_book(node.config.database.url)
    yield opened
    opened.close()


def test_a_worker_killed_where_results_are_kept_or_sent_loses_nothing_and_doubles_nothing(tmp_path: Path) -> None:
    """All points, three times each: python -m bench.trials.worker_kills."""
    points = ("store_result:after", "record_delivery:before")
    outcome = worker_kills.run(tmp_path, points, times=1)
    assert outcome.deaths == dict.fromkeys(points, 1)
    assert outcome.verdict.problems == ()


@pytest.mark.timeout(300)
def test_a_postgresql_that_is_restarted_under_load_loses_nothing_and_doubles_nothing(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    """Twenty restarts, three workers, two listeners: python -m bench.trials.postgres_restarts."""
    outcome = postgres_restarts.run(tmp_path, postgres, restarts=2, workers=2, listeners=2, studies=6)
    assert outcome.verdict.problems == ()


@pytest.mark.timeout(300)
def test_a_database_away_for_longer_than_a_lease_costs_no_result_and_no_attempt(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    assert outages.run(tmp_path, postgres).problems == ()


@pytest.mark.timeout(300)
def test_a_dump_put_back_under_living_processes_loses_nothing_and_doubles_nothing(
    postgres: PostgresServer, tmp_path: Path
) -> None:
    assert restored_dump.run(tmp_path, postgres).problems == ()


def test_a_frozen_worker_that_wakes_after_its_lease_writes_nothing_and_goes_on_with_the_next_study(
    node: NodeProcess, pacs: FakePacs, book: JobBook, tmp_path: Path
) -> None:
    told = node.folder / "behaviour"
    told.mkdir()
    (told / "1").write_text(f"sleep {LEASE_SECONDS / 4}")  # four stages: about one lease
    frozen, other = Worker(node).start(), Worker(node)
    try:
        send(node, make_study(tmp_path, 1))
        wait(book.held_leases, "the first worker has the job")
        os.kill(frozen.process.pid, signal.SIGSTOP)  # its trip process goes on, and brings results home
        other.start()
        wait(lambda: is_over(book, study_uid(1)), "the second worker does the job")
        other.stop()
        os.kill(frozen.process.pid, signal.SIGCONT)
        send(node, make_study(tmp_path, 2))
        wait(lambda: is_over(book, study_uid(2)), "the first worker does the next job")
        assert frozen.process.poll() is None
    finally:
        frozen.process.send_signal(signal.SIGCONT)
        frozen.stop()
        other.stop()
    view = book.view(study_uid(1))
    claims = [move for move in view["history"] if move["to"] == "RUNNING"]
    published = [move for move in view["history"] if move["from"] == "RUNNING" and move["to"] != "READY"]
    assert len({move["actor"] for move in claims}) == 2
    assert [move["actor"] for move in published] == [claims[1]["actor"]]
    assert "lease-lost" in node.log_path.read_text()
    assert judge(node, pacs, (1, 2)).problems == ()


def test_a_study_sent_twice_at_once_and_again_the_next_day_is_one_job_with_one_set_of_results(
    node: NodeProcess, pacs: FakePacs, book: JobBook, tmp_path: Path
) -> None:
    folder = make_study(tmp_path, 1, instances=20)
    worker = Worker(node).start()
    try:
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda _: send(node, folder), range(2)))
        wait(lambda: is_over(book, study_uid(1)), "the job is done")
        before = book.view(study_uid(1))
        send(node, folder)
        send(node, make_study(tmp_path, 2, instances=20))  # when this one is done, the first had its chance to change
        wait(lambda: is_over(book, study_uid(2)), "the next job is done")
    finally:
        worker.stop()
    after = book.view(study_uid(1))
    assert after.pop("last_received_at") > before.pop("last_received_at"), "retention is told that it came again"
    assert after == before
    assert judge(node, pacs, (1, 2), instances=20).problems == ()
