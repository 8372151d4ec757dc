"""The brain in a head with skull, found by the network of deepbet (Fisch et al. 2023, arXiv:2308.07003).

Its weights are part of the pinned package, and are loaded only when their hashes are the known ones: they are
TorchScript, which can hold any code.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Role
from bt_node.infer.brain_weights import identity, verify_brain_weights, weights_folder
from bt_node.infer.segmenter import out_of_memory_named

# It learnt on T1. On T2 it takes in scalp: Dice 0.94 against HD-BET's mask, where T1c has 0.97 and FLAIR 0.96.
READABLE = (Role.T1C, Role.T1, Role.FLAIR)


@dataclass(frozen=True, eq=False)
class BrainFinder:
    """The loaded network.

    Attributes:
        extraction: deepbet's `BrainExtraction`: one network finds where the brain is, another one its outline.
    """

    extraction: Any

    @property
    def identity(self) -> str:
        """Package, version and hash of the weights, as the job's findings name it."""
        return identity()

    def predict(self, heads: Mapping[Role, ImageArray]) -> ImageArray | None:
        """Probability of brain in each voxel, read from one sequence: T1c, else T1, else FLAIR.

        Args:
            heads: float32 (Z, Y, X) of one shape on a 1 mm grid along LPS, with skull, intensities of any unit.

        Returns:
            float32 (Z, Y, X), 0 to 1, 0 throughout where nothing resembles a brain; None where there is only T2.

        Raises:
            OutOfDeviceMemoryError: the device ran out of memory.
        """
        role = next((role for role in READABLE if role in heads), None)
        if role is None:
            return None
        # The package reads (X, Y, Z) along RAS; x and y point the other way in LPS.
        along_ras = np.ascontiguousarray(heads[role].transpose(2, 1, 0)[::-1, ::-1], dtype=np.float32)
        with out_of_memory_named(next(self.extraction.model.parameters()).device):
            try:
                found = self.extraction.run_model(along_ras)
            except (AssertionError, ValueError):  # how the package says that nothing resembles a brain
                return np.zeros_like(heads[role], dtype=np.float32)
        return np.ascontiguousarray(found[::-1, ::-1].transpose(2, 1, 0))


def load_brain_finder(device: torch.device) -> BrainFinder:
    """Load the package's networks onto `device`, after their hashes were checked.

    Raises:
        ReleaseError: the installed files are not the ones that were measured.
    """
    from deepbet.bet import BrainExtraction  # noqa: PLC0415 - a second, which only who finds brains should wait for

    verify_brain_weights()
    folder = weights_folder()
    extraction = BrainExtraction(
        no_gpu=True, model_path=str(folder / "model.pt"), bbox_model_path=str(folder / "bbox_model.pt")
    )
    extraction.model.to(device)
    extraction.bbox_model.to(device)
    return BrainFinder(extraction)
