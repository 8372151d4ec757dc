"""The same files through two independent readers: SimpleITK (GDCM) and dcm2niix must agree voxel by voxel.

Agreement is judged in patient coordinates, so the readers' own ideas about the order of axes do not matter.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pydicom
import pytest
import SimpleITK
from dicom_builder import oblique_grid, ramp_volume, write_enhanced, write_series
from pydicom.uid import ImplicitVRLittleEndian, JPEGLSLossless, RLELossless

from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series
from bt_node.domain.errors import GeometryError
from bt_node.domain.geometry import Grid, Volume

TOLERANCE_MM = 1e-3
GRIDS = {
    "axial": oblique_grid(angles_deg=(0, 0, 0)),
    "oblique": oblique_grid(),
    "double oblique coronal": oblique_grid(angles_deg=(98, -14, 7), spacing=(0.43, 1.7, 5.5)),
    "sagittal": oblique_grid(angles_deg=(90, 0, 90), spacing=(1.2, 0.8, 1.0)),
    "prone": oblique_grid(angles_deg=(4, 176, -9)),
    "far from the isocentre": oblique_grid(origin=(-412.17, 233.9, -871.03)),
}


def load_folder(folder: Path) -> list[Volume]:
    paths = {str(pydicom.dcmread(f, stop_before_pixels=True).SOPInstanceUID): f for f in sorted(folder.glob("*.dcm"))}
    return [load_series(series, paths).volume for series in read_study(paths).series]


def by_simpleitk(folder: Path) -> SimpleITK.Image:
    files = sorted(folder.glob("*.dcm"))
    if len(files) == 1:
        return SimpleITK.Cast(SimpleITK.ReadImage(str(files[0])), SimpleITK.sitkFloat64)
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(folder)))
    return SimpleITK.Cast(reader.Execute(), SimpleITK.sitkFloat64)


def by_dcm2niix(folder: Path, out: Path, program: str) -> list[SimpleITK.Image]:
    out.mkdir(parents=True)
    # -p n: RescaleSlope as it stands, not Philips' private scale.
    command = [program, "-p", "n", "-b", "n", "-z", "n", "-m", "n", "-f", "%s", "-o", out, folder]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    return [SimpleITK.ReadImage(str(found), SimpleITK.sitkFloat64) for found in sorted(out.glob("*.nii"))]


def assert_same_image(volume: Volume, image: SimpleITK.Image, *, relative: float = 1e-5) -> None:
    """Each voxel corner of ours is a voxel corner of the other within the tolerance, and each voxel holds the same.

    The outermost corners decide for all: the distance of two affine maps is largest there.
    """
    other = SimpleITK.GetArrayFromImage(image)
    theirs = Grid(other.shape, image.GetSpacing(), image.GetOrigin(), image.GetDirection())
    outermost = [(-0.5, n - 0.5) for n in volume.grid.shape]
    places = volume.grid.index_to_world(np.array(np.meshgrid(*outermost, indexing="ij")).reshape(3, -1).T)
    corners = np.rint(theirs.world_to_index(places) + 0.5) - 0.5
    assert np.linalg.norm(theirs.index_to_world(corners) - places, axis=1).max() <= TOLERANCE_MM
    assert set(corners[:, 0]) | set(corners[:, 1]) | set(corners[:, 2]) <= {-0.5, *(n - 0.5 for n in other.shape)}
    # Corners agree and both are regular, so axes only swap and flip: which, tell the steps of one voxel.
    steps = np.rint(
        theirs.world_to_index(volume.grid.index_to_world(np.eye(3))) - _index_of_origin(theirs, volume.grid)
    )
    axes = np.abs(steps).argmax(axis=1)
    turned = np.flip(np.transpose(other, axes), [k for k in range(3) if steps[k, axes[k]] < 0])
    assert turned.shape == volume.grid.shape
    assert np.allclose(turned, volume.array, rtol=relative, atol=1e-3)


def _index_of_origin(theirs: Grid, ours: Grid) -> np.ndarray:
    return np.asarray(theirs.world_to_index(ours.origin))


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_phantoms_agree_with_simpleitk(tmp_path: Path, name: str, kind: str) -> None:
    # GDCM neither sorts frames nor reads shared pixel measures beside per-frame positions.
    _write(tmp_path / "d", GRIDS[name], kind, order=[0, 1, 2, 3, 4, 5], measures_per_frame=True)
    assert_same_image(load_folder(tmp_path / "d")[0], by_simpleitk(tmp_path / "d"))


@pytest.mark.parametrize("name", GRIDS)
@pytest.mark.parametrize("kind", ["classic", "enhanced"])
def test_phantoms_agree_with_dcm2niix(tmp_path: Path, name: str, kind: str, peer: Callable[[str], str]) -> None:
    _write(tmp_path / "d", GRIDS[name], kind, order=[2, 0, 1, 5, 4, 3], measures_per_frame=False)
    images = by_dcm2niix(tmp_path / "d", tmp_path / "n", peer("dcm2niix"))
    assert len(images) == 1
    assert_same_image(load_folder(tmp_path / "d")[0], images[0])


def _write(folder: Path, grid: Grid, kind: str, *, order: list[int], measures_per_frame: bool) -> None:
    volume = ramp_volume(grid)
    if kind == "enhanced":
        write_enhanced(folder, volume, order=order, measures_per_frame=measures_per_frame)
    else:
        write_series(folder, volume, RescaleSlope="0.5", RescaleIntercept="-100")


@pytest.mark.parametrize("syntax", [ImplicitVRLittleEndian, RLELossless, JPEGLSLossless], ids=lambda uid: uid.name)
def test_packed_series_agree_with_simpleitk(tmp_path: Path, syntax: str) -> None:
    write_series(tmp_path, ramp_volume(oblique_grid()), transfer_syntax=syntax, BitsStored=12)
    assert_same_image(load_folder(tmp_path)[0], by_simpleitk(tmp_path))


# ---------------------------------------------------------------- real scanners

SERIES = {
    "patient_b.zip": ["SE000001", "SE000002", "SE000008", "SE000009"],
    "vendors.zip": [
        "ge/t1_4slices",
        "philips/t1_4slices",
        "siemens/t1_4slices",
        "siemens_positions/HFS",
        "siemens_positions/HFDR",
        "compressed/compressed",
        "compressed/compressed_j2k",
        "compressed/compressed_jpeg",
        "compressed/compressed_jpegls",
        "compressed/compressed_rle",
        "philips/enhanced_mr",
        "siemens/enhanced_mr",
        "siemens_xa30/enhanced_t1",
    ],
}
ALL_SERIES = [(archive, name) for archive, names in SERIES.items() for name in names]
NO_VOLUMES = {("patient_b.zip", "SE000006"), ("vendors.zip", "siemens_xa30/phoenix_document")}
NOT_BY_DCM2NIIX = {"compressed/compressed_jpegls"}  # Debian's dcm2niix is built without JPEG-LS
BOTH_READ = [(archive, name) for archive, name in ALL_SERIES if name not in NOT_BY_DCM2NIIX]


@pytest.fixture(scope="module")
def real(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    root = tmp_path_factory.mktemp("real")
    for archive in SERIES:
        with ZipFile(shared_data / "dicom" / archive) as packed:
            packed.extractall(root / archive)
    return root


@pytest.mark.shared_data
def test_no_series_of_the_shared_data_is_left_out(real: Path) -> None:
    folders = {
        (archive, str(folder.relative_to(real / archive)))
        for archive in SERIES
        for folder in (path.parent for path in (real / archive).rglob("*.dcm"))
    }
    assert folders == {*ALL_SERIES, *NO_VOLUMES}


@pytest.mark.shared_data
@pytest.mark.parametrize(("archive", "name"), ALL_SERIES, ids=[name for _, name in ALL_SERIES])
def test_real_series_agree_with_simpleitk(real: Path, archive: str, name: str) -> None:
    folder = real / archive / name
    assert_same_image(load_folder(folder)[0], by_simpleitk(folder))


@pytest.mark.shared_data
@pytest.mark.parametrize(("archive", "name"), BOTH_READ, ids=[name for _, name in BOTH_READ])
def test_real_series_agree_with_dcm2niix(
    real: Path, tmp_path: Path, archive: str, name: str, peer: Callable[[str], str]
) -> None:
    folder = real / archive / name
    images = by_dcm2niix(folder, tmp_path / "n", peer("dcm2niix"))
    assert len(images) == 1
    assert_same_image(load_folder(folder)[0], images[0])


@pytest.mark.shared_data
def test_the_real_survey_in_three_planes_is_refused(real: Path) -> None:
    with pytest.raises(GeometryError, match="3 different slice orientations"):
        load_folder(real / "patient_b.zip" / "SE000006")
