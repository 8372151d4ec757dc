"""Start from weights that a user has on disk: ImageNet's in torchvision's layout, as safetensors or as its .pth."""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import nn

from training.classifier.pictures import DataError

_PICKLED = (".pth", ".pt")
_LISTED = 4  # names shown when many do not fit


def load_pretrained(network: nn.Module, path: Path) -> str:
    """Fill a backbone from a file; its last layer keeps its random start where the number of classes differs.

    Args:
        network: one of the classifier's backbones (they name their last layer in `head_prefix`).
        path: torchvision's layout, as safetensors or as torchvision's own file (.pth, .pt).

    Returns:
        SHA-256 (hex) of the file, for the run's record.

    Raises:
        DataError: not such a file, or names or shapes other than the backbone's.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror}") from error
    weights = _weights(path, content)
    own = network.state_dict()
    strange = _strange(own, weights, str(network.head_prefix))
    if strange:
        more = f" and {len(strange) - _LISTED} more" if len(strange) > _LISTED else ""
        raise DataError(f"{path} does not fit {type(network).__name__}: {', '.join(strange[:_LISTED])}{more}")
    fitting = {name: value.float() for name, value in weights.items() if own[name].shape == value.shape}
    network.load_state_dict(fitting, strict=False)
    return hashlib.sha256(content).hexdigest()


def _weights(path: Path, content: bytes) -> dict[str, torch.Tensor]:
    try:
        if path.suffix not in _PICKLED:
            return safetensors.torch.load(content)
        # torchvision publishes pickles. This reader builds tensors and containers and refuses to call anything else.
        loaded = torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)  # noqa: TID251 - see above
    except SafetensorError as error:
        raise DataError(f"{path} is not a safetensors file: {error}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise DataError(f"{path} does not hold plain weights: {str(error).splitlines()[0]}") from error
    if not isinstance(loaded, dict) or not all(isinstance(value, torch.Tensor) for value in loaded.values()):
        raise DataError(f"{path} does not hold plain weights: it is not a table of tensors")
    return loaded


def _strange(own: dict[str, torch.Tensor], weights: dict[str, torch.Tensor], head: str) -> list[str]:
    """Names that only one side has, or whose shapes differ outside the last layer."""
    # Older files lack the counters of batch normalisation, which inference never reads.
    needed = {name for name in own if not name.endswith("num_batches_tracked")}
    unknown = sorted((weights.keys() - own.keys()) | (needed - weights.keys()))
    shared = weights.keys() & own.keys()
    return unknown + sorted(
        name for name in shared if own[name].shape != weights[name].shape and not name.startswith(head)
    )
