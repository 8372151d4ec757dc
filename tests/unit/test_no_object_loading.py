"""Nothing that is read may become code: no pickle, no YAML objects, no eval, in the node and in the training."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.metadata import distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

REPOSITORY = Path(__file__).resolve().parents[2]
FILES = sorted(path for part in ("bt_node", "training") for path in (REPOSITORY / part).rglob("*.py"))
# These modules make objects, and run code, from what they read.
MODULES = {"pickle", "cPickle", "_pickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "yaml", "jsonpickle"}
# Where weights of others come in, once, by hand of a person: torch's restricted unpickler, which builds tensors only.
DOORS = {"bt_node/infer/monai_bundle.py", "training/classifier/pretrained.py"}
CALLS = {
    "torch.load",
    "pandas.read_pickle",
    "torch.jit.load",
    "torch.hub.load",
    "eval",
    "exec",
    "compile",
    "__import__",
}


def _name(node: ast.AST) -> str:
    match node:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=value, attr=attr):
            return f"{_name(value)}.{attr}"
        case _:
            return ""


def _is_restricted(call: ast.Call) -> bool:
    given = {keyword.arg: keyword.value for keyword in call.keywords}.get("weights_only")
    return _name(call.func) == "torch.load" and isinstance(given, ast.Constant) and given.value is True


def _imported(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    if isinstance(node, ast.ImportFrom):
        return [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
    return []


def _calls(node: ast.Call, *, door: bool) -> Iterator[str]:
    if _name(node.func) in CALLS and not (door and _is_restricted(node)):
        yield _name(node.func)
    for keyword in node.keywords:
        wanted = {"allow_pickle": False, "weights_only": True, "shell": False}.get(keyword.arg or "")
        if wanted is not None and not (isinstance(keyword.value, ast.Constant) and keyword.value.value is wanted):
            yield f"{keyword.arg} is not {wanted}"


def _findings(tree: ast.AST, *, door: bool = False) -> Iterator[str]:
    # A door may name the error that unpickling raises, and nothing else of the module.
    harmless = {"pickle", "pickle.UnpicklingError"} if door else set()
    for node in ast.walk(tree):
        names = [name for name in _imported(node) if name not in harmless]
        found = [name for name in names if name.split(".")[0] in MODULES or name in CALLS]
        if isinstance(node, ast.Attribute) and _name(node.value) == "pickle" and node.attr != "UnpicklingError":
            found.append(f"pickle.{node.attr}")
        if isinstance(node, ast.Call):
            found += _calls(node, door=door)
        yield from (f"line {node.lineno}: {each}" for each in found)


def test_every_file_is_looked_at():
    assert len(FILES) > 200


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_nothing_that_is_read_becomes_code(path: Path):
    door = str(path.relative_to(REPOSITORY)) in DOORS
    assert list(_findings(ast.parse(path.read_text(encoding="utf-8")), door=door)) == []


@pytest.mark.parametrize(
    "code",
    [
        "import pickle\npickle.loads(b'')",
        "from yaml import load",
        "from torch import load",
        "import torch\ntorch.load('x')",
        "import torch\ntorch.load('x', weights_only=False)",
        "import numpy as np\nnp.load('x', allow_pickle=True)",
        "eval('1')",
        "import subprocess\nsubprocess.run('ls', shell=True)",
    ],
)
def test_the_test_finds_what_it_looks_for(code: str):
    assert list(_findings(ast.parse(code), door=True))


# ---------------------------------------------------------------- what is installed is what was tested


def _pinned() -> dict[str, str]:
    lines = (REPOSITORY / "constraints.txt").read_text().splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def test_every_installed_distribution_is_pinned():
    import tomllib

    extras = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    viewer = {canonicalize_name(Requirement(each).name) for each in extras["viewer"]}  # pinned there
    installed = {canonicalize_name(each.metadata["Name"]): each.version for each in distributions()}
    own = {"pip", "setuptools", "wheel", "bt-node", *viewer}
    pins = _pinned()
    loose = {f"{name}=={version}" for name, version in installed.items() if name not in own and name not in pins}
    assert loose == set()
    differing = {name: (version, pins[name]) for name, version in installed.items() if name in pins}
    assert {name: pair for name, pair in differing.items() if pair[0].split("+")[0] != pair[1].split("+")[0]} == {}
