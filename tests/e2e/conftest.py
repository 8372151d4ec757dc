"""A node as processes, the phantom, the real Orthanc."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from orthanc import orthanc
from postgres import postgres

from bt_node.domain.states import ENDED_STATES, JobState
from bt_node.jobs import open_book
from bt_node.simulate.node_process import NodeProcess
from bt_node.simulate.phantom import PhantomStudy, make_phantom

__all__ = ["orthanc", "postgres"]

REPOSITORY = Path(__file__).resolve().parents[2]
MODELS = REPOSITORY / "models"


@pytest.fixture(scope="session")
def phantom(tmp_path_factory: pytest.TempPathFactory) -> PhantomStudy:
    return make_phantom(tmp_path_factory.mktemp("phantom"))


@pytest.fixture
def wait_for_job() -> Callable[..., dict[str, Any]]:
    """Wait until a job has ended (or is in one of the states given); returns its view."""

    def wait(
        node: NodeProcess, wanted: str | int, states: frozenset[JobState] = ENDED_STATES, seconds: float = 150.0
    ) -> dict[str, Any]:
        book = open_book(node.config.database.url)
        try:
            deadline = time.monotonic() + seconds
            while True:
                summaries = {str(wanted)} & {
                    key for job in book.summaries() for key in (str(job.id), job.study_instance_uid)
                }
                view = book.view(wanted) if summaries else {"state": "not received"}
                if view["state"] in states:
                    return view
                assert time.monotonic() < deadline, f"still {view}\n{node.log_path.read_text()[-3000:]}"
                time.sleep(0.2)
        finally:
            book.close()

    return wait
