"""compose.yaml by podman alone: no image registry, no Docker, no systemd. It knows only the keys that our file uses.

Images that cannot be pulled are built from Debian's packages (`tests/containers/stand-ins`), and the base image by
debootstrap. Everything that was started goes by name at the end.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

REPOSITORY = Path(__file__).resolve().parents[2]
STAND_INS = Path(__file__).parent / "stand-ins"
BASE = "docker.io/library/python:3.11-slim-bookworm"
PREFIX = "bt-node-try"
KNOWN = {
    "image", "build", "entrypoint", "command", "configs", "secrets", "volumes", "read_only", "tmpfs", "cap_drop",
    "security_opt", "environment", "healthcheck", "restart", "depends_on", "hostname", "ports", "stop_grace_period",
}  # fmt: skip
# Kernels that forbid raising limits, and hybrid cgroups that crun refuses.
CONTAINERS_CONF = """
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
"""


class Compose:
    """The services of compose.yaml, started in order, as containers named `bt-node-try-…`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file: dict[str, Any] = yaml.safe_load((REPOSITORY / "compose.yaml").read_text())
        (folder / "containers.conf").write_text(CONTAINERS_CONF)
        self.environment = {**os.environ, "CONTAINERS_CONF": str(folder / "containers.conf")}

    def podman(self, *arguments: str, content: str | None = None, check: bool = True, seconds: float = 900) -> str:
        ran = subprocess.run(
            ["podman", *arguments],
            input=content,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
            env=self.environment,
        )
        if check and ran.returncode:
            raise RuntimeError(f"podman {' '.join(arguments)}\n{ran.stdout}\n{ran.stderr}")
        return ran.stdout.strip()

    # ------------------------------------------------------------ images

    def build(self) -> None:
        """Build our image from the Dockerfile, and make the others available."""
        if not self._has(BASE):
            self._debootstrap()
        self._build("localhost/bt-node", REPOSITORY / "Dockerfile", REPOSITORY, *_pip_settings())
        for service in self.file["services"].values():
            name = f"docker.io/{'library/' if '/' not in service['image'] else ''}{service['image']}"
            if service["image"] != "bt-node" and not self._has(name):
                folder = STAND_INS / service["image"].split("/")[-1].split(":")[0]
                self._build(name, folder / "Containerfile", folder)

    def _has(self, image: str) -> bool:
        exists = subprocess.run(["podman", "image", "exists", image], check=False, env=self.environment)
        if exists.returncode == 0:
            return True
        try:
            self.podman("pull", "--quiet", image, seconds=120)
        except (RuntimeError, subprocess.TimeoutExpired):
            return False
        return True

    def _debootstrap(self) -> None:
        sources = "\n".join(path.read_text() for path in Path("/etc/apt").glob("sources.list*/*.sources"))
        mirror = next((line.split()[1] for line in sources.splitlines() if line.startswith("URIs:")), "")
        root = self.folder / "root"
        wanted = "python3,python3-pip,python3-venv,ca-certificates"
        subprocess.run(
            [
                "debootstrap",
                "--variant=minbase",
                f"--include={wanted}",
                "bookworm",
                str(root),
                *filter(None, [mirror]),
            ],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        (root / "usr/bin/python").symlink_to("python3")
        for mark in root.glob("usr/lib/python3*/EXTERNALLY-MANAGED"):
            mark.unlink()
        packed = subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE)
        subprocess.run(["podman", "import", "-", BASE], stdin=packed.stdout, check=True, env=self.environment)

    def _build(self, name: str, file: Path, context: Path, *mounts: str) -> None:
        self.podman("build", "--network", "host", *mounts, "-t", name, "-f", str(file), str(context))

    # ------------------------------------------------------------ services

    def up(self) -> None:
        """Start every service when those that it depends on are healthy or done."""
        self.podman("network", "create", PREFIX)
        for name, source in self.file["secrets"].items():
            self.podman("secret", "create", f"{PREFIX}-{name}", "-", content=os.environ[source["environment"]])
        for name, service in self.file["services"].items():  # in the file's order, which is that of dependence
            unknown = set(service) - KNOWN
            if unknown:
                raise ValueError(f"{name} in compose.yaml has keys that this does not know: {sorted(unknown)}")
            for other, condition in service.get("depends_on", {}).items():
                self._wait_for(other, condition["condition"])
            self._run(name, service)

    def _run(self, name: str, service: Mapping[str, Any]) -> None:
        image = service["image"] if "/" in service["image"] or ":" in service["image"] else "localhost/bt-node"
        flags = ["--name", f"{PREFIX}-{name}", "--network", PREFIX, "--network-alias", name, *self._flags(service)]
        self.podman("run", "--detach", *flags, image, *service.get("command", []))

    def _flags(self, service: Mapping[str, Any]) -> list[str]:
        flags = ["--read-only"] if service.get("read_only") else []
        flags += ["--hostname", service["hostname"]] if "hostname" in service else []
        flags += ["--entrypoint", json.dumps(service["entrypoint"])] if "entrypoint" in service else []
        for key, flag in (("tmpfs", "--tmpfs"), ("cap_drop", "--cap-drop"), ("security_opt", "--security-opt")):
            flags += [word for value in service.get(key, []) for word in (flag, value.removesuffix(":true"))]
        for volume in service.get("volumes", []):
            flags += ["--volume", f"{PREFIX}-{volume}"]
        for key, value in service.get("environment", {}).items():
            flags += ["--env", f"{key}={value}"]
        for config in service.get("configs", []):
            flags += ["--volume", f"{self._config(config['source'])}:{config['target']}:ro"]
        if service.get("read_only") and service.get("secrets"):
            flags += ["--tmpfs", "/run/secrets"]  # podman 4 makes no mount point on a read-only root; Docker does
        for secret in service.get("secrets", []):
            flags += ["--secret", _secret(secret)]
        if "healthcheck" in service:
            kind, *words = service["healthcheck"]["test"]
            command = words[0] if kind == "CMD-SHELL" else shlex.join(words)
            flags += ["--health-cmd", command, "--health-interval", "disable"]
        return flags

    def _config(self, name: str) -> Path:
        path = self.folder / f"{name}.toml"
        path.write_text(self.file["configs"][name]["content"])
        path.chmod(0o644)
        return path

    def _wait_for(self, name: str, condition: str) -> None:
        if condition == "service_completed_successfully":
            code = self.podman("wait", f"{PREFIX}-{name}", seconds=120)
            assert code == "0", self.logs(name)
        else:
            self.wait_healthy(name)

    def wait_healthy(self, name: str, seconds: float = 300) -> None:
        """By the service's own probe; without systemd podman does not run it by itself."""
        deadline = time.monotonic() + seconds
        while subprocess.run(
            ["podman", "healthcheck", "run", f"{PREFIX}-{name}"],
            check=False,
            capture_output=True,
            env=self.environment,
        ).returncode:
            state = self.podman("inspect", "--format", "{{.State.Status}}", f"{PREFIX}-{name}")
            assert state == "running", f"{name} is {state}\n{self.logs(name)}"
            assert time.monotonic() < deadline, f"{name} is not healthy after {seconds:.0f} s\n{self.logs(name)}"
            time.sleep(1.0)

    def address(self, name: str) -> str:
        """The IP address of a service on the network of the containers."""
        shown = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return self.podman("inspect", "--format", shown, f"{PREFIX}-{name}")

    def logs(self, name: str) -> str:
        told = subprocess.run(
            ["podman", "logs", f"{PREFIX}-{name}"], capture_output=True, text=True, check=False, env=self.environment
        )
        return told.stdout + told.stderr

    def down(self) -> None:
        """Remove what was started, by name."""
        for name in reversed(list(self.file["services"])):
            self.podman("rm", "--force", "--time", "5", f"{PREFIX}-{name}", check=False)
        for volume in self.file["volumes"]:
            self.podman("volume", "rm", f"{PREFIX}-{volume}", check=False)
        for secret in self.file["secrets"]:
            self.podman("secret", "rm", f"{PREFIX}-{secret}", check=False)
        self.podman("network", "rm", "--force", PREFIX, check=False)


def _pip_settings() -> list[str]:
    """Mounts for the build: pip's settings on this machine, and the files and folders that they name."""
    told = subprocess.run(
        [sys.executable, "-m", "pip", "config", "debug"], capture_output=True, text=True, check=True
    ).stdout
    named = {Path(path) for path in re.findall(r"(?:file://)?(/[^\s',]+)", told)}
    mounts = {path.parent if path.name == "simple" or path.suffix == ".crt" else path for path in named}
    return [flag for path in sorted(mounts) if path.exists() for flag in ("--volume", f"{path}:{path}:ro")]


def _secret(secret: str | Mapping[str, Any]) -> str:
    """Compose's short or long form in podman's words."""
    told = {"source": secret} if isinstance(secret, str) else dict(secret)
    source = told.pop("source")
    if "mode" in told:
        told["mode"] = f"{told['mode']:o}"
    rest = "".join(f",{key}={value}" for key, value in told.items())
    return f"{PREFIX}-{source},type=mount,target={source}{rest}"
