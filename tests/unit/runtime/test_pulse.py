"""`bt-node health` hears whether a process is alive."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from typer.testing import CliRunner

from bt_node.cli.main import app
from bt_node.runtime import pulse
from bt_node.runtime.pulse import Pulse, address_of, ask


def test_a_process_that_goes_on_is_alive_and_says_what_it_waits_for(tmp_path: Path):
    with Pulse(tmp_path, "worker", lambda: "paused: no room"):
        assert [ask(tmp_path, "worker") for _ in range(3)] == ["alive, paused: no room"] * 3
    assert ask(tmp_path, "worker") is None


def test_a_process_whose_work_stands_still_is_stuck(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = [1000.0]
    monkeypatch.setattr(pulse.time, "monotonic", lambda: now[0])
    with Pulse(tmp_path, "worker") as beating:
        now[0] += 61
        assert ask(tmp_path, "worker") == "stuck for 61 s"
        beating.beat()
        assert ask(tmp_path, "worker") == "alive"


def test_nodes_and_parts_are_told_apart(tmp_path: Path):
    with Pulse(tmp_path / "a", "worker"):
        assert ask(tmp_path / "a", "listener") is None
        assert ask(tmp_path / "b", "worker") is None


def test_a_second_worker_on_the_machine_starts_all_the_same(tmp_path: Path):
    with Pulse(tmp_path, "worker"), Pulse(tmp_path, "worker"):
        assert ask(tmp_path, "worker") == "alive"


def test_another_account_s_process_under_the_name_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with Pulse(tmp_path, "worker"):
        address = address_of(tmp_path, "worker")
        monkeypatch.setattr(pulse, "address_of", lambda *_: address)
        monkeypatch.setattr(pulse.os, "getuid", lambda: 4711)
        assert ask(tmp_path, "worker") is None


def test_one_who_never_answers_is_not_waited_for_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pulse, "_ANSWER_WITHIN_S", 0.1)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as mute:
        mute.bind(address_of(tmp_path, "worker"))
        mute.listen()
        assert ask(tmp_path, "worker") is None


def test_the_command_says_who_runs_and_ends_with_a_code(tmp_path: Path):
    config = tmp_path / "config.toml"
    config.write_text('[storage]\nspool = "spool"\n')

    def health(*part: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["--config", str(config), "health", *part])
        return done.exit_code, done.stdout

    with Pulse(tmp_path / "spool", "listener"):
        assert health("listener") == (0, "listener: alive\n")
        assert health() == (1, "listener: alive\nworker: does not run here\n")


@pytest.mark.parametrize("name", ["{tmp}/notify", "@bt-node-test-{pid}"])
def test_systemd_is_told_that_it_is_ready_and_that_it_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    address = name.format(tmp=tmp_path, pid=os.getpid())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(address.replace("@", "\0", 1) if address.startswith("@") else address)
        manager.settimeout(10)
        monkeypatch.setenv("NOTIFY_SOCKET", address)
        with Pulse(tmp_path, "worker") as beating:
            beating.beat()
        assert [manager.recv(100) for _ in range(3)] == [b"WATCHDOG=1", b"READY=1", b"WATCHDOG=1"]
