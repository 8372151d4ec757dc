"""The brain finder: heads with skull in, probability of brain out.

One pass of a small 3D U-Net over the whole head on a coarse grid: what tells brain from orbit, neck and the vertex's
slanting bone is where it lies in the head, not a fine edge. Its training saw soft borders, so that the border
between coarse voxels is found where the probability crosses the threshold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn
from torch.nn import functional

from bt_node.domain.errors import ReleaseError
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Role
from bt_node.domain.tumour import ReleaseIdentity
from bt_node.infer.device import has_fast_bfloat16
from bt_node.infer.networks.build import NetworkArgumentsError
from bt_node.infer.release import BrainInput, BrainManifest, BrainOutput, Release, read_verified_weights
from bt_node.infer.segmenter import build_members, out_of_memory_named, ready

DIVISIBLE_BY = 16  # four halvings
BRIGHTEST = 2.0  # of the 99th percentile; vessels and fat beyond it say no more
_PERCENTILE, _SAMPLED = 0.99, 20_000
_FEWEST = 100  # voxels above zero; below it a channel says nothing


@dataclass(frozen=True, eq=False)
class BrainFinder:
    """A network with what its release says about input and output.

    Attributes:
        identity: which release it is.
        input: channel order and coarse grid.
        output: where probability becomes brain.
        network: maps (1, roles, Z, Y, X) to logits (1, 1, Z, Y, X); in evaluation mode, on `device`.
        device: where it computes.
    """

    identity: ReleaseIdentity
    input: BrainInput
    output: BrainOutput
    network: nn.Module
    device: torch.device

    def predict(self, heads: Mapping[Role, ImageArray]) -> ImageArray:
        """Probability of brain in each voxel.

        Args:
            heads: float32 (Z, Y, X) of one shape on a 1 mm grid along LPS, with skull, intensities of any unit. Any
                of the release's sequences may be missing, but not all; others are ignored.

        Returns:
            float32 (Z, Y, X), 0 to 1.

        Raises:
            OutOfDeviceMemoryError: the device ran out of memory.
            ValueError: none of the release's sequences is given, or shapes differ.
        """
        given = [role for role in self.input.roles if role in heads]
        if not given:
            raise ValueError(f"none of {[role.value for role in self.input.roles]} is given")
        shape = heads[given[0]].shape
        with out_of_memory_named(self.device), torch.inference_mode():
            z, y, x = (max(1, round(size / self.input.spacing_mm)) for size in shape)
            coarse = (z, y, x)
            image = torch.zeros(1, len(self.input.roles), *coarse, device=self.device)
            for number, role in enumerate(self.input.roles):
                if role in heads:
                    image[0, number] = self._channel(heads[role], coarse)
            logits = functional.interpolate(self._answer(image), size=shape, mode="trilinear", align_corners=False)
            probability: ImageArray = logits[0, 0].sigmoid().cpu().numpy()
        return probability

    def _channel(self, head: ImageArray, coarse: tuple[int, int, int]) -> Tensor:
        """One sequence averaged onto the coarse grid, as a multiple of its 99th percentile."""
        # A copy, because torch wants to own what it may write.
        fine = torch.from_numpy(np.array(head, dtype=np.float32)).to(self.device)
        mean = functional.adaptive_avg_pool3d(fine[None, None], coarse)[0, 0].clamp(min=0)
        return scaled(mean)

    def _answer(self, image: Tensor) -> Tensor:
        """Logits of the network, which wants sizes that can be halved four times; what is added is air."""
        sizes = image.shape[2:]
        padding = [amount for size in reversed(sizes) for amount in (0, -size % DIVISIBLE_BY)]
        padded = functional.pad(image, padding).contiguous(memory_format=torch.channels_last_3d)
        with torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)):
            logits: Tensor = self.network(padded)
        z, y, x = sizes
        return logits[:, :, :z, :y, :x].float()


def scaled(channel: Tensor) -> Tensor:
    """Intensities (Z, Y, X) as multiples of the 99th percentile of those above zero, cut off at twice that."""
    present = channel[channel > 0]
    if present.numel() < _FEWEST:
        return torch.zeros_like(channel)
    some = present[:: max(1, present.numel() // _SAMPLED)]
    return (channel / torch.quantile(some, _PERCENTILE)).clamp(max=BRIGHTEST)


def load_brain_finder(release: Release, device: torch.device) -> BrainFinder:
    """Build the release's network and load its weights, whose hash is checked first.

    Raises:
        ReleaseError: not a brain finder, the network's arguments are wrong, or the weights do not fit the network.
        WeightsMismatchError: the weights are not the ones the manifest names.
    """
    manifest = release.manifest
    if not isinstance(manifest, BrainManifest):
        raise ReleaseError(release.folder.name, f"is a {manifest.kind}, not a brain finder")
    content = read_verified_weights(release)
    try:
        network = build_members(manifest.network, exclusive=False)
        network.load_state_dict({name: value.float() for name, value in safetensors.torch.load(content).items()})
    except (NetworkArgumentsError, SafetensorError, RuntimeError) as error:
        raise ReleaseError(release.folder.name, str(error)) from error
    return BrainFinder(release.identity, manifest.input, manifest.output, ready(network, device), device)
