"""The same head under two names: found by what the images show, not by what they are called.

Each sequence is averaged to a thumbnail of 16³ voxels over the brain's bounding box; two heads are compared by the
correlation of their thumbnails, also mirrored along any axis. Among the 15 cases of BraTS 2018 that were at hand, the
most alike sequences of two different heads reach 0.76 (T1c alone 0.69); the same head with noise, other contrast
(gamma 0.7) or a brain mask that is one voxel smaller stays above 0.97. Simulated heads (`toy.py`) reach 0.91.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from training.segmenter.case import CaseError

SAME_HEAD = 0.95
_SIZE = 16
_AXES = (1, 2, 3)  # Z, Y, X of a thumbnail (sequence, Z, Y, X)
Thumbnail = npt.NDArray[np.float32]


class ShownHead(Protocol):
    """A case that can be compared: its name, and sequences (sequence, Z, Y, X) cropped to the brain, 0 outside."""

    @property
    def name(self) -> str:
        """The case."""

    @property
    def inputs(self) -> npt.NDArray[Any]:
        """The sequences."""


@dataclass(frozen=True)
class Likeness:
    """Two cases that show the same head, and the correlation of their most alike sequence."""

    first: str
    second: str
    correlation: float
    mirrored: bool

    def __str__(self) -> str:
        how = ", mirrored" if self.mirrored else ""
        return f"{self.first} and {self.second} (correlation {self.correlation:.3f}{how})"


def thumbnail(case: ShownHead) -> Thumbnail:
    """Each sequence as (sequence, 16, 16, 16), mean 0 and length 1."""
    image = torch.from_numpy(np.ascontiguousarray(case.inputs, dtype=np.float32))
    small: Thumbnail = functional.adaptive_avg_pool3d(image, _SIZE).numpy()
    small = small - small.mean(axis=_AXES, keepdims=True)
    length: Thumbnail = np.sqrt((small**2).sum(axis=_AXES, keepdims=True))
    return small / np.maximum(length, 1e-6)


def same_heads(first: Iterable[ShownHead], second: Iterable[ShownHead]) -> list[Likeness]:
    """Pairs (one of each side) with any sequence that is alike, most alike first; each case is looked at once."""
    others = [(case.name, thumbnail(case)) for case in second]
    theirs = np.stack([shown for _, shown in others])
    flat = theirs.reshape(*theirs.shape[:2], -1)
    found = []
    for case in first:
        shown = thumbnail(case)
        best = [(_best_sequence(np.flip(shown, axes), flat), bool(axes)) for axes in _flips()]
        for index, (other, _) in enumerate(others):
            correlation, mirrored = max((float(values[index]), turned) for values, turned in best)
            if correlation >= SAME_HEAD:
                found.append(Likeness(case.name, other, correlation, mirrored))
    return sorted(found, key=lambda pair: -pair.correlation)


def check_no_leak(training: Iterable[ShownHead], validation: Iterable[ShownHead]) -> None:
    """Stop where one head lies on both sides of the split.

    Raises:
        CaseError: with the list of pairs.
    """
    pairs = same_heads(training, validation)
    if pairs:
        lines = [f"the same head trains and validates under {len(pairs)} pair(s) of names:"]
        lines += [f"  - {pair}" for pair in pairs]
        lines.append("Remove one of each, or give both the same patient (a table has that column).")
        raise CaseError("\n".join(lines))


def _flips() -> list[tuple[int, ...]]:
    return [axes for count in range(len(_AXES) + 1) for axes in itertools.combinations(_AXES, count)]


def _best_sequence(shown: Thumbnail, others: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Highest correlation over sequences, for each of the others (case, sequence, voxels)."""
    correlations = np.einsum("sv,csv->cs", shown.reshape(len(shown), -1), others)
    best: npt.NDArray[np.float32] = correlations.max(axis=1)
    return best
