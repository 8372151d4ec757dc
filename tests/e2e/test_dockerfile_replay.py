"""The Dockerfile's steps in a clean directory, without a container engine; `make containers` builds the image itself.

What COPY names is copied and nothing else; pip installs the package from it into an environment of its own (the
dependencies are borrowed from the environment of the tests); then the image's commands run.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
DOCKERFILE = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")


def replay_copies(image: Path) -> None:
    for line in re.findall(r"^COPY (.+)$", DOCKERFILE, re.MULTILINE):
        *sources, target = line.split()
        for source in sources:
            origin = REPOSITORY / source
            destination = image / target.removeprefix("/")
            if origin.is_dir():
                ignore = shutil.ignore_patterns("__pycache__")
                shutil.copytree(origin, destination, dirs_exist_ok=True, ignore=ignore)
                continue
            place = destination / origin.name if target.endswith("/") else destination
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(origin, place)


@pytest.mark.e2e
def test_the_steps_of_the_dockerfile_give_a_node_that_passes_its_own_check(tmp_path: Path) -> None:
    image, home = tmp_path / "image", tmp_path / "home"
    replay_copies(image)
    assert not (image / "tests").exists()
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    borrowed = Path(sysconfig.get_path("purelib"))
    site = next((tmp_path / "venv").glob("lib/python*/site-packages"))
    (site / "borrowed.pth").write_text(f"{borrowed}\n")
    python = tmp_path / "venv" / "bin" / "python"
    install = [python, "-m", "pip", "install", "--quiet", "--no-deps", "--editable", "."]
    subprocess.run(install, cwd=image, check=True)
    outer = {key: value for key, value in os.environ.items() if not key.startswith(("BT_NODE_", "PYTHONPATH"))}
    environment = outer | {"BT_NODE_STORAGE__MIN_FREE_MIB": "1", "BT_NODE_LISTENER__PORT": "0"}
    home.mkdir()
    config = image / "etc" / "bt-node" / "config.toml"
    places = config.read_text().replace("/var/lib/bt-node", str(home)).replace("/opt/bt-node", str(image))
    config.write_text(places)
    base = [tmp_path / "venv" / "bin" / "bt-node", "--config", config]
    for arguments in (["db", "upgrade"], ["models", "list"], ["check"]):
        ran = subprocess.run(
            [*base, *arguments], cwd=home, env=environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert ran.returncode == 0, ran.stdout + ran.stderr
    where = "import bt_node; print(bt_node.__file__)"
    loaded = subprocess.run(
        [python, "-c", where], cwd=home, env=environment, capture_output=True, text=True, check=True
    )
    assert loaded.stdout.startswith(str(image)), "the replay must not borrow the package itself"
