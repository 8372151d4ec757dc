"""A bundle of the layout of MONAI's `brats_mri_segmentation`, with random weights."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from monai.networks.nets.segresnet import SegResNet

METADATA: dict[str, Any] = {
    "version": "0.4.2",
    "monai_version": "1.2.0",
    "name": "BraTS MRI segmentation",
    "task": "Multimodal Brain Tumor segmentation",
    "authors": "Somebody\nElse",
    "copyright": "Copyright (c) Somebody",
    "data_source": 'https://example.org/data "2018"',
    "eval_metrics": {"val_mean_dice": 0.8518, "val_mean_dice_wt": 0.9026},
    "intended_use": "This is an example, not to be used for diagnostic purposes",
    "references": ["First paper", "Second paper"],
    "network_data_format": {
        "inputs": {"image": {"channel_def": {"0": "T1c", "1": "T1", "2": "T2", "3": "FLAIR"}}},
        "outputs": {"pred": {"channel_def": {"0": "Tumor core", "1": "Whole tumor", "2": "Enhancing tumor"}}},
    },
}
NETWORK: dict[str, Any] = {
    "_target_": "SegResNet",
    "blocks_down": [1, 2, 2, 4],
    "blocks_up": [1, 1, 1],
    "init_filters": 16,
    "in_channels": 4,
    "out_channels": 3,
    "dropout_prob": 0.2,
}
INFERENCE: dict[str, Any] = {
    "imports": ["$import os"],
    "ckpt_dir": "$@bundle_root + '/models'",
    "network_def": NETWORK,
    "network": "$@network_def.to(@device)",
    "preprocessing": {
        "_target_": "Compose",
        "transforms": [
            {"_target_": "LoadImaged", "keys": "image"},
            {"_target_": "NormalizeIntensityd", "keys": "image", "nonzero": True, "channel_wise": True},
        ],
    },
    "inferer": {"_target_": "SlidingWindowInferer", "roi_size": [32, 24, 16], "overlap": 0.5},
}


def write_bundle(
    folder: Path, save: Callable[[torch.nn.Module, Path], Any] | None = None, *, filters: int = 16
) -> SegResNet:
    """Write the bundle; returns its network, as MONAI would build and load it. Fewer filters are quicker."""
    torch.manual_seed(11)
    network = SegResNet(
        spatial_dims=3, in_channels=4, out_channels=3, init_filters=filters, blocks_down=(1, 2, 2, 4),
        blocks_up=(1, 1, 1), dropout_prob=0.2,
    ).eval()  # fmt: skip
    for part in ("configs", "models", "docs"):
        (folder / part).mkdir(parents=True)
    (folder / "LICENSE").write_text("some licence")
    write_configs(folder, METADATA, INFERENCE | {"network_def": NETWORK | {"init_filters": filters}})
    (save or (lambda net, path: torch.save(net.state_dict(), path)))(network, folder / "models" / "model.pt")
    return network


def write_configs(folder: Path, metadata: Any, inference: Any) -> None:
    (folder / "configs" / "metadata.json").write_text(json.dumps(metadata))
    (folder / "configs" / "inference.json").write_text(json.dumps(inference))
