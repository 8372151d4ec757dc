"""A tiny segmenter release, written as training writes one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from bt_node.infer.networks.build import build_network
from bt_node.infer.release import Release
from training.releases import write_release

TINY_UNET = {"in_channels": 4, "out_channels": 3, "channels": [4, 8], "residual_units": 1, "bottleneck_dropout": 0.0}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def segmenter_manifest() -> dict[str, Any]:
    """All tables of a sound manifest but `[weights]`."""
    return {
        "schema": 1,
        "name": "tiny",
        "version": "0.0",
        "kind": "segmenter",
        "network": {"architecture": "unet", "arguments": dict(TINY_UNET)},
        "input": {
            "roles": ["T1", "T1C", "T2", "FLAIR"],
            "spacing_mm": [1.0, 1.0, 1.0],
            "orientation": "LPS",
            "normalisation": "zscore-brain",
            "patch": [16, 16, 16],
        },
        "output": {
            "regions": ["WT", "TC", "ET"],
            "thresholds": [0.5, 0.5, 0.5],
            "min_component_ml": [0.0, 0.0, 0.0],
        },
        "training": {"data": "nothing"},
    }


@pytest.fixture
def make_release(tmp_path: Path, segmenter_manifest: dict[str, Any]) -> Callable[..., Release]:
    """Write a release with random weights of a fixed seed; keyword arguments replace top-level tables."""

    def make(name: str = "tiny", **tables: Any) -> Release:
        torch.manual_seed(7)
        network = build_network("unet", TINY_UNET)
        return write_release(tmp_path / name, segmenter_manifest | tables, network.state_dict(), "card")

    return make
