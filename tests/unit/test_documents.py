"""What the documents claim is true: links lead somewhere, commands exist, the top level is as promised."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import typer.main

from bt_node.cli.main import app

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md"), *(REPOSITORY / "bench").glob("*.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")
COMMAND = re.compile(r"bt-node((?: --config \S+)?(?: [a-z]+)+)")


def commands() -> set[str]:
    """Every command and subcommand, as typed."""
    root = typer.main.get_command(app)
    found = set()
    for name, command in root.commands.items():
        found.add(name)
        found |= {f"{name} {child}" for child in getattr(command, "commands", {})}
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    dead = [target for target in LINK.findall(text) if not (page.parent / target).exists()]
    assert dead == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(REPOSITORY)))
def test_every_command_named_in_backticks_exists(page: Path) -> None:
    known = commands()
    text = page.read_text(encoding="utf-8")
    for quoted in re.findall(r"`(bt-node [^`]+)`", text):
        words = re.sub(r"--\S+( (\S*[./]\S*|FILE))?", "", quoted).replace("…", "").split()[1:]
        if not words:
            continue
        pair = " ".join(words[:2])
        # "jobs retry|cancel": the first of the alternatives stands for them
        named = {pair, pair.split("|")[0], words[0], words[0].split("|")[0]}
        assert named & known, f"{quoted!r} is no command"


def test_every_command_is_in_the_readme() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    for command in commands():
        if command.startswith(("jobs ", "db ", "models ", "predict ")):
            head, leaf = command.split()
            assert re.search(rf"{head} [a-z|]*{leaf}", text), command


def test_the_top_level_is_what_a_newcomer_was_promised() -> None:
    for name in (
        "bt_node", "models", "training", "alembic", "config.toml", "Dockerfile", "compose.yaml", "tests", "README.md",
        "CHANGELOG.md", "LICENSE", "pyproject.toml", "constraints.txt", "Makefile", "docs", "bench", ".ci/run",
    ):  # fmt: skip
        assert (REPOSITORY / name).exists(), name


def test_every_page_for_people_says_research_use_only() -> None:
    for page in (
        REPOSITORY / "README.md",
        REPOSITORY / "docs" / "runbook.md",
        *REPOSITORY.glob("models/*/MODEL_CARD.md"),
    ):
        assert re.search(r"research use only", page.read_text(encoding="utf-8"), re.IGNORECASE), page
