"""The image and compose.yaml, for real: `make containers`. Read-only root, no capabilities, no root."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from compose import PREFIX, Compose

from bt_node.simulate.phantom import make_phantom

pytestmark = pytest.mark.timeout(1800)

LOCKED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


@pytest.fixture(scope="module")
def compose(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Compose]:
    project = Compose(tmp_path_factory.mktemp("compose"))
    project.down()  # what a run that was cut off has left
    started = time.monotonic()
    project.build()
    size = int(project.podman("image", "inspect", "--format", "{{.Size}}", "localhost/bt-node"))
    print(f"images ready after {time.monotonic() - started:.0f} s; bt-node has {size / 1e9:.2f} GB")
    try:
        yield project
    finally:
        project.down()


@pytest.fixture
def alone(compose: Compose) -> Iterator[str]:
    """A container of the image with its own defaults, and a volume: its name."""
    name = f"{PREFIX}-alone"
    yield name
    compose.podman("rm", "--force", "--time", "5", name, check=False)
    compose.podman("volume", "rm", name, check=False)


def test_the_image_runs_with_its_own_defaults_and_check_agrees(compose: Compose, alone: str) -> None:
    def run(*command: str, detached: bool = False) -> str:
        flags = ["--detach", "--name", alone] if detached else ["--rm"]
        volume = f"{alone}:/var/lib/bt-node"
        return compose.podman("run", *flags, *LOCKED, "--volume", volume, "localhost/bt-node", *command)

    assert "uid=10001" in compose.podman("run", "--rm", "--entrypoint", "id", "localhost/bt-node")
    run("db", "upgrade")
    results = json.loads(run("check", "--json"))
    assert {each["name"] for each in results if not each["ok"]} == set()
    run("serve", "all", detached=True)
    deadline = time.monotonic() + 120
    health = ("exec", alone, "bt-node", "--config", "/etc/bt-node/config.toml", "health")
    while "alive" not in (told := compose.podman(*health, check=False)) or told.count("alive") < 2:
        assert time.monotonic() < deadline, compose.podman("logs", alone)
        time.sleep(1.0)
    assert "Read-only" not in compose.podman("logs", alone)


def test_a_study_goes_through_compose_and_comes_back(
    compose: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BT_NODE_DB_PASSWORD", "only-for-this-test")
    phantom = make_phantom(tmp_path, coarse=2.0)
    compose.up()
    for name in ("listener", "worker"):
        compose.wait_healthy(name)
    pacs = f"http://{compose.address('orthanc')}:8042"
    ask(f"{pacs}/system", seconds=60)
    for path in phantom.paths_by_uid.values():
        ask(f"{pacs}/instances", path.read_bytes())
    (study,) = ask(f"{pacs}/studies")
    ask(f"{pacs}/modalities/bt-node/store", study.encode())
    deadline = time.monotonic() + 300
    wanted = {"SEG", "SR"}
    while not wanted <= (seen := modalities(pacs, study)):
        assert time.monotonic() < deadline, f"{seen}\n{compose.logs('worker')}"
        time.sleep(2.0)
    in_worker = ("exec", f"{PREFIX}-worker", "bt-node", "--config", "/etc/bt-node/config.toml")
    jobs = json.loads(compose.podman(*in_worker, "jobs", "list", "--json"))
    assert len(jobs) == 1


def modalities(pacs: str, study: str) -> set[str]:
    """Of all series of the study."""
    return {series["MainDicomTags"]["Modality"] for series in ask(f"{pacs}/studies/{study}/series")}


def ask(url: str, body: bytes | None = None, seconds: float = 0.0) -> Any:
    """One call of Orthanc's REST interface, tried again for so long."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while True:
        try:
            with opener.open(urllib.request.Request(url, data=body), timeout=120) as answer:
                return json.loads(answer.read())
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)
