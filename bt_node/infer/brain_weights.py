"""Whether deepbet's weights are the files that were measured. Loads neither the package nor torch."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType

from bt_node.domain.errors import ReleaseError

PACKAGE = "deepbet 1.0.2"
WEIGHTS: Mapping[str, str] = MappingProxyType(
    {
        "model.pt": "de8ee7c69654d0dd3935dc4a5d84571d8ecf4637a6bfc01df399c4c2bc86e0fd",
        "bbox_model.pt": "39a7b2b5f799faa1391ea97bfcdc0b9299f20d84f2316a4ff8918dc4685e40aa",
    }
)
_REMEDY = "install the pinned package again."


def identity() -> str:
    """Package, version and hash of the weights, as the job's findings name it."""
    return f"{PACKAGE} ({WEIGHTS['model.pt']})"


def verify_brain_weights() -> str:
    """Make sure that the installed files are those whose SHA-256 stand here; returns what was found, in words.

    Raises:
        ReleaseError: they are not, or cannot be read.
    """
    for name, sha256 in WEIGHTS.items():
        try:
            actual = hashlib.sha256((weights_folder() / name).read_bytes()).hexdigest()
        except OSError as error:
            raise ReleaseError(PACKAGE, f"{name} cannot be read ({error.strerror}): {_REMEDY}") from error
        if actual != sha256:
            raise ReleaseError(PACKAGE, f"{name} has SHA-256 {actual}, not {sha256}: {_REMEDY}")
    return f"{PACKAGE}, weights {WEIGHTS['model.pt'][:12]}"


def weights_folder() -> Path:
    """Where the package keeps them: `data/models` beside it.

    Raises:
        ReleaseError: the package is not installed.
    """
    spec = find_spec("deepbet")
    if spec is None or spec.origin is None:
        raise ReleaseError(PACKAGE, f"is not installed: {_REMEDY}")
    return Path(spec.origin).parents[1] / "data" / "models"
