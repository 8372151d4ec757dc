"""Synthetic heads, what is drawn upon them, the loop and the release: on a toy brain."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
import torch

from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.study import Role
from bt_node.infer.brain import load_brain_finder
from bt_node.infer.release import read_release
from bt_node.infer.trial import find_problems
from training.brain import train as module
from training.brain.augment import Frame, as_it_is, drawn
from training.brain.export import export
from training.brain.heads import ROLES, SPACING_MM, Head, make_head, make_heads
from training.brain.train import Plan, dice, train

RADIUS_MM = 45.0


@pytest.fixture(scope="module")
def stripped() -> Mapping[Role, Volume]:
    """A ball of brain, brighter inside, on 1.5 mm voxels."""
    size = 70
    z, y, x = np.ogrid[:size, :size, :size]
    away = 1.5 * np.sqrt((z - 35) ** 2 + (y - 35) ** 2 + (x - 35) ** 2)
    grid = Grid((size,) * 3, (1.5,) * 3, (0.0, 0.0, 0.0))
    array = np.where(away < RADIUS_MM, 100 + (away < 20) * 50, 0).astype(np.float32)
    return {role: Volume(array, grid) for role in ROLES}


@pytest.fixture(scope="module")
def head(stripped: Mapping[Role, Volume]) -> Head:
    return make_head(stripped, seed=5)


def test_a_head_holds_the_brain_it_was_made_of_and_tissue_around_it(head: Head) -> None:
    ml = head.brain.sum() / 255 * SPACING_MM**3 / 1000
    truth = 4 / 3 * np.pi * (RADIUS_MM / 10) ** 3
    assert 0.55 * truth < ml < 1.5 * truth  # heads are made larger and smaller: 0.84 to 1.2 along each axis
    outside = head.images[:, head.brain == 0]
    assert (outside > 10).mean() > 0.1
    assert head.images[:, head.brain == 255].mean() > 20


def test_the_same_seed_is_the_same_head_and_another_seed_another(stripped: Mapping[Role, Volume], head: Head) -> None:
    assert np.array_equal(make_head(stripped, seed=5).images, head.images)
    assert not np.array_equal(make_head(stripped, seed=6).brain, head.brain)


def test_heads_that_are_there_are_kept(stripped: Mapping[Role, Volume], head: Head, tmp_path: Path) -> None:
    head.save(tmp_path / "0000.npz")
    make_heads([stripped], tmp_path, 2, first_seed=40)
    assert np.array_equal(Head.load(tmp_path / "0000.npz").images, head.images)
    assert not np.array_equal(Head.load(tmp_path / "0001.npz").brain, head.brain)
    assert not list(tmp_path.glob("*.part"))


FRAME = Frame((64, 64, 64), 3.0)


def test_unchanged_on_the_frame_the_brain_keeps_its_volume_and_its_middle(head: Head) -> None:
    images, brain = as_it_is(head, FRAME)
    assert images.shape == (1, 4, *FRAME.shape)
    before = head.brain.sum() / 255 * SPACING_MM**3
    assert float(brain.sum()) * FRAME.spacing_mm**3 == pytest.approx(before, rel=0.03)
    middle = np.argwhere(head.brain > 127).mean(axis=0) - (np.array(head.brain.shape) - 1) / 2
    found = (brain[0, 0] > 0.5).nonzero().float().mean(dim=0).numpy() - (np.array(FRAME.shape) - 1) / 2
    assert np.allclose(found * FRAME.spacing_mm, middle * SPACING_MM, atol=1.0)


def test_what_is_drawn_leaves_truth_and_brain_together(head: Head) -> None:
    """Whatever is painted, brain stays brain: on average the sequences are as bright there as they were."""
    random = np.random.default_rng(3)
    for _ in range(6):
        images, brain = drawn(head, FRAME, random)
        assert images.shape == (1, 4, *FRAME.shape)
        assert torch.isfinite(images).all()
        assert images.min() >= 0
        present = images[0].amax(dim=(1, 2, 3)) > 0
        assert present.any()
        assert 0.4 < float((brain > 0.5).sum()) / float((as_it_is(head, FRAME)[1] > 0.5).sum()) < 2


def test_a_run_learns_scores_and_becomes_a_release(
    stripped: Mapping[Role, Volume], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "ARGUMENTS", {**module.ARGUMENTS, "channels": [4, 8, 8, 8, 8], "residual_units": 1})
    monkeypatch.setattr("training.brain.export.ARGUMENTS", module.ARGUMENTS)
    monkeypatch.setattr(module, "FRAME", Frame((32, 32, 32), 6.0))
    make_heads([stripped], tmp_path / "heads", 2, first_seed=1)
    heads = sorted((tmp_path / "heads").glob("*.npz"))
    said: list[str] = []
    run = tmp_path / "run"
    run.mkdir()
    first = train(heads, heads, run, Plan(steps=2, validate_every=2), said.append)
    later = train(heads, heads, run, Plan(steps=80, validate_every=80), said.append)
    assert min(later) > 2 * max(first)
    assert len(said) == 2
    release = export(run, tmp_path / "bt-brain-9", version="9", training=["a"], validation=["b"])
    assert find_problems(release.folder) == ()
    assert "b" in (release.folder / "MODEL_CARD.md").read_text()
    assert load_brain_finder(read_release(release.folder), torch.device("cpu")).identity.version == "9"


def test_dice_of_two_empty_masks_is_one() -> None:
    empty, full = torch.zeros(3, dtype=torch.bool), torch.ones(3, dtype=torch.bool)
    assert dice(empty, empty) == 1
    assert dice(empty, full) == 0
    assert dice(full, full) == 1
