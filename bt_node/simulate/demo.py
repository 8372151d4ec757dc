"""The demo: a phantom study travels from a fake PACS to the node and back, and what came back is checked."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from bt_node.assemble.study import read_study
from bt_node.convert.itk import resample, volume_to_itk
from bt_node.convert.stack import load_series
from bt_node.deliver.folder import send_folder
from bt_node.deliver.peer import Peer
from bt_node.domain.geometry import BoolArray, Volume
from bt_node.domain.states import ENDED_STATES, JobState
from bt_node.domain.study import Role
from bt_node.domain.tumour import LABEL_OF, LabelMap, Region
from bt_node.encode.readback import decode_segmentation
from bt_node.jobs import open_book
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import NodePlan, NodeProcess
from bt_node.simulate.phantom import PhantomStudy, make_phantom
from bt_node.simulate.picture import Panel, outline_png

PACS_TITLE = "DEMO_PACS"
RESULTS_EXPECTED = 3  # SEG, SEG_DERIVED, SR
_PATIENCE_SECONDS = 170.0
_LOOK_EVERY_SECONDS = 0.5

# What counts as found: loose, because the shipped models are small and the phantom is not a patient.
LEAST_DICE = 0.7
LARGEST_VOLUME_ERROR = 0.35

Say = Callable[[str], None]


@dataclass(frozen=True, eq=False)
class DemoOutcome:
    """What came back, beside the truth. `problems` is empty when everything is as it must be."""

    view: Mapping[str, Any]
    truth_ml: Mapping[Region, float]
    dice: Mapping[Region, float]
    received: int
    seconds: float
    picture: Path
    problems: tuple[str, ...]


def run_demo(folder: Path, models: Path, say: Say) -> DemoOutcome:
    """Send a phantom through a node of its own and check what its PACS got back.

    Args:
        folder: everything is written here; an earlier demo's files are replaced.
        models: folder of the model releases.
        say: told each step, for the terminal.
    """
    for name in ("phantom", "node", "received"):
        shutil.rmtree(folder / name, ignore_errors=True)
    say("Making a phantom study: one patient, four sequences, a tumour of known place and volume")
    phantom = make_phantom(folder / "phantom")
    with FakePacs(PACS_TITLE, folder=folder / "received") as pacs:
        peer = Peer(PACS_TITLE, "127.0.0.1", pacs.port)
        plan = NodePlan(models=models, sources=(PACS_TITLE,), destinations={"pacs": peer})
        say("Starting the node (listener and worker) and a fake PACS on loopback")
        with NodeProcess(folder / "node", plan) as node:
            node.wait_until_listening(PACS_TITLE)
            started = time.monotonic()
            say(f"Sending {len(phantom.paths)} instances to {node.peer.ae_title} at 127.0.0.1:{node.port} by C-STORE")
            say(f"  {send_folder(node.peer, PACS_TITLE, phantom.folder)}")
            view = _follow(node, phantom.study_instance_uid, say)
            seconds = time.monotonic() - started
        return _compare(phantom, pacs, view, seconds, folder)


def _follow(node: NodeProcess, study_instance_uid: str, say: Say) -> dict[str, Any]:
    """Tell each move and each stage until the job has ended or patience is over."""
    book = open_book(node.config.database.url)
    told: set[str] = set()
    deadline = time.monotonic() + _PATIENCE_SECONDS
    view = book.view(study_instance_uid)
    while time.monotonic() < deadline:
        node.require_running()
        view = book.view(study_instance_uid)
        news = [f"  {move['to']}" for move in view["history"]]
        news += [f"    {stage} {seconds:.1f} s" for stage, seconds in view["timings_s"].items()]
        for line in news:
            if line not in told:
                say(line)
        told.update(news)
        if JobState(view["state"]) in ENDED_STATES:
            break
        time.sleep(_LOOK_EVERY_SECONDS)
    book.close()
    return view


def _compare(
    phantom: PhantomStudy, pacs: FakePacs, view: dict[str, Any], seconds: float, folder: Path
) -> DemoOutcome:
    problems = [*_job_problems(view), *_role_problems(phantom, view), *_result_problems(pacs, view)]
    dice: dict[Region, float] = {}
    picture = folder / "outline.png"
    picture.unlink(missing_ok=True)
    found = _received_labels(pacs, phantom)
    if found is not None:
        dice = {region: _dice(found.mask(region), phantom.truth.mask(region)) for region in Region}
        problems += _outline_problems(dice, found, phantom)
        _draw(picture, phantom, found)
    if not picture.is_file():
        problems.append("No picture was written.")
    return DemoOutcome(view, phantom.volumes_ml, dice, len(pacs.sop_instance_uids), seconds, picture, tuple(problems))


def _job_problems(view: Mapping[str, Any]) -> list[str]:
    problems = []
    if view["state"] != JobState.DONE:
        problems.append(f"The job is {view['state']}, not DONE: {view['reason']}")
    tumour_type = (view["findings"] or {}).get("tumour_type")
    if tumour_type is None:
        problems.append("No tumour type was given.")
    return problems


def _role_problems(phantom: PhantomStudy, view: Mapping[str, Any]) -> list[str]:
    chosen = {entry["role"]: entry["series_instance_uid"] for entry in view["roles"]}
    return [
        f"{role} is not the series that was made as {role}."
        for role, series in phantom.series.items()
        if chosen.get(role.value) != series.series_instance_uid
    ]


def _result_problems(pacs: FakePacs, view: Mapping[str, Any]) -> list[str]:
    problems = []
    if len(view["results"]) != RESULTS_EXPECTED:
        problems.append(f"{len(view['results'])} result objects instead of {RESULTS_EXPECTED}.")
    for result in view["results"]:
        if result["sop_instance_uid"] not in pacs.sop_instance_uids:
            problems.append(f"{result['kind']} did not come back to the PACS.")
        problems += [
            f"{result['kind']} at {name}: {delivery['detail']}"
            for name, delivery in result["destinations"].items()
            if delivery["status"] != "0x0000"
        ]
    return problems


def _received_labels(pacs: FakePacs, phantom: PhantomStudy) -> LabelMap | None:
    """The outline as the PACS got it, placed by the SEG's own geometry on the truth's grid."""
    for uid in pacs.sop_instance_uids:
        dataset = pacs.dataset(uid)
        if dataset.Modality == "SEG" and len(dataset.SegmentSequence) == len(LABEL_OF):
            segments = decode_segmentation(BytesIO(pacs.file(uid)), phantom.truth.grid)
            array = np.zeros(phantom.truth.grid.shape, np.uint8)
            for label, mask in zip(LABEL_OF.values(), segments, strict=True):
                array[mask] = label
            return LabelMap(array, phantom.truth.grid)
    return None


def _dice(found: BoolArray, truth: BoolArray) -> float:
    both = float((found & truth).sum())
    return 2 * both / max(float(found.sum() + truth.sum()), 1.0)


def _outline_problems(dice: Mapping[Region, float], found: LabelMap, phantom: PhantomStudy) -> list[str]:
    problems = []
    if dice[Region.WT] < LEAST_DICE:
        problems.append(
            f"The outline misses the tumour: Dice {dice[Region.WT]:.2f}, at least {LEAST_DICE} is wanted."
        )
    true_ml = phantom.volumes_ml[Region.WT]
    error = abs(found.volume_ml(Region.WT) - true_ml) / true_ml
    if error > LARGEST_VOLUME_ERROR:
        problems.append(f"The whole tumour's volume is {100 * error:.0f} % off.")
    return problems


def _draw(path: Path, phantom: PhantomStudy, found: LabelMap) -> None:
    """T1c and FLAIR on the slice with most tumour, with the outline that came back."""
    facts = read_study(phantom.paths_by_uid)
    by_uid = {series.series_instance_uid: series for series in facts.series}
    plane = int(np.argmax(phantom.truth.mask(Region.WT).sum(axis=(1, 2))))
    grid = phantom.truth.grid
    panels = []
    for role in (Role.T1C, Role.FLAIR):
        stack = load_series(by_uid[phantom.series[role].series_instance_uid], phantom.paths_by_uid)
        on_t1c = Volume(resample(volume_to_itk(stack.volume), grid).astype(np.float32), grid)
        panels.append(Panel(role.value, on_t1c.array[plane], (grid.spacing[1], grid.spacing[0]), found.array[plane]))
    outline_png(path, panels)
