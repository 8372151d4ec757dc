"""A job that becomes ready wakes whoever listens, on PostgreSQL; a lost call is never a lost job."""

from __future__ import annotations

import queue

import pytest
from job_desk import Desk

from bt_node.domain.states import JobState
from bt_node.jobs import Ear


@pytest.fixture
def heard() -> queue.Queue[JobState]:
    return queue.Queue()


def drain(heard: queue.Queue[JobState]) -> list[JobState]:
    """What was heard until nothing comes for a moment."""
    found = []
    try:
        while True:
            found.append(heard.get(timeout=1.0))
    except queue.Empty:
        return found


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_ready_and_delivering_are_told_and_nothing_else(url: str, desk: Desk, heard: queue.Queue[JobState]) -> None:
    ear = Ear(url, heard.put)
    ear.start()
    assert ear.listens(20.0)
    assert drain(heard) == [JobState.READY, JobState.DELIVERING], "what was told before it listened"
    desk.receive()
    assert drain(heard) == []
    desk.publish(study="1.2.4")
    assert drain(heard) == [JobState.READY, JobState.READY, JobState.DELIVERING]
    ear.stop()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
def test_an_ear_listens_again_after_the_database_threw_it_out(
    url: str, desk: Desk, heard: queue.Queue[JobState], postgres
) -> None:
    ear = Ear(url, heard.put)
    ear.start()
    assert ear.listens(20.0)
    drain(heard)
    postgres.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE query LIKE 'LISTEN%' AND pid <> pg_backend_pid()"
    )
    assert heard.get(timeout=30.0) is JobState.READY, "it connected again, and looks at what it may have missed"
    drain(heard)
    desk.make_ready()
    assert heard.get(timeout=20.0) is JobState.READY
    ear.stop()


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_sqlite_has_no_calls_and_needs_none(url: str, desk: Desk, heard: queue.Queue[JobState]) -> None:
    ear = Ear(url, heard.put)
    ear.start()
    desk.make_ready()
    ear.stop()
    assert heard.empty()
