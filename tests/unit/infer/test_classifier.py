"""A classifier release, written, loaded and asked."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import nn

from bt_node.domain.errors import PictureError, ReleaseError, WeightsMismatchError
from bt_node.domain.tumour import TumourType
from bt_node.infer.classifier import Classifier, load_classifier, read_picture
from bt_node.infer.networks.build import build_network
from bt_node.infer.picture import frame_head
from bt_node.infer.release import read_release

MANIFEST = """
schema = 1
name = "toy"
version = "1"
kind = "classifier"
[network]
architecture = "{architecture}"
[input]
size = 64
plane = "axial"
sequence = "T1C"
normalisation = "{normalisation}"
[output]
classes = ["glioma", "meningioma", "pituitary", "no_tumour"]
temperature = 2.0
[weights]
file = "weights.safetensors"
sha256 = "{sha256}"
dtype = "float16"
"""


@cache
def halved_weights() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    network = build_network("efficientnet_b0", {"classes": 4})
    torch.nn.init.normal_(network.classifier[1].weight)  # answers that differ from picture to picture
    state = network.state_dict()
    return {name: value.half() if value.is_floating_point() else value for name, value in state.items()}


def write_release(
    folder: Path, architecture: str = "efficientnet_b0", normalisation: str = "head-imagenet"
) -> dict[str, torch.Tensor]:
    halved = halved_weights()
    content = safetensors.torch.save(halved)
    (folder / "weights.safetensors").write_bytes(content)
    sha256 = hashlib.sha256(content).hexdigest()
    manifest = MANIFEST.format(architecture=architecture, normalisation=normalisation, sha256=sha256)
    (folder / "manifest.toml").write_text(manifest)
    return halved


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    folder = tmp_path_factory.mktemp("release")
    write_release(folder)
    return load_classifier(read_release(folder), torch.device("cpu"))


def head(seed: int) -> NDArray[np.float32]:
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:90, :80]
    inside = np.hypot((y - 45) / 40, (x - 40) / 34) < 1
    spot = np.hypot(y - generator.integers(25, 60), x - generator.integers(25, 55)) < generator.integers(4, 15)
    return (inside * (80 + 60 * spot) + generator.uniform(0, 2, inside.shape)).astype(np.float32)


class FixedAnswers(nn.Module):
    """Answers with prepared logits, one row for each picture."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, picture: torch.Tensor) -> torch.Tensor:
        return self.rows[: len(picture)]


def test_a_release_loads_with_the_weights_it_was_written_with(classifier: Classifier) -> None:
    halved = halved_weights()
    loaded = classifier.network.state_dict()
    assert loaded.keys() == halved.keys()
    assert all(torch.equal(loaded[name].float(), value.float()) for name, value in halved.items())
    assert not classifier.network.training


def test_a_finding_names_the_release_and_its_probabilities_sum_to_one(classifier: Classifier) -> None:
    finding = classifier.classify([head(0), head(1)])
    assert set(finding.probabilities) == set(TumourType)
    assert sum(finding.probabilities.values()) == pytest.approx(1.0)
    assert finding.slices_used == 2
    assert finding.release == classifier.identity


def test_the_unit_of_the_scanner_does_not_change_the_finding(classifier: Classifier) -> None:
    plain = classifier.classify([head(0)]).probabilities
    other = classifier.classify([head(0) * 37.0 - 1000.0]).probabilities
    assert other == pytest.approx(plain, abs=1e-3)


def test_averaged_mirror_images_make_left_and_right_alike_and_old_manifests_stay_as_they_were(
    classifier: Classifier,
) -> None:
    torch.manual_seed(0)
    plain = replace(classifier, network=nn.Sequential(nn.Flatten(), nn.Linear(3 * 64 * 64, 4)))
    assert not plain.manifest.output.mirror_average
    output = plain.manifest.output.model_copy(update={"mirror_average": True})
    averaging = replace(plain, manifest=plain.manifest.model_copy(update={"output": output}))

    framed = np.stack([frame_head(head(seed), 64) for seed in range(3)])
    mirrored = np.ascontiguousarray(framed[:, :, ::-1])
    one, other = plain.logits(framed), plain.logits(mirrored)
    assert np.abs(one - other).max() > 0.1
    assert averaging.logits(framed) == pytest.approx((one + other) / 2, abs=1e-5)
    assert averaging.logits(mirrored) == pytest.approx(averaging.logits(framed), abs=1e-5)


def test_many_slices_are_taken_in_batches_without_changing_any(classifier: Classifier) -> None:
    slices = [head(seed) for seed in range(3)] * 12
    once = classifier.classify(slices[:3])
    many = classifier.classify(slices)
    assert many.slices_used == 36
    assert many.probabilities == pytest.approx(once.probabilities, abs=1e-5)


def test_slices_are_combined_by_the_mean_of_their_calibrated_probabilities(classifier: Classifier) -> None:
    rows = [[4.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]
    fixed = replace(classifier, network=FixedAnswers(rows))
    finding = fixed.classify([head(0), head(1)])
    each = torch.softmax(torch.tensor(rows) / 2.0, dim=1).mean(dim=0).tolist()  # the manifest's temperature is 2
    assert [finding.probabilities[kind] for kind in TumourType] == pytest.approx(each, abs=1e-6)


def test_slices_count_by_their_weights_and_each_answer_is_kept(classifier: Classifier) -> None:
    rows = [[4.0, 0.0, 0.0, 0.0], [0.0, 2.0, 0.0, 0.0]]
    fixed = replace(classifier, network=FixedAnswers(rows))
    empty = np.zeros((90, 80), dtype=np.float32)
    finding = fixed.classify([head(0), empty, head(1)], [3.0, 50.0, 1.0])
    first, second = torch.softmax(torch.tensor(rows) / 2.0, dim=1).tolist()
    meant = [0.75 * one + 0.25 * other for one, other in zip(first, second, strict=True)]
    assert [finding.probabilities[kind] for kind in TumourType] == pytest.approx(meant, abs=1e-6)
    assert [(each.index, each.share, each.top) for each in finding.slices] == [
        (0, 0.75, TumourType.GLIOMA),
        (2, 0.25, TumourType.MENINGIOMA),
    ]
    assert finding.slices[1].certainty == pytest.approx(max(second))
    assert finding.votes(TumourType.GLIOMA) == 1
    assert finding.votes(TumourType.GLIOMA, least=0.99) == 0


def test_given_a_tumour_each_slice_says_a_type_also_one_that_sees_none(classifier: Classifier) -> None:
    rows = [[4.0, 0.0, 0.0, 9.0], [0.0, 2.0, 0.0, 0.0]]
    finding = replace(classifier, network=FixedAnswers(rows)).classify([head(0), head(1)], [3.0, 1.0])
    first, second = torch.softmax(torch.tensor(rows)[:, :3] / 2.0, dim=1).tolist()
    meant = [0.75 * one + 0.25 * other for one, other in zip(first, second, strict=True)]
    assert list(finding.given_tumour.values()) == pytest.approx(meant, abs=1e-6)
    assert finding.top is TumourType.NONE
    assert [(each.top, each.tumour_top) for each in finding.slices] == [
        (TumourType.NONE, TumourType.GLIOMA),
        (TumourType.MENINGIOMA, TumourType.MENINGIOMA),
    ]
    assert finding.slices[0].tumour_certainty == pytest.approx(max(first))


def test_the_limit_of_a_release_goes_with_each_finding_and_has_a_cautious_default(classifier: Classifier) -> None:
    assert classifier.classify([head(0)]).least_probability == 0.9
    output = classifier.manifest.output.model_copy(update={"least_type_probability": 0.7})
    measured = replace(classifier, manifest=classifier.manifest.model_copy(update={"output": output}))
    assert measured.classify([head(0)]).least_probability == 0.7


@pytest.mark.parametrize("weights", [[1.0], [1.0, 0.0]])
def test_weights_that_do_not_fit_the_slices_are_refused(classifier: Classifier, weights: list[float]) -> None:
    with pytest.raises(ValueError, match="positive weights"):
        classifier.classify([head(0), head(1)], weights)


def test_slices_without_a_head_are_left_out_and_not_counted(classifier: Classifier) -> None:
    empty = np.zeros((90, 80), dtype=np.float32)
    finding = classifier.classify([empty, head(0), empty])
    assert finding.slices_used == 1
    assert finding.probabilities == pytest.approx(classifier.classify([head(0)]).probabilities, abs=1e-6)


@pytest.mark.parametrize("slices", [[], [np.zeros((90, 80), dtype=np.float32)]])
def test_no_slice_with_a_head_is_refused(classifier: Classifier, slices: list[NDArray[np.float32]]) -> None:
    with pytest.raises(PictureError):
        classifier.classify(slices)


def test_other_weights_than_the_manifest_names_are_not_loaded(tmp_path: Path) -> None:
    write_release(tmp_path)
    path = tmp_path / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsMismatchError):
        load_classifier(read_release(tmp_path), torch.device("cpu"))


def test_weights_of_another_network_are_refused_with_its_name(tmp_path: Path) -> None:
    write_release(tmp_path, architecture="resnet50")
    with pytest.raises(ReleaseError, match="do not fit resnet50"):
        load_classifier(read_release(tmp_path), torch.device("cpu"))


def test_a_file_that_is_not_safetensors_is_refused_even_with_the_right_hash(tmp_path: Path) -> None:
    write_release(tmp_path)
    pickled = b"\x80\x04K\x01."
    (tmp_path / "weights.safetensors").write_bytes(pickled)
    sha256 = hashlib.sha256(pickled).hexdigest()
    text = MANIFEST.format(architecture="efficientnet_b0", normalisation="head-imagenet", sha256=sha256)
    (tmp_path / "manifest.toml").write_text(text)
    with pytest.raises(ReleaseError, match="do not fit"):
        load_classifier(read_release(tmp_path), torch.device("cpu"))


def test_an_unknown_normalisation_is_refused_before_the_weights_are_read(tmp_path: Path) -> None:
    write_release(tmp_path, normalisation="zscore")
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(ReleaseError, match="zscore"):
        load_classifier(read_release(tmp_path), torch.device("cpu"))


def test_a_16_bit_png_keeps_its_depth_and_a_colour_file_becomes_grey(tmp_path: Path) -> None:
    deep = (head(0) * 200).astype(np.uint16)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    assert np.array_equal(read_picture(tmp_path / "deep.png"), deep.astype(np.float32))
    grey = np.repeat(head(0).astype(np.uint8)[..., None], 3, axis=2)
    Image.fromarray(grey).save(tmp_path / "colour.png")
    assert np.array_equal(read_picture(tmp_path / "colour.png"), grey[..., 0].astype(np.float32))


def test_a_broken_or_foreign_file_is_refused_without_its_path_in_the_message(tmp_path: Path) -> None:
    Image.fromarray(head(0).astype(np.uint8)).save(tmp_path / "whole.png")
    cut = tmp_path / "DOE_JANE.png"
    cut.write_bytes((tmp_path / "whole.png").read_bytes()[:200])
    text = tmp_path / "text.jpg"
    text.write_text("not a picture")
    for path in (cut, text, tmp_path / "absent.png"):
        with pytest.raises(PictureError) as caught:
            read_picture(path)
        assert "DOE" not in caught.value.message
