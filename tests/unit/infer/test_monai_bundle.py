"""A MONAI bundle becomes a release that answers as the bundle's own network does; what is not tensors is refused."""

from __future__ import annotations

import copy
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from monai_bundles import INFERENCE, METADATA, NETWORK, write_bundle, write_configs

from bt_node.domain.study import Role
from bt_node.infer import segmenter as segmenter_module
from bt_node.infer.install import Installed, install
from bt_node.infer.segmenter import load_segmenter
from bt_node.infer.unpack import InstallError

CPU = torch.device("cpu")
Z, Y, X = 16, 24, 32  # the bundle's window (X, Y, Z), backwards


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> tuple[torch.nn.Module, Installed]:
    folder = tmp_path_factory.mktemp("bundle")
    network = write_bundle(folder / "brats_mri_segmentation")
    return network, install(folder / "brats_mri_segmentation", folder / "models")


def test_the_release_answers_what_the_bundles_network_answers(
    installed: tuple[torch.nn.Module, Installed], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(segmenter_module, "has_fast_bfloat16", lambda device: False)
    network, done = installed
    image = (
        np.random.default_rng(1).normal(size=(4, X, Y, Z)).astype(np.float32)
    )  # as the bundle reads: T1c, T1, T2, FLAIR
    with torch.inference_mode():
        tc, wt, et = network(torch.from_numpy(image)[None])[0].sigmoid().numpy()
    order = (Role.T1C, Role.T1, Role.T2, Role.FLAIR)
    found = load_segmenter(done.release, CPU).predict({r: a.transpose() for r, a in zip(order, image, strict=True)})
    assert found.shape == (3, Z, Y, X)
    for channel, expected in zip(found, (wt, tc, et), strict=True):
        np.testing.assert_allclose(channel, expected.transpose(), atol=1e-4)
    # The comparison can fail: the regions differ, and so does the answer to a volume with its axes exchanged.
    assert np.abs(wt - tc).max() > 0.05
    with torch.inference_mode():
        untransposed = network(torch.from_numpy(image.transpose(0, 3, 2, 1).copy())[None])[0].sigmoid().numpy()
    assert np.abs(untransposed[1] - wt.transpose()).max() > 1e-3


def test_the_manifest_says_what_the_bundle_says(installed: tuple[torch.nn.Module, Installed]) -> None:
    manifest = installed[1].release.manifest
    assert installed[1].release.folder.name == "monai-brats-mri-segmentation-0.4.2"
    assert [role.value for role in manifest.input.roles] == ["T1C", "T1", "T2", "FLAIR"]
    assert manifest.input.patch == (Z, Y, X)
    assert manifest.output.thresholds == (0.5, 0.5, 0.5)
    assert manifest.weights.dtype == "float32"
    assert manifest.training["data"] == METADATA["data_source"]
    assert manifest.training["reported_by_the_bundle"] == METADATA["eval_metrics"]


def test_the_card_names_the_authors_and_calls_no_figure_its_own(installed: tuple[torch.nn.Module, Installed]) -> None:
    card = (installed[1].release.folder / "MODEL_CARD.md").read_text(encoding="utf-8")
    for words in ("Somebody Else", "First paper; Second paper", "0.9026", "not measured here", "research use only"):
        assert words in card, words
    assert sorted(path.name for path in installed[1].release.folder.iterdir()) == [
        "MODEL_CARD.md", "manifest.toml", "weights.safetensors",
    ]  # fmt: skip


# ---------------------------------------------------------------- what is refused


class _Bomb:
    """Unpickling this leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.trace,))


def refused(tmp_path: Path, save: Callable[[torch.nn.Module, Path], Any] | None = None, **configs: Any) -> str:
    write_bundle(tmp_path / "bundle", save, filters=8)
    if configs:
        write_configs(tmp_path / "bundle", configs.get("metadata", METADATA), configs.get("inference", INFERENCE))
    with pytest.raises(InstallError) as caught:
        install(tmp_path / "bundle", tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []
    return str(caught.value)


def test_a_pickle_that_runs_code_is_refused_and_nothing_runs(tmp_path: Path) -> None:
    trace = tmp_path / "it-ran"
    message = refused(tmp_path, lambda net, path: torch.save({"model": net.state_dict(), "x": _Bomb(trace)}, path))
    assert "more than tensors" in message
    assert not trace.exists()


def test_a_whole_pickled_network_is_refused(tmp_path: Path) -> None:
    assert "state_dict" in refused(tmp_path, torch.save)


def test_torchscript_is_refused(tmp_path: Path) -> None:
    def script(_: torch.nn.Module, path: Path) -> None:
        torch.jit.save(torch.jit.script(torch.nn.ReLU()), path)

    assert "TorchScript" in refused(tmp_path, script)
    (tmp_path / "other").mkdir()
    only = refused(tmp_path / "other", lambda _, path: path.with_suffix(".ts").write_bytes(b"x"))
    assert "TorchScript is code" in only


@pytest.mark.parametrize(
    ("content", "named"), [(b"no zip at all", "zip form"), (b"PK\x05\x06" + bytes(18), "damaged")]
)
def test_damaged_weights_are_refused(tmp_path: Path, content: bytes, named: str) -> None:
    assert named in refused(tmp_path, lambda _, path: path.write_bytes(content))


def test_weights_of_another_network_are_refused(tmp_path: Path) -> None:
    def fewer(net: torch.nn.Module, path: Path) -> None:
        torch.save({key: value for key, value in net.state_dict().items() if "conv_final" not in key}, path)

    assert "do not fit" in refused(tmp_path, fewer)


def test_weights_inside_a_checkpoint_are_found(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle", lambda net, path: torch.save({"model": net.state_dict()}, path), filters=8)
    assert install(tmp_path / "bundle", tmp_path / "models").converted


def _changed(base: dict[str, Any], where: tuple[Any, ...], value: Any) -> dict[str, Any]:
    result = copy.deepcopy(base)
    inner: Any = result
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    return result


@pytest.mark.parametrize(
    ("where", "value", "named"),
    [
        (("network_def", "_target_"), "UNet", "UNet"),
        (("network_def", "init_filters"), "$__import__('os').system('x')", "not executed"),
        (("network_def", "init_filters"), 10**6, "plain numbers"),
        (("network_def", "norm"), "batch", "norm"),
        (("network_def", "in_channels"), 3, "disagree"),
        (("network_def",), "@elsewhere", "network_def"),
        (("preprocessing", "transforms", 1, "nonzero"), False, "z-score"),
        (("preprocessing", "transforms", 0, "_target_"), "Spacingd", "Spacingd"),
        (("inferer", "roi_size"), [30, 24, 16], "divide by 8"),
        (("inferer", "roi_size"), "@roi", "three numbers"),
    ],
)
def test_a_bundle_that_the_node_cannot_reproduce_is_refused(
    tmp_path: Path, where: tuple[Any, ...], value: Any, named: str
) -> None:
    assert named in refused(tmp_path, inference=_changed(INFERENCE, where, value))


@pytest.mark.parametrize(("part", "words"), [("inputs", ["T1c", "T1", "T2", "DWI"]), ("outputs", ["Tumor core"])])
def test_unknown_channels_are_refused(tmp_path: Path, part: str, words: list[str]) -> None:
    inner = "image" if part == "inputs" else "pred"
    channels = {str(number): word for number, word in enumerate(words)}
    changed = _changed(METADATA, ("network_data_format", part, inner, "channel_def"), channels)
    assert words[-1] in refused(tmp_path, metadata=changed) or part == "outputs"


def test_a_bundle_in_yaml_is_refused_with_the_reason(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bundle")
    (tmp_path / "bundle" / "configs" / "inference.json").rename(tmp_path / "bundle" / "configs" / "inference.yaml")
    with pytest.raises(InstallError, match="JSON"):
        install(tmp_path / "bundle", tmp_path / "models")


def test_strange_words_of_the_bundle_still_make_a_manifest(tmp_path: Path) -> None:
    strange = METADATA | {"authors": 'a"b\\c\nd\x7f\u2028\x00', "version": "9" * 80, "name": "../../Ünsafe name"}
    write_bundle(tmp_path / "bundle", filters=8)
    write_configs(tmp_path / "bundle", strange, INFERENCE | {"network_def": NETWORK | {"init_filters": 8}})
    done = install(tmp_path / "bundle", tmp_path / "models")
    assert done.release.folder.parent == tmp_path / "models"
    told = tomllib.loads((done.release.folder / "manifest.toml").read_text(encoding="utf-8"))
    assert told["training"]["authors"] == 'a"b\\c d'
