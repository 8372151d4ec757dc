"""A node of one's own on loopback: configuration, database and processes in one folder."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from bt_node.config import Config, load_config
from bt_node.deliver.peer import Peer
from bt_node.deliver.send import echo
from bt_node.domain.errors import Alarm
from bt_node.jobs import upgrade_schema

_START_WITHIN_SECONDS = 60.0
_STOP_WITHIN_SECONDS = 60.0


class NodeStartError(Alarm):
    """The node did not come up or did not stay up; its log says why."""

    code = "node-start"


def free_port() -> int:
    """A TCP port on loopback that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def end_process(process: subprocess.Popen[bytes], within_seconds: float) -> None:
    """Ask a process to end, wait, and kill it when it does not."""
    process.terminate()
    try:
        process.wait(within_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True)
class NodePlan:
    """What a node in a box is told. `overrides` are tables of config.toml that replace single keys."""

    models: Path
    sources: tuple[str, ...]
    destinations: Mapping[str, Peer] = field(default_factory=dict)
    overrides: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    def config_text(self, port: int) -> str:
        """config.toml of a node that answers within seconds and keeps everything in its own folder."""
        tables: dict[str, dict[str, Any]] = {
            "listener": {"ae_title": "BT_NODE", "host": "127.0.0.1", "port": port},
            "storage": {"spool": "spool", "min_free_mib": 64},
            "database": {"url": "sqlite:///jobs.sqlite"},
            "completeness": {"quiet_seconds": 2, "wait_minutes": 0},
            "schedule": {"sweep_seconds": 0.5, "claim_seconds": 0.5, "deliver_seconds": 0.5, "lease_seconds": 30},
            "delivery": {"first_pause_seconds": 2, "max_pause_seconds": 10},
            "models": {"folder": str(self.models)},
        }
        for name, keys in self.overrides.items():
            tables.setdefault(name, {}).update(keys)
        # An empty list is said: without it the node would take it for forgotten.
        blocks = [f"{key} = []\n" for key in ("sources", "destinations") if not getattr(self, key)]
        blocks += [_table(f"[{name}]", keys) for name, keys in tables.items()]
        blocks += [_table("[[sources]]", {"ae_title": title, "host": "127.0.0.1"}) for title in self.sources]
        blocks += [
            _table("[[destinations]]", {"name": name, "ae_title": p.ae_title, "host": p.host, "port": p.port})
            for name, p in self.destinations.items()
        ]
        return "\n".join(blocks)


def _table(header: str, keys: Mapping[str, Any]) -> str:
    lines = [header]
    for key, value in keys.items():
        text = str(value).lower() if isinstance(value, bool) else repr(value) if not isinstance(value, str) else ""
        lines.append(f"{key} = {text or _quoted(value)}")
    return "\n".join(lines) + "\n"


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


class NodeProcess:
    """`bt-node serve` as a process, in a folder that holds its whole state. Use as a context manager."""

    def __init__(self, folder: Path, plan: NodePlan, part: str = "all") -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self._part = folder, part
        self.port = free_port()
        self.config_path = folder / "config.toml"
        self.config_path.write_text(plan.config_text(self.port), encoding="utf-8")
        self.log_path = folder / "node.log"
        self.process: subprocess.Popen[bytes] | None = None
        upgrade_schema(self.config.database.url)

    @property
    def config(self) -> Config:
        """Its configuration, as the process reads it."""
        return load_config(self.config_path, {})

    @property
    def peer(self) -> Peer:
        """Where to send studies."""
        return Peer("BT_NODE", "127.0.0.1", self.port)

    def start(self) -> Self:
        """Start it; the log is appended to node.log."""
        self.process = self.start_another(self._part)
        return self

    def start_another(self, part: str) -> subprocess.Popen[bytes]:
        """One more process of the same node (a worker beside its listener); whoever starts it stops it."""
        command = [sys.executable, "-m", "bt_node", "--config", str(self.config_path), "serve", part]
        clean = {key: value for key, value in os.environ.items() if _reaches_the_node(key)}
        with self.log_path.open("ab") as log:
            return subprocess.Popen(command, stdout=log, stderr=log, env=clean)

    def wait_until_listening(self, calling_ae_title: str, pause: Callable[[float], None] = time.sleep) -> None:
        """Ask by C-ECHO until it answers.

        Raises:
            NodeStartError: it ended, or did not answer in time.
        """
        deadline = time.monotonic() + _START_WITHIN_SECONDS
        while not echo(self.peer, calling_ae_title, 5.0).ok:
            self.require_running()
            if time.monotonic() > deadline:
                raise NodeStartError(f"The node does not answer C-ECHO; see {self.log_path}")
            pause(0.2)

    def require_running(self) -> None:
        """Notice a node that ended by itself.

        Raises:
            NodeStartError: with the end of its log.
        """
        if self.process is None or self.process.poll() is not None:
            last_words = "\n".join(self.log_path.read_text(encoding="utf-8").splitlines()[-5:])
            raise NodeStartError(f"The node ended. Its log {self.log_path} ends with:\n{last_words}")

    def stop(self) -> None:
        """Ask it to stop, and wait."""
        if self.process is None:
            return
        end_process(self.process, _STOP_WITHIN_SECONDS)
        self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


def _reaches_the_node(variable: str) -> bool:
    """Its configuration is its file alone; but what computes, and how, is for the machine to say."""
    return not variable.startswith("BT_NODE_") or variable.startswith("BT_NODE_DEVICE__")
