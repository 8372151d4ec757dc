"""Volumes that are no fit input, made by formula: other parts of the body, a bottle, noise, cut heads, motion.

They are what a node meets when somebody sends the wrong study, and what its input check must not let through without
a word. Crude on purpose: each has the one property that makes it unfit, and the usual brightness on T1, T1c, T2 and
FLAIR. Arrays are (Z, Y, X) on upright grids (LPS, mm), so that each may become a series.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bt_node.domain.geometry import FloatArray, Grid, ImageArray, Volume
from bt_node.domain.study import Role

_ROLES = (Role.T1, Role.T1C, Role.T2, Role.FLAIR)
_Signals = tuple[float, float, float, float]  # on T1, T1c, T2, FLAIR
_FAT: _Signals = (900.0, 900.0, 500.0, 600.0)
_MUSCLE: _Signals = (350.0, 420.0, 150.0, 250.0)
_BONE: _Signals = (30.0, 30.0, 20.0, 30.0)
_MARROW: _Signals = (750.0, 760.0, 380.0, 450.0)
_WATER: _Signals = (200.0, 200.0, 900.0, 60.0)
_DISC: _Signals = (300.0, 320.0, 450.0, 300.0)
_CORD: _Signals = (420.0, 430.0, 300.0, 400.0)
_GEL: _Signals = (600.0, 610.0, 500.0, 550.0)
_NOISE = 12.0


def bottle(*, seed: int = 0, radius_mm: float = 65.0, height_mm: float = 170.0) -> Mapping[Role, Volume]:
    """A cylinder of gel, upright in the coil: the scanner's own test object."""
    grid = _grid((220.0, 220.0, 200.0))
    z, y, x = _axes(grid)
    inside = (np.hypot(x, y) < radius_mm) & (np.abs(z) < height_mm / 2)
    return _painted(grid, [(inside, _GEL)], seed)


def legs(*, seed: int = 0) -> Mapping[Role, Volume]:
    """Two cylinders of muscle in fat, each with a bone and its marrow: thighs or knees side by side."""
    grid = _grid((340.0, 200.0, 180.0), in_plane=1.4)
    z, y, x = _axes(grid)
    away = np.hypot(np.abs(x) - 80.0, y) + 0 * z
    return _painted(grid, [(away < 74, _FAT), (away < 64, _MUSCLE), (away < 17, _BONE), (away < 12, _MARROW)], seed)


def knee(*, seed: int = 0) -> Mapping[Role, Volume]:
    """One leg that fills a small field of view: two thick bone ends with a joint between."""
    grid = _grid((170.0, 170.0, 160.0))
    z, y, x = _axes(grid)
    away = np.hypot(x, y) + 0 * z
    bone = np.hypot(x, y + 8.0) + 0 * z < 30 + 8 * np.exp(-((z / 25.0) ** 2))
    joint = bone & (np.abs(z) < 4.0)
    parts = [(away < 72, _FAT), (away < 62, _MUSCLE), (bone, _MARROW), (joint, _WATER)]
    return _painted(grid, parts, seed)


def spine(*, seed: int = 0) -> Mapping[Role, Volume]:
    """A trunk that is wider than the field of view, with vertebrae, discs and the canal behind them."""
    grid = _grid((280.0, 200.0, 280.0), slice_mm=4.5, in_plane=1.25)
    z, y, x = _axes(grid)
    trunk = (x / 170.0) ** 2 + (y / 105.0) ** 2 + 0 * z
    column = np.hypot(x / 1.2, y - 30.0) + 0 * z
    disc = np.mod(z + 400.0, 34.0) < 9.0
    canal = np.hypot(x, y - 62.0) + 0 * z
    back = np.hypot((np.abs(x) - 32.0) / 1.3, y - 72.0) + 0 * z < 22
    parts = [
        (trunk < 1.0, _FAT),
        (trunk < 0.8, _MUSCLE),
        (back, _MUSCLE),
        (column < 24, _MARROW),
        ((column < 24) & disc, _DISC),
        (canal < 11, _BONE),
        (canal < 9, _WATER),
        (canal < 5.5, _CORD),
    ]
    return _painted(grid, parts, seed)


def noise(*, seed: int = 0) -> Mapping[Role, Volume]:
    """Nothing was in the coil, or the receiver was off."""
    return _painted(_grid((240.0, 240.0, 160.0)), [], seed)


def ct_numbers(heads: Mapping[Role, Volume]) -> Mapping[Role, Volume]:
    """Heads whose values are Hounsfield units: air -1000, tissue 20 to 60, what was dark inside the head as bone."""
    return {role: Volume(_hounsfield(head.array), head.grid) for role, head in heads.items()}


def cut_in_height(heads: Mapping[Role, Volume], *, keep: float, upper: bool) -> Mapping[Role, Volume]:
    """The lower (or upper) part of every series, `keep` of its slices: planned too low, or stopped half-way."""
    return {role: _some_slices(head, keep, upper=upper) for role, head in heads.items()}


def ghosted(volume: Volume, *, shift_mm: float, lines: int = 4, seed: int = 0, along_rows: bool = False) -> Volume:
    """What motion does to a 2D spin-echo series: each group of k-space lines sees the head somewhere else.

    Args:
        volume: the still head, first array axis along slices.
        shift_mm: standard deviation of the head's place along the phase direction.
        lines: neighbouring k-space lines that are taken at one place (an echo train).
        seed: another seed is another motion.
        along_rows: the phase direction is that of increasing column index; otherwise that of increasing row index.
    """
    random = np.random.default_rng([seed, 31])
    axis = 2 if along_rows else 1
    count, step = volume.array.shape[axis], volume.grid.spacing[0 if along_rows else 1]
    moved = np.empty_like(volume.array)
    for plane, image in enumerate(volume.array):
        groups = random.normal(0.0, shift_mm, -(-count // lines))
        place_mm = np.repeat(groups, lines)[:count]
        phase = np.exp(-2j * np.pi * np.fft.fftfreq(count, step) * place_mm)
        spectrum = np.fft.fft2(image) * (phase[None, :] if along_rows else phase[:, None])
        moved[plane] = np.abs(np.fft.ifft2(spectrum))
    return Volume(moved.astype(np.float32), volume.grid)


def drowned(volume: Volume, *, deviation: float, seed: int = 0) -> Volume:
    """The same with Rician noise of `deviation` as a part of its 90th percentile."""
    random = np.random.default_rng([seed, 32])
    scale = deviation * float(np.percentile(volume.array, 90.0))
    real = volume.array + scale * random.standard_normal(volume.array.shape)
    imaginary = scale * random.standard_normal(volume.array.shape)
    return Volume(np.hypot(real, imaginary).astype(np.float32), volume.grid)


# ---------------------------------------------------------------- parts


def _grid(size_mm: tuple[float, float, float], *, in_plane: float = 1.0, slice_mm: float = 4.0) -> Grid:
    width, height, depth = size_mm
    shape = (round(depth / slice_mm), round(height / in_plane), round(width / in_plane))
    spacing = (in_plane, in_plane, slice_mm)
    x, y, z = (-(count - 1) * step / 2 for count, step in zip(shape[::-1], spacing, strict=True))
    return Grid(shape, spacing, (x, y, z))


def _axes(grid: Grid) -> tuple[FloatArray, FloatArray, FloatArray]:
    """LPS z, y and x of the voxel centres, to be broadcast."""
    z, y, x = (_along(grid, axis) for axis in (2, 1, 0))
    return z[:, None, None], y[None, :, None], x[None, None, :]


def _along(grid: Grid, axis: int) -> FloatArray:
    places = np.arange(grid.shape[2 - axis], dtype=np.float64)
    return np.asarray(grid.origin[axis] + places * grid.spacing[axis], dtype=np.float64)


def _painted(grid: Grid, parts: list[tuple[np.ndarray, _Signals]], seed: int) -> Mapping[Role, Volume]:
    made = {}
    for channel, role in enumerate(_ROLES):
        signal = np.zeros(grid.shape)
        for mask, signals in parts:
            signal[np.broadcast_to(mask, grid.shape)] = signals[channel]
        random = np.random.default_rng([seed, channel, 30])
        real = signal + _NOISE * random.standard_normal(grid.shape)
        made[role] = Volume(np.hypot(real, _NOISE * random.standard_normal(grid.shape)).astype(np.float32), grid)
    return made


def _hounsfield(array: ImageArray) -> ImageArray:
    tissue = array > 0.15 * np.percentile(array, 99.0)
    soft = 20.0 + 40.0 * array / np.percentile(array, 99.0)
    return np.where(tissue, soft, -1000.0).astype(np.float32)


def _some_slices(volume: Volume, keep: float, *, upper: bool) -> Volume:
    """Along the slice axis, whose upper end is where LPS z is larger."""
    count = volume.grid.shape[0]
    kept = max(1, round(keep * count))
    rising = volume.grid.direction_matrix[2, 2] >= 0
    first = count - kept if upper == rising else 0
    x, y, z = (float(value) for value in volume.grid.index_to_world((first, 0, 0)))
    grid = Grid((kept, *volume.grid.shape[1:]), volume.grid.spacing, (x, y, z), volume.grid.direction)
    return Volume(volume.array[first : first + kept].copy(), grid)
