"""Seconds of each stage, from last C-STORE to results delivered, and peak memory of listener and worker.

    python -m bench.trip                        the phantom
    python -m bench.trip --study FOLDER_OR_ZIP  a study of one's own, as DICOM files

Listener, worker and fake PACS run on loopback as in production; quiet time is excluded from the total. Several
rounds use a fresh job book each; the worker's first study includes what torch warms up.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pydicom
from rich.console import Console
from rich.table import Table

from bench.machine import describe_machine
from bt_node.deliver.folder import find_files, send_folder
from bt_node.deliver.peer import Peer
from bt_node.domain.states import ENDED_STATES
from bt_node.jobs import open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodePlan, NodeProcess
from bt_node.simulate.phantom import make_phantom

MODELS = Path(__file__).resolve().parents[1] / "models"
QUIET_SECONDS = 2.0
PATIENCE_SECONDS = 300.0


@dataclass(frozen=True)
class Round:
    """What one round took. Memory is VmHWM of the process, MiB."""

    state: str
    timings_s: dict[str, float]
    total_s: float
    listener_mib: float
    worker_mib: float


def peak_mib(pid: int) -> float:
    """Peak resident memory of a process, as Linux tells it."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1024
    return 0.0


def run_round(study: Path, study_uid: str, folder: Path) -> Round:
    """One study through a fresh node."""
    with FakePacs("BENCH") as pacs:
        plan = NodePlan(
            models=MODELS,
            sources=("BENCH",),
            destinations={"bench": Peer("BENCH", "127.0.0.1", pacs.port)},
            overrides={"completeness": {"quiet_seconds": QUIET_SECONDS}},
        )
        with NodeProcess(folder, plan, "listener") as node:
            node.wait_until_listening("BENCH")
            worker = node.start_another("worker")
            while "worker started" not in node.log_path.read_text():
                time.sleep(0.2)
            if not send_folder(node.peer, "BENCH", study).all_stored:
                raise RuntimeError("not everything was stored")
            sent = time.monotonic()
            view = wait(node, study_uid)
            total = time.monotonic() - sent - QUIET_SECONDS
            assert node.process is not None
            memory = peak_mib(node.process.pid), peak_mib(worker.pid)
            worker.terminate()
            worker.wait()
    return Round(view["state"], view["timings_s"], total, *memory)


def wait(node: NodeProcess, study_uid: str) -> dict:
    book = open_book(node.config.database.url)
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        view = book.view(study_uid)
        if view["state"] in ENDED_STATES:
            return view
        time.sleep(0.05)
    raise TimeoutError(f"still {view['state']}: see {node.log_path}")


def show(name: str, rounds: list[Round]) -> None:
    table = Table("what", "median", "least", "most", title=f"{name}: {rounds[0].state}, {len(rounds)} rounds")
    rows = {stage: [r.timings_s[stage] for r in rounds] for stage in rounds[0].timings_s}
    rows["last C-STORE to delivered, without quiet time"] = [r.total_s for r in rounds]
    rows["listener peak MiB"] = [r.listener_mib for r in rounds]
    rows["worker peak MiB"] = [r.worker_mib for r in rounds]
    for what, values in rows.items():
        table.add_row(what, *(f"{value:.2f}" for value in (statistics.median(values), min(values), max(values))))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, help="folder or zip of DICOM files; default: the phantom")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    print(describe_machine())
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if arguments.study is None:
            study, name = make_phantom(folder / "study").folder, "phantom"
        else:
            study, name = unpacked(arguments.study, folder / "study"), arguments.study.name
        study_uid = str(pydicom.dcmread(find_files(study).files[0].path, stop_before_pixels=True).StudyInstanceUID)
        show(name, [run_round(study, study_uid, folder / f"node{n}") for n in range(arguments.rounds)])


def unpacked(source: Path, target: Path) -> Path:
    if source.is_dir():
        return source
    with zipfile.ZipFile(source) as archive:
        archive.extractall(target)
    return target


if __name__ == "__main__":
    main()
