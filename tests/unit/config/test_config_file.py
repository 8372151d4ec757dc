"""config.toml and docs/configuration.md say what the code does."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import get_args

import pytest

from bt_node.config import Config, ListenerTls, RoleRule, RuleMatch, load_config

REPOSITORY = Path(__file__).resolve().parents[3]
TEXT = (REPOSITORY / "config.toml").read_text()
# The examples of [[sources]] and [[destinations]] are commented out; with them the file shows every key.
WITH_EXAMPLES = re.sub(r"^# (?=\[\[|\w+ = )", "", TEXT, flags=re.MULTILINE)


# Tables inside a table: [[roles.rules]] and [listener.tls].
INSIDE = {("roles", "rules"): RoleRule, ("listener", "tls"): ListenerTls}


def _tables() -> dict[str, type]:
    annotations = {name: field.annotation for name, field in Config.model_fields.items()}
    return {
        name: get_args(annotation)[0] if get_args(annotation) else annotation
        for name, annotation in annotations.items()
    }


EVERY_KEY = [
    *((table, key) for table, model in _tables().items() for key in model.model_fields if (table, key) not in INSIDE),
    *((".".join(place), key) for place, model in INSIDE.items() for key in model.model_fields),
]


def test_the_file_as_shipped_is_the_defaults():
    assert Config.model_validate(tomllib.loads(TEXT)) == Config()


def test_the_file_says_every_default_itself():
    written = tomllib.loads(TEXT)
    defaults = Config().model_dump(mode="json", exclude={"sources": True, "destinations": True, "roles": {"rules"}})
    assert written == defaults


def test_the_file_as_shipped_loads_from_its_place():
    assert load_config(REPOSITORY / "config.toml", {}).database.url == f"sqlite:///{REPOSITORY}/var/bt-node.db"


@pytest.mark.parametrize(("table", "key"), EVERY_KEY)
def test_every_key_stands_in_the_file_with_a_comment(table: str, key: str):
    section = re.search(rf"^\[+{table}\]+\n(.*?)(?=^\[|\Z)", WITH_EXAMPLES, re.MULTILINE | re.DOTALL)
    assert section, f"[{table}] is not in config.toml"
    assert re.search(rf"^{key} = [^#]+ # \S.{{5,}}$", section[1], re.MULTILINE), f"{key} has no comment"


def test_the_examples_are_valid():
    config = Config.model_validate(tomllib.loads(WITH_EXAMPLES))
    assert config.destinations[0].tls is not None
    assert (len(config.sources), len(config.destinations), len(config.roles.rules)) == (1, 1, 1)


def test_the_documentation_names_every_condition_of_a_rule():
    documentation = (REPOSITORY / "docs" / "configuration.md").read_text()
    assert [key for key in RuleMatch.model_fields if f"`{key}`" not in documentation] == []


@pytest.mark.parametrize("table", list(_tables()))
def test_the_documentation_has_every_table(table: str):
    documentation = (REPOSITORY / "docs" / "configuration.md").read_text()
    assert re.search(rf"`\[+{table}\]+`", documentation)


def test_the_messages_in_the_documentation_are_those_of_the_code(tmp_path: Path):
    documentation = (REPOSITORY / "docs" / "configuration.md").read_text()
    wrong = re.search(r"```toml\n(.*?)```", documentation, re.DOTALL)[1]
    said = re.search(r"```text\n(.*?)```", documentation, re.DOTALL)[1]
    file = tmp_path / "config.toml"
    file.write_text(wrong)
    with pytest.raises(Exception, match="problem") as caught:
        load_config(file, {"BT_NODE_LISTENER__PORT": "dicom"})
    assert str(caught.value).replace(f"{tmp_path}/", "") == said.strip()
