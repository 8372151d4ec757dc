"""One value of config.toml changes; comments, order and everything else stay."""

from __future__ import annotations

import tomllib

import pytest

from bt_node.cli.activation import with_value


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ('[models]\nsegmenter = "a"   # why\n', '[models]\nsegmenter = "new"   # why\n'),
        ("[models]\nsegmenter='a'\n[x]\nsegmenter = 1\n", '[models]\nsegmenter= "new"\n[x]\nsegmenter = 1\n'),
        ('[ models ] # here\nfolder = "m"\n', '[ models ] # here\nsegmenter = "new"\nfolder = "m"\n'),
        ('[a]\nx = 1\n# segmenter = "old"\n', '[a]\nx = 1\n# segmenter = "old"\n\n[models]\nsegmenter = "new"\n'),
        ("[a]\nx = 1", '[a]\nx = 1\n\n[models]\nsegmenter = "new"\n'),
        ("", '\n[models]\nsegmenter = "new"\n'),
    ],
)
def test_only_the_value_changes(before: str, after: str) -> None:
    found = with_value(before, "models", "segmenter", "new")
    assert found is not None
    assert found.replace("segmenter= ", "segmenter = ") == after.replace("segmenter= ", "segmenter = ")
    assert tomllib.loads(found)["models"]["segmenter"] == "new"


@pytest.mark.parametrize(
    "text",
    [
        'models = {segmenter = "a"}\n',
        'note = """\n[models]\nsegmenter = "a"\n"""\n',
        'models.segmenter = "a"\n',
        "[models]\nsegmenter = broken\n",
    ],
)
def test_what_is_not_plain_is_left_alone(text: str) -> None:
    assert with_value(text, "models", "segmenter", "new") is None
