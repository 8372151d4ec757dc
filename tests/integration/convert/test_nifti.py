"""NIfTI files on disk: RAS in the file is LPS in memory, and what is written is read back."""

from __future__ import annotations

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK

from bt_node.convert.nifti import read_nifti, write_nifti, write_nifti_labels
from bt_node.domain.errors import UnreadableVolumeError
from bt_node.domain.geometry import Grid, Volume
from bt_node.domain.tumour import LabelMap, Region

pytestmark = pytest.mark.integration

OBLIQUE = Grid((3, 4, 5), (0.5, 0.7, 5.0), (-12.0, 30.0, 7.0), (0.8, -0.6, 0.0, 0.6, 0.8, 0.0, 0.0, 0.0, 1.0))


def _volume(grid: Grid = OBLIQUE) -> Volume:
    return Volume(np.arange(np.prod(grid.shape), dtype=np.float32).reshape(grid.shape), grid)


def _bare_nifti(path: Path, srow: np.ndarray, array: np.ndarray) -> None:
    """A NIfTI-1 file written byte by byte from the format's description (nifti1.h), int16, sform only."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *array.shape[::-1], 1, 1, 1, 1)
    struct.pack_into("<hh", header, 70, 4, 16)
    struct.pack_into("<8f", header, 76, 1.0, *np.linalg.norm(srow[:, :3], axis=0), 0, 0, 0, 0)
    struct.pack_into("<f", header, 108, 352.0)
    struct.pack_into("<B", header, 123, 2)
    struct.pack_into("<hh", header, 252, 0, 1)
    struct.pack_into("<12f", header, 280, *srow.ravel())
    header[344:348] = b"n+1\x00"
    path.write_bytes(bytes(header) + array.astype("<i2").tobytes())


def test_a_file_in_ras_is_lps_in_memory(tmp_path: Path) -> None:
    srow = np.array([[2.0, 0, 0, 10], [0, 3.0, 0, 20], [0, 0, 4.0, 30]])  # index -> RAS mm
    array = np.arange(24).reshape(2, 3, 4)
    _bare_nifti(tmp_path / "one.nii", srow, array)
    volume = read_nifti(tmp_path / "one.nii")
    np.testing.assert_array_equal(volume.array, array)
    assert volume.grid.index_to_world((0, 0, 0)) == pytest.approx([-10, -20, 30])
    assert volume.grid.index_to_world((1, 2, 3)) == pytest.approx([-16, -26, 34])


def test_a_volume_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    write_nifti(tmp_path / "one.nii.gz", _volume())
    found = read_nifti(tmp_path / "one.nii.gz")
    np.testing.assert_array_equal(found.array, _volume().array)
    assert found.grid.is_close(OBLIQUE, 1e-4)


def test_labels_are_read_back_as_small_integers_on_their_grid(tmp_path: Path) -> None:
    labels = LabelMap((np.arange(60) % 4).astype(np.uint8).reshape(3, 4, 5), OBLIQUE)
    write_nifti_labels(tmp_path / "labels.nii.gz", labels)
    assert SimpleITK.ReadImage(str(tmp_path / "labels.nii.gz")).GetPixelID() == SimpleITK.sitkUInt8
    np.testing.assert_array_equal(read_nifti(tmp_path / "labels.nii.gz").array, labels.array)


def test_a_fourth_axis_of_one_is_dropped_and_a_longer_one_refused(tmp_path: Path) -> None:
    one, two = np.zeros((1, 3, 4, 5), dtype=np.float32), np.zeros((2, 3, 4, 5), dtype=np.float32)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(one, isVector=False), str(tmp_path / "one.nii"))
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(two, isVector=False), str(tmp_path / "two.nii"))
    assert read_nifti(tmp_path / "one.nii").grid.shape == (3, 4, 5)
    with pytest.raises(UnreadableVolumeError, match="not one 3D volume"):
        read_nifti(tmp_path / "two.nii")


def test_a_file_that_is_no_nifti_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "text.nii.gz").write_text("nothing")
    with pytest.raises(UnreadableVolumeError, match=r"text\.nii\.gz"):
        read_nifti(tmp_path / "text.nii.gz")


def cut_in_half(content: bytes) -> bytes:
    return content[: len(content) // 2]


def with_another_checksum(content: bytes) -> bytes:
    return content[:-8] + bytes(4) + content[-4:]


@pytest.mark.parametrize(
    ("name", "damage"), [("a.nii", cut_in_half), ("a.nii.gz", cut_in_half), ("a.nii.gz", with_another_checksum)]
)
def test_a_damaged_file_is_refused_where_itk_would_read_zeros(
    tmp_path: Path, name: str, damage: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / name
    write_nifti(path, _volume())
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UnreadableVolumeError, match="damaged, cut off"):
        read_nifti(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_voxels_that_are_no_numbers_are_refused_and_counted(tmp_path: Path, value: float) -> None:
    array = np.ones((3, 4, 5), dtype=np.float32)
    array[1, 2, 3] = array[0, 0, 0] = value
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(array), str(tmp_path / "a.nii.gz"))
    with pytest.raises(UnreadableVolumeError, match="2 voxels that are NaN or infinite"):
        read_nifti(tmp_path / "a.nii.gz")


def test_enhancing_tumour_is_written_as_four_where_brats_wants_it(tmp_path: Path) -> None:
    labels = LabelMap((np.arange(60) % 4).astype(np.uint8).reshape(3, 4, 5), OBLIQUE)
    write_nifti_labels(tmp_path / "labels.nii.gz", labels, enhancing=4)
    found = read_nifti(tmp_path / "labels.nii.gz").array
    assert set(np.unique(found)) == {0, 1, 2, 4}
    np.testing.assert_array_equal(found == 4, labels.mask(Region.ET))
