"""What `bt-node check` calls failed, `bt-node serve` does not start with: the same sentence, exit code 78."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from bt_node.cli.main import app
from bt_node.config import load_config
from bt_node.jobs import upgrade_schema
from bt_node.runtime.process import EX_CONFIG, Part
from bt_node.runtime.pulse import Pulse, ask
from bt_node.runtime.startup import start_conditions
from bt_node.runtime.supervisor import run_all

pytestmark = pytest.mark.integration

REPOSITORY = Path(__file__).resolve().parents[3]
NOBODY_WRITES_HERE = "/sys"  # not even root
# Root enters every folder by a capability: without it, rights count for root as well.
AS_ANYBODY = () if os.geteuid() else ("setpriv", "--bounding-set", "-dac_override,-dac_read_search")


class Node:
    """A sound configuration, of which a test breaks one thing."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.file = folder, folder / "config.toml"
        self.lines: dict[str, list[str]] = {
            "": ["sources = []", "destinations = []"],
            "listener": ['host = "127.0.0.1"', "port = 0"],
            "storage": ['spool = "spool"', "min_free_mib = 0"],
            "database": ['url = "sqlite:///jobs.sqlite"'],
            "models": [f'folder = "{REPOSITORY / "models"}"'],
            "follow_up": ['key_file = "follow-up.key"'],
            "device": ['name = "cpu"'],
        }
        self.write()
        upgrade_schema(load_config(self.file, {}).database.url)

    def write(self) -> None:
        blocks = ["\n".join([f"[{name}]" if name else "", *lines]) for name, lines in self.lines.items()]
        self.file.write_text("\n".join(blocks))

    def set(self, table: str, key: str, value: str) -> None:
        kept = [line for line in self.lines.setdefault(table, []) if not line.startswith(f"{key} ")]
        self.lines[table] = [*kept, f"{key} = {value}"]
        self.write()

    def forget(self, key: str) -> None:
        self.lines[""] = [line for line in self.lines[""] if not line.startswith(key)]
        self.write()

    def check(self) -> tuple[int, dict[str, dict[str, Any]]]:
        ran = CliRunner().invoke(app, ["--config", str(self.file), "check", "--json"])
        return ran.exit_code, {each["name"]: each for each in json.loads(ran.stdout)}

    def serve(self, part: str) -> subprocess.CompletedProcess[str]:
        return self.run("serve", part)

    def run(self, *arguments: str, rights: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        command = [*rights, sys.executable, "-m", "bt_node", "--config", str(self.file), *arguments]
        clean = {key: value for key, value in os.environ.items() if not key.startswith("BT_NODE_")}
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, env=clean)


@pytest.fixture
def node(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Node:
    for name in [name for name in os.environ if name.startswith("BT_NODE_")]:
        monkeypatch.delenv(name)
    return Node(tmp_path)


@contextlib.contextmanager
def a_segmenter_as_classifier(node: Node) -> Iterator[None]:
    node.set("models", "classifier", '"bt-segmenter-0.2"')
    yield


@contextlib.contextmanager
def a_classifier_as_segmenter(node: Node) -> Iterator[None]:
    node.set("models", "segmenter", '"bt-classifier-0.3"')
    yield


@contextlib.contextmanager
def no_such_release(node: Node) -> Iterator[None]:
    node.set("models", "segmenter", '"bt-segmenter-9"')
    yield


@contextlib.contextmanager
def changed_weights(node: Node) -> Iterator[None]:
    shutil.copytree(REPOSITORY / "models", node.folder / "models")
    with next((node.folder / "models").glob("bt-classifier*/weights.safetensors")).open("ab") as weights:
        weights.write(b"\0")
    node.set("models", "folder", '"models"')
    yield


@contextlib.contextmanager
def missing_weights(node: Node) -> Iterator[None]:
    shutil.copytree(REPOSITORY / "models", node.folder / "models")
    next((node.folder / "models").glob("bt-segmenter*/weights.safetensors")).unlink()
    node.set("models", "folder", '"models"')
    yield


@contextlib.contextmanager
def a_taken_port(node: Node) -> Iterator[None]:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        node.set("listener", "port", str(other.getsockname()[1]))
        yield


@contextlib.contextmanager
def a_key_that_cannot_be_made(node: Node) -> Iterator[None]:
    node.set("follow_up", "key_file", f'"{NOBODY_WRITES_HERE}/bt-node/follow-up.key"')
    yield


@contextlib.contextmanager
def a_key_for_all_eyes(node: Node) -> Iterator[None]:
    (node.folder / "follow-up.key").write_text("ab" * 32)
    (node.folder / "follow-up.key").chmod(0o644)
    yield


@contextlib.contextmanager
def a_spool_that_cannot_be_made(node: Node) -> Iterator[None]:
    node.set("storage", "spool", f'"{NOBODY_WRITES_HERE}/bt-node/spool"')
    yield


@contextlib.contextmanager
def a_spool_that_is_a_file(node: Node) -> Iterator[None]:
    (node.folder / "spool").write_text("")
    yield


@contextlib.contextmanager
def a_part_of_the_spool_that_leads_nowhere(node: Node) -> Iterator[None]:
    (node.folder / "spool").mkdir(mode=0o700)
    (node.folder / "spool" / "incoming").symlink_to(node.folder / "unmounted")
    yield


@contextlib.contextmanager
def a_read_only_spool(node: Node) -> Iterator[None]:
    (node.folder / "spool").mkdir(mode=0o700)
    mount = ["mount", "-t", "tmpfs", "-o", "ro,mode=0700", "tmpfs", str(node.folder / "spool")]
    if subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root may mount")  # a spool that cannot be made is tried everywhere
    try:
        yield
    finally:
        subprocess.run(["umount", str(node.folder / "spool")], check=True)


@contextlib.contextmanager
def no_sources(node: Node) -> Iterator[None]:
    node.forget("sources")
    yield


@contextlib.contextmanager
def no_destinations(node: Node) -> Iterator[None]:
    node.forget("destinations")
    yield


@contextlib.contextmanager
def no_schema(node: Node) -> Iterator[None]:
    node.set("database", "url", '"sqlite:///other.sqlite"')
    yield


@contextlib.contextmanager
def a_database_that_is_none(node: Node) -> Iterator[None]:
    (node.folder / "jobs.sqlite").write_text("-- a dump, not a database\n")
    yield


@contextlib.contextmanager
def no_such_gpu(node: Node) -> Iterator[None]:
    node.set("device", "name", '"cuda:63"')
    yield


@contextlib.contextmanager
def no_certificate(node: Node) -> Iterator[None]:
    for key in ("certificate", "private_key", "client_ca"):
        node.set("listener.tls", key, f'"{node.folder}/{key}.pem"')
    yield


@contextlib.contextmanager
def a_peers_ca_that_is_gone(node: Node) -> Iterator[None]:
    node.forget("destinations")
    tls = f'tls = {{ ca = "{node.folder}/ca.pem" }}'
    node.lines["[destinations]"] = ['name = "pacs"', 'ae_title = "PACS"', 'host = "127.0.0.1"', "port = 1", tls]
    node.write()
    yield


BROKEN: list[tuple[Callable[[Node], contextlib.AbstractContextManager[None]], str, str, str]] = [
    (a_segmenter_as_classifier, "worker", "classifier", "it is a segmenter, but [models] names it as classifier"),
    (a_classifier_as_segmenter, "worker", "segmenter", "it is a classifier, but [models] names it as segmenter"),
    (no_such_release, "worker", "segmenter", "`bt-node models list` shows which releases there are"),
    (changed_weights, "worker", "classifier", "SHA-256"),
    (missing_weights, "worker", "segmenter", "weights.safetensors cannot be read"),
    (a_taken_port, "listener", "port", "Stop the other program or change [listener] port."),
    (a_key_that_cannot_be_made, "worker", "follow-up key", "change [follow_up] key_file"),
    (a_key_for_all_eyes, "worker", "follow-up key", "chmod 600"),
    (a_spool_that_cannot_be_made, "listener", "spool", "change [storage] spool"),
    (a_spool_that_cannot_be_made, "worker", "spool", "change [storage] spool"),
    (a_read_only_spool, "listener", "spool", "read-only file system"),
    (a_read_only_spool, "worker", "spool", "read-only file system"),
    (a_spool_that_is_a_file, "listener", "spool", "spool is no folder"),
    (a_spool_that_is_a_file, "worker", "spool", "spool is no folder"),
    (a_part_of_the_spool_that_leads_nowhere, "listener", "spool", "incoming is no folder"),
    (no_sources, "listener", "sources", "`sources = []`"),
    (no_destinations, "worker", "destinations", "`destinations = []`"),
    (no_schema, "listener", "database", "bt-node db upgrade"),
    (a_database_that_is_none, "worker", "database", "is no SQLite database"),
    (no_such_gpu, "worker", "device", 'Set [device] name to "auto" or "cpu".'),
    (no_certificate, "listener", "listener TLS", "certificate.pem cannot be read"),
    (a_peers_ca_that_is_gone, "worker", "TLS to pacs", "ca.pem cannot be read"),
]


@pytest.mark.parametrize(
    ("broken", "part", "condition", "words"), BROKEN, ids=[f"{each[0].__name__}-{each[1]}" for each in BROKEN]
)
def test_check_and_serve_say_the_same(
    node: Node,
    broken: Callable[[Node], contextlib.AbstractContextManager[None]],
    part: str,
    condition: str,
    words: str,
) -> None:
    with broken(node):
        code, results = node.check()
        served = node.serve(part)
    assert code == EX_CONFIG
    stopping = [name for name, result in results.items() if result["stops"]]
    assert stopping == [condition], "one thing is broken, and nothing else is blamed"
    assert words in results[condition]["detail"]
    assert served.returncode == EX_CONFIG, served.stderr
    assert f"  - {condition}: {results[condition]['detail']}\n" in served.stderr
    assert "Traceback" not in served.stderr
    assert "started" not in served.stderr.replace("Not started", "")


@pytest.mark.parametrize(
    ("table", "key", "value", "condition", "remedy"),
    [
        ("database", "url", "sqlite:///{}/jobs.sqlite", "database", "change [database] url"),
        ("storage", "spool", "{}/spool", "spool", "change [storage] spool"),
        ("follow_up", "key_file", "{}/follow-up.key", "follow-up key", "change [follow_up] key_file"),
        ("models", "folder", "{}/models", "segmenter", "`bt-node models list`"),
    ],
)
def test_a_folder_that_this_account_may_not_enter(  # a volume made for another uid
    node: Node, table: str, key: str, value: str, condition: str, remedy: str
) -> None:
    closed = node.folder / "closed"
    closed.mkdir(mode=0)
    node.set(table, key, json.dumps(value.format(closed)))
    checked, served = (node.run(*words, rights=AS_ANYBODY) for words in (("check", "--json"), ("serve", "all")))
    said = {each["name"]: each["detail"] for each in json.loads(checked.stdout) if each["stops"]}
    assert condition in said, "and only what lies in that folder is blamed"
    assert set(said) <= {condition, "classifier"}  # both releases lie in [models] folder
    assert remedy in said[condition], said
    assert "Errno" not in checked.stdout + served.stderr
    assert (checked.returncode, served.returncode) == (EX_CONFIG, EX_CONFIG)
    assert f"  - {condition}: {said[condition]}\n" in served.stderr


@pytest.mark.parametrize("command", [("db", "upgrade"), ("jobs", "list")])
def test_other_commands_say_in_words_that_the_database_may_not_be_reached(
    node: Node, command: tuple[str, str]
) -> None:
    (node.folder / "closed").mkdir(mode=0)
    node.set("database", "url", '"sqlite:///closed/jobs.sqlite"')
    ran = node.run(*command, rights=AS_ANYBODY)
    assert ran.returncode == 1
    assert "closed/jobs.sqlite: permission denied" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_all_that_failed_is_said_at_once_by_one_command(node: Node) -> None:
    with a_spool_that_is_a_file(node), a_classifier_as_segmenter(node), no_sources(node):
        served = node.serve("all")
    assert served.returncode == EX_CONFIG
    assert [line.split(":")[0] for line in served.stderr.splitlines()[1:]] == [
        "  - spool",
        "  - sources",
        "  - segmenter",
    ]


def test_what_the_other_process_needs_does_not_stop_this_one(node: Node) -> None:
    conditions = {each.name: each.parts for each in start_conditions(load_config(node.file, {}), node.file)}
    assert {name for name, parts in conditions.items() if parts == {Part.LISTENER}} == {"sources", "port"}
    assert {name for name, parts in conditions.items() if parts == {Part.WORKER}} == {
        "destinations", "segmenter", "classifier", "brain", "device", "follow-up key",
    }  # fmt: skip
    assert {name for name, parts in conditions.items() if len(parts) == 2} == {"database", "spool", "secrets"}


def test_a_sound_node_passes_and_nothing_is_left_behind(node: Node) -> None:
    before = sorted(node.folder.rglob("*"))
    code, results = node.check()
    assert code == 0, results
    assert sorted(node.folder.rglob("*")) == before


def test_a_database_that_is_away_for_a_moment_is_not_the_administrators(node: Node) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node.set("database", "url", f'"postgresql://node@127.0.0.1:{port}/book"')
    code, results = node.check()
    assert (code, results["database"]["ok"], results["database"]["stops"]) == (1, False, False)
    served = node.serve("listener")
    assert served.returncode == 1
    assert f"  - database: {results['database']['detail']}\n" in served.stderr


def test_serve_all_waits_for_such_a_database(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    node.set("database", "url", f'"postgresql://node@127.0.0.1:{port}/book"')
    began: list[list[str]] = []
    for for_good in ("no_core_dumps", "private_umask"):  # they would hold for this process, and for the tests after
        monkeypatch.setattr(f"bt_node.runtime.permissions.{for_good}", lambda: None)
    monkeypatch.setattr(f"{run_all.__module__}.run_all", lambda arguments: began.append(arguments) or 0)
    ran = CliRunner().invoke(app, ["--config", str(node.file), "serve", "all"])
    assert (ran.exit_code, began) == (0, [["--config", str(node.file)]])


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (lambda node: node.set("storage", "min_free_mib", "999999999"), "free space"),
        (lambda node: (node.folder / "jobs.sqlite").chmod(0o644), "permissions"),
    ],
)
def test_what_a_running_node_can_live_with_is_said_and_stops_nothing(
    node: Node, change: Callable[[Node], None], name: str
) -> None:
    change(node)
    code, results = node.check()
    assert (code, results[name]["ok"], results[name]["stops"]) == (1, False, False)


def test_the_port_of_a_node_that_runs_is_its_own(node: Node) -> None:
    with a_taken_port(node), Pulse(node.folder / "spool", "listener"):
        assert ask(node.folder / "spool", "listener") == "alive"
        code, results = node.check()
    assert code == 0
    assert "held by this node's own listener" in results["port"]["detail"]
