"""A release written from a MONAI bundle: safetensors, manifest, and a card that says what was not measured here."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch

from bt_node.infer.monai_bundle import REGIONS, WEIGHTS, Bundle, read_bundle, release_name
from bt_node.infer.release import MANIFEST
from bt_node.infer.trial import CARD

WEIGHTS_FILE = "weights.safetensors"
_PRINTED = 600  # characters of one line of the bundle's own words
_VERSION_LENGTH = 32  # release.py's limit


def write_from_bundle(bundle_folder: Path, target: Path) -> None:
    """Read a bundle and write the three files of a release into the empty folder `target`.

    The weights stay float32: what the release answers is what the bundle's network answers.

    Raises:
        InstallError: the bundle is not one that the node can reproduce.
    """
    bundle = read_bundle(bundle_folder)
    original = hashlib.sha256((bundle_folder / WEIGHTS).read_bytes()).hexdigest()
    content = safetensors.torch.save(dict(bundle.weights))
    (target / WEIGHTS_FILE).write_bytes(content)
    name = release_name(bundle.metadata, bundle_folder.name)
    version = _line(bundle.metadata.get("version") or "0")[:_VERSION_LENGTH]
    manifest = _manifest(bundle, name, version, original, hashlib.sha256(content).hexdigest())
    (target / MANIFEST).write_text(manifest, encoding="utf-8")
    (target / CARD).write_text(_card(bundle, name, version, original), encoding="utf-8")


def _line(value: Any) -> str:
    """Somebody else's text as one printable line of bounded length."""
    words = "; ".join(map(str, value)) if isinstance(value, list) else str(value)
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())[:_PRINTED]


def _manifest(bundle: Bundle, name: str, version: str, original: str, sha256: str) -> str:
    tables: dict[str, Mapping[str, Any]] = {
        "": {"schema": 1, "name": name, "version": version, "kind": "segmenter"},
        "network": {"architecture": "segresnet"},
        "network.arguments": dict(bundle.arguments),
        "input": {
            "roles": [role.value for role in bundle.roles],
            "spacing_mm": [1.0, 1.0, 1.0],
            "orientation": "LPS",
            "normalisation": "zscore-brain",
            "patch": list(bundle.patch),
        },
        "output": {
            "regions": [region.value for region in REGIONS],
            "thresholds": [0.5] * len(REGIONS),
            "min_component_ml": [0.0] * len(REGIONS),
        },
        "weights": {"file": WEIGHTS_FILE, "sha256": sha256, "dtype": "float32"},
        "training": {
            "data": _line(bundle.metadata.get("data_source", "not said")),
            "converted_from": f"MONAI bundle, {WEIGHTS.as_posix()} with SHA-256 {original}",
            "authors": _line(bundle.metadata.get("authors", "not said")),
        },
        "training.reported_by_the_bundle": _reported(bundle.metadata),
    }
    lines = ["# Written by `bt-node models install` from a MONAI bundle. For research use only, not for diagnosis."]
    for table, values in tables.items():
        lines += ["", f"[{table}]"] if table else []
        # A JSON string, number or list of these is TOML too.
        lines += [f"{json.dumps(key)} = {json.dumps(value, ensure_ascii=False)}" for key, value in values.items()]
    return "\n".join(lines) + "\n"


def _reported(metadata: Mapping[str, Any]) -> dict[str, float]:
    metrics = metadata.get("eval_metrics")
    numbers = metrics.items() if isinstance(metrics, dict) else ()
    return {_line(key): float(value) for key, value in numbers if type(value) in {int, float} and abs(value) < 1e9}  # noqa: PLR2004


def _card(bundle: Bundle, name: str, version: str, original: str) -> str:
    says = {key: _line(bundle.metadata[key]) for key in _CITED if bundle.metadata.get(key)}
    own_words = "\n".join(f"- **{_CITED[key]}**: {value}" for key, value in says.items()) or "- It says nothing."
    reported = "\n".join(f"| {key} | {value:.4f} |" for key, value in _reported(bundle.metadata).items())
    z, y, x = bundle.patch
    filters, down, up = (bundle.arguments[key] for key in ("initial_filters", "blocks_down", "blocks_up"))
    roles, regions = (", ".join(item.value for item in items) for items in (bundle.roles, bundle.regions))
    return (
        f"""# {name} {version}: outline of a brain tumour in MRI, from a MONAI bundle

Written by `bt-node models install` from the bundle's own files; edits here will be overwritten.

## What it is

monai's SegResNet ({filters} filters, blocks down {down}, up {up}) with the weights of the bundle's
`{WEIGHTS.as_posix()}` (SHA-256 {original}). In: {roles} in this order, 1 mm isotropic, z-scored inside the brain, 0
outside. The bundle answers {regions}; rows and kernels were put into the node's order (WT, TC, ET; Z, Y, X), and the
numbers themselves were not changed. A voxel belongs to a region above 0.5; no part is dropped for its size.

## Limits

- **For research use only, not for diagnosis.** The bundle says so too, where it states its intended use.
- **Nothing was measured here.** All figures below are the bundle's own.
- It was trained on skull-stripped glioma cases at 1 mm with all four sequences. What the node's registration, brain
  mask and shading removal make of a clinical study is not what it saw.
- Its window is {z}×{y}×{x} voxels (Z, Y, X), as the bundle sets it: several GB of memory for a study on a processor.
- All {len(bundle.roles)} sequences are needed: it was not trained with any of them missing.

## Data and authors, in the bundle's words

{own_words}

Licence of weights and data: see the bundle's own `LICENSE` and `docs/`, which were not copied. The data's terms hold
for the weights' use as well; BraTS asks to cite Menze 2015, doi:10.1109/TMI.2014.2377694, and Bakas 2017,
doi:10.1038/sdata.2017.117.

## Figures reported by the bundle, not measured here

{"| metric | value |" if reported else "The bundle reports none."}
{"|---|---|" if reported else ""}
{reported}
""".rstrip()
        + "\n"
    )


_CITED = {
    "name": "Name",
    "version": "Version",
    "description": "Description",
    "authors": "Authors",
    "copyright": "Copyright",
    "data_source": "Data",
    "intended_use": "Intended use",
    "references": "References",
    "monai_version": "Made with monai",
}
