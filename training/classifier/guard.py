"""Copies among pictures: the same slice under two names, also mirrored, turned, padded, rescaled or recompressed.

Two looks at the framed head (so that padding and matrix do not matter), in all eight poses of a square:

1. A perceptual hash: signs of the low frequencies of the cosine transform about their median, 255 bits (pHash;
   Zauner 2010, "Implementation and benchmarking of perceptual image hash functions"). A mirror image's transform is
   the same with every second sign changed, a transposed one's is transposed, so no picture is transformed twice.
2. For pairs of close hashes, the correlation of the fine structure at equal local contrast: folds and vessels, not
   skull and outline, in which heads agree; the best of shifts by up to two pixels, for a frame shifts a little where
   recompression changes the rim.

The thresholds were measured; docs/training.md tells how.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy import ndimage
from scipy.fft import dctn, irfft2, rfft2

from training.classifier.pictures import Bytes

SIZE = 64  # pixels of the framed head that is compared
# A pair is a copy if its bits differ in at most so many places and its fine structure correlates at least so much.
MOST_BITS, LEAST_CORRELATION = 76, 0.73
_HASHED, _LOW = 32, 16  # pixels that are transformed; frequencies that are kept along each axis
_COARSE, _FINE = 2.5, 0.5  # pixels: what is smoother is outline, what is finer is noise and JPEG
_FLAT = 2.55  # greys: less contrast than this is not raised
_SHIFTS = np.arange(-2, 3)  # pixels
_BLOCK, _PAIRS = 512, 1024
_Places = npt.NDArray[np.intp]
_Floats = npt.NDArray[np.float32]
_Waves = npt.NDArray[np.complex64]


@dataclass(frozen=True)
class Pose:
    """One of the eight ways to lay a square down again."""

    words: str
    transposed: bool
    rows_flipped: bool
    columns_flipped: bool

    def apply(self, pictures: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """Lay pictures (N, Y, X) so."""
        turned = pictures.transpose(0, 2, 1) if self.transposed else pictures
        return turned[:, :: -1 if self.rows_flipped else 1, :: -1 if self.columns_flipped else 1]

    def apply_to_frequencies(self, cosines: _Floats) -> _Floats:
        """The cosine transform (N, u, v) of pictures laid so, from that of the pictures."""
        turned = cosines.transpose(0, 2, 1) if self.transposed else cosines
        sign = (-1.0) ** np.arange(cosines.shape[1], dtype=np.float32)
        if self.rows_flipped:
            turned = turned * sign[:, None]
        return np.asarray(turned * sign if self.columns_flipped else turned, dtype=np.float32)


POSES = (
    Pose("as it is", False, False, False),
    Pose("mirrored left-right", False, False, True),
    Pose("mirrored up-down", False, True, False),
    Pose("turned by 180 degrees", False, True, True),
    Pose("transposed", True, False, False),
    Pose("turned by 90 degrees", True, False, True),
    Pose("turned by 270 degrees", True, True, False),
    Pose("transposed along the other diagonal", True, True, True),
)


@dataclass(frozen=True)
class Copy:
    """A pair of pictures that show the same slice.

    Attributes:
        first, second: their places, first < second.
        distance: bits of the hash that differ, 0 to 255.
        correlation: of the fine structure, up to 1.
        pose: how the first must be laid to look like the second.
    """

    first: int
    second: int
    distance: int
    correlation: float
    pose: Pose


def content_hashes(paths: Sequence[Path]) -> list[str]:
    """SHA-256 (hex) of each file."""
    hashes = []
    for path in paths:
        with path.open("rb") as file:
            hashes.append(hashlib.file_digest(file, "sha256").hexdigest())
    return hashes


def find_copies(heads: Bytes) -> list[Copy]:
    """All pairs of copies among framed heads (N, 64, 64), in order of their places; each pair in its best pose."""
    cosines, structure = _cosines(heads), _structure(heads)
    there, waves = _bits(cosines), _waves(structure)
    best: dict[tuple[int, int], Copy] = {}
    for pose in POSES:
        laid = _bits(pose.apply_to_frequencies(cosines))
        laid_waves = _waves(pose.apply(structure))
        for first, second, distance in _close(laid, there):
            likeness = _correlations(laid_waves[first], waves[second])
            for place in np.flatnonzero(likeness >= LEAST_CORRELATION):
                pair = int(first[place]), int(second[place])
                copy = Copy(*pair, int(distance[place]), float(likeness[place]), pose)
                if pair not in best or best[pair].correlation < copy.correlation:
                    best[pair] = copy
    return [best[pair] for pair in sorted(best)]


def _cosines(heads: Bytes) -> _Floats:
    """Low frequencies (N, 16, 16) of the heads at half size."""
    step = SIZE // _HASHED
    small = heads.astype(np.float32).reshape(-1, _HASHED, step, _HASHED, step).mean(axis=(2, 4))
    return np.asarray(dctn(small, axes=(1, 2), norm="ortho")[:, :_LOW, :_LOW], dtype=np.float32)


def _bits(cosines: _Floats) -> _Floats:
    """Hashes (N, 255) of -1 and 1; the mean grey, frequency 0, has no say."""
    values = cosines.reshape(len(cosines), -1)[:, 1:]
    return np.where(values > np.median(values, axis=1, keepdims=True), 1.0, -1.0).astype(np.float32)


def _structure(heads: Bytes) -> _Floats:
    """Fine structure (N, 64, 64), mean 0 and length 1 each."""
    grey = heads.astype(np.float32)
    fine = grey - _smooth(grey, _COARSE)
    contrast = np.sqrt(_smooth(fine * fine, _COARSE)) + np.float32(_FLAT)
    fine = _smooth(fine / contrast, _FINE)
    fine -= fine.mean(axis=(1, 2), keepdims=True)
    length = np.sqrt((fine**2).sum(axis=(1, 2), keepdims=True))
    return np.asarray(fine / np.maximum(length, 1e-6), dtype=np.float32)


def _smooth(pictures: _Floats, pixels: float) -> _Floats:
    return np.asarray(ndimage.gaussian_filter(pictures, (0, pixels, pixels)), dtype=np.float32)


def _close(laid: _Floats, there: _Floats) -> Iterator[tuple[_Places, _Places, npt.NDArray[np.int64]]]:
    """Pairs (first < second) whose hashes are near enough for a second look, some thousand at a time."""
    bits = there.shape[1]
    for start in range(0, len(laid), _BLOCK):
        # Of vectors of -1 and 1, the product counts agreeing places less differing ones.
        distances = np.rint((bits - laid[start : start + _BLOCK] @ there.T) / 2).astype(np.int64)
        rows, columns = np.nonzero(distances <= MOST_BITS)
        later = rows + start < columns
        rows, columns = rows[later], columns[later]
        for part in range(0, len(rows), _PAIRS):
            chosen = slice(part, part + _PAIRS)
            yield rows[chosen] + start, columns[chosen], distances[rows[chosen], columns[chosen]]


def _waves(pictures: npt.NDArray[np.generic]) -> _Waves:
    """Fourier transform of each picture; a product of two holds the correlations at all shifts."""
    return np.asarray(rfft2(pictures), dtype=np.complex64)


def _correlations(laid: _Waves, there: _Waves) -> _Floats:
    """The best correlation of each pair (N) within the shifts that a frame may make."""
    at_all_shifts = irfft2(laid * there.conj(), s=(SIZE, SIZE))
    return np.asarray(at_all_shifts[:, _SHIFTS[:, None], _SHIFTS].max(axis=(1, 2)), dtype=np.float32)
