"""Files that hold a secret or patient data are for the node's account alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bt_node.config import Config, load_config
from bt_node.domain.errors import OpenToOthersError
from bt_node.runtime.permissions import check_private_files, private_umask, refuse_open_secrets

WITH_PASSWORD = '[database]\nurl = "postgresql://node:geheim@db/book"\n'
PASSWORD_FILE = '[database]\nurl = "postgresql://node@db/book"\npassword_file = "secret"\n'
DESTINATION = (
    '[[destinations]]\nname = "x"\nae_title = "X"\nhost = "h"\n'
    'tls = { ca = "ca.pem", certificate = "c.pem", private_key = "secret" }\n'
)
WEB = '[[destinations]]\nname = "x"\nurl = "https://pacs/dicom-web"\ntoken_file = "secret"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    secret = tmp_path / "secret"
    secret.touch(mode=0o600)
    secret.write_text("geheim\n")
    return tmp_path


def loaded(folder: Path, text: str, mode: int = 0o600) -> tuple[Config, Path]:
    file = folder / "config.toml"
    file.write_text(text)
    file.chmod(mode)
    return load_config(file, {}), file


@pytest.mark.parametrize("mode", [0o644, 0o604, 0o602])
def test_a_configuration_with_a_password_that_others_may_read_is_refused(folder: Path, mode: int):
    with pytest.raises(OpenToOthersError, match=r"holds a password.*config\.toml.*chmod o= ") as caught:
        refuse_open_secrets(*loaded(folder, WITH_PASSWORD, mode))
    assert "geheim" not in str(caught.value)


def test_its_group_may_read_it(folder: Path):
    refuse_open_secrets(*loaded(folder, WITH_PASSWORD, 0o640))


def test_a_configuration_without_a_secret_may_be_read_by_all(folder: Path):
    refuse_open_secrets(*loaded(folder, "[listener]\nport = 104\n", 0o644))
    refuse_open_secrets(Config(), None)


@pytest.mark.parametrize("text", [PASSWORD_FILE, DESTINATION, WEB])
def test_the_file_of_a_secret_must_be_private(folder: Path, text: str):
    refuse_open_secrets(*loaded(folder, text, 0o644))
    (folder / "secret").chmod(0o644)
    with pytest.raises(OpenToOthersError, match="secret has mode 0644"):
        refuse_open_secrets(*loaded(folder, text, 0o644))


@pytest.mark.parametrize("name", ["spool", "jobs.sqlite"])
def test_an_open_spool_or_database_is_named(folder: Path, name: str):
    config, _ = loaded(folder, '[storage]\nspool = "spool"\n[database]\nurl = "sqlite:///jobs.sqlite"\n')
    assert "alone" in check_private_files(config)
    (folder / "spool").mkdir(mode=0o700)
    (folder / "jobs.sqlite").touch(mode=0o600)
    assert "alone" in check_private_files(config)
    (folder / name).chmod(0o755)
    with pytest.raises(OpenToOthersError, match=name):
        check_private_files(config)


def test_what_a_process_makes_is_its_own(tmp_path: Path):
    former = os.umask(0o022)
    try:
        private_umask()
        (tmp_path / "file").write_text("")
        assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600
    finally:
        os.umask(former)


def test_a_service_that_crashes_writes_its_memory_nowhere_nor_does_what_it_starts():
    script = """
import resource, subprocess, sys
import bt_node.runtime.listener
import bt_node.runtime.startup
from typer.testing import CliRunner
from bt_node.cli.main import app
ask = "import resource; print(resource.getrlimit(resource.RLIMIT_CORE))"
bt_node.runtime.listener.run_listener = lambda config: subprocess.run([sys.executable, "-c", ask], check=True)
bt_node.runtime.startup.require_conditions = lambda *_: None
resource.setrlimit(resource.RLIMIT_CORE, (4096, resource.getrlimit(resource.RLIMIT_CORE)[1]))
result = CliRunner().invoke(app, ["serve", "listener"])
assert result.exception is None, result.exception
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "(0, 0)\n"
