"""The worker's models know what the site wants of incomplete studies."""

from __future__ import annotations

import pytest

from bt_node.config import Completeness, Config
from bt_node.runtime import travel


@pytest.mark.parametrize("required", [True, False])
def test_the_configuration_decides_whether_incomplete_studies_are_held(
    monkeypatch: pytest.MonkeyPatch, required: bool
) -> None:
    for name in ("use_threads", "read_release", "load_segmenter", "load_classifier"):
        monkeypatch.setattr(travel, name, lambda *_: None)
    config = Config(completeness=Completeness(require_all_roles=required))
    assert travel.load_models(config).require_all_roles is required
