"""Training patches: which voxels the network sees at a given step, decided by seed, step and place in the batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from training.segmenter.augment import augment
from training.segmenter.prepared import PreparedCase, nested_regions
from training.segmenter.recipe import AugmentationRecipe, SamplingRecipe


class PatchSource:
    """Batches of augmented patches.

    A batch depends on nothing but the seed and the step, so a run that resumes sees the patches it would have seen,
    and any number of loader processes would draw the same ones.
    """

    def __init__(
        self, cases: Sequence[PreparedCase], sampling: SamplingRecipe, augmentation: AugmentationRecipe, seed: int
    ) -> None:
        self._cases, self._sampling, self._augmentation, self._seed = cases, sampling, augmentation, seed
        self._tumour_voxels = [np.argwhere(case.labels > 0).astype(np.int16) for case in cases]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images (batch, sequence, Z, Y, X) and regions (batch, 3, Z, Y, X), float32."""
        patches = [
            self._patch(np.random.default_rng([self._seed, step, place])) for place in range(self._sampling.batch)
        ]
        images, regions = zip(*patches, strict=True)
        return torch.stack(images), torch.stack(regions)

    def _patch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        index = int(rng.integers(len(self._cases)))
        case, voxels = self._cases[index], self._tumour_voxels[index]
        centre = None
        if len(voxels) and rng.random() < self._sampling.tumour_centred:
            centre = voxels[int(rng.integers(len(voxels)))]
        window = _window(case.labels.shape, self._sampling.patch, centre, rng)
        image = _padded(case.inputs[(slice(None), *window)].astype(np.float32), self._sampling.patch)
        regions = _padded(nested_regions(case.labels[window]), self._sampling.patch)
        return augment(torch.from_numpy(image), torch.from_numpy(regions), self._augmentation, rng)


def _window(
    shape: Sequence[int], patch: Sequence[int], centre: npt.NDArray[np.int16] | None, rng: np.random.Generator
) -> tuple[slice, ...]:
    """A box of the patch's size inside the volume: around `centre` as far as the edge allows, else anywhere."""
    starts = []
    for axis, (size, wanted) in enumerate(zip(shape, patch, strict=True)):
        room = max(0, size - wanted)
        start = int(rng.integers(room + 1)) if centre is None else int(centre[axis]) - wanted // 2
        starts.append(min(max(0, start), room))
    return tuple(slice(start, start + wanted) for start, wanted in zip(starts, patch, strict=True))


def _padded(array: npt.NDArray[np.float32], patch: Sequence[int]) -> npt.NDArray[np.float32]:
    """Zeros at the far ends where the volume is smaller than the patch; contiguous."""
    missing = [(0, max(0, wanted - size)) for size, wanted in zip(array.shape[1:], patch, strict=True)]
    return np.ascontiguousarray(np.pad(array, [(0, 0), *missing]))
