"""`bt-node serve listener` as a process: watched, told of, and refused where a secret lies open."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bt_node.domain.audit import AuditEvent
from bt_node.jobs import open_book, upgrade_schema
from bt_node.runtime.process import EX_CONFIG
from bt_node.runtime.pulse import ask

pytestmark = pytest.mark.integration

CONFIG = """
sources = []
[listener]
host = "127.0.0.1"
port = 0
[storage]
spool = "spool"
min_free_mib = 0
"""


def serve(config: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "bt_node", "--config", str(config), "serve", "listener"]
    clean = {key: value for key, value in os.environ.items() if not key.startswith("BT_NODE_")}
    return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=clean)


def test_a_listener_answers_health_and_its_life_stands_in_the_audit_trail(tmp_path: Path):
    config, url = tmp_path / "config.toml", f"sqlite:///{tmp_path / 'jobs.sqlite'}"
    config.write_text(f'{CONFIG}[database]\nurl = "{url}"\n')
    upgrade_schema(url)
    process = serve(config)
    try:
        deadline = time.monotonic() + 60
        while ask(tmp_path / "spool", "listener") != "alive":
            assert process.poll() is None, process.communicate()[1]
            assert time.monotonic() < deadline
            time.sleep(0.1)
    finally:
        process.terminate()
        process.communicate(timeout=60)
    assert process.returncode == 0
    assert ask(tmp_path / "spool", "listener") is None
    book = open_book(url)
    events = [entry.record.event for entry in book.audit_entries()]
    book.close()
    assert events == [AuditEvent.STARTED, AuditEvent.STOPPED]
    assert {path.name: path.stat().st_mode & 0o077 for path in tmp_path.glob("jobs.sqlite*")} == {"jobs.sqlite": 0}


def test_a_configuration_with_a_password_for_all_eyes_stops_the_start(tmp_path: Path):
    config = tmp_path / "config.toml"
    config.write_text(f'{CONFIG}[database]\nurl = "postgresql://node:geheim@127.0.0.1:1/book"\n')
    config.chmod(0o644)
    process = serve(config)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == EX_CONFIG
    assert f"{config} has mode 0644, so that others may read it. chmod o= {config}" in said
    assert "geheim" not in said
