"""The brain finder around its network: coarse grid, scaling, padding, missing sequences."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from bt_node.domain.errors import ReleaseError
from bt_node.domain.study import Role
from bt_node.domain.tumour import ReleaseIdentity
from bt_node.infer.brain import BRIGHTEST, DIVISIBLE_BY, BrainFinder, load_brain_finder, scaled
from bt_node.infer.networks.build import build_network
from bt_node.infer.release import BrainInput, BrainOutput, read_release
from bt_node.infer.trial import find_problems
from training.releases import write_release

ARGUMENTS = {"in_channels": 4, "out_channels": 1, "channels": [4, 8, 8, 8, 8], "residual_units": 1}


class BrightIsBrain(nn.Module):
    """Brain is where the mean of the sequences is above half of the 99th percentile."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = torch.zeros(0)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.seen = image
        present = (image.amax(dim=(2, 3, 4)) > 0).sum()
        return 40 * (image.sum(dim=1, keepdim=True) / present - 0.5)


def finder(network: nn.Module, spacing_mm: float = 2.5) -> BrainFinder:
    read = BrainInput(roles=tuple(Role), spacing_mm=spacing_mm, orientation="LPS", normalisation="p99")
    return BrainFinder(ReleaseIdentity("toy", "1", "a" * 64), read, BrainOutput(), network, torch.device("cpu"))


def ball(shape: tuple[int, int, int], centre: tuple[float, float, float], radius: float) -> np.ndarray:
    z, y, x = np.ogrid[tuple(slice(0, size) for size in shape)]
    away = (z - centre[0]) ** 2 + (y - centre[1]) ** 2 + (x - centre[2]) ** 2
    return away < radius**2


@pytest.mark.parametrize("spacing_mm", [2.0, 2.5, 3.3])
def test_a_bright_ball_comes_back_where_it_lies_and_as_large_as_it_is(spacing_mm: float) -> None:
    truth = ball((91, 103, 84), (40, 60, 35), 25)
    heads = {role: np.where(truth, 700.0, 0.0).astype(np.float32) for role in Role}
    found = finder(BrightIsBrain(), spacing_mm).predict(heads) > 0.5
    assert found.shape == truth.shape
    assert np.allclose(np.argwhere(found).mean(axis=0), (40, 60, 35), atol=0.2)
    assert found.sum() == pytest.approx(truth.sum(), rel=0.03)


def test_the_network_sees_air_added_to_sizes_that_halve_four_times_and_one_scale() -> None:
    network = BrightIsBrain()
    truth = ball((50, 60, 70), (25, 30, 35), 20)
    heads = {Role.T1: np.where(truth, 8000.0, 100.0).astype(np.float32), Role.FLAIR: truth.astype(np.float32)}
    finder(network).predict(heads)
    assert all(size % DIVISIBLE_BY == 0 for size in network.seen.shape[2:])
    t1, t1c, t2, flair = network.seen[0]
    assert t1.max() == pytest.approx(1.0, abs=0.01)
    assert flair.max() == pytest.approx(1.0, abs=0.01)
    assert not t1c.any()
    assert not t2.any()
    assert not t1[20:].any()  # 50 mm are 20 coarse planes


def test_a_few_very_bright_voxels_are_cut_off_and_an_almost_empty_channel_says_nothing() -> None:
    channel = torch.ones(20, 20, 20)
    channel[0, 0, 0] = 500
    assert scaled(channel).max() == BRIGHTEST
    assert scaled(channel).median() == 1
    few = torch.zeros(20, 20, 20)
    few[0, 0, :5] = 9
    assert not scaled(few).any()


def test_heads_without_any_of_its_sequences_are_refused() -> None:
    with pytest.raises(ValueError, match="none of"):
        finder(BrightIsBrain()).predict({})


def write(folder: Path, **changes: object) -> Path:
    manifest = {
        "schema": 1,
        "kind": "brain",
        "name": "toy-brain",
        "version": "1",
        "network": {"architecture": "unet", "arguments": ARGUMENTS},
        "input": {
            "roles": ["T1", "T1C", "T2", "FLAIR"],
            "spacing_mm": 2.5,
            "orientation": "LPS",
            "normalisation": "p99",
        },
    } | changes
    weights = build_network("unet", ARGUMENTS).state_dict()
    write_release(folder, manifest, weights, "For research use only, not for diagnosis.")
    return folder


def test_a_release_of_its_own_kind_loads_answers_and_is_found_fit(tmp_path: Path) -> None:
    folder = write(tmp_path / "toy-brain-1")
    assert find_problems(folder) == ()
    loaded = load_brain_finder(read_release(folder), torch.device("cpu"))
    answer = loaded.predict({Role.T2: np.random.default_rng(0).random((40, 50, 45), dtype=np.float32)})
    assert answer.shape == (40, 50, 45)
    assert ((answer >= 0) & (answer <= 1)).all()


def test_weights_that_do_not_fit_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "toy-brain-1")
    path = folder / "manifest.toml"
    path.write_text(path.read_text().replace("channels = [4, 8, 8, 8, 8]", "channels = [6, 8, 8, 8, 8]"))
    with pytest.raises(ReleaseError, match="size mismatch"):
        load_brain_finder(read_release(folder), torch.device("cpu"))


def test_a_segmenter_is_no_brain_finder() -> None:
    shipped = max((Path(__file__).parents[3] / "models").glob("bt-segmenter-*"))
    with pytest.raises(ReleaseError, match="is a segmenter, not a brain finder"):
        load_brain_finder(read_release(shipped), torch.device("cpu"))
