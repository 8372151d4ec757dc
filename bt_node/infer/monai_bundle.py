"""MONAI's `brats_mri_segmentation` bundle, turned into a release.

Only the bundle's facts are read: names and numbers in `configs/metadata.json` and `configs/inference.json`, and the
tensors of `models/model.pt`. Its configuration language is not run, because expressions in it ("$…") are Python.

`model.pt` is a pickle. It is opened once, here, by torch's restricted unpickler (`weights_only=True`), which knows
tensors and plain containers and refuses to name any other class or function. What comes out is checked against the
network and written as safetensors; a node at work reads that and never a pickle.

Three things differ between the bundle and the node, and are brought into line in the weights:

- outputs: the bundle answers TC, WT, ET; the node's manifest has WT, TC, ET. Rows of the last convolution move.
- axes: the bundle's arrays are (X, Y, Z), the node's (Z, Y, X). Every kernel is transposed, so that the network
  answers the transposed volume with the transposed result, to the last digit that the order of sums leaves.
- inputs stay as they are: T1c, T1, T2, FLAIR, which is what the manifest's `roles` say.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch
from torch import Tensor

from bt_node.domain.study import Role
from bt_node.domain.tumour import Region
from bt_node.infer.networks.build import NetworkArgumentsError, build_network
from bt_node.infer.unpack import BUNDLE_METADATA, InstallError

WEIGHTS = Path("models", "model.pt")
INFERENCE = Path("configs", "inference.json")
REGIONS = (Region.WT, Region.TC, Region.ET)

_LARGEST_BYTES = 2 * 1024**3
_LARGEST_TEXT = 4 * 1024**2
_ROLES = {"t1c": Role.T1C, "t1ce": Role.T1C, "t1gd": Role.T1C, "t1": Role.T1, "t2": Role.T2, "flair": Role.FLAIR}
_REGIONS = {"tumor core": Region.TC, "whole tumor": Region.WT, "enhancing tumor": Region.ET}
_ARGUMENTS = {  # monai's SegResNet -> ours
    "in_channels": "in_channels",
    "out_channels": "out_channels",
    "init_filters": "initial_filters",
    "blocks_down": "blocks_down",
    "blocks_up": "blocks_up",
    "dropout_prob": "dropout",
}
_LARGEST_NUMBER = 256  # of filters, channels or blocks: a wrong number must not fill the memory
_LAST = "conv_final.2.conv."  # the convolution whose rows are the regions
_HARMLESS = frozenset({"LoadImaged", "EnsureChannelFirstd", "EnsureTyped", "ToTensord"})
_WRAPPERS = ("model", "state_dict", "network")  # a checkpoint may hold the weights under one of these


@dataclass(frozen=True, eq=False)
class Bundle:
    """What a bundle says and holds, checked, in the node's own order of axes and regions.

    Attributes:
        metadata: `configs/metadata.json` as it stands.
        roles: input channels in order.
        regions: output channels in the bundle's own order.
        arguments: of the architecture `segresnet`.
        patch: sliding window (Z, Y, X).
        weights: float tensors, ready for the node's network.
    """

    metadata: Mapping[str, Any]
    roles: tuple[Role, ...]
    regions: tuple[Region, ...]
    arguments: Mapping[str, Any]
    patch: tuple[int, int, int]
    weights: Mapping[str, Tensor]


def read_bundle(folder: Path) -> Bundle:
    """Read and check a bundle; nothing in it is executed.

    Args:
        folder: holds `configs/` and `models/`.

    Raises:
        InstallError: a file is missing, or the bundle is not one that the node can reproduce.
    """
    name = folder.name
    metadata, config = _json(folder / BUNDLE_METADATA, name), _json(folder / INFERENCE, name)
    data = _at(metadata, ("network_data_format",), name)
    roles = tuple(_channels(_at(data, ("inputs", "image", "channel_def"), name), _ROLES, name))
    regions = tuple(_channels(_at(data, ("outputs", "pred", "channel_def"), name), _REGIONS, name))
    if set(regions) != set(REGIONS):
        raise InstallError(name, f"its outputs are {_words(regions)}; needed are {_words(REGIONS)}.")
    arguments = _arguments(_at(config, ("network_def",), name), name)
    if (arguments["in_channels"], arguments["out_channels"]) != (len(roles), len(regions)):
        raise InstallError(name, "metadata.json and inference.json disagree about the number of channels.")
    _check_normalisation(config, name)
    patch = _patch(config, len(arguments["blocks_down"]), name)
    weights = _fitting(_tensors(folder / WEIGHTS, name), arguments, name)
    return Bundle(metadata, roles, regions, arguments, patch, _in_the_nodes_order(weights, regions))


# ---------------------------------------------------------------- what the configuration says


def _json(path: Path, name: str) -> Mapping[str, Any]:
    where = f"{path.parent.name}/{path.name}"
    try:
        if path.stat().st_size > _LARGEST_TEXT:
            raise InstallError(name, f"{where} is too large to be a configuration.")
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        others = path.with_suffix(".yaml").is_file() or path.with_suffix(".yml").is_file()
        hint = " Only its JSON form is read, and there is a YAML file: convert it." if others else ""
        raise InstallError(name, f"{where} is missing.{hint}") from error
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise InstallError(name, f"{where} cannot be read as JSON ({error}).") from error
    if not isinstance(content, dict):
        raise InstallError(name, f"{where} holds no table.")
    return content


def _at(table: Mapping[str, Any], keys: Sequence[str], name: str) -> Mapping[str, Any]:
    value: Any = table
    for key in keys:
        value = value.get(key) if isinstance(value, dict) else None
    if not isinstance(value, dict):
        raise InstallError(name, f"its configuration has no table {'.'.join(keys)!r}.")
    return value


def _channels(defined: Mapping[str, Any], known: Mapping[str, Any], name: str) -> list[Any]:
    order = [str(defined.get(str(number))) for number in range(len(defined))]
    unknown = [word for word in order if word.lower() not in known]
    if unknown or len({known[word.lower()] for word in order}) != len(order):
        raise InstallError(name, f"its channels are {', '.join(order)}; known are {', '.join(known)}, each once.")
    return [known[word.lower()] for word in order]


def _words(regions: Sequence[Region]) -> str:
    return ", ".join(region.value for region in regions)


def _arguments(definition: Mapping[str, Any], name: str) -> dict[str, Any]:
    target = str(definition.get("_target_")).rsplit(".", 1)[-1]
    if target != "SegResNet":
        raise InstallError(name, f"its network is {target}; only monai's SegResNet is known.")
    given = {key: value for key, value in definition.items() if key not in {"_target_", "spatial_dims"}}
    unknown = sorted(set(given) - set(_ARGUMENTS))
    if unknown or definition.get("spatial_dims", 3) != 3:  # noqa: PLR2004 - volumes
        raise InstallError(name, f"its network has options that are not known here: {', '.join(unknown) or '2D'}.")
    # What is left out has monai's own default, which is not always ours.
    defaults: dict[str, Any] = {
        "init_filters": 8,
        "blocks_down": [1, 2, 2, 4],
        "blocks_up": [1, 1, 1],
        "dropout_prob": None,
    }
    complete = defaults | given
    missing = [key for key in ("in_channels", "out_channels") if key not in complete]
    wrong = [key for key, value in complete.items() if not _plain(key, value)]
    if missing or wrong:
        raise InstallError(
            name,
            f"network_def is not made of plain numbers: {', '.join(missing + wrong)}. Expressions are not executed.",
        )
    arguments = {_ARGUMENTS[key]: value for key, value in complete.items()}
    return arguments | {"dropout": float(arguments["dropout"] or 0.0)}


def _plain(key: str, value: Any) -> bool:
    if key == "dropout_prob":
        return value is None or (isinstance(value, int | float) and 0 <= value < 1)
    numbers = value if isinstance(value, list) else [value]
    if isinstance(value, list) is not key.startswith("blocks_"):
        return False
    return 0 < len(numbers) <= 8 and all(type(n) is int and 0 < n <= _LARGEST_NUMBER for n in numbers)  # noqa: PLR2004


def _check_normalisation(config: Mapping[str, Any], name: str) -> None:
    """The node z-scores inside the brain, which is what nonzero, channel-wise NormalizeIntensity does."""
    steps = _at(config, ("preprocessing",), name).get("transforms")
    found = {str(step.get("_target_")).rsplit(".", 1)[-1]: step for step in steps or () if isinstance(step, dict)}
    scaled = found.pop("NormalizeIntensityd", {})
    if not (scaled.get("nonzero") is True and scaled.get("channel_wise") is True):
        raise InstallError(name, "its preprocessing does not z-score each channel over what is not zero.")
    if other := sorted(set(found) - _HARMLESS):
        raise InstallError(name, f"its preprocessing has steps that are not known here: {', '.join(other)}.")


def _patch(config: Mapping[str, Any], levels: int, name: str) -> tuple[int, int, int]:
    sides = _at(config, ("inferer",), name).get("roi_size")
    step = 2 ** (levels - 1)
    if not (isinstance(sides, list) and len(sides) == 3 and all(type(s) is int and 0 < s <= 512 for s in sides)):  # noqa: PLR2004
        raise InstallError(name, f"its window (inferer.roi_size) is {sides!r}, not three numbers.")
    if any(side % step for side in sides):
        raise InstallError(name, f"its window {sides} does not divide by {step}.")
    x, y, z = sides
    return z, y, x


# ---------------------------------------------------------------- its weights


def _tensors(path: Path, name: str) -> Mapping[str, Tensor]:
    """The state dict in `model.pt`, by torch's restricted unpickler."""
    where = f"{path.parent.name}/{path.name}"
    _check_archive(path, where, name)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)  # noqa: TID251 - the one door; see the module
    except UnpicklingError as error:
        raise InstallError(
            name,
            f"{where} holds more than tensors; loading it could run code, so it was not loaded.",
            remedy="Save the network's state_dict() alone.",
        ) from error
    except (RuntimeError, EOFError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise InstallError(name, f"{where} is damaged ({type(error).__name__}).") from error
    if isinstance(content, dict) and not any(isinstance(value, Tensor) for value in content.values()):
        content = next((content[key] for key in _WRAPPERS if isinstance(content.get(key), dict)), content)
    if not isinstance(content, dict) or not all(
        isinstance(key, str) and isinstance(value, Tensor) for key, value in content.items()
    ):
        raise InstallError(name, f"{where} is not a state dict (names with tensors).")
    return content


def _check_archive(path: Path, where: str, name: str) -> None:
    script = path.with_suffix(".ts").is_file()
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except FileNotFoundError as error:
        only = " There is a model.ts, but TorchScript is code and is not loaded." if script else ""
        raise InstallError(name, f"{where} is missing.{only}", remedy="Download the bundle's weights.") from error
    except (OSError, zipfile.BadZipFile) as error:
        raise InstallError(
            name, f"{where} is not in the zip form that torch.save writes; older forms are not read."
        ) from error
    if not any(entry.filename.endswith("data.pkl") for entry in entries):
        raise InstallError(name, f"{where} is damaged: it is a zip file without torch's index.")
    if any(entry.filename.endswith(("/constants.pkl", "/code")) or "/code/" in entry.filename for entry in entries):
        raise InstallError(name, f"{where} is TorchScript, which is code; it was not loaded.")
    if sum(entry.file_size for entry in entries) > _LARGEST_BYTES:
        raise InstallError(name, f"{where} unpacks to more than {_LARGEST_BYTES / 1024**3:.0f} GiB.")


def _fitting(tensors: Mapping[str, Tensor], arguments: Mapping[str, Any], name: str) -> Mapping[str, Tensor]:
    """The tensors in float32, if they are exactly those of the network that the configuration describes."""
    try:
        shapes = {key: value.shape for key, value in build_network("segresnet", arguments).state_dict().items()}
    except NetworkArgumentsError as error:
        raise InstallError(name, str(error)) from error
    wrong = sorted(shapes.keys() ^ tensors.keys())
    wrong += [key for key in shapes.keys() & tensors.keys() if shapes[key] != tensors[key].shape]
    if wrong:
        raise InstallError(
            name,
            f"{len(wrong)} of its tensors do not fit the network it describes, {wrong[0]!r} for one.",
        )
    return {key: tensors[key].detach().float().contiguous() for key in shapes}


def _in_the_nodes_order(weights: Mapping[str, Tensor], regions: Sequence[Region]) -> dict[str, Tensor]:
    rows = [regions.index(region) for region in REGIONS]
    moved = {key: value[rows] if key.startswith(_LAST) else value for key, value in weights.items()}
    return {
        key: (value.permute(0, 1, 4, 3, 2) if value.ndim == 5 else value).contiguous()  # noqa: PLR2004 - (O, I, X, Y, Z)
        for key, value in moved.items()
    }


def release_name(metadata: Mapping[str, Any], folder: str) -> str:
    """Name of the release: the bundle's own, in the letters that manifests allow."""
    words = re.sub(r"[^a-z0-9]+", "-", str(metadata.get("name") or folder).lower()).strip("-")[:48]
    return f"monai-{words or 'bundle'}"
