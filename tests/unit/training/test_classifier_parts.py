"""Augmentation, synthetic heads, slices of volumes and the evaluation's numbers, each by itself."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from bt_node.domain.tumour import TumourType
from training.classifier.augment import augment
from training.classifier.heads import wrap_in_head
from training.classifier.metrics import (
    balanced_accuracy,
    confusion,
    expected_calibration_error,
    fit_temperature,
    forced_choice_balanced_accuracy,
    softmax,
    three_class_balanced_accuracy,
)
from training.classifier.recipe import AugmentationRecipe, VolumesRecipe
from training.classifier.volumes import cut_slices

STILL = AugmentationRecipe(
    flip=0,
    rotation_deg=0,
    zoom=0,
    stretch=0,
    shift=0,
    borrowed_tones=0,
    gamma=0,
    bias_field=0,
    blur=0,
    jpeg=0,
    noise=0,
)


def batch(count: int = 6) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    pictures = torch.rand(count, 40, 40, generator=generator) * 0.8
    pictures[:, :5] = 0.0
    return pictures


@pytest.mark.parametrize(
    "change",
    [
        {"flip": 1.0},
        {"rotation_deg": 30.0},
        {"zoom": 0.3},
        {"shift": 0.2},
        {"borrowed_tones": 1.0},
        {"gamma": 0.5},
        {"bias_field": 1.0},
        {"blur": 1.0},
        {"jpeg": 1.0},
        {"noise": 1.0},
        {"darkened_rim": 1.0},
    ],
)
def test_each_distortion_changes_pictures_keeps_their_range_and_repeats(change: dict[str, float]) -> None:
    wanted = STILL.model_copy(update=change)
    first, second = (augment(batch(), wanted, torch.Generator().manual_seed(3)) for _ in range(2))
    plain = augment(batch(), STILL, torch.Generator().manual_seed(3))
    assert first.shape == batch().shape
    assert torch.equal(first, second)
    assert first.min() >= 0.0
    assert first.max() <= 1.0
    assert (first - plain).abs().mean() > 1e-3


def test_a_picture_that_is_only_moved_by_nothing_stays_itself() -> None:
    moved = augment(batch(), STILL, torch.Generator().manual_seed(3))
    gain = moved[0, 20, 20] / batch()[0, 20, 20]  # gamma 0 still draws a gain
    assert torch.allclose(moved[0], (batch()[0] * gain).clamp(0, 1), atol=1e-4)


def test_borrowed_tones_keep_the_order_of_greys_and_take_the_lenders_brightness() -> None:
    dark, bright = batch(2) * 0.4, batch(2) * 0.4 + 0.55
    pictures = torch.cat([dark, bright])
    changed = augment(pictures, STILL.model_copy(update={"borrowed_tones": 1.0}), torch.Generator().manual_seed(1))
    order = changed[0].flatten()[pictures[0].flatten().argsort()]
    assert (order.diff() > -0.01).all()
    assert not torch.allclose(changed.mean((1, 2)), pictures.mean((1, 2)), atol=0.05)


def brain_slice(side: int = 120) -> NDArray[np.float32]:
    y, x = np.mgrid[:side, :side]
    return ((np.hypot((y - 60) / 50, (x - 60) / 40) < 1) * (100 + 5 * np.sin(x / 3))).astype(np.float32)


def test_a_synthetic_head_leaves_the_brain_untouched_and_puts_dark_then_bright_around_it() -> None:
    brain = brain_slice()
    wrapped = wrap_in_head(brain, np.random.default_rng(0), margin=30)
    assert wrapped.shape == (180, 180)
    inner = wrapped[30:-30, 30:-30]
    assert np.array_equal(inner[brain > 0], brain[brain > 0])
    profile = wrapped[90, 30 + 60 + 40 :]  # from the brain's edge outwards
    assert profile.max() > 60
    assert profile[: int(profile.argmax())].min() < 30
    assert wrapped[0].max() < 20


def case() -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """A ball of brain with a tumour core in the patient's right half (low x), and a rim of oedema."""
    z, y, x = np.mgrid[:100, :100, :100]
    brain = (np.sqrt((z - 50) ** 2 + (y - 50) ** 2 + (x - 50) ** 2) < 48) * (100.0 + x)
    distance = np.sqrt((z - 50) ** 2 + (y - 50) ** 2 + (x - 25) ** 2)
    labels = np.where(distance < 10, 4.0, np.where(distance < 14, 2.0, 0.0))
    return brain.astype(np.float32), labels.astype(np.float32)


def test_slices_with_core_are_gliomas_without_any_tumour_negatives_and_between_them_nothing() -> None:
    t1c, labels = case()
    wanted = VolumesRecipe(spacing_mm=1, glioma_mm2=150, brain_mm2=1000)
    cut = {found.name: found for found in cut_slices("c", t1c, labels, wanted)}
    assert cut["c/axial/050"].kind is TumourType.GLIOMA
    assert cut["c/axial/070"].kind is TumourType.NONE
    assert "c/axial/062" not in cut  # oedema only
    assert "c/axial/002" not in cut  # hardly any brain
    assert cut["c/sagittal/080"].kind is TumourType.NONE


def test_the_healthy_half_is_mirrored_into_a_slice_without_tumour_at_the_tumours_level() -> None:
    t1c, labels = case()
    wanted = VolumesRecipe(spacing_mm=1, glioma_mm2=150, brain_mm2=1000)
    cut = {found.name: found for found in cut_slices("c", t1c, labels, wanted)}
    mirrored = cut["c/axial/050/mirrored"]
    assert mirrored.kind is TumourType.NONE
    assert np.array_equal(mirrored.picture, mirrored.picture[:, ::-1])
    assert mirrored.picture[mirrored.picture > 0].min() >= 150  # brightness tells the half: x of 50 and more


def test_coronal_slices_stand_upright() -> None:
    t1c, labels = case()
    t1c[80:] *= 2  # the upper part is bright
    cut = {found.name: found for found in cut_slices("c", t1c, labels, VolumesRecipe(spacing_mm=1, brain_mm2=1000))}
    picture = cut["c/coronal/050"].picture
    assert picture[:20].max() > picture[50:].max()


def test_balanced_accuracy_counts_classes_alike_and_leaves_absent_ones_out() -> None:
    labels = np.array([0] * 8 + [1] * 2)
    predicted = np.array([0] * 8 + [0, 1])
    assert balanced_accuracy(labels, predicted) == pytest.approx(0.75)
    assert confusion(labels, predicted)[1].tolist() == [1, 1, 0, 0]


def test_calling_a_tumour_no_tumour_is_wrong_unless_a_type_must_be_named() -> None:
    logits = np.array([[1.0, 0.0, 0.0, 5.0], [0.0, 3.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]])
    labels = np.array([0, 1, 2])
    assert three_class_balanced_accuracy(logits, labels) == pytest.approx(2 / 3)
    assert forced_choice_balanced_accuracy(logits, labels) == pytest.approx(1.0)


def test_the_fitted_temperature_undoes_overconfidence() -> None:
    generator = np.random.default_rng(0)
    logits = generator.normal(size=(4000, 4)) * 1.5
    cumulated = softmax(logits).cumsum(axis=1)
    labels = (generator.random((4000, 1)) > cumulated).sum(axis=1)  # the logits are true
    assert fit_temperature(logits * 3.0, labels) == pytest.approx(3.0, rel=0.1)
    assert expected_calibration_error(softmax(logits * 3.0, 3.0), labels) < 0.03
    assert expected_calibration_error(softmax(logits * 3.0), labels) > 0.1
