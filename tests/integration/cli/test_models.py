"""`bt-node models`, as an administrator types it: show, verify, install, activate."""

from __future__ import annotations

import gc
import json
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from monai_bundles import write_bundle

from bt_node.cli import main as cli

REPOSITORY = Path(__file__).resolve().parents[3]
CONFIG = """\
[models]  # which releases answer
folder = "models"
segmenter = "old"        # the outline

[storage]
min_free_mib = 1
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder with a configuration and no release yet."""
    (tmp_path / "config.toml").write_text(CONFIG)
    return tmp_path


@pytest.fixture
def run(node: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run one `bt-node models` command; exit code and all that it printed."""

    def call(*arguments: str) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["bt-node", "--config", str(node / "config.toml"), "models", *arguments])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return int(ended.value.code or 0), printed.out + printed.err

    yield call
    gc.enable()


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("download") / "brats_mri_segmentation"
    write_bundle(folder, filters=8)
    return folder


def test_a_bundle_is_installed_named_in_the_configuration_and_in_use(
    run: Run, node: Path, bundle: Path, tmp_path: Path
) -> None:
    archive = shutil.make_archive(str(tmp_path / "bundle"), "zip", bundle.parent)
    code, said = run("install", archive, "--name", "monai", "--activate")
    assert code == 0, said
    for words in (
        "converted from a MONAI bundle",
        "nothing about it was measured here",
        "not for diagnosis",
        "restart",
    ):
        assert words in said, words
    assert (node / "config.toml").read_text() == CONFIG.replace('"old"', '"monai"')
    listed = json.loads(run("list", "--json")[1])
    assert [(row["name"], row["in_use"], row["architecture"]) for row in listed] == [("monai", True, "segresnet")]
    shown = json.loads(run("show", "monai", "--json")[1])
    assert shown["in_use"]
    assert shown["input"]["roles"] == ["T1C", "T1", "T2", "FLAIR"]
    table = " ".join(run("show", "monai")[1].replace("│", " ").split())
    assert "answers for studies with all of T1C, T1, T2, FLAIR" in table
    assert "Somebody Else" in run("show", "monai", "--card")[1]


def test_a_release_is_verified_refused_when_damaged_and_replaced_when_told(
    run: Run, node: Path, bundle: Path, tmp_path: Path
) -> None:
    assert run("verify")[0] == 1, "nothing to verify is no success"
    assert run("install", str(bundle), "--name", "one")[0] == 0
    assert "Traceback" not in run("verify", "one")[1]
    release = shutil.copytree(node / "models" / "one", tmp_path / "handed-over")
    card = release / "MODEL_CARD.md"
    card.write_text(card.read_text() + "\nmore words\n")
    code, said = run("install", str(release), "--name", "one")
    assert (code, "--replace" in said) == (1, True)
    assert run("install", str(release), "--name", "one", "--replace")[0] == 0
    assert "more words" in run("show", "one", "--card")[1]

    weights = node / "models" / "one" / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x7f")
    code, said = run("verify", "--json")
    [row] = json.loads(said)
    assert (code, row["ok"]) == (1, False)
    # The words are those of `bt-node check`, which asks the same functions.
    from bt_node.infer.release import read_release, verify_weights

    with pytest.raises(Exception, match="SHA-256") as caught:
        verify_weights(read_release(node / "models" / "one"))
    assert row["problems"] == [str(caught.value)]


def test_without_activate_the_lines_to_type_are_printed(run: Run, node: Path, bundle: Path) -> None:
    code, said = run("install", str(bundle))
    assert code == 0
    name = "monai-brats-mri-segmentation-0.4.2"
    assert tomllib.loads(said[said.index("[models]") :].split("\nA running")[0])["models"] == {"segmenter": name}
    assert '"old"' in (node / "config.toml").read_text()


def test_what_cannot_be_installed_is_said_without_a_traceback(run: Run, node: Path, tmp_path: Path) -> None:
    pickle = tmp_path / "model.pt"
    pickle.write_bytes(b"x")
    for source in (pickle, tmp_path / "absent", tmp_path):
        code, said = run("install", str(source))
        assert code == 1
        assert "was not installed" in said
        assert "Traceback" not in said
    code, said = run("show", "absent")
    assert (code, "no release 'absent'" in said) == (1, True)


def test_list_and_show_start_without_torch() -> None:
    code = (
        "import sys; sys.argv[1:] = {arguments}\n"
        "from bt_node.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as ended: assert not ended.code\n"
        "assert 'torch' not in sys.modules"
    )
    for arguments in (["models", "list"], ["models", "show", "bt-segmenter-0.2"]):
        ran = subprocess.run(
            [sys.executable, "-c", code.format(arguments=arguments)],
            cwd=REPOSITORY, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stderr
