"""What a release may ask of inference: mirrored inputs, several networks, smallest regions; all off by default."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from bt_node.domain.errors import ReleaseError
from bt_node.domain.geometry import ImageArray
from bt_node.domain.study import Role
from bt_node.infer import segmenter as module
from bt_node.infer.networks.build import build_network
from bt_node.infer.networks.ensemble import joined
from bt_node.infer.release import Release, read_release
from bt_node.infer.segmenter import Segmenter, load_segmenter
from training.releases import write_release

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "has_fast_bfloat16", lambda device: False)


def a_head(shape: tuple[int, int, int], seed: int = 0) -> dict[Role, ImageArray]:
    rng = np.random.default_rng(seed)
    return {role: rng.normal(size=shape).astype(np.float32) for role in Role}


def with_input(segmenter: Segmenter, **keys: Any) -> Segmenter:
    return dataclasses.replace(segmenter, input=segmenter.input.model_copy(update=keys))


def tiny_weights(seed: int, arguments: dict[str, Any]) -> dict[str, torch.Tensor]:
    torch.manual_seed(seed)
    return build_network("unet", arguments).state_dict()


@pytest.fixture
def make_ensemble(tmp_path: Path, segmenter_manifest: dict[str, Any]) -> Callable[..., Release]:
    """A release of as many networks as seeds are given."""

    def make(*seeds: int) -> Release:
        network = segmenter_manifest["network"] | {"members": len(seeds)}
        weights = [tiny_weights(seed, network["arguments"]) for seed in seeds]
        name = f"tiny-{'-'.join(map(str, seeds))}"
        return write_release(tmp_path / name, segmenter_manifest | {"network": network}, joined(weights), "card")

    return make


# ---------------------------------------------------------------- flips


def test_a_symmetric_head_is_answered_symmetrically_when_the_release_flips_it(
    make_release: Callable[..., Release],
) -> None:
    inputs = {role: array + array[:, :, ::-1] for role, array in a_head((18, 20, 21)).items()}
    plain = load_segmenter(make_release(), CPU)
    flipped = with_input(plain, flips=("X",)).predict(inputs)
    assert np.abs(flipped - flipped[..., ::-1]).max() < 1e-5
    unflipped = plain.predict(inputs)
    assert np.abs(unflipped - unflipped[..., ::-1]).max() > 1e-3


def test_flips_average_over_every_set_of_the_named_axes(make_release: Callable[..., Release]) -> None:
    plain, inputs = load_segmenter(make_release(), CPU), a_head((16, 17, 18))
    expected = np.zeros((3, 16, 17, 18), dtype=np.float32)
    for axes in [(), (0,), (1,), (0, 1)]:
        mirrored = plain.predict({role: np.flip(array, axes).copy() for role, array in inputs.items()})
        expected += np.flip(mirrored, tuple(axis + 1 for axis in axes)) / 4
    assert np.allclose(with_input(plain, flips=("Z", "Y")).predict(inputs), expected, atol=1e-5)


def test_the_spread_is_the_standard_deviation_between_mirrored_answers(make_release: Callable[..., Release]) -> None:
    plain, inputs = load_segmenter(make_release(), CPU), a_head((16, 17, 18))
    answers = []
    for axes in [(), (2,)]:
        mirrored = plain.predict({role: np.flip(array, axes).copy() for role, array in inputs.items()})
        answers.append(np.flip(mirrored, tuple(axis + 1 for axis in axes))[0])
    probabilities, spread = with_input(plain, flips=("X",)).predict_with_spread(inputs)
    assert np.allclose(spread, np.std(answers, axis=0), atol=1e-4)
    assert spread.max() > 1e-3
    assert probabilities.shape == (3, *spread.shape)
    assert plain.predict_with_spread(inputs)[1] is None


def test_flips_are_counted_in_passes_and_off_by_default(make_release: Callable[..., Release]) -> None:
    segmenter, passes = load_segmenter(make_release(), CPU), []
    segmenter.network.register_forward_hook(lambda *_: passes.append(1))
    inputs = a_head((16, 16, 16))
    segmenter.predict(inputs)
    assert len(passes) == 1
    with_input(segmenter, flips=("Z", "Y", "X")).predict(inputs)
    assert len(passes) == 1 + 8


def test_windows_overlap_as_much_as_the_release_says(make_release: Callable[..., Release]) -> None:
    segmenter, passes = load_segmenter(make_release(), CPU), []
    segmenter.network.register_forward_hook(lambda *_: passes.append(1))
    inputs = a_head((16, 16, 32))
    segmenter.predict(inputs)
    assert len(passes) == 3
    with_input(segmenter, overlap=0.0).predict(inputs)
    assert len(passes) == 3 + 2


@pytest.mark.parametrize("keys", [{"flips": ["X", "X"]}, {"flips": ["A"]}, {"overlap": 1.0}])
def test_flips_and_overlaps_that_mean_nothing_are_refused(
    make_release: Callable[..., Release], segmenter_manifest: dict[str, Any], keys: dict[str, Any]
) -> None:
    with pytest.raises(ReleaseError, match=next(iter(keys))):
        make_release(input=segmenter_manifest["input"] | keys)


# ---------------------------------------------------------------- ensembles


def test_an_ensemble_of_twice_the_same_network_is_that_network(make_ensemble: Callable[..., Release]) -> None:
    inputs = a_head((20, 18, 16))
    once, twice = (load_segmenter(make_ensemble(*seeds), CPU).predict(inputs) for seeds in ((7,), (7, 7)))
    assert np.allclose(once, twice, atol=1e-5)


def test_an_ensemble_answers_the_mean_probability_of_its_members(make_ensemble: Callable[..., Release]) -> None:
    inputs = a_head((16, 16, 16))
    first, second, both = (
        load_segmenter(make_ensemble(*seeds), CPU).predict(inputs) for seeds in ((7,), (8,), (7, 8))
    )
    assert np.abs(first - second).max() > 0.01
    assert np.allclose(both, (first + second) / 2, atol=1e-5)


def test_an_ensemble_has_one_file_and_one_hash(make_ensemble: Callable[..., Release]) -> None:
    release = make_ensemble(7, 8)
    assert sorted(path.name for path in release.folder.iterdir()) == [
        "MODEL_CARD.md",
        "manifest.toml",
        "weights.safetensors",
    ]
    assert release.identity.weights_sha256 != make_ensemble(7).identity.weights_sha256


def test_a_manifest_that_names_more_members_than_the_file_holds_is_refused(
    make_ensemble: Callable[..., Release],
) -> None:
    folder = make_ensemble(7, 8).folder
    manifest = folder / "manifest.toml"
    manifest.write_text(manifest.read_text().replace("members = 2", "members = 3"))
    with pytest.raises(ReleaseError, match=r"members\.2"):
        load_segmenter(read_release(folder), CPU)


# ---------------------------------------------------------------- smallest regions


def blocks_of_enhancement(voxels: int) -> ImageArray:
    """Whole tumour and core of 1000 voxels, enhancement in single voxels that touch none of the others."""
    probabilities = np.zeros((3, 10, 10, 10), dtype=np.float32)
    probabilities[:2] = 0.9
    places = np.argwhere(np.ones((5, 5, 5)))[:voxels] * 2
    probabilities[2][tuple(places.T)] = 0.9
    return probabilities


def with_smallest_region(segmenter: Segmenter, ml: tuple[float, float, float]) -> Segmenter:
    return dataclasses.replace(segmenter, output=segmenter.output.model_copy(update={"min_region_ml": ml}))


def test_too_little_enhancing_tumour_in_all_becomes_core(make_release: Callable[..., Release]) -> None:
    segmenter = with_smallest_region(load_segmenter(make_release(), CPU), (0.0, 0.0, 0.02))
    few, enough = (segmenter.decide(blocks_of_enhancement(voxels)) for voxels in (19, 20))
    assert (few == 1).all()
    assert (enough == 3).sum() == 20


def test_the_smallest_region_is_measured_in_millilitres_of_the_given_grid(
    make_release: Callable[..., Release],
) -> None:
    segmenter = with_smallest_region(load_segmenter(make_release(), CPU), (0.0, 0.0, 0.02))
    assert (segmenter.decide(blocks_of_enhancement(5), voxel_mm3=4.0) == 3).sum() == 5
    assert not (segmenter.decide(blocks_of_enhancement(4), voxel_mm3=4.0) == 3).any()


def test_a_whole_tumour_below_its_smallest_volume_takes_everything_with_it(
    make_release: Callable[..., Release],
) -> None:
    segmenter = with_smallest_region(load_segmenter(make_release(), CPU), (1.1, 0.0, 0.0))
    assert not segmenter.decide(blocks_of_enhancement(50)).any()


def test_a_manifest_without_the_newer_keys_is_read_as_before(make_release: Callable[..., Release]) -> None:
    manifest: Any = make_release().manifest
    assert manifest.network.members == 1
    assert manifest.input.flips == ()
    assert manifest.input.overlap == 0.5
    assert manifest.output.min_region_ml == (0.0, 0.0, 0.0)


def test_smallest_regions_have_one_entry_for_each_region(
    make_release: Callable[..., Release], segmenter_manifest: dict[str, Any]
) -> None:
    with pytest.raises(ReleaseError, match="min_region_ml"):
        make_release(output=segmenter_manifest["output"] | {"min_region_ml": [0.1]})


def test_exclusive_labels_of_a_release_become_probabilities_of_nested_regions(
    tmp_path: Path, segmenter_manifest: dict[str, Any]
) -> None:
    arguments = segmenter_manifest["network"]["arguments"] | {"out_channels": 4}
    output = segmenter_manifest["output"] | {"channels": "exclusive"}
    tables = {"network": {"architecture": "unet", "arguments": arguments}, "output": output}
    release = write_release(tmp_path / "four", segmenter_manifest | tables, tiny_weights(3, arguments), "card")
    segmenter, head = load_segmenter(release, CPU), a_head((16, 16, 16))
    whole, core, enhancing = segmenter.predict(head)
    assert ((whole >= core) & (core >= enhancing)).all()
    with torch.inference_mode():
        image = torch.from_numpy(np.stack([head[role] for role in segmenter.roles]))[None]
        background, necrosis, _, et = segmenter.network(image)[0].softmax(dim=0).numpy()
    np.testing.assert_allclose(whole, 1 - background, atol=1e-5)
    np.testing.assert_allclose(core, necrosis + et, atol=1e-5)
    np.testing.assert_allclose(enhancing, et, atol=1e-5)


def test_members_with_exclusive_labels_answer_the_mean_of_their_softmaxes(
    tmp_path: Path, segmenter_manifest: dict[str, Any]
) -> None:
    arguments = segmenter_manifest["network"]["arguments"] | {"out_channels": 4}
    network = {"architecture": "unet", "arguments": arguments}
    output = segmenter_manifest["output"] | {"channels": "exclusive"}
    head, weights = a_head((16, 16, 16)), [tiny_weights(seed, arguments) for seed in (3, 4)]
    singles = [
        write_release(tmp_path / str(n), segmenter_manifest | {"network": network, "output": output}, each, "card")
        for n, each in enumerate(weights)
    ]
    tables = {"network": network | {"members": 2}, "output": output}
    both = write_release(tmp_path / "both", segmenter_manifest | tables, joined(weights), "card")
    answers = [load_segmenter(release, CPU).predict(head) for release in singles]
    assert np.abs(answers[0] - answers[1]).max() > 0.01
    np.testing.assert_allclose(load_segmenter(both, CPU).predict(head), (answers[0] + answers[1]) / 2, atol=1e-4)
