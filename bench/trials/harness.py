"""A node as processes around fast trips, small studies, and what must hold in the end; shared by tests and trials."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian, MRImageStorage

from bench.trials.fast_trips import OBJECTS
from bt_node.deliver.folder import send_folder
from bt_node.deliver.peer import Peer
from bt_node.domain.states import ENDED_STATES, JobState
from bt_node.jobs import JobBook, open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodePlan, NodeProcess, end_process

TITLE = "TRIAL_PACS"
ROOT = "1.2.826.0.1.3680043.8.498.5"
LEASE_SECONDS = 2.0

_WORKER = Path(__file__).with_name("fast_worker.py")
_REPOSITORY = Path(__file__).resolve().parents[2]


def study_uid(number: int) -> str:
    return f"{ROOT}.{number}"


def make_study(folder: Path, number: int, instances: int = 3, side: int = 8) -> Path:
    """A study of one series of tiny slices; returns its folder."""
    target = folder / str(number)
    target.mkdir(parents=True, exist_ok=True)
    for place in range(instances):
        ds = Dataset()
        ds.SOPClassUID, ds.SOPInstanceUID = MRImageStorage, f"{study_uid(number)}.1.{place}"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = study_uid(number), f"{study_uid(number)}.1"
        ds.PatientName, ds.PatientID, ds.Modality = "Trial^Load", f"P{number}", "MR"
        ds.SeriesNumber, ds.InstanceNumber = 1, place + 1
        ds.ImagePositionPatient, ds.ImageOrientationPatient = [0, 0, place], [1, 0, 0, 0, 1, 0]
        ds.PixelSpacing, ds.SliceThickness = [1, 1], 1
        ds.SamplesPerPixel, ds.PhotometricInterpretation = 1, "MONOCHROME2"
        ds.Rows = ds.Columns = side
        ds.BitsAllocated, ds.BitsStored, ds.HighBit, ds.PixelRepresentation = 16, 12, 11, 0
        ds.PixelData = os.urandom(2 * side * side)
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        ds.save_as(target / f"{place}.dcm", enforce_file_format=True)
    return target


def plan(pacs: FakePacs, **overrides: Mapping[str, Any]) -> NodePlan:
    """A node that looks ten times a second and gives up on nothing while a trial goes on."""
    schedule = {
        "sweep_seconds": 0.1, "claim_seconds": 0.1, "deliver_seconds": 0.1, "lease_seconds": 10,
        "max_attempts": 50, "retry_pause_seconds": 0.001, "reconcile_minutes": 0.02,
    }  # fmt: skip
    tables: dict[str, Mapping[str, Any]] = {
        "schedule": schedule,
        "completeness": {"quiet_seconds": 0.3, "wait_minutes": 0},
        "delivery": {"first_pause_seconds": 0.2, "max_pause_seconds": 0.5},
        "follow_up": {"enabled": False},
        "storage": {"spool": "spool", "min_free_mib": 1, "retention_days": 0},
    }
    for name, keys in overrides.items():
        tables[name] = {**tables.get(name, {}), **keys}
    return NodePlan(
        models=_REPOSITORY / "models",
        sources=(TITLE,),
        destinations={"pacs": Peer(TITLE, "127.0.0.1", pacs.port)},
        overrides=tables,
    )


@dataclass
class Worker:
    """A fast worker of a node; started again whenever it dies, if so wished."""

    node: NodeProcess
    environment: Mapping[str, str] = field(default_factory=dict)
    lease_seconds: float = LEASE_SECONDS
    inside: Sequence[str] = ()  # what the command begins with, to run elsewhere
    place: int = 1  # which of the workers of this node
    deaths: int = 0
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> Worker:
        command = [*self.inside, sys.executable, str(_WORKER), str(self.node.config_path), str(self.lease_seconds)]
        paths = os.pathsep.join([str(_REPOSITORY), os.environ.get("PYTHONPATH", "")])
        with self.node.log_path.open("ab") as log:
            environment = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", **self.environment}
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
        return self

    @property
    def lives(self) -> bool:
        """It runs."""
        return self.process is not None and self.process.poll() is None

    @property
    def is_up(self) -> bool:
        """It said that it works; of several at one node, that many said so."""
        return self.node.log_path.read_text().count("worker started") >= self.place

    def revive(self) -> None:
        """Start it again where it died."""
        if self.process is not None and self.process.poll() is not None:
            self.deaths += 1
            self.start()

    def stop(self) -> None:
        if self.process is not None:
            end_process(self.process, 20.0)
            self.process = None


def wait(
    condition: Callable[[], object], what: str, seconds: float = 120.0, meanwhile: Callable[[], None] = lambda: None
) -> None:
    """Look ten times a second.

    Raises:
        TimeoutError: it did not happen in time.
    """
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(what)
        meanwhile()
        time.sleep(0.1)


def send(node: NodeProcess, folder: Path, patience: float = 60.0) -> int:
    """Send a folder until every instance was answered with success, as a PACS does; returns the number of tries."""
    deadline, tries = time.monotonic() + patience, 1
    while not send_folder(node.peer, TITLE, folder).all_stored:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{folder} is not stored after {tries} tries")
        tries += 1
        time.sleep(0.2)
    return tries


def is_over(book: JobBook, study: str) -> bool:
    """Whether a study's job has ended; a database that is away has no answer yet."""
    try:
        return JobState(book.view(study)["state"]) in ENDED_STATES
    except Exception:  # noqa: BLE001 - not received yet, or the database restarts
        return False


@dataclass(frozen=True)
class Verdict:
    """What became of the studies of a trial: `problems` is empty when nothing was lost, doubled or stuck."""

    studies: int
    objects: int
    attempts: int
    problems: tuple[str, ...]


def judge(node: NodeProcess, pacs: FakePacs, numbers: Iterable[int], instances: int = 3) -> Verdict:
    """Every study DONE with all its instances, every result in the PACS once, nothing else there."""
    book = open_book(node.config.database.url)
    problems, expected, attempts = [], set(), 0
    wanted = list(numbers)
    for number in wanted:
        view = book.view(study_uid(number))
        attempts += view["attempts"]
        if view["state"] != JobState.DONE:
            problems.append(f"study {number} is {view['state']}: {view['reason']}")
        if view["instances"] != instances:
            problems.append(f"study {number} has {view['instances']} of {instances} instances")
        if len(view["results"]) != OBJECTS or view["superseded_results"]:
            problems.append(f"study {number} has {len(view['results'])} results")
        expected |= {result["sop_instance_uid"] for result in view["results"]}
    if len(book.summaries(limit=100_000)) != len(wanted):
        problems.append(f"{len(book.summaries(limit=100_000))} jobs for {len(wanted)} studies")
    book.close()
    held = Counter(pacs.sop_instance_uids)
    if set(held) != expected or max(held.values(), default=1) > 1:
        problems.append(f"the PACS has {sum(held.values())} objects, {len(set(held) - expected)} unknown,"
                        f" {len(expected - set(held))} missing")  # fmt: skip
    return Verdict(len(wanted), len(expected), attempts, tuple(problems))
