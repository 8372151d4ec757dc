"""Dice of the node's brain mask on brains whose skull is synthetic, at 1 mm and in 5 mm slices.

    python -m bench.brainmask                                 phantom brains
    python -m bench.brainmask --data ../shared/data/segmentation [--cases 3]   BraTS cases in 2018's layout
    … --classical                                         without the network: brightness and shape decide

Each stripped brain is put into a head (`bt_node.simulate.wrap`) and taken out again by `bt_node.convert.prepare`, all
but its registration: the sequences are aligned as made, and registration has figures of its own. The truth is what
was stripped before, holes filled. The head differs from case to case, by a seed that is the case's place in the list.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from bench.machine import describe_machine
from bt_node.convert import prepare as preparation
from bt_node.convert.nifti import read_nifti
from bt_node.convert.register import reference_report
from bt_node.convert.regrid import to_source_grid
from bt_node.domain.errors import BtNodeError
from bt_node.domain.geometry import Mask, Volume
from bt_node.domain.study import Role
from bt_node.infer.brain import BrainFinder, load_brain_finder
from bt_node.simulate.phantom import brats_like
from bt_node.simulate.tumour import TumourShape
from bt_node.simulate.wrap import in_thick_slices, wrap_in_head

_FILES = {Role.T1: "t1", Role.T1C: "t1ce", Role.T2: "t2", Role.FLAIR: "flair"}
_PHANTOMS = 3


@dataclass(frozen=True)
class Agreement:
    """A found mask against the true one: overlap, share of the brain that was found, volumes in ml."""

    dice: float
    sensitivity: float
    found_ml: float
    true_ml: float


def agreement(volumes: Mapping[Role, Volume], truth: Mask, brain: BrainFinder | None = None) -> Agreement:
    """The node's mask of a head against the true brain, on the truth's own grid.

    A head in which the node finds no plausible brain counts 0.
    """
    with mock.patch.object(preparation, "register_all", lambda _, others: {r: reference_report(r) for r in others}):
        try:
            study = preparation.prepare(volumes, brain.predict if brain else None)
        except BtNodeError as error:
            print(f"    refused: {error}")
            return Agreement(0.0, 0.0, 0.0, truth.volume_ml)
    found = to_source_grid(study.brain.array[None].astype(np.float32), study.grid, truth.grid)[0] >= 0.5
    common = np.count_nonzero(found & truth.array)
    total = np.count_nonzero(truth.array)
    dice = 2 * common / (np.count_nonzero(found) + total)
    return Agreement(dice, common / total, np.count_nonzero(found) / 1000, total / 1000)


def shipped_brain_finder() -> BrainFinder:
    """What the node uses, on the processor."""
    return load_brain_finder(torch.device("cpu"))


def measure(stripped: Mapping[Role, Volume], seed: int, brain: BrainFinder | None = None) -> dict[str, Agreement]:
    """One brain in one head: as 1 mm volumes, and as 5 mm slices."""
    head = wrap_in_head(stripped, seed=seed)
    return {
        "1 mm": agreement(head.volumes, head.brain, brain),
        "5 mm slices": agreement(in_thick_slices(head.volumes), head.brain, brain),
    }


def read_case(folder: Path) -> dict[Role, Volume]:
    """One BraTS case in 2018's layout."""
    return {role: read_nifti(folder / f"{folder.name}_{name}.nii.gz") for role, name in _FILES.items()}


def brains(data: Path | None, count: int | None) -> Iterator[tuple[str, Mapping[Role, Volume]]]:
    if data is None:
        for seed in range(1, (count or _PHANTOMS) + 1):
            yield f"phantom {seed}", brats_like(seed=seed, tumour=TumourShape(), shape=(150, 190, 160)).volumes
        return
    for folder in sorted(path for path in data.iterdir() if path.is_dir())[:count]:
        yield folder.name, read_case(folder)


def show(results: Mapping[str, list[Agreement]]) -> None:
    table = Table("head", "cases", "Dice mean", "min", "max", "brain found, mean", "min", "ml found / true, mean")
    for name, found in results.items():
        dice, part = [each.dice for each in found], [each.sensitivity for each in found]
        ratio = statistics.mean(each.found_ml / each.true_ml for each in found)
        numbers = (statistics.mean(dice), min(dice), max(dice), statistics.mean(part), min(part), ratio)
        table.add_row(name, str(len(found)), *(f"{number:.3f}" for number in numbers))
    Console().print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, help="folder of BraTS cases; default: phantom brains")
    parser.add_argument("--cases", type=int, help="only the first so many")
    parser.add_argument("--classical", action="store_true", help="without the network")
    arguments = parser.parse_args()
    brain = None if arguments.classical else shipped_brain_finder()
    print(describe_machine())
    results: dict[str, list[Agreement]] = {}
    for seed, (name, stripped) in enumerate(brains(arguments.data, arguments.cases), start=1):
        started = time.process_time()
        for kind, found in measure(stripped, seed, brain).items():
            results.setdefault(kind, []).append(found)
            print(f"{name:26} {kind:12} Dice {found.dice:.3f}  found {found.sensitivity:.3f}", flush=True)
        print(f"    {time.process_time() - started:.0f} CPU seconds", flush=True)
    show(results)


if __name__ == "__main__":
    main()
