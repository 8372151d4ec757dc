"""What scanners and archives really send, from files to volumes: read exactly, or refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
from dicom_builder import made_uid, oblique_grid, ramp_volume, write_enhanced, write_series
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.tag import Tag
from pydicom.uid import LegacyConvertedEnhancedMRImageStorage

from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series
from bt_node.domain.errors import DuplicateSliceError, MixedMatrixError, MosaicError, SliceGapError
from bt_node.domain.geometry import Volume
from bt_node.domain.study import SeriesFacts, StackedSeries

pytestmark = pytest.mark.integration

GRID = oblique_grid((6, 10, 12))
ONE, TWO = ramp_volume(GRID, seed=1), ramp_volume(GRID, seed=2)
SERIES = "1.2.3.5"


def by_uid(*paths: Path) -> dict[str, Path]:
    return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths}


def read(*paths: Path) -> tuple[tuple[SeriesFacts, ...], dict[str, Path]]:
    keyed = by_uid(*paths)
    facts = read_study(keyed)
    assert facts.set_aside == ()
    return facts.series, keyed


def load(*paths: Path) -> list[StackedSeries]:
    series, keyed = read(*paths)
    return [load_series(one, keyed) for one in series]


def same(stacked: StackedSeries, volume: Volume) -> bool:
    return stacked.grid.is_close(volume.grid) and np.array_equal(stacked.volume.array, volume.array)


def two_volumes(folder: Path, **differences: tuple[object, object]) -> list[Path]:
    """ONE and TWO in one series at the same places, told apart by `differences`, numbered slice by slice in turns."""
    paths = []
    for index, volume in enumerate((ONE, TWO)):
        paths += write_series(
            folder / str(index),
            volume,
            series_uid=SERIES,
            SOPInstanceUID=lambda plane, index=index: made_uid(index, plane),
            InstanceNumber=lambda plane, index=index: 1 + 2 * plane + index,
            **{keyword: values[index] for keyword, values in differences.items()},
        )
    return paths


# ---------------------------------------------------------------- several volumes in one series


@pytest.mark.parametrize(
    "differences",
    [
        {"EchoTime": ("15", "98"), "EchoNumbers": (1, 2)},
        {"DiffusionBValue": (0.0, 1000.0)},
        {"TemporalPositionIdentifier": (1, 2)},
        {"ImageType": (["ORIGINAL", "PRIMARY", "M", "FFE"], ["ORIGINAL", "PRIMARY", "P", "FFE"])},
        {"InversionTime": ("400", "900")},
        {"AcquisitionNumber": (1, 2)},
    ],
    ids=["two echoes", "b-values", "dynamics", "magnitude and phase", "inversion times", "acquisitions"],
)
def test_volumes_that_share_a_classic_series_are_told_apart(
    tmp_path: Path, differences: dict[str, tuple[object, object]]
) -> None:
    first, second = load(*two_volumes(tmp_path, **differences))
    assert same(first, ONE)
    assert same(second, TWO)


def group(keyword: str, **values: object) -> tuple[str, list[Dataset]]:
    item = Dataset()
    for name, value in values.items():
        setattr(item, name, value)
    return keyword, [item]


@pytest.mark.parametrize(
    "groups",
    [
        [group("MREchoSequence", EffectiveEchoTime=value) for value in (15.0, 98.0)],
        [group("MRDiffusionSequence", DiffusionBValue=value) for value in (0.0, 1000.0)],
        [group("MRImageFrameTypeSequence", FrameType=["ORIGINAL", "PRIMARY", kind, "NONE"]) for kind in ("M", "P")],
    ],
    ids=["two echoes", "b-values", "magnitude and phase"],
)
@pytest.mark.parametrize("interleaved", [False, True])
def test_volumes_that_share_an_enhanced_file_are_told_apart(
    tmp_path: Path, groups: list[tuple[str, list[Dataset]]], interleaved: bool
) -> None:
    both = Volume(np.concatenate([ONE.array, TWO.array]), oblique_grid((12, 10, 12)))
    order = [plane + 6 * which for plane in range(6) for which in (0, 1)] if interleaved else list(range(12))
    path = write_enhanced(tmp_path, both, order=order)
    ds = pydicom.dcmread(path)
    for frame, plane in zip(ds.PerFrameFunctionalGroupsSequence, order, strict=True):
        keyword, value = groups[plane // 6]
        setattr(frame, keyword, value)
        frame.PlanePositionSequence[0].ImagePositionPatient = [
            round(float(v), 6) for v in GRID.index_to_world((plane % 6, 0, 0))
        ]
    ds.save_as(path)
    first, second = load(path)
    assert same(first, ONE)
    assert same(second, TWO)


# ---------------------------------------------------------------- order, position of the patient, sizes


@pytest.mark.parametrize("order", [[0, 2, 4, 1, 3, 5], [5, 3, 1, 4, 2, 0], [3, 0, 5, 1, 4, 2]])
def test_slices_numbered_in_the_order_of_acquisition_are_stacked_by_place(tmp_path: Path, order: list[int]) -> None:
    paths = write_series(tmp_path, ONE, InstanceNumber=lambda plane: 1 + order.index(plane))
    (stacked,) = load(*paths)
    assert same(stacked, ONE)


@pytest.mark.parametrize("position", ["HFS", "HFP", "HFDL", "HFDR", "FFS", "FFP", "FFDL", "FFDR", None])
def test_the_position_of_the_patient_is_in_the_cosines_and_is_not_applied_again(
    tmp_path: Path, position: str | None
) -> None:
    # PS3.3 C.7.6.2.1.1: cosines and positions are the patient's already, however he lies.
    turned = ramp_volume(
        oblique_grid(angles_deg={"P": (4, 176, -9), "L": (3, 2, 91)}.get((position or "S")[2:3], (1, 2, 3)))
    )
    (stacked,) = load(*write_series(tmp_path, turned, PatientPosition=position))
    assert same(stacked, turned)


def test_a_slice_that_was_taken_with_another_matrix_is_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", ONE, series_uid=SERIES)
    larger = ramp_volume(oblique_grid((6, 20, 24), spacing=(0.45, 0.55, 3.0)))
    other = write_series(
        tmp_path / "b", larger, series_uid=SERIES, SOPInstanceUID=lambda plane: made_uid("larger", plane)
    )
    series, keyed = read(*paths[:3], *other[3:])
    with pytest.raises(MixedMatrixError):
        load_series(series[0], keyed)


def test_slices_that_grow_apart_are_refused(tmp_path: Path) -> None:
    paths = write_series(
        tmp_path, ONE, ImagePositionPatient=lambda plane: [float(v) for v in GRID.index_to_world((plane**1.2, 0, 0))]
    )
    series, keyed = read(*paths)
    with pytest.raises(SliceGapError):
        load_series(series[0], keyed)


def test_a_gap_between_thin_slices_is_no_missing_slice(tmp_path: Path) -> None:
    (stacked,) = load(*write_series(tmp_path, ONE, SliceThickness="2.4", SpacingBetweenSlices="0.6"))
    assert stacked.grid.spacing[2] == pytest.approx(3.0)


# ---------------------------------------------------------------- the same image twice


def test_a_series_that_was_received_twice_under_other_uids_is_read_once_and_says_so(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", ONE, series_uid=SERIES)
    again = write_series(
        tmp_path / "b", ONE, series_uid=SERIES, SOPInstanceUID=lambda plane: made_uid("again", plane)
    )
    (stacked,) = load(*again, *paths)
    assert same(stacked, ONE)
    assert len(stacked.copies) == 6
    assert {facts.sop_instance_uid for facts in (*stacked.slices, *stacked.copies)} == set(by_uid(*paths, *again))
    (backwards,) = load(*paths, *again)
    assert (backwards.slices, backwards.copies) == (stacked.slices, stacked.copies)


def test_one_slice_sent_twice_is_left_out_once(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", ONE, series_uid=SERIES)
    again = write_series(
        tmp_path / "b", ONE, series_uid=SERIES, SOPInstanceUID=lambda plane: made_uid("again", plane)
    )
    (stacked,) = load(*paths, again[4])
    assert same(stacked, ONE)
    assert len(stacked.copies) == 1


def test_a_slice_sent_twice_does_not_part_the_packages_of_one_acquisition(tmp_path: Path) -> None:
    in_packages: dict[str, object] = {"AcquisitionNumber": lambda plane: 1 + plane % 2}
    paths = write_series(tmp_path / "a", ONE, series_uid=SERIES, **in_packages)
    again = write_series(
        tmp_path / "b", ONE, series_uid=SERIES, SOPInstanceUID=lambda plane: made_uid("again", plane), **in_packages
    )
    (stacked,) = load(*paths, again[4])
    assert same(stacked, ONE)  # not two volumes of every second slice
    assert len(stacked.copies) == 1


def test_two_images_of_one_place_that_differ_in_one_pixel_are_refused(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", ONE, series_uid=SERIES)
    changed = ONE.array.copy()
    changed[4, 7, 3] += 1
    again = write_series(
        tmp_path / "b",
        Volume(changed, GRID),
        series_uid=SERIES,
        SOPInstanceUID=lambda plane: made_uid("again", plane),
    )
    series, keyed = read(*paths, *again)
    with pytest.raises(DuplicateSliceError):
        load_series(series[0], keyed)


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("keyword", "value", "words"),
    [
        ("RescaleSlope", b"0 ", "RescaleSlope is 0"),
        ("RescaleSlope", b"none", "RescaleSlope is not a number"),
        ("RescaleSlope", b"1e400 ", "RescaleSlope is not a number"),
        ("RescaleIntercept", b"n/a ", "RescaleIntercept is not a number"),
    ],
)
@pytest.mark.parametrize("planes", [range(1), range(6)])
def test_a_slope_that_is_none_is_refused_in_words_and_not_taken_as_absent(
    tmp_path: Path, keyword: str, value: bytes, words: str, planes: range
) -> None:
    """One slice of a series scaled otherwise than the rest, and nobody told: that would be another image."""
    paths = write_series(tmp_path, ONE, RescaleSlope="0.5", RescaleIntercept="0.25")
    for plane in planes:
        ds = pydicom.dcmread(paths[plane])
        ds[keyword] = RawDataElement(Tag(keyword), "DS", len(value), value, 0, False, True)
        ds.save_as(paths[plane])
    facts = read_study(by_uid(*paths))
    told = [aside.reason for aside in facts.set_aside]
    assert facts.series == ()
    assert any(words in reason for reason in told), told


def test_a_slope_that_is_empty_is_absent_which_is_one(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ONE)
    ds = pydicom.dcmread(paths[0])
    ds.RescaleSlope = ds.RescaleIntercept = ""
    ds.save_as(paths[0])
    (stacked,) = load(*paths)
    assert {(facts.slope, facts.intercept) for facts in stacked.slices} == {(1.0, 0.0)}
    assert same(stacked, ONE)


def test_real_world_value_maps_are_not_applied(tmp_path: Path) -> None:
    """They turn stored values into a physical quantity of a map; brightness here is what rescale says."""
    item = Dataset()
    item.RealWorldValueFirstValueMapped, item.RealWorldValueLastValueMapped = 0, 4095
    item.RealWorldValueSlope, item.RealWorldValueIntercept = 7.5, -300.0
    item.LUTLabel, item.LUTExplanation = "T1", "milliseconds"
    classic = write_series(tmp_path / "c", ONE, RealWorldValueMappingSequence=[item], RescaleSlope="0.5")
    assert same(load(*classic)[0], ONE)
    enhanced = write_enhanced(tmp_path / "e", ONE)
    ds = pydicom.dcmread(enhanced)
    for frame in ds.PerFrameFunctionalGroupsSequence:
        frame.RealWorldValueMappingSequence = [item]
    ds.save_as(enhanced)
    assert same(load(enhanced)[0], ONE)


def test_a_legacy_converted_file_gives_the_volume_of_the_classic_series(tmp_path: Path) -> None:
    path = write_enhanced(
        tmp_path, ONE, sop_class=LegacyConvertedEnhancedMRImageStorage, order=[3, 0, 5, 1, 4, 2], slopes=[0.5] * 6
    )
    assert same(load(path)[0], ONE)


def test_a_mosaic_is_refused_by_name(tmp_path: Path) -> None:
    paths = write_series(tmp_path, ONE, ImageType=["ORIGINAL", "PRIMARY", "M", "ND", "MOSAIC"])
    series, keyed = read(*paths)
    with pytest.raises(MosaicError, match="mosaic of many slices"):
        load_series(series[0], keyed)
