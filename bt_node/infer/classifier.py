"""The 2D classifier: slices in, one finding with a probability for each tumour type out."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from PIL import Image, UnidentifiedImageError
from torch import nn

from bt_node.domain.errors import OutOfDeviceMemoryError, PictureError, ReleaseError
from bt_node.domain.geometry import FloatArray, ImageArray
from bt_node.domain.tumour import TUMOURS, ReleaseIdentity, SliceAnswer, TumourTypeFinding
from bt_node.infer.networks.build import NetworkArgumentsError, build_network
from bt_node.infer.picture import NORMALISATIONS, frame_head, to_network
from bt_node.infer.release import ClassifierManifest, Release, read_verified_weights

_BATCH = 32
_FILE_FORMATS = ("PNG", "JPEG")


@dataclass(frozen=True)
class Classifier:
    """A loaded release on one device. Build it with `load_classifier`.

    Computes in float32: a slice takes some 20 ms on two cores, so that bfloat16 would save nothing that is felt,
    and the third digit of a probability would change with the machine.
    """

    network: nn.Module
    manifest: ClassifierManifest
    identity: ReleaseIdentity
    device: torch.device

    def classify(self, slices: Sequence[ImageArray], weights: Sequence[float] | None = None) -> TumourTypeFinding:
        """Name the tumour type that the slices of one study show.

        The finding is the weighted arithmetic mean of the slices' calibrated probabilities (a linear opinion pool).
        Slices of one tumour repeat one another, so multiplying them, or averaging logarithms, would let one sure but
        wrong slice (a vessel, an artefact) veto the others and would claim more certainty than the slices hold. The
        mean is never surer than its surest slice. A slice that shows much of the tumour counts for more than one that
        grazes it: that is what weights are for.

        Args:
            slices: intensities (Y, X) of axial T1c slices with skull, any size and unit; rows run from anterior to
                posterior, columns from the patient's right to left. Slices without a head are left out.
            weights: how much each slice counts, positive, any unit; all the same when left out.

        Returns:
            Probabilities that sum to 1, those of the types given a tumour, and what each slice that was used said.

        Raises:
            PictureError: no slice shows a head.
            OutOfDeviceMemoryError: the device is full right now.
        """
        weights = [1.0] * len(slices) if weights is None else weights
        if len(weights) != len(slices) or any(weight <= 0 for weight in weights):
            raise ValueError(f"{len(slices)} slices need as many positive weights, not {list(weights)}")
        places, framed = self._frame(slices)
        share = np.array([weights[place] for place in places], dtype=np.float64)
        share /= share.sum()
        return self._finding(places, share, self.probabilities(framed))

    def probabilities(self, framed: ImageArray) -> FloatArray:
        """Calibrated probabilities (N, classes), in the manifest's order of classes, of framed pictures (N, S, S)."""
        scaled = self.logits(framed) / self.manifest.output.temperature
        scaled = scaled - scaled.max(axis=1, keepdims=True)
        exponential = np.exp(scaled)
        return np.asarray(exponential / exponential.sum(axis=1, keepdims=True), dtype=np.float64)

    def logits(self, framed: ImageArray) -> FloatArray:
        """What the network says, before temperature: (N, classes) of framed pictures (N, S, S).

        Where the release averages over mirror images, so do these logits (`picture_logits`).
        """
        parts = []
        try:
            with torch.inference_mode():
                for start in range(0, len(framed), _BATCH):
                    grey = torch.from_numpy(framed[start : start + _BATCH]).to(self.device)
                    logits = picture_logits(
                        self.network,
                        to_network(grey, self.manifest.input.normalisation),
                        mirror_average=self.manifest.output.mirror_average,
                    )
                    parts.append(logits.cpu().numpy())
        except torch.OutOfMemoryError as error:
            raise OutOfDeviceMemoryError(str(self.device)) from error
        return np.concatenate(parts).astype(np.float64)

    def _frame(self, slices: Sequence[ImageArray]) -> tuple[list[int], ImageArray]:
        """Places of the slices that show a head, and these slices framed (N, S, S)."""
        framed: dict[int, ImageArray] = {}
        refused = PictureError("there are no slices")
        for place, picture in enumerate(slices):
            try:
                framed[place] = frame_head(picture, self.manifest.input.size)
            except PictureError as error:
                refused = error
        if not framed:
            raise refused
        return list(framed), np.stack(list(framed.values()))

    def _finding(self, places: Sequence[int], share: FloatArray, probabilities: FloatArray) -> TumourTypeFinding:
        classes = self.manifest.output.classes
        by_type = dict(zip(classes, (float(value) for value in share @ probabilities), strict=True))
        given = given_tumour(probabilities, [classes.index(kind) for kind in TUMOURS])
        answers = tuple(
            SliceAnswer(
                place,
                float(part),
                classes[int(row.argmax())],
                float(row.max()),
                tumour_top=TUMOURS[int(types.argmax())],
                tumour_certainty=float(types.max()),
            )
            for place, part, row, types in zip(places, share, probabilities, given, strict=True)
        )
        return TumourTypeFinding(
            by_type,
            len(places),
            self.identity,
            answers,
            given_tumour=dict(zip(TUMOURS, (float(value) for value in share @ given), strict=True)),
            least_probability=self.manifest.output.least_type_probability,
        )


def given_tumour(probabilities: FloatArray, columns: Sequence[int]) -> FloatArray:
    """Probabilities (N, types) of the types in these columns, given that it is one of them.

    That is the softmax over their logits alone, at the same temperature: slice by slice, so that one which surely
    shows no tumour says nothing about presence, and still says which type it would be.
    """
    types = probabilities[:, list(columns)]
    ill = types.sum(axis=1, keepdims=True)
    return np.where(ill > 0, types / np.where(ill > 0, ill, 1.0), 1.0 / len(columns))


def picture_logits(network: nn.Module, pictures: torch.Tensor, *, mirror_average: bool) -> torch.Tensor:
    """Logits of pictures, or the mean of those of each picture and its left-right mirror image.

    Logits are averaged, not probabilities: one temperature, fitted on these very means, calibrates the answer, and
    of two views of *one* slice neither should dilute the other to a half (as slices of a study may).

    Args:
        network: maps (N, 3, S, S) to logits (N, classes).
        pictures: float (N, 3, S, S), normalised (`to_network`); the last axis runs from right to left.
        mirror_average: whether the mirror image has a say; it doubles the time.

    Returns:
        float32 (N, classes).
    """
    logits: torch.Tensor = network(pictures).float()
    if mirror_average:
        logits = (logits + network(pictures.flip(-1)).float()) / 2
    return logits


def load_classifier(release: Release, device: torch.device) -> Classifier:
    """Build the release's network and load its weights, in float32, ready for inference.

    Raises:
        WeightsMismatchError: the weights are not the ones the manifest names.
        ReleaseError: not a classifier, an unknown normalisation, or weights that do not fit the network.
    """
    manifest, folder = release.manifest, release.folder.name
    if not isinstance(manifest, ClassifierManifest):
        raise ReleaseError(folder, f"a classifier is needed, but kind is {manifest.kind!r}")
    if manifest.input.normalisation not in NORMALISATIONS:
        known = ", ".join(NORMALISATIONS)
        raise ReleaseError(folder, f"normalisation is {manifest.input.normalisation!r}; known are {known}")
    content = read_verified_weights(release)
    arguments = {"classes": len(manifest.output.classes), **manifest.network.arguments}
    try:
        network = build_network(manifest.network.architecture, arguments)
        weights = {name: value.float() for name, value in safetensors.torch.load(content).items()}
        network.load_state_dict(weights)
    except NetworkArgumentsError as error:
        raise ReleaseError(folder, str(error)) from error
    except (safetensors.SafetensorError, RuntimeError) as error:
        detail = str(error).splitlines()[0]
        raise ReleaseError(folder, f"the weights do not fit {manifest.network.architecture}: {detail}") from error
    return Classifier(network.eval().to(device), manifest, release.identity, device)


def read_picture(path: Path) -> ImageArray:
    """Read a PNG or JPEG file as grey intensities, float32 (Y, X). Colour is reduced to luminance.

    Raises:
        PictureError: the file cannot be read, or is neither PNG nor JPEG.
    """
    try:
        with Image.open(io.BytesIO(path.read_bytes()), formats=_FILE_FORMATS) as image:
            # 16-bit PNG opens as I;16 and must not be cut to 8 bits.
            grey = image if image.mode in {"I", "I;16", "F"} else image.convert("L")
            return np.asarray(grey, dtype=np.float32)
    except UnidentifiedImageError as error:
        raise PictureError("the file is neither PNG nor JPEG") from error
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        # Pillow reports a damaged PNG as SyntaxError; an OSError may hold the path, so only its class is told.
        raise PictureError(f"the file cannot be read ({type(error).__name__})") from error
