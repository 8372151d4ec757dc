"""Releases: manifests are checked whole, weights load only when they are the ones the manifest names."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from bt_node.domain.errors import ReleaseError, WeightsMismatchError
from bt_node.domain.study import Role
from bt_node.infer.release import Release, list_releases, read_release, verify_weights
from bt_node.infer.segmenter import load_segmenter

CPU = torch.device("cpu")


def rewrite(release: Release, old: str, new: str) -> None:
    path = release.folder / "manifest.toml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_a_release_tells_who_it_is_and_what_it_reads(make_release: Callable[..., Release]) -> None:
    release = read_release(make_release().folder)
    content = release.weights_path.read_bytes()
    assert release.kind == "segmenter"
    assert (release.identity.name, release.identity.version) == ("tiny", "0.0")
    assert release.identity.weights_sha256 == hashlib.sha256(content).hexdigest()
    assert release.manifest.input.roles == (Role.T1, Role.T1C, Role.T2, Role.FLAIR)


def test_a_release_may_say_whom_it_is_for(make_release: Callable[..., Release]) -> None:
    assert make_release("anybody").manifest.intended.min_age_years is None
    release = make_release("adults", intended={"min_age_years": 18})
    assert release.manifest.intended.min_age_years == 18
    assert load_segmenter(release, CPU).intended.min_age_years == 18
    with pytest.raises(ReleaseError, match="min_age_years"):
        make_release("wrong", intended={"min_age_years": -1})


def test_one_flipped_bit_in_the_weights_is_refused(make_release: Callable[..., Release]) -> None:
    release = make_release()
    content = bytearray(release.weights_path.read_bytes())
    content[-1] ^= 1
    release.weights_path.write_bytes(content)
    with pytest.raises(WeightsMismatchError, match="Nothing was loaded"):
        verify_weights(release)
    with pytest.raises(WeightsMismatchError):
        load_segmenter(release, CPU)


def test_missing_weights_are_named(make_release: Callable[..., Release]) -> None:
    release = make_release()
    release.weights_path.unlink()
    with pytest.raises(ReleaseError, match=r"weights\.safetensors cannot be read"):
        verify_weights(release)


class _Bomb:
    """Unpickling this leaves a file behind."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return (Path.touch, (self.trace,))


def test_a_pickle_is_refused_even_when_its_hash_is_in_the_manifest(
    make_release: Callable[..., Release], tmp_path: Path
) -> None:
    release = make_release()
    trace = tmp_path / "unpickled"
    content = pickle.dumps(_Bomb(trace))
    rewrite(release, release.identity.weights_sha256, hashlib.sha256(content).hexdigest())
    release.weights_path.write_bytes(content)
    with pytest.raises(ReleaseError):
        load_segmenter(read_release(release.folder), CPU)
    assert not trace.exists()


@pytest.mark.parametrize("name", ["weights.pt", "../weights.safetensors", "/etc/weights.safetensors", "weights.bin"])
def test_only_a_safetensors_file_beside_the_manifest_can_be_named(
    make_release: Callable[..., Release], name: str
) -> None:
    release = make_release()
    rewrite(release, '"weights.safetensors"', f'"{name}"')
    with pytest.raises(ReleaseError, match="file"):
        read_release(release.folder)


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ("schema = 1", "schema = 2", "schema"),
        ('kind = "segmenter"', 'kind = "oracle"', "oracle"),
        ('name = "tiny"', 'name = "../tiny"', "name"),
        ('orientation = "LPS"', 'orientation = "RAS"', "orientation"),
        ('roles = ["T1", ', 'roles = ["T1C", ', "repeat"),
        ('roles = ["T1", ', 'roles = ["DWI", ', "roles"),
        ('regions = ["WT", "TC"', 'regions = ["TC", "WT"', "regions"),
        ("thresholds = [0.5, 0.5, 0.5]", "thresholds = [0.5, 0.5]", "one entry"),
        ("thresholds = [0.5, 0.5, 0.5]", "thresholds = [0.5, 0.5, 1.5]", "thresholds"),
        ("[input]", "[inputs]", "input"),
        ("schema = 1", "schema = ", "not TOML"),
    ],
)
def test_a_wrong_manifest_is_refused_with_the_place(
    make_release: Callable[..., Release], old: str, new: str, named: str
) -> None:
    release = make_release()
    rewrite(release, old, new)
    with pytest.raises(ReleaseError, match=named):
        read_release(release.folder)


def test_all_mistakes_of_a_manifest_come_in_one_message(make_release: Callable[..., Release]) -> None:
    release = make_release()
    rewrite(release, "schema = 1", "schema = 7")
    rewrite(release, 'orientation = "LPS"', 'orientation = "RAS"')
    with pytest.raises(ReleaseError, match=r"schema.*orientation"):
        read_release(release.folder)


def test_a_folder_without_manifest_is_not_a_release(make_release: Callable[..., Release], tmp_path: Path) -> None:
    make_release("one")
    make_release("two")
    (tmp_path / "notes").mkdir()
    assert [release.folder.name for release in list_releases(tmp_path)] == ["one", "two"]
    assert list_releases(tmp_path / "absent") == ()
    with pytest.raises(ReleaseError, match="cannot be read"):
        read_release(tmp_path / "notes")


def test_weights_of_another_network_are_refused(make_release: Callable[..., Release]) -> None:
    release = make_release()
    rewrite(release, "channels = [4, 8]", "channels = [4, 16]")
    with pytest.raises(ReleaseError, match="size mismatch"):
        load_segmenter(read_release(release.folder), CPU)


def test_unknown_network_arguments_are_refused(make_release: Callable[..., Release]) -> None:
    release = make_release()
    rewrite(release, "residual_units = 1", "residual_onions = 1")
    with pytest.raises(ReleaseError, match="residual_onions"):
        load_segmenter(read_release(release.folder), CPU)


def test_reading_manifests_needs_no_torch() -> None:
    code = "import sys, bt_node.infer.release; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
