"""The worker's models know what the site wants of incomplete studies."""

from __future__ import annotations

from pathlib import Path

import pytest

from bt_node.config import Completeness, Config, Device, Models
from bt_node.infer.device import PRECISION_VARIABLE, float32_only
from bt_node.runtime import travel

REPOSITORY = Path(__file__).parents[3]


@pytest.mark.parametrize("required", [True, False])
def test_the_configuration_decides_whether_incomplete_studies_are_held(
    monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    for name in (
        "use_threads",
        "use_precision",
        "read_release",
        "load_segmenter",
        "load_classifier",
        "load_brain_finder",
    ):
        monkeypatch.setattr(travel, name, lambda *_: None)
    config = Config(completeness=Completeness(require_all_roles=required))
    assert travel.load_models(config).require_all_roles is required


@pytest.mark.parametrize(("name", "asked"), [("deepbet", True), ("bt-brain-0.1", True), ("", False)])
def test_a_network_finds_the_brain_unless_it_is_switched_off_and_an_older_file_means_the_same(
    monkeypatch: pytest.MonkeyPatch, name: str, asked: bool
) -> None:
    for loader in ("use_threads", "load_segmenter", "load_classifier"):
        monkeypatch.setattr(travel, loader, lambda *_: None)
    config = Config(models=Models(folder=REPOSITORY / "models", brain=name))  # type: ignore[arg-type]
    models = travel.load_models(config)
    assert (models.brain_probability is not None) is asked


def test_the_configuration_switches_bfloat16_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PRECISION_VARIABLE, "auto")  # put back afterwards
    for name in ("use_threads", "read_release", "load_segmenter", "load_classifier", "load_brain_finder"):
        monkeypatch.setattr(travel, name, lambda *_: None)
    travel.load_models(Config(device=Device(precision="float32")))
    assert float32_only()
