"""Registration error in mm over the brain for motions known exactly, beside SimpleITK's default registration.

    python -m bench.registration                    the phantom: 3 to 5.5 mm slices, and its T1c at 1 mm isotropic
    python -m bench.registration --native FOLDER    a head as four NIfTI files and the mask of its brain
    python -m bench.registration --dicom FOLDER     a study of DICOM files

Each sequence is first registered as it is; on the phantom its true motion is known instead. Then it is moved by a
known motion (only the grid changes: nothing is interpolated), perhaps cut to a slab, and registered again. The error
is the distance, over the part of the brain that the series covers, between where the second result and where the
first one with the known motion send a point. On a real head that is the error against the whole, unmoved series.

SimpleITK's default is that of its notebooks: middles of both images laid on one another, Mattes mutual information
with 50 bins on 1 % of the voxels, gradient descent on three levels. Seconds are on one thread each.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pydicom
from rich.console import Console
from rich.table import Table

from bench.convert import isotropic, load
from bench.machine import describe_machine
from bench.rigid import Points, by_simpleitk
from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import read_study
from bt_node.convert.itk import one_itk_thread
from bt_node.convert.nifti import read_nifti
from bt_node.convert.prepare import prepare
from bt_node.convert.register import register
from bt_node.convert.stack import load_series
from bt_node.domain.errors import RegistrationError
from bt_node.domain.geometry import FloatArray, Volume
from bt_node.domain.study import Role
from bt_node.simulate.motion import KnownMotion, covered, middle, moved, slab
from bt_node.simulate.phantom import make_phantom


@dataclass(frozen=True)
class Head:
    """One head: its sequences, points in its brain (world of T1c), and the true way to each sequence if known."""

    volumes: Mapping[Role, Volume]
    points: FloatArray
    truth: Mapping[Role, Points] | None = None


def cases(centre: tuple[float, float, float]) -> dict[str, tuple[KnownMotion, tuple[float, float]]]:
    large = KnownMotion(20, (1, 0, 0), (10, -20, 20), centre)
    return {
        "5°, 5 mm": (KnownMotion(5, (1, 1, 0), (3, -4, 0), centre), (0, 1)),
        "20° turned, 30 mm": (KnownMotion(20, (0, 0, 1), (20, 20, 10), centre), (0, 1)),
        "20° nodded, 30 mm": (large, (0, 1)),
        "20° oblique, 30 mm": (KnownMotion(20, (1, 1, 1), (-20, 10, -20), centre), (0, 1)),
        "another frame of reference, 8°": (KnownMotion(8, (0, 1, 0), (60, -150, 400), centre), (0, 1)),
        "lower 60 %": (KnownMotion(0, (1, 0, 0), (0, 0, 0), centre), (0, 0.6)),
        "upper 60 %, 20° nodded, 30 mm": (large, (0.4, 1)),
        "middle half, 20° nodded, 30 mm": (large, (0.25, 0.75)),
    }


def of_phantom(folder: Path, *, thin: bool) -> Head:
    phantom = make_phantom(folder)
    volumes = load(phantom)
    points = prepare(volumes)
    if thin:
        volumes = {role: isotropic(volume) if role is Role.T1C else volume for role, volume in volumes.items()}
    ways = {role: _along(phantom.motion[role]) for role in Role}
    return Head(volumes, points.grid.index_to_world(np.argwhere(points.brain.array)[::2997]), ways)


def _along(motion: FloatArray) -> Points:
    return lambda points: points @ motion[:3, :3].T + motion[:3, 3]


def of_native(folder: Path) -> Head:
    names = {Role.T1: "t1", Role.T1C: "t1c", Role.T2: "t2", Role.FLAIR: "flair"}
    mask = read_nifti(folder / "t1c_brain_mask.nii.gz")
    volumes = {role: read_nifti(folder / f"{name}.nii.gz") for role, name in names.items()}
    return Head(volumes, mask.grid.index_to_world(np.argwhere(mask.array > 0.5)[::997]))


def of_dicom(folder: Path) -> Head:
    files = sorted(folder.rglob("*.dcm"))
    paths = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in files}
    chosen = choose_roles(read_study(paths)).choices
    volumes = {role: load_series(choice.series, paths).volume for role, choice in chosen.items()}
    study = prepare(volumes)
    return Head(volumes, study.grid.index_to_world(np.argwhere(study.brain.array)[::2997]))


def measure(name: str, head: Head, *, peer: bool, roles: list[Role]) -> None:
    table = Table(
        "sequence", "known motion, coverage", "bt-node: mean, max mm", "s", "SimpleITK: mean, max mm", "s", title=name
    )
    reference = head.volumes[Role.T1C]
    for role in roles:
        base = head.truth[role] if head.truth else register(reference, head.volumes[role], role).motion.apply
        for case, (motion, part) in cases(middle(reference)).items():
            truth = motion.apply(base(head.points))
            moving = moved(slab(head.volumes[role], *part), motion)
            seen = covered(moving, truth)
            points, truth = head.points[seen], truth[seen]
            ours = timed(lambda m=moving, r=role: register(reference, m, r).motion.apply, points, truth)
            theirs = timed(lambda m=moving: by_simpleitk(reference, m), points, truth) if peer else ("", "")
            table.add_row(role.value, case, *ours, *theirs)
            print(name, role.value, case, *ours, *theirs, flush=True)
    Console().print(table)


def timed(call: Callable[[], Points], points: FloatArray, truth: FloatArray) -> tuple[str, str]:
    started = time.perf_counter()
    try:
        with one_itk_thread:
            found = call()
    except (RegistrationError, RuntimeError) as error:
        refused = "refused" if isinstance(error, RegistrationError) else "failed"
        return refused, f"{time.perf_counter() - started:.1f}"
    seconds = time.perf_counter() - started
    error = np.linalg.norm(found(points) - truth, axis=1)
    return f"{error.mean():.2f}, {error.max():.2f}", f"{seconds:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--native", type=Path)
    parser.add_argument("--dicom", type=Path)
    parser.add_argument("--roles", default="T1,T2,FLAIR")
    parser.add_argument("--no-peer", action="store_true", help="leave SimpleITK's default out")
    arguments = parser.parse_args()
    print(describe_machine())
    how = {"peer": not arguments.no_peer, "roles": [Role(name) for name in arguments.roles.split(",")]}
    if arguments.native:
        measure("a real head", of_native(arguments.native), **how)
    elif arguments.dicom:
        measure("a real study", of_dicom(arguments.dicom), **how)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            measure("phantom, 3 to 5.5 mm slices", of_phantom(Path(scratch), thin=False), **how)
            measure("phantom, T1c at 1 mm, others in thick slices", of_phantom(Path(scratch), thin=True), **how)


if __name__ == "__main__":
    main()
