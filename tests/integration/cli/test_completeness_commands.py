"""Why a study is still RECEIVING, as a person asks: `jobs show`, `jobs explain`, `check`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from node_bench import STUDY, Bench
from typer.testing import CliRunner

from bt_node.cli.main import app
from bt_node.config import Config
from bt_node.jobs import Completeness, QuietStudy
from bt_node.runtime.health import run_checks
from bt_node.simulate.node_process import free_port

WAITS_FOR = "PACS to send series 7: 25 of 27 images arrived"


@pytest.fixture
def config(bench: Bench, tmp_path: Path) -> Path:
    """A node with one study that waits for two images."""
    bench.receive()
    decided = Completeness(False, f"waits for {WAITS_FOR}", {"waits_for": [WAITS_FOR], "arrived": [], "asked": []})

    def waits(study: QuietStudy) -> Completeness:
        return decided

    bench.book.sweep_complete(0.0, 300.0, waits)
    file = tmp_path / "config.toml"
    file.write_text(f'[storage]\nspool = "{bench.spool.root}"\n[database]\nurl = "{bench.url}"\n')
    return file


@pytest.mark.parametrize("command", ["show", "explain"])
def test_a_study_that_waits_says_what_for(config: Path, command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    said = CliRunner().invoke(app, ["--config", str(config), "jobs", command, STUDY]).output
    assert f"waiting for: {WAITS_FOR}" in said
    assert f"waits for {WAITS_FOR}" in said.split("Completeness")[1]
    told = json.loads(CliRunner().invoke(app, ["--config", str(config), "jobs", command, STUDY, "--json"]).stdout)
    assert told["completeness"][0]["evidence"]["waits_for"] == [WAITS_FOR]


def test_a_study_that_still_arrives_says_how_long_it_must_be_quiet(bench: Bench, config: Path) -> None:
    bench.receive(2)
    said = CliRunner().invoke(app, ["--config", str(config), "jobs", "show", STUDY]).output
    assert "more images: quiet for 0 of 30 s" in said


def test_check_tries_the_sources_that_are_asked(bench: Bench) -> None:
    source = {"ae_title": "PACS", "host": "127.0.0.1", "query_port": free_port()}
    config = Config.model_validate({"sources": [source, {"ae_title": "SCANNER"}], "database": {"url": bench.url}})
    checked = {result.name: result for result in run_checks(config)}
    assert "source SCANNER" not in checked
    assert not checked["source PACS"].ok
    assert "connection refused" in checked["source PACS"].detail
