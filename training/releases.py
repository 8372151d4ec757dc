"""Write a model release: manifest, weights and card, in a folder that the node reads (`bt_node.infer.release`)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from bt_node.infer.release import MANIFEST, Release, read_release, verify_weights
from training.runs import write_atomically

WEIGHTS, CARD = "weights.safetensors", "MODEL_CARD.md"


def write_release(
    folder: Path, manifest: Mapping[str, Any], weights: Mapping[str, torch.Tensor], card: str, *, note: str = ""
) -> Release:
    """Write the three files and read the release back as the node does.

    Args:
        folder: made if absent; files of the same names are replaced.
        manifest: all tables but `[weights]`, which is made here.
        weights: state of the network; floating-point tensors are stored in half precision.
        card: text of MODEL_CARD.md.
        note: comment at the top of the manifest.

    Raises:
        ReleaseError: the manifest is not one that the node reads.
    """
    folder.mkdir(parents=True, exist_ok=True)
    content = safetensors.torch.save(halved(weights))
    tables = {
        **manifest,
        "weights": {"file": WEIGHTS, "sha256": hashlib.sha256(content).hexdigest(), "dtype": "float16"},
    }
    write_atomically(folder / WEIGHTS, content)
    write_atomically(folder / MANIFEST, (f"# {note}\n" if note else "").encode() + to_toml(tables).encode())
    write_atomically(folder / CARD, card.encode())
    release = read_release(folder)
    verify_weights(release)
    return release


def halved(weights: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Floating-point tensors in half precision, contiguous, on the processor; others unchanged."""
    return {
        name: (value.half() if value.is_floating_point() else value).detach().cpu().contiguous()
        for name, value in weights.items()
    }


def to_toml(table: Mapping[str, Any]) -> str:
    """TOML of a table of numbers, words, booleans, lists of these, and tables; None is left out."""
    return "\n".join(_lines(table, ())) + "\n"


def _lines(table: Mapping[str, Any], path: Sequence[str]) -> list[str]:
    plain = {key: value for key, value in table.items() if not isinstance(value, Mapping) and value is not None}
    lines = [f"{_key(key)} = {_value(value)}" for key, value in plain.items()]
    for key, value in table.items():
        if isinstance(value, Mapping):
            name = (*path, key)
            lines += ["", f"[{'.'.join(_key(part) for part in name)}]", *_lines(value, name)]
    return lines


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() and key.isascii() else json.dumps(key)


def _value(value: Any) -> str:
    if isinstance(value, str | bool):
        # JSON's strings and booleans are TOML's, as long as non-ASCII stays as it is (TOML has no surrogate pairs).
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, int | float):
        return repr(value)
    return f"[{', '.join(_value(item) for item in value)}]"
