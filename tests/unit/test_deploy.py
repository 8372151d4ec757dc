"""The deployment examples: valid by the tools' own rules, and about this program as it is."""

from __future__ import annotations

import re
import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer.main
import yaml

from bt_node.cli.main import app
from bt_node.config import Config, load_config

REPOSITORY = Path(__file__).resolve().parents[2]
UNITS = sorted((REPOSITORY / "deploy" / "systemd").iterdir())
SERVICES = [path for path in UNITS if path.suffix == ".service"]
MANIFESTS = list(yaml.safe_load_all((REPOSITORY / "deploy" / "kubernetes" / "bt-node.yaml").read_text()))
COMPOSE = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
PASSWORD_PATH = re.compile(r'password_file = "[^"]+"')


def is_a_command(words: list[str]) -> bool:
    """Whether bt-node has this command; options are looked up too."""
    context: Any = typer.main.get_command(app)
    rest = [word for word in words if word != "bt-node" and not word.endswith("/bt-node")]
    while rest and rest[0] == "--config":
        rest = rest[2:]
    while rest and getattr(context, "commands", None):
        context = context.commands.get(rest.pop(0))
        if context is None:
            return False
    options = {name for parameter in context.params for name in parameter.opts}
    return all(word in options for word in rest if word.startswith("--"))


def loaded(text: str, folder: Path) -> Config:
    """A configuration as the program reads it; its password lies in the test's folder."""
    secret = folder / "secret"
    secret.touch(mode=0o600)
    secret.write_text("geheim")
    file = folder / "config.toml"
    file.write_text(PASSWORD_PATH.sub(f'password_file = "{secret}"', text))
    return load_config(file, {})


# ---------------------------------------------------------------- systemd


@pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.name)
def test_systemd_accepts_each_unit(unit: Path, tmp_path: Path):
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("no systemd on this machine; the other tests read the units")
    for other in UNITS:  # a timer is looked up with its service
        text = other.read_text().replace("/opt/bt-node/.venv/bin/bt-node", "/bin/true")
        (tmp_path / other.name).write_text(text)
    done = subprocess.run(
        [analyze, "verify", "--man=no", tmp_path / unit.name], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("unit", SERVICES, ids=lambda path: path.name)
def test_each_service_starts_a_command_that_exists_and_gives_up_its_rights(unit: Path):
    text = unit.read_text()
    (command,) = re.findall(r"^ExecStart=(.+)$", text, re.MULTILINE)
    assert is_a_command(command.split())
    for line in (
        "User=bt-node", "UMask=0077", "NoNewPrivileges=yes", "ProtectSystem=strict", "ProtectHome=yes",
        "PrivateTmp=yes", "StateDirectoryMode=0700", "CapabilityBoundingSet=", "SystemCallArchitectures=native",
    ):  # fmt: skip
        assert line in text.splitlines(), line
    assert "LoadCredential=" in text
    assert "password" not in command


@pytest.mark.parametrize("part", ["listener", "worker"])
def test_a_unit_that_only_its_administrator_can_mend_is_not_restarted(part: str):
    text = (REPOSITORY / "deploy" / "systemd" / f"bt-node-{part}.service").read_text()
    assert {"Type=notify", "WatchdogSec=60", "RestartPreventExitStatus=78"} <= set(text.splitlines())


# ---------------------------------------------------------------- Kubernetes


def pods() -> dict[str, dict[str, Any]]:
    found = {}
    for manifest in MANIFESTS:
        spec = manifest.get("spec", {})
        spec = spec.get("jobTemplate", {}).get("spec", spec)
        if "template" in spec:
            found[manifest["metadata"]["name"]] = spec["template"]["spec"]
    return found


@pytest.mark.parametrize(
    "manifest", MANIFESTS, ids=lambda manifest: f"{manifest['kind']}-{manifest['metadata']['name']}"
)
def test_kubernetes_knows_every_field(manifest: dict[str, Any]):
    kubernetes_validate.validate(manifest, "1.32", strict=True)


@pytest.mark.parametrize(("name", "pod"), pods().items(), ids=list(pods()))
def test_no_pod_has_more_rights_than_it_needs(name: str, pod: dict[str, Any]):
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    (container,) = pod["containers"]
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert "memory" in container["resources"]["limits"]
    assert is_a_command([*container["command"], *container["args"]])
    (secret,) = (volume["secret"] for volume in pod["volumes"] if "secret" in volume)
    assert secret["defaultMode"] & stat.S_IRWXO == 0


def test_probes_are_commands_of_ours():
    for name in ("bt-node-listener", "bt-node-worker"):
        (container,) = pods()[name]["containers"]
        for probe in ("startupProbe", "livenessProbe"):
            assert is_a_command(container[probe]["exec"]["command"])


def test_the_configuration_in_the_manifest_is_sound(tmp_path: Path):
    (texts,) = (manifest["data"] for manifest in MANIFESTS if manifest["kind"] == "ConfigMap")
    config = loaded(texts["config.toml"], tmp_path)
    assert "geheim" in config.database.url
    assert "geheim" not in texts["config.toml"]


# ---------------------------------------------------------------- Compose


def test_compose_runs_listener_worker_and_migration_as_the_same_image():
    ours = {name: each for name, each in COMPOSE["services"].items() if each["image"] == "bt-node"}
    assert set(ours) == {"migrate", "listener", "worker"}
    for each in ours.values():
        assert is_a_command([*each["entrypoint"], *each["command"]])
        assert each["cap_drop"] == ["ALL"]
        assert each["read_only"] is True
    for part in ("listener", "worker"):
        assert is_a_command(ours[part]["healthcheck"]["test"][1:])
        assert ours[part]["depends_on"]["migrate"]["condition"] == "service_completed_successfully"


def test_the_configuration_in_the_compose_file_is_sound(tmp_path: Path):
    config = loaded(COMPOSE["configs"]["node"]["content"], tmp_path)
    assert config.destinations[0].ae_title == config.sources[0].ae_title == "ORTHANC"
    assert config.database.url == "postgresql://bt_node:geheim@db/bt_node"
