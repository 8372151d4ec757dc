"""Seconds and CPU seconds of loading, registration, mask and regrid for one study, on the phantom.

Loading stands beside dcm2niix on the same files, registration of one series (FLAIR) beside SimpleITK's default, in
the same run; the last lines have the ratios.

    python -m bench.convert              the phantom as it is (3 to 5.5 mm slices)
    python -m bench.convert --isotropic  the same head brought to 1 mm isotropic volumes first
    … --classical                        without deepbet: brightness and shape find the brain

CPU seconds are the figure to compare when other programs share the machine.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from bench.brainmask import shipped_brain_finder
from bench.machine import describe_machine
from bench.rigid import by_simpleitk
from bt_node.assemble.study import read_study
from bt_node.convert.itk import one_itk_thread, resample, volume_to_itk
from bt_node.convert.measure import measure
from bt_node.convert.prepare import prepare
from bt_node.convert.register import register
from bt_node.convert.regrid import axis_aligned_grid, to_source_grid
from bt_node.convert.stack import load_series
from bt_node.domain.geometry import Volume
from bt_node.domain.study import Role
from bt_node.simulate.phantom import PhantomStudy, make_phantom


def load(phantom: PhantomStudy) -> Mapping[Role, Volume]:
    facts = {series.series_instance_uid: series for series in read_study(phantom.paths_by_uid).series}
    return {
        role: load_series(facts[phantom.series[role].series_instance_uid], phantom.paths_by_uid).volume
        for role in Role
    }


def isotropic(volume: Volume) -> Volume:
    corners = volume.grid.index_to_world(
        np.array(np.meshgrid(*[(0, n - 1) for n in volume.grid.shape], indexing="ij")).reshape(3, -1).T
    )
    grid = axis_aligned_grid(corners.min(axis=0), corners.max(axis=0))
    return Volume(resample(volume_to_itk(volume), grid), grid)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--isotropic", action="store_true")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--classical", action="store_true")
    arguments = parser.parse_args()
    brain = None if arguments.classical else shipped_brain_finder().predict
    print(describe_machine())
    rows: dict[str, list[tuple[float, float]]] = {}

    def timed(name: str, call: Callable[[], Any]) -> Any:
        wall, cpu = time.perf_counter(), time.process_time()
        result = call()
        rows.setdefault(name, []).append((time.perf_counter() - wall, time.process_time() - cpu))
        return result

    with tempfile.TemporaryDirectory() as scratch:
        phantom = make_phantom(Path(scratch))
        for _ in range(arguments.rounds):
            volumes = timed("load DICOM", lambda: load(phantom))
            timed("dcm2niix", lambda: by_dcm2niix(phantom))
            if arguments.isotropic:
                volumes = {role: isotropic(volume) for role, volume in volumes.items()}
            pair = (volumes[Role.T1C], volumes[Role.FLAIR])
            timed("register FLAIR", lambda pair=pair: register(*pair, Role.FLAIR))
            with one_itk_thread:
                timed("SimpleITK's default, FLAIR", lambda pair=pair: by_simpleitk(*pair))
            study = timed("register, mask, regrid", lambda volumes=volumes: prepare(volumes, brain))
            three = np.repeat(study.brain.array[None].astype(np.float32), 3, axis=0)
            timed(
                "three regions to the source grid",
                lambda s=study, p=three: to_source_grid(p, s.grid, phantom.truth.grid),
            )
            timed("measure", lambda: measure(phantom.truth))
    table = Table("what", "seconds (median)", "CPU seconds (median)")
    for name, pairs in rows.items():
        table.add_row(name, *(f"{statistics.median(column):.2f}" for column in zip(*pairs, strict=True)))
    Console().print(table)
    for ours, theirs in (("load DICOM", "dcm2niix"), ("register FLAIR", "SimpleITK's default, FLAIR")):
        ratios = [a[0] / b[0] for a, b in zip(rows[ours], rows[theirs], strict=True)]
        print(f"{ours} / {theirs}: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def by_dcm2niix(phantom: PhantomStudy) -> None:
    """All series of the phantom to NIfTI: what it writes is not used."""
    with tempfile.TemporaryDirectory() as out:
        command = ["dcm2niix", "-b", "n", "-z", "n", "-f", "%s", "-o", out, str(phantom.folder)]
        subprocess.run(command, check=True, capture_output=True)


if __name__ == "__main__":
    main()
