"""Packed syntaxes that no Python library here writes, or writes with loss: HTJ2K, lossy JPEG 2000 and JPEG-LS."""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_builder import oblique_grid, write_enhanced, write_series
from pydicom.encaps import encapsulate
from pydicom.uid import HTJ2K, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, JPEG2000Lossless, JPEGLSNearLossless

from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series
from bt_node.domain.errors import PixelDataError
from bt_node.domain.geometry import Grid, Volume

ROWS, COLUMNS = np.indices((16, 24))
# Written by OpenJPH 0.26.3: 16 bits, unsigned, reversible, progression RPCL, of the formula below.
PATTERN = COLUMNS * 37 + ROWS * 101 + (ROWS * COLUMNS) % 7 * 3
CODE_STREAM = b64decode(
    "/0//UQApQAAAAAAYAAAAEAAAAAAAAAAAAAAAGAAAABAAAAAAAAAAAAABDwEB/1AACAACAAAACv9SAAwAAgABAAUEBEAB/1wAEyCI"
    "kJCQkJCQkJCQkJCQiIiI/2QAFwABT3BlbkpQSCBWZXIgMC4yNi4zLv+QAAoAAAAAAZAAAf+TwAAm6/kFB3QAwAATAPb8Aod0AMAA"
    "EsAAE8AAEgDpAAd0ADrX+QCiNAD+AGMAwAAVMAAFbAABOAjJyekAIn2VAAg8I6AZAecAQgN+tgD3s0BI/rUAwAAWvAABbcAAFqAE"
    "h64GBAoLxqf6GBgksgCdyLiC1O65AGCMuoztGvCWbYB7YMtgG6D7AAIAgA6olqG6AOjcU8IMS5GxzrymiQA6ngCUCbgAwAAvRoAA"
    "XqEAALuw1auTkka+uBANBE5jPiUMAgROY3p4IcBC8ic6BAIsJJ/JsVQK7M6BRZBKgV2Hrfx2RvBiaZw0VUtZCcGcDhEjD5QrcjhX"
    "AQuIyKVpSaCIXNCc0omGzrEaVzppk1UGWJzKoVUG2BCQGqoAHEBLlBJtgC1waqgCcAAtUf4gCEAEEAAAQQhABj60GAzQoKgsqUDQ"
    "CyJy6FwBKUk9eQoJk1JPlHqSyKfUkyAeijz1nhI9Qn6USjNUKSf5AZqmjt/l2U9WpRYbbz/aWyqaheFkv5SkWgH/2Q=="
)
GRID = oblique_grid((1, 16, 24))


def load(path: Path) -> Volume:
    keyed = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path}
    return load_series(read_study(keyed).series[0], keyed).volume


def packed_as(path: Path, syntax: str, stream: bytes) -> Path:
    ds = pydicom.dcmread(path)
    ds.PixelData = encapsulate([stream] * int(ds.get("NumberOfFrames", 1)))
    ds["PixelData"].VR = "OB"
    ds["PixelData"].is_undefined_length = True
    ds.file_meta.TransferSyntaxUID = syntax
    ds.save_as(path)
    return path


@pytest.mark.parametrize("syntax", [HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K], ids=lambda uid: uid.name)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_high_throughput_jpeg_2000_decodes_exactly(tmp_path: Path, syntax: str, kind: str) -> None:
    blank = Volume(np.zeros(GRID.shape, dtype=np.float32), GRID)
    path = write_series(tmp_path, blank)[0] if kind == "classic" else write_enhanced(tmp_path, blank)
    found = load(packed_as(path, syntax, CODE_STREAM))
    assert np.array_equal(found.array[0], PATTERN)
    assert found.grid.is_close(GRID)


def test_a_high_throughput_stream_that_was_cut_off_is_refused(tmp_path: Path) -> None:
    path = write_series(tmp_path, Volume(np.zeros(GRID.shape, dtype=np.float32), GRID))[0]
    with pytest.raises(PixelDataError):
        load(packed_as(path, HTJ2KLossless, CODE_STREAM[: len(CODE_STREAM) // 2]))


def smooth(grid: Grid) -> Volume:
    z, y, x = np.indices(grid.shape)
    return Volume((900 + 700 * np.sin(x / 9 + z) * np.cos(y / 7)).astype(np.int32).astype(np.float32), grid)


@pytest.mark.parametrize(
    ("syntax", "options", "at_most"), [(JPEGLSNearLossless, {"jls_error": 3}, 3), (JPEG2000, {"j2k_cr": [8]}, 20)]
)
def test_what_was_packed_with_loss_is_read_within_that_loss(
    tmp_path: Path, syntax: str, options: dict[str, object], at_most: int
) -> None:
    volume = smooth(oblique_grid((1, 64, 72)))
    path = write_series(tmp_path, volume, BitsStored=12)[0]
    ds = pydicom.dcmread(path)
    ds.compress(syntax, generate_instance_uid=False, **options)
    ds.save_as(path)
    off = np.abs(load(path).array - volume.array).max()
    assert 0 < off <= at_most


def test_a_syntax_that_nothing_here_decodes_is_refused_by_name(tmp_path: Path) -> None:
    path = write_series(tmp_path, smooth(oblique_grid((1, 64, 72))), transfer_syntax=JPEG2000Lossless)[0]
    ds = pydicom.dcmread(path)
    ds.file_meta.TransferSyntaxUID = "1.2.840.10008.1.2.4.92"  # JPEG 2000 Part 2, multi-component, lossless
    ds.save_as(path)
    with pytest.raises(PixelDataError, match=str(ds.SOPInstanceUID)):
        load(path)
