"""Are these images of a head, and good enough? Looked at before anything is registered or asked of a network.

Each number is measured on one series as scanned, so that it can be repeated and told: lowest value, noise, ghosts of
motion, whether there is more than one substance, slices and their distances. What follows from it says the table in
`limits`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from statistics import median

import numpy as np
from scipy import ndimage

from bt_node.domain.geometry import BoolArray, FloatArray, Volume
from bt_node.domain.study import Role
from bt_node.judge.limits import Check, Concern, concern
from bt_node.judge.outline import Body, depth_inside, find_body

_MAD_OF_NORMAL = 0.6745  # median absolute deviation of a normal distribution, in standard deviations
_RIM_MM = 12.0  # scalp, fat and bone, where every body part has several substances
_NEAR_VOXELS = 4  # air nearer to the body than this holds its blur
_LEAST_AIR_VOXELS = 60
_LEAST_SECTION_MM2 = 4000.0


@dataclass(frozen=True)
class SeriesQuality:
    """What was measured of one series; None where it cannot be measured.

    Attributes:
        lowest: lowest value (its 0.1st percentile), scanner units.
        noise: standard deviation of pixel noise inside the body as a part of the body's signal.
        substance: variation deep inside the body as a part of the mean there.
        ghosts: difference of the mean signal in the air along the two in-plane directions, part of the body's signal.
        slices: how many.
        distance_mm: between slices.
        gap: part of that distance which no slice covers, 0 where slices touch or overlap.
    """

    lowest: float
    noise: float | None
    substance: float | None
    ghosts: float | None
    slices: int
    distance_mm: float
    gap: float | None

    def facts(self) -> dict[str, float | int | None]:
        """The same as plain JSON, rounded."""
        return {name: round(value, 3) if isinstance(value, float) else value for name, value in vars(self).items()}


def measure_series(volume: Volume, thickness_mm: float | None = None) -> SeriesQuality:
    """Measure one series.

    Args:
        volume: as scanned, first array axis along the slices.
        thickness_mm: SliceThickness, where it is known.
    """
    body = find_body(volume)
    distance = volume.grid.spacing[2]
    return SeriesQuality(
        lowest=float(np.percentile(volume.array, 0.1)),
        noise=_noise(volume, body),
        substance=_variation_inside(body),
        ghosts=_ghosts(body),
        slices=volume.grid.shape[0],
        distance_mm=distance,
        gap=max(0.0, 1.0 - thickness_mm / distance) if thickness_mm else None,
    )


def judge_images(measured: Mapping[Role, SeriesQuality]) -> tuple[Concern, ...]:
    """What speaks against these images, the series in the order of their roles."""
    return (
        *_nothing_of_a_head(measured),
        *(found for role, quality in measured.items() for found in _of_series(role, quality)),
    )


def _nothing_of_a_head(measured: Mapping[Role, SeriesQuality]) -> Iterator[Concern]:
    """What only holds when it is so in every series: one bright and flat series alone may be an odd sequence."""
    known = [quality.substance for quality in measured.values() if quality.substance is not None]
    if known:
        share = f"{100 * max(known):.0f} %"
        yield from concern(
            Check.SUBSTANCE,
            max(known),
            f"The images show one even substance, as a bottle does (it varies by {share} at most), and no head.",
        )


def _of_series(role: Role, quality: SeriesQuality) -> Iterator[Concern]:
    name = role.value
    yield from concern(
        Check.LOWEST_VALUE,
        quality.lowest,
        f"{name} has values down to {quality.lowest:.0f}, as CT has and MR has not.",
    )
    yield from concern(
        Check.NOISE,
        quality.noise,
        f"{name} is noisy: the noise is {_percent(quality.noise)} of the signal.",
    )
    yield from concern(
        Check.GHOSTS,
        quality.ghosts,
        f"{name} has ghosts of {_percent(quality.ghosts)} of the signal beside the head, as motion leaves.",
    )
    yield from concern(Check.SLICES, float(quality.slices), f"{name} has {quality.slices} slices only.")
    yield from concern(
        Check.SLICE_DISTANCE,
        quality.distance_mm,
        f"Slices of {name} are {quality.distance_mm:.1f} mm apart: small lesions may lie between them.",
    )
    yield from concern(
        Check.GAP, quality.gap, f"{_percent(quality.gap)} of the distance between slices of {name} is gap."
    )


def _percent(share: float | None) -> str:
    return f"{100 * (share or 0.0):.0f} %"


# ---------------------------------------------------------------- measuring


def _noise(volume: Volume, body: Body) -> float | None:
    """From the diagonal details of 2×2 pixels (Haar), which anatomy hardly reaches; their median is robust."""
    _, rows, columns = volume.array.shape
    if body.signal <= 0 or min(rows, columns) < 2:  # noqa: PLR2004 - a block of 2 by 2
        return None
    a = volume.array[:, : rows // 2 * 2, : columns // 2 * 2]
    details = (a[:, ::2, ::2] - a[:, 1::2, ::2] - a[:, ::2, 1::2] + a[:, 1::2, 1::2]) / 2
    places = [np.arange(n) * m // n for n, m in zip(details.shape, body.mask.shape, strict=True)]
    inside = details[body.mask[np.ix_(*places)]]
    return float(np.median(np.abs(inside)) / _MAD_OF_NORMAL / body.signal) if inside.size else None


def _variation_inside(body: Body) -> float | None:
    inside = body.array[depth_inside(body.mask, body.spacing) > _RIM_MM]
    return float(inside.std() / inside.mean()) if inside.size and inside.mean() > 0 else None


def _ghosts(body: Body) -> float | None:
    """Ghosting after the ACR's test for bottles: motion moves signal along the phase direction, and only along it.

    In each slice the air above and below the body is compared with the air beside it; noise is the same in both.
    """
    if body.signal <= 0:
        return None
    near = ndimage.binary_dilation(body.mask, np.ones((1, 3, 3)), iterations=_NEAR_VOXELS)
    pixel_mm2 = body.spacing[1] * body.spacing[2]
    found = [
        _air_of_slice(image, mask)
        for image, mask in zip(body.array, near, strict=True)
        if mask.sum() * pixel_mm2 > _LEAST_SECTION_MM2
    ]
    told = [pair for pair in found if pair is not None]
    if not told:
        return None
    return abs(median(first - second for first, second in told)) / body.signal


def _air_of_slice(image: FloatArray, body: BoolArray) -> tuple[float, float] | None:
    """Mean in the air above and below the body's box, and in the air left and right of it."""
    rows, columns = (_spanned(np.asarray(body.any(axis=axis))) for axis in (1, 0))
    across, beside = image[~rows][:, columns], image[rows][:, ~columns]
    if min(across.size, beside.size) < _LEAST_AIR_VOXELS:
        return None
    return float(across.mean()), float(beside.mean())


def _spanned(line: BoolArray) -> BoolArray:
    """From the first to the last True."""
    places = np.flatnonzero(line)
    spanned: BoolArray = np.zeros(line.shape, dtype=np.bool_)
    spanned[places[0] : places[-1] + 1] = True
    return spanned
