"""kill -9 of the worker in the middle of inference: another takes the job up, and the PACS gets one result."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bt_node.deliver.folder import send_folder
from bt_node.deliver.peer import Peer
from bt_node.domain.states import JobState
from bt_node.jobs import open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodePlan, NodeProcess
from bt_node.simulate.phantom import PhantomStudy

MODELS = Path(__file__).resolve().parents[2] / "models"


def wait_for_stage(node: NodeProcess, study: str, stage: str) -> None:
    """Until that stage is finished, which means that the next one runs."""
    book = open_book(node.config.database.url)
    deadline = time.monotonic() + 120
    while True:
        jobs = [job for job in book.summaries() if job.study_instance_uid == study]
        if jobs and stage in book.view(study)["timings_s"]:
            book.close()
            return
        assert time.monotonic() < deadline, node.log_path.read_text()[-3000:]
        time.sleep(0.05)


@pytest.mark.e2e
@pytest.mark.timeout(420)
def test_a_worker_killed_in_inference_loses_nothing_and_doubles_nothing(
    phantom: PhantomStudy, tmp_path: Path, wait_for_job: Callable[..., Any]
) -> None:
    with FakePacs("PACS") as pacs:
        plan = NodePlan(
            models=MODELS,
            sources=("PACS",),
            destinations={"pacs": Peer("PACS", "127.0.0.1", pacs.port)},
            overrides={"schedule": {"lease_seconds": 10}},
        )
        listener = NodeProcess(tmp_path / "node", plan, "listener")
        with listener:
            listener.wait_until_listening("PACS")
            assert send_folder(listener.peer, "PACS", phantom.folder).all_stored
            first = listener.start_another("worker")
            wait_for_stage(listener, phantom.study_instance_uid, "convert")
            first.kill()
            first.wait()
            assert pacs.sop_instance_uids == ()
            second = listener.start_another("worker")
            try:
                view = wait_for_job(listener, phantom.study_instance_uid)
            finally:
                second.terminate()
                second.wait(60)
    assert view["state"] == JobState.DONE
    assert view["attempts"] == 2
    moves = [(move["from"], move["to"]) for move in view["history"]]
    assert (JobState.RUNNING, JobState.READY) in moves
    assert len(pacs.sop_instance_uids) == len(view["results"]) == pacs.store_requests == 3
