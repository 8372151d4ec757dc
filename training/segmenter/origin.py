"""Training that goes on from a release: its weights, and the memory of what it has seen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
from torch import Tensor

from bt_node.infer.release import read_release, read_verified_weights
from training.runs import read_json, write_json
from training.segmenter.provenance import TRAINED, WATCHED, hashes_of, seen_among
from training.segmenter.run_folder import RunMismatchError

ORIGIN = "origin.json"


def begin_from(folder: Path, validating: Sequence[str], kept_apart: Sequence[str], run: Path) -> dict[str, Tensor]:
    """Weights of a release for a run to begin with; what the release has seen is kept in the run folder.

    Args:
        folder: of the release.
        validating: names of the cases that validate: the release may have been watched with them, no more.
        kept_apart: names of the cases that neither it nor this run may know at all.
        run: its folder.

    Raises:
        ReleaseError: the release cannot be read.
        RunMismatchError: it knows a case that it must not, or does not tell what it was trained on.
    """
    release = read_release(folder)
    seen = release.manifest.training.get(TRAINED)
    if seen is None:
        raise RunMismatchError(
            f"{folder.name} does not tell what it was trained on, so it may know what validates here"
        )
    known = [name for name in validating if hashes_of([name])[0] in set(seen)]
    known += seen_among(release.manifest.training, kept_apart) or []
    if known:
        raise RunMismatchError(
            f"{folder.name} was trained on or watched with {', '.join(known)}, which this run must not "
            "know; let them train, or begin from random weights"
        )
    weights = safetensors.torch.load(read_verified_weights(release))
    identity = release.identity
    write_json(
        run / ORIGIN,
        {
            "name": identity.name,
            "version": identity.version,
            "weights_sha256": identity.weights_sha256,
            TRAINED: sorted(seen),
            WATCHED: sorted(release.manifest.training.get(WATCHED, ())),
        },
    )
    return {name: value.float() for name, value in weights.items()}


def origin_of(run: Path) -> Mapping[str, Any]:
    """What `begin_from` kept; empty for a run that began from random weights."""
    return read_json(run / ORIGIN) if (run / ORIGIN).exists() else {}
