"""The command line as an administrator meets it: exit codes, messages, JSON, and a quick start."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pydicom
import pytest
from dicom_builder import ramp_volume, write_series
from node_bench import Bench
from pydicom.dataelem import DataElement
from typer.testing import CliRunner

from bt_node.cli.context import echo, print_json, print_table
from bt_node.cli.main import app
from bt_node.domain.states import JobState
from bt_node.jobs import RunRecord
from bt_node.runtime.process import EX_CONFIG

REPOSITORY = Path(__file__).resolve().parents[3]


def bt_node(*arguments: str, config: Path | None = None, timeout: float = 60.0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "bt_node", *(["--config", str(config)] if config else []), *arguments]
    environment = {key: value for key, value in os.environ.items() if not key.startswith("BT_NODE_")}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=timeout, check=False, cwd=REPOSITORY, env=environment
    )


def write_config(tmp_path: Path, *blocks: str) -> Path:
    path = tmp_path / "config.toml"
    path.write_text(
        "\n".join(
            [
                '[storage]\nspool = "spool"\nmin_free_mib = 1',
                '[database]\nurl = "sqlite:///jobs.sqlite"',
                *blocks,
            ]
        )
    )
    return path


def test_three_mistakes_are_listed_together_with_the_line_to_mend(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text('[listener]\nae_title = "MUCH_TOO_LONG_A_TITLE"\nprot = 104\n\n[storage]\nretention_days = "x"\n')
    ran = bt_node("jobs", "list", config=path)
    assert ran.returncode == EX_CONFIG
    for place in ("config.toml:2", "config.toml:3", "config.toml:6"):
        assert place in ran.stderr
    assert "did you mean port" in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_config_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    ran = bt_node("jobs", "list", config=tmp_path / "nowhere.toml")
    assert ran.returncode == EX_CONFIG
    assert "no such file" in ran.stderr


def test_a_new_database_asks_for_its_upgrade_and_then_works(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    before = bt_node("jobs", "list", config=config)
    assert before.returncode == EX_CONFIG
    assert "bt-node db upgrade" in before.stderr
    assert bt_node("db", "upgrade", config=config).returncode == 0
    assert bt_node("db", "upgrade", config=config).returncode == 0, "upgrading twice must be harmless"
    assert json.loads(bt_node("jobs", "list", "--json", config=config).stdout) == []


def test_jobs_show_has_the_promised_keys_and_steering_is_recorded(bench: Bench, tmp_path: Path) -> None:
    job = bench.make_ready()
    config = write_config(tmp_path)
    shown = json.loads(bt_node("jobs", "show", str(job), "--json", config=config).stdout)
    assert shown.keys() >= {
        "id", "study_instance_uid", "state", "reason", "roles", "set_aside", "findings", "results", "history",
        "timings_s",
    }  # fmt: skip
    assert bt_node("jobs", "cancel", str(job), config=config).returncode == 0
    again = bt_node("jobs", "cancel", str(job), config=config)
    assert again.returncode == 1
    assert "CANCELLED" in again.stderr
    assert bt_node("jobs", "retry", "1.2.3", config=config).returncode == 0
    history = json.loads(bt_node("jobs", "show", "1.2.3", "--json", config=config).stdout)["history"]
    assert [move["to"] for move in history][-2:] == ["CANCELLED", "READY"]
    assert history[-1]["actor"].startswith("cli:")
    listed = bt_node("jobs", "list", config=config).stdout
    assert "READY" in listed
    assert "1.2.3" in listed


def test_every_failed_job_is_revived_at_once(bench: Bench, tmp_path: Path) -> None:
    config = str(write_config(tmp_path))
    for study in ("1.2.3", "1.2.4"):
        bench.make_ready(study)
        job = bench.book.claim("worker", 60.0)
        bench.book.finish(job.id, job.token, JobState.FAILED, "trip-died", "killed", RunRecord())
    listed = CliRunner().invoke(app, ["--config", config, "jobs", "list", "--state", "FAILED", "--json"])
    assert [job["reason"] for job in json.loads(listed.output)] == ["killed", "killed"]
    for said in ("Job 1 is READY.\nJob 2 is READY.\n", "No job is FAILED.\n"):
        ran = CliRunner().invoke(app, ["--config", config, "jobs", "retry", "--all-failed"])
        assert (ran.exit_code, ran.output) == (0, said)
    assert CliRunner().invoke(app, ["--config", config, "jobs", "retry"]).exit_code == 2
    assert CliRunner().invoke(app, ["--config", config, "jobs", "retry", "1", "--all-failed"]).exit_code == 2


def test_a_job_that_is_not_there_is_said(bench: Bench, tmp_path: Path) -> None:
    ran = bt_node("jobs", "show", "77", config=write_config(tmp_path))
    assert ran.returncode == 1
    assert "No job 77" in ran.stderr


def test_a_port_that_is_taken_is_named(bench: Bench, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = bt_node(
            "serve", "listener", config=write_config(tmp_path, f'[listener]\nhost = "127.0.0.1"\nport = {port}')
        )
    assert ran.returncode == EX_CONFIG
    assert str(port) in ran.stderr
    assert "Traceback" not in ran.stderr


def broken_models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    shutil.copytree(REPOSITORY / "models", folder)
    weights = next(folder.glob("bt-segmenter*/weights.safetensors"))
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(bytes(content))
    return folder


def test_one_changed_bit_of_the_weights_stops_the_worker_and_is_named(bench: Bench, tmp_path: Path) -> None:
    config = write_config(tmp_path, f'[models]\nfolder = "{broken_models(tmp_path)}"')
    ran = bt_node("serve", "worker", config=config)
    assert ran.returncode == EX_CONFIG
    assert "SHA-256" in ran.stderr
    checked = bt_node("check", "--json", config=config)
    assert checked.returncode == EX_CONFIG
    results = {result["name"]: result for result in json.loads(checked.stdout)}
    assert not results["segmenter"]["ok"]
    assert results["classifier"]["ok"]
    assert results["database"]["ok"]


def test_check_names_a_destination_that_is_down(bench: Bench, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    block = f'[[destinations]]\nname = "pacs"\nae_title = "PACS"\nhost = "127.0.0.1"\nport = {port}\n'
    block += f'[[sources]]\nae_title = "MODALITY"\n[models]\nfolder = "{REPOSITORY / "models"}"'
    ran = bt_node("check", "--json", config=write_config(tmp_path, block))
    results = {result["name"]: result for result in json.loads(ran.stdout)}
    assert ran.returncode == 1
    assert "refused" in results["destination pacs"]["detail"]


def test_models_list_shows_what_is_in_use(tmp_path: Path) -> None:
    config = write_config(tmp_path, f'[models]\nfolder = "{REPOSITORY / "models"}"')
    rows = json.loads(bt_node("models", "list", "--json", config=config).stdout)
    assert {row["kind"] for row in rows if row["in_use"]} == {"segmenter", "classifier"}


@pytest.mark.parametrize("command", ["list", "show"])
def test_job_commands_start_without_torch(bench: Bench, tmp_path: Path, command: str) -> None:
    job = bench.make_ready()
    config = write_config(tmp_path)
    arguments = ["--config", str(config), "jobs", command, *([str(job)] if command == "show" else [])]
    program = (
        "import sys; from bt_node.cli.main import app\n"
        f"try: app({arguments!r})\n"
        "except SystemExit: pass\n"
        "heavy = {'numpy', 'torch', 'monai', 'SimpleITK', 'highdicom', 'pydicom', 'pynetdicom', 'scipy', 'alembic'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.splitlines()[-1] == "[]", ran.stdout


def test_the_listener_starts_without_the_gpu_stack() -> None:
    program = (
        "import sys, bt_node.runtime.listener\n"
        "print(sorted({'torch', 'monai', 'SimpleITK', 'highdicom'} & set(sys.modules)))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.strip() == "[]"


def test_help_names_every_command_of_the_readme() -> None:
    text = bt_node("--help").stdout
    for command in ("serve", "jobs", "send", "check", "models", "db", "demo", "predict"):
        assert command in text


def test_only_short_commands_run_without_the_cycle_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener or worker that never collected cycles would grow for days."""
    switched: list[bool] = []
    monkeypatch.setattr("bt_node.cli.main.gc.enable", lambda: switched.append(True))
    runner = CliRunner()
    assert runner.invoke(app, ["jobs", "list", "--help"]).exit_code == 0
    assert switched == []
    for command in ("serve", "demo", "send", "predict"):
        assert runner.invoke(app, [command, "--help"]).exit_code == 0
    assert switched == [True] * 4


def test_the_command_line_does_not_search_for_plug_ins_of_pydantic(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PYDANTIC_DISABLE_PLUGINS", raising=False)
    program = (
        "import os, sys; sys.argv = ['bt-node', '--version']\n"
        "from bt_node.cli.main import main\n"
        "try: main()\n"
        "finally: print(os.environ.get('PYDANTIC_DISABLE_PLUGINS'))"
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert ran.stdout.splitlines()[-1] == "__all__"


@pytest.mark.parametrize("command", ["explain", "send"])
def test_a_command_that_reads_dicom_repeats_no_header_text(tmp_path: Path, command: str) -> None:
    for path in write_series(tmp_path / "series", ramp_volume()):
        ds = pydicom.dcmread(path)
        ds["SpecificCharacterSet"]._value = "Doe^Jane"
        ds.add(DataElement("FrameOfReferenceUID", "UI", "Doe^Jane", validation_mode=pydicom.config.IGNORE))
        ds.save_as(path)
    if command == "explain":
        done = bt_node("series", "explain", str(tmp_path / "series"))
        assert done.returncode == 0
    else:
        done = bt_node("send", str(tmp_path / "series"), "--port", "1")
    assert "Doe" not in done.stdout + done.stderr
    assert len(done.stderr.splitlines()) < 12  # no line for each slice


def test_an_error_that_nobody_foresaw_leaves_its_place_and_no_value() -> None:
    code = "import bt_node.cli.main as m\ndef app(): int('Doe^Jane\\x1b[2J')\nm.app = app\nm.main()\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ValueError" in done.stderr
    assert "Doe" not in done.stderr


def test_what_came_from_outside_steers_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    evil = "1.2\x1b[2J\x9b\u202e\x7f\u2028"
    echo(evil)
    print_json({"uid": evil})
    print_table(evil, ["uid"], [[evil]])
    assert capsys.readouterr().out.replace("\n", "").isprintable()
