"""The 3D segmenter: z-scored sequences in, probabilities of the nested regions out, and labels from these."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import combinations

import numpy as np
import safetensors.torch
import torch
from monai.inferers.utils import sliding_window_inference
from safetensors import SafetensorError
from scipy import ndimage
from torch import Tensor, nn

from bt_node.domain.errors import OutOfDeviceMemoryError, ReleaseError, RolesMissingError
from bt_node.domain.geometry import BoolArray, ImageArray, LabelArray
from bt_node.domain.study import Role
from bt_node.domain.tumour import LABEL_OF, Region, ReleaseIdentity
from bt_node.infer.device import has_fast_bfloat16
from bt_node.infer.networks.build import NetworkArgumentsError, build_network
from bt_node.infer.networks.ensemble import Ensemble
from bt_node.infer.release import (
    Intended,
    NetworkSpec,
    Release,
    SegmenterInput,
    SegmenterManifest,
    SegmenterOutput,
    read_verified_weights,
)

_AXES = {"Z": 2, "Y": 3, "X": 4}  # of a batch (1, sequence or region, Z, Y, X)
_TOUCHING = np.ones((3, 3, 3), dtype=np.bool_)  # voxels that share a face, an edge or a corner are one part


@dataclass(frozen=True, eq=False)
class Segmenter:
    """A network with what its release says about input and output.

    Attributes:
        identity: which release it is.
        input: channel order, grid and window.
        output: regions, thresholds and smallest parts.
        network: maps (batch, roles, Z, Y, X) to logits (batch, 3, Z, Y, X); in evaluation mode, on `device`.
        device: where it computes.
        intended: whom the release is meant for.
    """

    identity: ReleaseIdentity
    input: SegmenterInput
    output: SegmenterOutput
    network: nn.Module
    device: torch.device
    intended: Intended = field(default_factory=Intended)

    @property
    def roles(self) -> tuple[Role, ...]:
        """The sequences it reads, in channel order."""
        return self.input.roles

    @property
    def needs_one_of(self) -> tuple[Role, ...]:
        """At least one of these must be there, the others may be missing; empty: it needs all of `roles`."""
        return self.input.needs_one_of

    def predict(self, inputs: Mapping[Role, ImageArray]) -> ImageArray:
        """Probability of each nested region in each voxel.

        Only the box that holds the brain is computed; outside it the probability is 0. Windows are blended with
        Gaussian weights.

        Args:
            inputs: float32 (Z, Y, X) of one shape on the release's grid (1 mm, axes along LPS), z-scored inside the
                brain and 0 outside. Roles that the release does not read are ignored. A release with `needs_one_of`
                reads zeros (the mean of every z-scored sequence) in place of a missing one, as it was trained to.

        Returns:
            float32 (3, Z, Y, X): WT, TC, ET, each 0 to 1.

        Raises:
            RolesMissingError: a sequence that the release cannot do without is not among `inputs`.
            OutOfDeviceMemoryError: the device ran out of memory.
            ValueError: shapes differ, a value is not finite, or nothing is inside the brain.
        """
        return self.predict_with_spread(inputs)[0]

    def predict_with_spread(self, inputs: Mapping[Role, ImageArray]) -> tuple[ImageArray, ImageArray | None]:
        """The same, and how far the answers to mirrored images differ; raises as `predict` does.

        Returns:
            Probabilities as `predict` gives them, and float32 (Z, Y, X): the standard deviation of the whole tumour's
            probability between the mirrored answers; None where the release has no `flips`.
        """
        image = self._stacked(inputs)
        box = _filled_box((image != 0).any(axis=0))
        probabilities = np.zeros((len(self.output.regions), *image.shape[1:]), dtype=np.float32)
        spread = np.zeros(image.shape[1:], dtype=np.float32) if self.input.flips else None
        with out_of_memory_named(self.device):
            mean, apart = self._slide(image[(slice(None), *box)])
        probabilities[(slice(None), *box)] = mean
        if spread is not None:
            spread[box] = apart
        return probabilities, spread

    def decide(self, probabilities: ImageArray, *, voxel_mm3: float | None = None) -> LabelArray:
        """Exclusive labels from probabilities, by the release's thresholds.

        Regions stay nested: core lies inside whole tumour and enhancing tumour inside core. A connected part that is
        smaller than the release allows is dropped from its region, and with it everything nested in it. A region
        whose parts together are too small goes whole: too little enhancing tumour becomes core.

        Args:
            probabilities: float32 (3, Z, Y, X): WT, TC, ET on any grid.
            voxel_mm3: volume of one voxel of that grid; left out, the release's own grid is meant.

        Returns:
            uint8 (Z, Y, X): 0 background, 1 NCR, 2 ED, 3 ET.
        """
        voxel_ml = (float(np.prod(self.input.spacing_mm)) if voxel_mm3 is None else voxel_mm3) / 1000.0
        inside: BoolArray = np.ones(probabilities.shape[1:], dtype=np.bool_)
        masks: list[BoolArray] = []
        rules = self.output
        for values, threshold, part_ml, region_ml in zip(
            probabilities, rules.thresholds, rules.min_component_ml, rules.min_region_ml, strict=True
        ):
            inside = _without_small_parts(inside & (values > threshold), part_ml / voxel_ml)
            if np.count_nonzero(inside) * voxel_ml < region_ml:
                inside = np.zeros_like(inside)
            masks.append(inside)
        return _exclusive(masks)

    def _stacked(self, inputs: Mapping[Role, ImageArray]) -> ImageArray:
        if self.input.lacking(inputs):
            missing = [role.value for role in self.roles if role not in inputs]
            raise RolesMissingError(missing, len(inputs), one_of=[role.value for role in self.needs_one_of])
        shape = next(inputs[role] for role in self.roles if role in inputs).shape
        image = np.zeros((len(self.roles), *shape), dtype=np.float32)
        for channel, role in zip(image, self.roles, strict=True):
            if role in inputs:
                if inputs[role].shape != shape:
                    raise ValueError(f"{role.value} has shape {inputs[role].shape}, others have {shape}")
                channel[...] = inputs[role]
        if not np.isfinite(image).all():
            raise ValueError("the input holds values that are not finite")
        return image

    def _slide(self, image: ImageArray) -> tuple[ImageArray, ImageArray]:
        batch = torch.from_numpy(np.ascontiguousarray(image))[None].to(self.device)
        with (
            torch.inference_mode(),
            torch.autocast(self.device.type, torch.bfloat16, enabled=has_fast_bfloat16(self.device)),
        ):
            mean, apart = self._mirrored(batch)
        result: ImageArray = mean[0].float().clamp(0.0, 1.0).cpu().numpy()
        spread: ImageArray = apart[0].float().cpu().numpy()
        return result, spread

    def _mirrored(self, batch: Tensor) -> tuple[Tensor, Tensor]:
        """Mean answer over the image and its mirror images along every set of the release's `flips`.

        With it comes the standard deviation of the first region between them.
        """
        axes = [_AXES[axis] for axis in self.input.flips]
        mirrors = [chosen for count in range(len(axes) + 1) for chosen in combinations(axes, count)]
        answers = (self._blended(batch.flip(mirror)).flip(mirror) for mirror in mirrors)
        first = next(answers)
        total, middle, squares = first, first[:, 0], torch.zeros_like(first[:, 0])
        for number, answer in enumerate(answers, start=2):
            total = total + answer
            # Welford's way: the mean square less the squared mean would lose small differences.
            off = answer[:, 0] - middle
            middle = middle + off / number
            squares = squares + off * (answer[:, 0] - middle)
        return total / len(mirrors), (squares / len(mirrors)).clamp(min=0.0).sqrt()

    def _blended(self, batch: Tensor) -> Tensor:
        blended = sliding_window_inference(
            batch, self.input.patch, 1, self._window, overlap=self.input.overlap, mode="gaussian"
        )
        if not isinstance(blended, Tensor):
            raise TypeError(f"the network answers {type(blended).__name__}, not one tensor")
        return blended

    def _window(self, window: Tensor) -> Tensor:
        logits: Tensor = self.network(window.contiguous(memory_format=torch.channels_last_3d))
        if self.output.channels == "nested":
            return logits.float().sigmoid()
        return nested_of(logits.float().softmax(dim=1))


def nested_of(parts: Tensor) -> Tensor:
    """Probabilities of background, NCR, ED and ET (N, 4, Z, Y, X) as those of WT, TC and ET (N, 3, Z, Y, X)."""
    _, necrosis, oedema, enhancing = parts.unbind(dim=1)
    core = necrosis + enhancing
    return torch.stack([core + oedema, core, enhancing], dim=1)


def load_segmenter(release: Release, device: torch.device) -> Segmenter:
    """Build the release's network and load its weights, whose hash is checked first.

    Raises:
        ReleaseError: not a segmenter, the network's arguments are wrong, or the weights do not fit the network.
        WeightsMismatchError: the weights are not the ones the manifest names.
    """
    manifest = release.manifest
    if not isinstance(manifest, SegmenterManifest):
        raise ReleaseError(release.folder.name, f"is a {manifest.kind}, not a segmenter")
    content = read_verified_weights(release)
    try:
        network = build_members(manifest.network, exclusive=manifest.output.channels == "exclusive")
        network.load_state_dict({name: value.float() for name, value in safetensors.torch.load(content).items()})
    except (NetworkArgumentsError, SafetensorError, RuntimeError) as error:
        raise ReleaseError(release.folder.name, str(error)) from error
    return Segmenter(
        release.identity, manifest.input, manifest.output, ready(network, device), device, manifest.intended
    )


def build_members(spec: NetworkSpec, *, exclusive: bool) -> nn.Module:
    """The network of a manifest with fresh weights; of several members, one module that averages their answers.

    `exclusive` says that a voxel is one of the channels.

    Raises:
        NetworkArgumentsError: unknown name, unknown or impossible arguments.
    """
    members = [build_network(spec.architecture, spec.arguments) for _ in range(spec.members)]
    return members[0] if len(members) == 1 else Ensemble(members, exclusive=exclusive)


def ready(network: nn.Module, device: torch.device) -> nn.Module:
    """The network on its device, in evaluation mode, weights channels-last."""
    channels_last(network.to(device))
    return network.eval()


def channels_last(network: nn.Module) -> None:
    """Lay the weights of 3D convolutions out channels-last, in place: faster in bfloat16 on processor and GPU."""
    network.to(memory_format=torch.channels_last_3d)  # type: ignore[call-overload]  # torch's stub knows 4D only


def _exclusive(masks: Sequence[BoolArray]) -> LabelArray:
    whole, core, enhancing = masks
    labels: LabelArray = np.zeros(whole.shape, dtype=np.uint8)
    labels[whole] = LABEL_OF[Region.ED]
    labels[core] = LABEL_OF[Region.NCR]
    labels[enhancing] = LABEL_OF[Region.ET]
    return labels


def _without_small_parts(mask: BoolArray, smallest_voxels: float) -> BoolArray:
    if smallest_voxels <= 1 or not mask.any():
        return mask
    parts, count = ndimage.label(mask, structure=_TOUCHING)
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    kept = sizes >= smallest_voxels
    kept[0] = False
    result: BoolArray = kept[parts]
    return result


def _filled_box(mask: BoolArray) -> tuple[slice, ...]:
    if not mask.any():
        raise ValueError("no voxel of the input is inside the brain")
    box: tuple[slice, ...] = ndimage.find_objects(mask.astype(np.uint8))[0]
    return box


@contextmanager
def out_of_memory_named(device: torch.device) -> Iterator[None]:
    """Give an allocation that failed inside its own error class, whatever allocator it was.

    Raises:
        OutOfDeviceMemoryError: in its place.
    """
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise OutOfDeviceMemoryError(str(device)) from error
    except RuntimeError as error:
        # torch's allocator for the processor has no error class of its own; its text is all there is.
        if "can't allocate memory" not in str(error):
            raise
        raise OutOfDeviceMemoryError(str(device)) from error
