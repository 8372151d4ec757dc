"""Stored values, from every transfer syntax, and a named refusal for what cannot be decoded."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_builder import oblique_grid, ramp_volume, write_enhanced, write_series
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from bt_node.convert.pixels import open_instance
from bt_node.domain.errors import PixelDataError, SpoolFileMissingError
from bt_node.domain.geometry import ImageArray, Volume
from bt_node.domain.study import SliceFacts

SYNTAXES = [
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
]
# dcmtk's encoder for each syntax that no Python library here can write: options of dcmcjpeg.
JPEG_OPTIONS = {"+el": "lossless process 14", "+e1": "lossless process 14 selection value 1"}
UID = "1.2.3.4"


@pytest.fixture
def volume() -> Volume:
    return ramp_volume(oblique_grid((2, 64, 72)))


def decode(path: Path, frame: int = 0, **changes: float) -> ImageArray:
    ds = pydicom.dcmread(path, stop_before_pixels=True)
    facts = SliceFacts(UID, frame, (0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1), ds.Rows, ds.Columns, **changes)
    return open_instance(UID, path).frame(facts)


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_a_classic_instance_decodes_exactly(tmp_path: Path, volume: Volume, syntax: str) -> None:
    paths = write_series(tmp_path, volume, transfer_syntax=syntax, BitsStored=12)
    assert np.array_equal(decode(paths[1]), volume.array[1])


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
def test_a_frame_of_an_enhanced_instance_decodes_exactly(tmp_path: Path, volume: Volume, syntax: str) -> None:
    path = write_enhanced(tmp_path, volume, transfer_syntax=syntax, order=[1, 0], BitsStored=12)
    assert np.array_equal(decode(path, frame=0), volume.array[1])
    assert np.array_equal(decode(path, frame=1), volume.array[0])


@pytest.mark.parametrize("option", JPEG_OPTIONS, ids=JPEG_OPTIONS.get)
def test_jpeg_lossless_decodes_exactly(
    tmp_path: Path, volume: Volume, option: str, peer: Callable[[str], str]
) -> None:
    path = write_series(tmp_path, volume, BitsStored=12)[0]
    packed = tmp_path / "packed.dcm"
    subprocess.run([peer("dcmcjpeg"), option, path, packed], check=True, capture_output=True, timeout=60)
    assert np.array_equal(decode(packed), volume.array[0])


def test_jpeg_extended_of_12_bits_decodes_closely(tmp_path: Path, peer: Callable[[str], str]) -> None:
    smooth = np.add.outer(np.arange(64), np.arange(72)).astype(np.float32)[None] * 20
    grid = oblique_grid((1, 64, 72))
    path = write_series(tmp_path, Volume(smooth, grid), BitsStored=12)[0]
    packed = tmp_path / "packed.dcm"
    subprocess.run([peer("dcmcjpeg"), "+ee", "+q", "95", path, packed], check=True, capture_output=True, timeout=60)
    assert np.abs(decode(packed) - smooth[0]).max() < 60


def test_slope_and_intercept_are_applied_in_double_precision(tmp_path: Path, volume: Volume) -> None:
    path = write_series(tmp_path, volume)[0]
    found = decode(path, slope=6.63345543345543, intercept=-12.5)
    assert found.dtype == np.float32
    assert np.array_equal(found, (volume.array[0].astype(np.float64) * 6.63345543345543 - 12.5).astype(np.float32))


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian, RLELossless, JPEGLSLossless])
def test_negative_stored_values_stay_negative(tmp_path: Path, volume: Volume, syntax: str) -> None:
    signed = Volume(volume.array - 1000, volume.grid)
    paths = write_series(tmp_path, signed, transfer_syntax=syntax, PixelRepresentation=1, BitsStored=12)
    assert np.array_equal(decode(paths[0]), signed.array[0])


@pytest.mark.parametrize("representation", [0, 1])
def test_bits_above_bits_stored_are_not_part_of_the_value(
    tmp_path: Path, volume: Volume, representation: int
) -> None:
    shifted = Volume(volume.array - 1000 * representation, volume.grid)
    path = write_series(tmp_path, shifted, BitsStored=12, PixelRepresentation=representation)[0]
    ds = pydicom.dcmread(path)
    stored = np.frombuffer(ds.PixelData, dtype="<u2") & 0x0FFF
    ds.PixelData = (stored | 0x5000).astype("<u2").tobytes()  # as an overlay in the high bits would
    ds.save_as(path)
    assert np.array_equal(decode(path), shifted.array[0])


def test_truncated_native_pixel_data_is_refused_with_the_uid(tmp_path: Path, volume: Volume) -> None:
    path = write_series(tmp_path, volume)[0]
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(PixelDataError, match=UID):
        decode(path)


PACKED = [DeflatedExplicitVRLittleEndian, RLELossless, JPEGLSLossless, JPEG2000Lossless]


@pytest.mark.filterwarnings("ignore:End of file reached")
@pytest.mark.parametrize("cut", [10, 1000])
@pytest.mark.parametrize("syntax", PACKED, ids=lambda uid: uid.name)
def test_a_packed_file_that_was_cut_off_is_refused(tmp_path: Path, volume: Volume, syntax: str, cut: int) -> None:
    path = write_series(tmp_path, volume, transfer_syntax=syntax)[0]
    path.write_bytes(path.read_bytes()[:-cut])
    with pytest.raises(PixelDataError):
        decode_with_known_size(path, volume)


@pytest.mark.parametrize("syntax", [RLELossless, JPEGLSLossless, JPEG2000Lossless], ids=lambda uid: uid.name)
def test_a_code_stream_that_ends_early_inside_a_whole_file_is_refused(
    tmp_path: Path, volume: Volume, syntax: str
) -> None:
    path = write_series(tmp_path, volume, transfer_syntax=syntax)[0]
    ds = pydicom.dcmread(path)
    stream = next(generate_frames(ds.PixelData, number_of_frames=1))
    ds.PixelData = encapsulate([stream[: len(stream) // 2]])
    ds.save_as(path)
    with pytest.raises(PixelDataError):
        decode(path)


def test_absent_pixel_data_are_refused(tmp_path: Path, volume: Volume) -> None:
    path = write_series(tmp_path, volume)[0]
    ds = pydicom.dcmread(path)
    del ds.PixelData
    ds.save_as(path)
    with pytest.raises(PixelDataError, match="absent"):
        decode(path)


def test_a_file_that_is_no_dicom_is_refused(tmp_path: Path, volume: Volume) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(b"not an image" * 100)
    with pytest.raises(PixelDataError):
        decode_with_known_size(path, volume)


def test_a_file_that_is_not_there_is_for_later(tmp_path: Path) -> None:
    with pytest.raises(SpoolFileMissingError):
        open_instance(UID, tmp_path / "gone.dcm")


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "PALETTE COLOR", "RGB"])
def test_what_is_not_plain_grey_is_refused(tmp_path: Path, volume: Volume, photometric: str) -> None:
    path = write_series(tmp_path, volume, PhotometricInterpretation=photometric)[0]
    with pytest.raises(PixelDataError):
        decode(path)


def test_a_frame_that_the_file_does_not_have_is_refused(tmp_path: Path, volume: Volume) -> None:
    path = write_enhanced(tmp_path, volume)
    with pytest.raises(PixelDataError):
        decode(path, frame=7)


def test_a_matrix_that_differs_from_the_slice_facts_is_refused(tmp_path: Path, volume: Volume) -> None:
    path = write_series(tmp_path, volume)[0]
    facts = SliceFacts(UID, 0, (0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1), 64, 64)
    with pytest.raises(PixelDataError, match="header says"):
        open_instance(UID, path).frame(facts)


def decode_with_known_size(path: Path, volume: Volume) -> ImageArray:
    """For files whose own header may be unreadable."""
    _, rows, columns = volume.grid.shape
    facts = SliceFacts(UID, 0, (0, 0, 0), (1, 0, 0, 0, 1, 0), (1, 1), rows, columns)
    return open_instance(UID, path).frame(facts)


@pytest.mark.parametrize(("limit", "gone"), [(None, {-2000}), (-1990, {-2000, -1995, -1990})])
def test_padding_is_no_signal_but_nothing_scanned(
    tmp_path: Path, volume: Volume, limit: int | None, gone: set[int]
) -> None:
    """Pixels outside a round or turned field of view; one value far below air would make MR look like CT."""
    path = write_series(tmp_path, volume)[0]
    ds = pydicom.dcmread(path)
    stored = np.full((ds.Rows, ds.Columns), 40, dtype=np.int16)
    stored[0, :3], stored[1, 0] = (-2000, -1995, -1990), -3
    ds.PixelRepresentation, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 1, 16, 16, 15
    ds.PixelData = stored.tobytes()
    ds.add_new("PixelPaddingValue", "SS", -2000)
    if limit is not None:
        ds.add_new("PixelPaddingRangeLimit", "SS", limit)
    ds.save_as(path)
    decoded = decode(path, slope=2.0, intercept=10.0)
    told = {int(value): float(result) for value, result in zip(stored.ravel(), decoded.ravel(), strict=True)}
    assert {value for value, result in told.items() if result == 0} == gone
    assert told[40] == 90
    assert told[-3] == 4
