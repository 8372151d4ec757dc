"""Framing a head: what must not matter does not, what must does."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from bt_node.domain.errors import PictureError
from bt_node.infer.picture import _head_box, frame_head, to_network


def head(height: int = 120, width: int = 100, seed: int = 0) -> NDArray[np.float32]:
    """An ellipse with a bright rim, texture and a bright spot, on air with a little noise."""
    generator = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    radius = np.hypot((y - height / 2) / (height * 0.4), (x - width / 2) / (width * 0.35))
    picture = np.where(radius < 1, 100 + 8 * np.sin(x / 5), 0) + np.where(abs(radius - 1) < 0.08, 150, 0)
    picture = picture + 120.0 * (np.hypot(y - height * 0.4, x - width * 0.6) < 8)
    return (picture + generator.uniform(0, 2, picture.shape)).astype(np.float32)


@settings(max_examples=25, deadline=None)
@given(scale=st.floats(1e-3, 1e4), offset=st.floats(-2000, 2000))
def test_the_unit_of_intensity_does_not_matter(scale: float, offset: float) -> None:
    original = head().astype(np.float64)
    changed = frame_head(original * scale + offset * scale, 64)
    assert np.abs(changed - frame_head(original, 64)).max() < 1e-3


@settings(max_examples=25, deadline=None)
@given(pads=st.tuples(*[st.integers(0, 60)] * 4))
def test_padding_with_background_does_not_matter(pads: tuple[int, int, int, int]) -> None:
    original = ndimage.gaussian_filter(head(), 4.0)  # a soft edge: the frame follows the threshold
    top, bottom, left, right = pads
    padded = np.pad(original, ((top, bottom), (left, right)), constant_values=float(original.min()))
    assert np.array_equal(frame_head(padded, 64), frame_head(original, 64))


@settings(max_examples=10, deadline=None)
@given(factor=st.floats(1.0, 4.0))
def test_the_matrix_hardly_matters(factor: float) -> None:
    small, large = head(120, 100), head(round(120 * factor), round(100 * factor))
    # Texture and spot have fixed sizes in pixels, so only the coarse picture is compared.
    difference = np.abs(frame_head(small, 64) - frame_head(large, 64)).mean()
    assert difference < 0.12


def test_the_head_fills_the_square_and_keeps_its_proportions() -> None:
    y, x = np.mgrid[:300, :200]
    inside = np.hypot((y - 180) / 80, (x - 90) / 50) < 1  # 160 rows, 100 columns, off the middle
    framed = frame_head(inside * (100.0 + y % 7), 100) > 0.2
    rows, columns = np.flatnonzero(framed.any(axis=1)), np.flatnonzero(framed.any(axis=0))
    assert rows[0] <= 1
    assert rows[-1] >= 98
    assert columns[-1] - columns[0] + 1 == pytest.approx(100 * 100 / 160, abs=2)
    assert columns[0] + columns[-1] == pytest.approx(99, abs=2)


def test_letters_and_specks_beside_the_head_do_not_move_the_frame() -> None:
    clean = head(200, 200)
    labelled = clean.copy()
    labelled[4:12, 4:24] = 250.0
    labelled[190, 190] = 5000.0
    assert np.array_equal(frame_head(labelled, 64), frame_head(clean, 64))


def test_noise_in_air_is_not_taken_for_the_head() -> None:
    noisy = head(200, 200)
    rows, columns = _head_box(noisy.astype(np.float64))
    assert (rows.start, rows.stop) == pytest.approx((17, 184), abs=3)
    assert (columns.start, columns.stop) == pytest.approx((24, 177), abs=3)


def test_rows_stay_rows_and_nothing_is_flipped() -> None:
    picture = head()
    framed = frame_head(picture, 64)
    assert np.allclose(frame_head(picture[::-1], 64), framed[::-1], atol=0.02)
    assert not np.allclose(framed, framed[::-1], atol=0.1)


def test_values_lie_between_nought_and_one() -> None:
    framed = frame_head(head(), 224)
    assert framed.dtype == np.float32
    assert framed.shape == (224, 224)
    assert framed.min() == 0.0
    assert 0.9 < framed.max() <= 1.0


@pytest.mark.parametrize(
    ("picture", "word"),
    [
        (np.zeros((50, 50)), "background"),
        (np.full((50, 50), 7.0), "background"),
        (np.pad(np.ones((2, 2)), 40), "speck"),
        (np.full((50, 50), np.nan), "finite"),
        (np.zeros((3, 50, 50)), "axes"),
    ],
)
def test_a_picture_without_a_head_is_refused_with_the_reason(picture: NDArray[np.float64], word: str) -> None:
    with pytest.raises(PictureError, match=word):
        frame_head(picture, 64)


def test_three_channels_are_normalised_as_imagenet_weights_expect() -> None:
    tensor = to_network(torch.full((2, 32, 32), 0.5), "head-imagenet")
    assert tensor.shape == (2, 3, 32, 32)
    assert tensor[0, :, 0, 0].tolist() == pytest.approx([0.0655, 0.1964, 0.4178], abs=1e-3)
