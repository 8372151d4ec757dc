"""Is a release fit to work? Manifest, hash and card, weights in their network, and one small forward pass.

What `bt-node models verify` and `bt-node models install` ask. `bt-node check` asks the first half (manifest and
hash) through the same functions, so that both say the same words.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import safetensors
import safetensors.torch
import torch

from bt_node.domain.errors import BtNodeError
from bt_node.infer.classifier import load_classifier
from bt_node.infer.release import Release, read_release, read_verified_weights
from bt_node.infer.segmenter import load_segmenter

CARD = "MODEL_CARD.md"
_RESEARCH = "research use only"
_CPU = torch.device("cpu")
_LARGEST_SIDE = 64  # voxels of the trial volume: large enough for five halvings, small enough for a second


def find_problems(folder: Path) -> tuple[str, ...]:
    """Everything that is wrong with the release in `folder`; empty when it is fit to work.

    Weights and forward pass are tried only where the manifest is sound, as they need it.
    """
    problems = _of_card(folder)
    try:
        release = read_release(folder)
    except BtNodeError as error:
        return (str(error), *problems)
    try:
        problems += _of_weights(release)
        problems += _of_forward_pass(release)
    except BtNodeError as error:
        problems.append(str(error))
    except Exception as error:  # noqa: BLE001 - edge: whatever a foreign network does is a finding about the release
        first = (str(error).splitlines() or [""])[0]
        problems.append(f"Model release {folder.name}: the forward pass failed: {type(error).__name__}: {first}")
    return tuple(problems)


def _of_card(folder: Path) -> list[str]:
    try:
        text = (folder / CARD).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return [f"Model release {folder.name}: {CARD} cannot be read; it tells people the limits."]
    if _RESEARCH not in text.lower():
        return [f'Model release {folder.name}: {CARD} does not say "for {_RESEARCH}, not for diagnosis".']
    return []


def _of_weights(release: Release) -> list[str]:
    content = read_verified_weights(release)
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        return [f"Model release {release.folder.name}: the weights are not safetensors: {error}"]
    told = release.manifest.weights.dtype
    floats = {name: value for name, value in tensors.items() if value.is_floating_point()}
    problems = [f"{name} holds values that are not finite" for name, value in floats.items() if not _finite(value)]
    other = {str(value.dtype).removeprefix("torch.") for value in floats.values()} - {told}
    if other:
        problems.append(f"the manifest says {told}, but tensors are {', '.join(sorted(other))}")
    return [f"Model release {release.folder.name}: {problem}" for problem in problems]


def _finite(value: torch.Tensor) -> bool:
    return bool(torch.isfinite(value).all())


def _of_forward_pass(release: Release) -> list[str]:
    answers = {"segmenter": _segmenter_answers, "classifier": _classifier_answers}
    detail = answers[release.kind](release)
    return [f"Model release {release.folder.name}: {detail}"] if detail else []


def _segmenter_answers(release: Release) -> str:
    """What is wrong with the answer to a cube of noise; nothing when each probability is a number."""
    segmenter = load_segmenter(release, _CPU)
    z, y, x = (min(side, _LARGEST_SIDE) for side in segmenter.input.patch)
    small = dataclasses.replace(segmenter, input=segmenter.input.model_copy(update={"patch": (z, y, x)}))
    random = np.random.default_rng(0)
    cube = {role: random.standard_normal((z, y, x), dtype=np.float32) for role in segmenter.roles}
    probabilities = small.predict(cube)
    small.decide(probabilities)
    if probabilities.shape != (len(segmenter.output.regions), z, y, x):
        return f"the network answers shape {probabilities.shape} to a volume of {(z, y, x)}"
    return "" if np.isfinite(probabilities).all() else "a forward pass gives values that are not finite"


def _classifier_answers(release: Release) -> str:
    classifier = load_classifier(release, _CPU)
    side = classifier.manifest.input.size
    probabilities = classifier.probabilities(np.random.default_rng(0).random((2, side, side), dtype=np.float32))
    if not np.isfinite(probabilities).all():
        return "a forward pass gives values that are not finite"
    return ""
