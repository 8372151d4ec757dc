"""Toy cases: simulated brains with tumours by formula, in BraTS' layout, so that anybody can try the whole trip.

Nothing of a real patient is in them, and nothing that a network learns from them is of use on one.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bt_node.convert.nifti import write_nifti, write_nifti_labels
from bt_node.domain.study import Role
from bt_node.simulate.phantom import brats_like
from bt_node.simulate.tumour import TumourShape

_SHAPE = (62, 76, 64)  # voxels (Z, Y, X): the whole brain at 2.5 mm
_SPACING_MM = 2.5
_ENHANCING = 4  # as in BraTS until 2021
_SUFFIX = {Role.T1: "t1", Role.T1C: "t1ce", Role.T2: "t2", Role.FLAIR: "flair"}


def write_toy_cases(folder: Path, count: int = 3) -> tuple[str, ...]:
    """Write `Toy_001` and so on, each another head with another tumour.

    Args:
        folder: made if absent.
        count: number of cases; the same number is the same cases.

    Returns:
        The cases' names.
    """
    names = tuple(f"Toy_{number:03d}" for number in range(1, count + 1))
    for seed, name in enumerate(names, start=1):
        case = brats_like(seed=seed, tumour=_tumour(seed), shape=_SHAPE, spacing_mm=_SPACING_MM)
        (folder / name).mkdir(parents=True, exist_ok=True)
        for role, volume in case.volumes.items():
            write_nifti(folder / name / f"{name}_{_SUFFIX[role]}.nii.gz", volume)
        write_nifti_labels(folder / name / f"{name}_seg.nii.gz", case.labels, enhancing=_ENHANCING)
    return names


def _tumour(seed: int) -> TumourShape:
    """A large tumour somewhere in one hemisphere: coarse voxels and few steps must suffice to find it."""
    random = np.random.default_rng([seed, 77])
    side = 1.0 if seed % 2 else -1.0
    x, y, z = random.uniform((26.0, -25.0, 10.0), (34.0, 25.0, 26.0))
    core = random.uniform(14.0, 18.0, size=3)
    wide = core + random.uniform(10.0, 14.0)
    return TumourShape((side * float(x), float(y), float(z)), _triple(core), oedema_axes_mm=_triple(wide))


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = (float(value) for value in values)
    return x, y, z
