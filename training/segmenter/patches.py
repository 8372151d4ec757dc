"""Training patches: which voxels the network sees at a given step, decided by seed, step and place in the batch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from bt_node.domain.geometry import LabelArray
from bt_node.domain.study import Role
from bt_node.domain.tumour import LABEL_OF, Region
from training.segmenter.augment import augment
from training.segmenter.prepared import PreparedCase, nested_regions
from training.segmenter.recipe import AugmentationRecipe, SamplingRecipe

_HARDLY = 0.1


class PatchSource:
    """Batches of augmented patches.

    A batch depends on nothing but the seed and the step, so a run that resumes sees the patches it would have seen,
    and any number of loader processes would draw the same ones.
    """

    def __init__(
        self,
        cases: Sequence[PreparedCase],
        roles: Sequence[Role],
        sampling: SamplingRecipe,
        augmentation: AugmentationRecipe,
        seed: int,
    ) -> None:
        self._cases, self._roles, self._seed = cases, roles, seed
        self._sampling, self._augmentation = sampling, augmentation
        self._tumour_voxels = [_voxels_by_label(case) for case in cases]
        hardly = [hardly_enhances(case.labels) for case in cases]
        self._groups = [[i for i, each in enumerate(hardly) if each == wanted] for wanted in (False, True)]

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Images (batch, sequence, Z, Y, X) and regions (batch, 3, Z, Y, X), float32."""
        patches = [
            self._patch(np.random.default_rng([self._seed, step, place])) for place in range(self._sampling.batch)
        ]
        images, regions = zip(*patches, strict=True)
        return torch.stack(images), torch.stack(regions)

    def _patch(self, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        index = self._index(rng)
        case, by_label = self._cases[index], self._tumour_voxels[index]
        centre = None
        if by_label and rng.random() < self._sampling.tumour_centred:
            voxels = by_label[int(rng.integers(len(by_label)))]  # each label equally often: core parts are small
            centre = voxels[int(rng.integers(len(voxels)))]
        window = _window(case.labels.shape, self._sampling.patch, centre, rng)
        image = _padded(case.inputs[(slice(None), *window)].astype(np.float32), self._sampling.patch)
        regions = _padded(nested_regions(case.labels[window]), self._sampling.patch)
        return augment(torch.from_numpy(image), torch.from_numpy(regions), self._roles, self._augmentation, rng)

    def _index(self, rng: np.random.Generator) -> int:
        """A case; by the recipe's chance one that hardly enhances, where there are both kinds."""
        if not self._sampling.hardly_enhancing or not all(self._groups):
            return int(rng.integers(len(self._cases)))
        group = self._groups[int(rng.random() < self._sampling.hardly_enhancing)]
        return group[int(rng.integers(len(group)))]


def hardly_enhances(labels: LabelArray) -> bool:
    """Whether less than a tenth of the core (Z, Y, X) is enhancing tumour; also where there is no core."""
    enhancing = int(np.count_nonzero(labels == LABEL_OF[Region.ET]))
    return enhancing < _HARDLY * (enhancing + int(np.count_nonzero(labels == LABEL_OF[Region.NCR]))) or not enhancing


def _voxels_by_label(case: PreparedCase) -> list[npt.NDArray[np.int16]]:
    """Indices (Z, Y, X) of the voxels of each tumour label that the case has."""
    labels = np.asarray(case.labels)
    return [np.argwhere(labels == label).astype(np.int16) for label in np.unique(labels[labels > 0])]


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
