"""Trips in a process that can be killed: whatever happens to it, the job book says so and the next study runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from node_bench import Bench
from receive_cases import mr_slice, save

from bench.trials.fast_trips import COMMAND
from bt_node.config import Config, FollowUp, Models, Storage
from bt_node.domain.errors import StageStalledError, TripStartError
from bt_node.domain.states import JobState
from bt_node.runtime.journey import Journey
from bt_node.runtime.runner import RunnerSettings, StudyRunner
from bt_node.runtime.trip_process import Limits, TripProcess


def wait_until(condition: Callable[[], object], seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


class Worker:
    """A runner with a trip process of its own."""

    def __init__(self, bench: Bench, limits: Limits) -> None:
        self.bench = bench
        self.trips = TripProcess(Config(storage=Storage(spool=bench.spool.root)), limits, COMMAND)
        settings = RunnerSettings("worker", 30.0, 3, 60.0, ("pacs",))
        self.runner = StudyRunner(bench.book, bench.spool, self.trips, settings)
        self.told = bench.spool.root.parent / "behaviour"
        self.told.mkdir(exist_ok=True)

    def receive(self, study: str, behaviour: str = "") -> int:
        job_id = self.bench.make_ready(study)
        for path in self.bench.book.instance_paths(job_id).values():
            save(mr_slice(side=8, StudyInstanceUID=study), self.bench.spool.absolute(path))
        if behaviour:
            (self.told / str(job_id)).write_text(behaviour)
        return job_id

    def view(self, job_id: int) -> dict:
        return self.bench.book.view(job_id)

    def in_background(self) -> threading.Thread:
        thread = threading.Thread(target=self.runner.run_next)
        thread.start()
        return thread


@pytest.fixture
def worker(bench: Bench) -> Iterator[Worker]:
    made = Worker(bench, Limits(stage_seconds=60.0))
    yield made
    made.trips.stop()


def test_a_trip_in_its_own_process_brings_results_home(worker: Worker) -> None:
    first, second = worker.receive("1.2.3"), worker.receive("1.2.4")
    assert worker.runner.run_next()
    pid = worker.trips.pid
    assert worker.runner.run_next()
    assert worker.trips.pid == pid, "the models stay loaded between studies"
    for job_id in (first, second):
        view = worker.view(job_id)
        assert view["state"] == JobState.DELIVERING
        assert view["timings_s"].keys() == {"gather", "convert", "segment", "encode", "store"}
        assert [result["kind"] for result in view["results"]] == ["SEG", "SR"]


@pytest.mark.parametrize(
    ("behaviour", "code", "words"),
    [
        ("crash", "trip-died", "SIGSEGV"),
        ("exit", "trip-died", "exit code 3"),
        ("hang", "stage-stalled", "no progress"),
        ("eat", "trip-memory", "memory"),
    ],
)
def test_a_study_that_ruins_its_process_is_named_and_the_next_one_runs(
    bench: Bench, behaviour: str, code: str, words: str
) -> None:
    patient = behaviour != "hang"
    worker = Worker(
        bench, Limits(stage_seconds=60.0 if patient else 3.0, memory_mib=600 if behaviour == "eat" else 0)
    )
    poison, healthy = worker.receive("1.2.3", behaviour), worker.receive("1.2.4")
    assert worker.runner.run_next()
    assert worker.runner.run_next()
    worker.trips.stop()
    view = worker.view(poison)
    assert (view["state"], view["code"], view["attempts"]) == (JobState.READY, code, 1)
    assert "segment" in view["reason"]
    assert words in view["reason"]
    assert view["timings_s"].keys() == {"gather", "convert"}
    assert worker.view(healthy)["state"] == JobState.DELIVERING


def test_a_poison_study_ends_in_failed_stops_nobody_and_is_revived_by_a_person(worker: Worker) -> None:
    worker.runner._settings = RunnerSettings("worker", 30.0, 2, 0.05, ("pacs",))
    poison, healthy = worker.receive("1.2.3", "crash"), worker.receive("1.2.4")
    wait_until(lambda: worker.runner.run_next() and worker.view(poison)["state"] == JobState.FAILED)
    assert worker.view(healthy)["state"] == JobState.DELIVERING
    assert [job.id for job in worker.bench.book.summaries(JobState.FAILED)] == [poison]
    reason = worker.view(poison)["reason"]
    assert "died in stage segment" in reason
    assert "Gave up after 2 attempts" in reason
    (worker.told / str(poison)).unlink()
    worker.bench.book.retry(poison, "test")
    assert worker.runner.run_next()
    assert worker.view(poison)["state"] == JobState.DELIVERING


def test_a_trip_process_that_is_killed_while_idle_is_replaced(worker: Worker) -> None:
    worker.runner.prepare()
    os.kill(worker.trips.pid, signal.SIGKILL)
    job_id = worker.receive("1.2.3")
    wait_until(lambda: not Path(f"/proc/{worker.trips.pid}/statm").read_text().strip("0 \n"))
    worker.runner.run_next()
    assert worker.view(job_id)["state"] == JobState.DELIVERING


def test_a_stopping_worker_hands_its_job_back_in_the_middle_of_a_stage_and_the_attempt_does_not_count(
    worker: Worker,
) -> None:
    job_id = worker.receive("1.2.3", "hang")
    running = worker.in_background()
    wait_until(lambda: "convert" in worker.view(job_id)["timings_s"])
    worker.runner.stopping.set()
    running.join(20.0)
    assert not running.is_alive()
    view = worker.view(job_id)
    assert (view["state"], view["code"], view["attempts"]) == (JobState.READY, "worker-stopping", 0)
    assert worker.trips.pid is None
    assert not worker.runner.run_next()


def test_a_cancelled_job_ends_in_the_middle_of_a_stage(bench: Bench) -> None:
    worker = Worker(bench, Limits(stage_seconds=60.0))
    worker.runner._settings = RunnerSettings("worker", 1.0, 3, 60.0, ("pacs",))
    job_id = worker.receive("1.2.3", "hang")
    running = worker.in_background()
    wait_until(lambda: "convert" in worker.view(job_id)["timings_s"])
    bench.book.cancel(job_id, "test")
    running.join(20.0)
    assert not running.is_alive()
    assert worker.view(job_id)["state"] == JobState.CANCELLED


def test_the_trip_process_ends_with_its_worker_also_in_a_computation_that_never_returns(tmp_path: Path) -> None:
    script = tmp_path / "worker.py"
    script.write_text(
        "import sys, time\n"
        "from bt_node.config import Config\n"
        "from bt_node.runtime.trip_process import Limits, TripProcess\n"
        "trips = TripProcess(Config(), Limits(60.0), (sys.executable, sys.argv[1]))\n"
        "trips.start()\n"
        "print(trips.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    child = tmp_path / "child.py"
    child.write_text(
        "import re, sys\n"
        "from bt_node.runtime.trip_child import main\n"
        "def build(config):\n"
        "    print('computing', flush=True)\n"
        "    re.match(r'(a+)+$', 'a' * 60 + 'b')\n"
        "main(sys.argv[1:], build)\n"
    )
    worker = subprocess.Popen([sys.executable, script, child], stdout=subprocess.PIPE, text=True)
    pid = int(worker.stdout.readline())
    assert worker.stdout.readline() == "computing\n"
    os.kill(pid, signal.SIGTERM)  # as Ctrl-C or a service manager reach the whole group: the worker decides
    worker.kill()
    worker.wait()
    wait_until(lambda: not _runs(pid))


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_models_that_cannot_be_loaded_stop_the_worker_with_the_reason(bench: Bench, tmp_path: Path) -> None:
    spool, folder = Storage(spool=bench.spool.root), Models(folder=tmp_path)
    trips = TripProcess(Config(storage=spool, models=folder, follow_up=FollowUp(enabled=False)), Limits(120.0))
    with pytest.raises(TripStartError, match=r"bt-segmenter.*manifest.toml cannot be read"):
        trips.prepare(lambda: None)
    assert trips.pid is None


_ANNOUNCES = 'c.send_bytes(json.dumps({"what": "arrival", "arrival": {}, "contents": 1}).encode())'


@pytest.mark.parametrize("then", ["", _ANNOUNCES])
def test_a_process_that_stops_while_it_is_spoken_to_or_speaks_is_ended(tmp_path: Path, then: str) -> None:
    child = tmp_path / "child.py"
    child.write_text(
        "import json, sys, time\n"
        "from multiprocessing.connection import Connection\n"
        "c = Connection(int(sys.argv[1]))\n"
        "c.recv_bytes()\n"
        'c.send_bytes(json.dumps({"what": "ready"}).encode())\n'
        f"{then}\n"
        "time.sleep(600)\n"
    )
    config, command = Config(storage=Storage(spool=tmp_path)), (sys.executable, str(child))
    trips = TripProcess(config, Limits(stage_seconds=1.0), command)
    trips.prepare(lambda: None)
    pid, many = trips.pid, 10 if then else 5000  # 5,000 paths are more than a socket takes at once
    paths = {f"1.2.826.0.1.42.{number}": tmp_path / "instances" / f"{number}.dcm" for number in range(many)}
    ended: list[BaseException] = []

    def travel() -> None:
        try:
            trips.travel(Journey(1, 1, datetime.now(UTC), paths), Patient())
        except StageStalledError as error:
            ended.append(error)

    travelling = threading.Thread(target=travel, daemon=True)
    travelling.start()
    travelling.join(15.0)
    if travelling.is_alive():
        os.kill(pid, signal.SIGKILL)
    assert ended
    assert not _runs(pid)


class Patient:
    """A companion that asks for nothing."""

    def check(self) -> None:
        pass
