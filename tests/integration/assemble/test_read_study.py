"""Real files on disk: what their headers say, and where every instance ends."""

from __future__ import annotations

import contextlib
import errno
import random
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
import pydicom
import pytest
from dicom_builder import STUDY_UID, made_uid, oblique_grid, ramp_volume, write_enhanced, write_series
from pydicom import config
from pydicom.dataelem import RawDataElement
from pydicom.tag import Tag
from pydicom.uid import (
    CTImageStorage,
    DeflatedExplicitVRLittleEndian,
    LegacyConvertedEnhancedMRImageStorage,
    SecondaryCaptureImageStorage,
)

from bt_node.assemble.folder import read_folder
from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import read_study
from bt_node.convert.stack import load_series
from bt_node.domain.errors import BtNodeError, DuplicateSliceError, PixelDataError, SpoolFileMissingError
from bt_node.domain.study import Role, SeriesFacts, StudyFacts

pytestmark = pytest.mark.integration
VOLUME = ramp_volume(oblique_grid((20, 8, 8), spacing=(20.0, 20.0, 6.0)))


def by_uid(*paths: Path) -> dict[str, Path]:
    return {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths}


def only(facts: StudyFacts) -> SeriesFacts:
    assert len(facts.series) == 1
    assert facts.set_aside == ()
    return facts.series[0]


def instances_in(facts: StudyFacts) -> int:
    used = {s.sop_instance_uid for series in facts.series for s in series.slices}
    return len(used) + sum(entry.instances for entry in facts.set_aside)


def test_a_classic_series_tells_its_acquisition(tmp_path: Path) -> None:
    paths = write_series(
        tmp_path,
        VOLUME,
        series_number=7,
        SeriesDescription="t1_se",
        ProtocolName="head",
        EchoTime="12.5",
        RepetitionTime="550",
        InversionTime="0",
        FlipAngle="70",
        EchoTrainLength="3",
        ScanningSequence=["SE", "IR"],
        ScanOptions="FS",
        ContrastBolusAgent="Agent",
        AcquisitionTime="101112.25",
        RescaleSlope="2",
    )
    series = only(read_study(by_uid(*paths)))
    assert series.series_number == 7
    assert (series.echo_time_ms, series.repetition_time_ms, series.inversion_time_ms) == (12.5, 550.0, None)
    assert (series.flip_angle_deg, series.echo_train_length) == (70.0, 3)
    assert series.scanning_sequence == ("SE", "IR")
    assert series.scan_options == ("FS",)
    assert series.contrast_agent == "Agent"
    assert series.acquired_at_s == pytest.approx(1577873472.25)  # 2020-01-01 10:11:12.25
    assert [facts.slope for facts in series.slices] == [2.0] * 20


def test_an_enhanced_file_tells_the_same_from_its_functional_groups(tmp_path: Path) -> None:
    path = write_enhanced(
        tmp_path,
        VOLUME,
        echo_time_ms=120.0,
        repetition_time_ms=9000.0,
        inversion_time_ms=2500.0,
        slopes=[1 + k / 10 for k in range(20)],
        EchoPulseSequence="SPIN",
    )
    series = only(read_study(by_uid(path)))
    assert (series.echo_time_ms, series.repetition_time_ms, series.inversion_time_ms) == (120.0, 9000.0, 2500.0)
    assert series.scanning_sequence == ("SE", "IR")
    assert [facts.frame for facts in series.slices] == list(range(20))
    assert [facts.slope for facts in series.slices] == pytest.approx([1 + k / 10 for k in range(20)])
    assert choose_roles(read_study(by_uid(path))).choices[Role.FLAIR].series == series


def test_a_per_frame_group_overrides_the_shared_one(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path, VOLUME, echo_time_ms=10.0)
    ds = pydicom.dcmread(path)
    for frame in ds.PerFrameFunctionalGroupsSequence:
        item = pydicom.Dataset()
        item.EffectiveEchoTime = 99.0
        frame.MREchoSequence = [item]
    ds.save_as(path)
    assert only(read_study(by_uid(path))).echo_time_ms == 99.0


def test_a_legacy_converted_file_is_read_like_an_enhanced_one(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path, VOLUME, sop_class=LegacyConvertedEnhancedMRImageStorage)
    assert len(only(read_study(by_uid(path))).slices) == 20


def test_a_deflated_series_is_read(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOLUME, transfer_syntax=DeflatedExplicitVRLittleEndian)
    assert len(only(read_study(by_uid(*paths))).slices) == 20


@pytest.mark.parametrize(
    ("keyword", "vr", "written", "attribute", "expected"),
    [
        ("EchoTime", "DS", "", "echo_time_ms", None),
        ("EchoTime", "DS", "0", "echo_time_ms", None),
        ("EchoTime", "LO", "12.5", "echo_time_ms", 12.5),
        ("EchoTime", "LO", "12,5 ", "echo_time_ms", 12.5),
        ("EchoTime", "LO", "unknown", "echo_time_ms", None),
        ("EchoTime", "DS", ["12.5", "90"], "echo_time_ms", 12.5),
        ("RepetitionTime", "FD", 550.0, "repetition_time_ms", 550.0),
        ("SeriesNumber", "LO", "", "series_number", None),
        ("EchoTrainLength", "DS", "7.0", "echo_train_length", 7),
        ("SeriesDescription", "LO", ["t1", "tra"], "description", "t1 tra"),
        ("AcquisitionTime", "TM", "", "acquired_at_s", 1577880060.0),  # falls back to SeriesTime 12:01:00
        ("AcquisitionTime", "LO", "noon", "acquired_at_s", 1577880060.0),
    ],
)
@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_odd_values_are_absent_or_understood_and_never_fatal(
    tmp_path: Path, keyword: str, vr: str, written: Any, attribute: str, expected: object
) -> None:
    paths = write_series(tmp_path, VOLUME)
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.pop(keyword, None)
        ds.add_new(keyword, vr, written)
        ds.save_as(path)
    assert getattr(only(read_study(by_uid(*paths))), attribute) == expected


@pytest.mark.parametrize(
    ("keyword", "vr", "raw"),
    [
        ("AcquisitionDate", "FD", b"20200101 12:00"),
        ("EchoTime", "US", b"12.5 "),
        ("PatientID", "SQ", b"PHANTOM "),
        ("AnatomicRegionSequence", "SQ", b"BRAIN "),
        ("SOPInstanceUID", "SQ", b"\xff" * 8),
        ("InstanceNumber", "IS", b"1e400 "),
        ("ImagePositionPatient", "DS", b"1e400\\0\\0 "),
        ("Rows", "FD", b"10"),
        ("Columns", "DS", b"-1e30 "),
        ("Columns", "DS", b"1e30"),
    ],
)
@pytest.mark.filterwarnings("ignore")
def test_bytes_that_are_no_value_of_their_vr_are_never_fatal(
    tmp_path: Path, keyword: str, vr: str, raw: bytes
) -> None:
    paths = write_series(tmp_path, VOLUME)
    keyed = by_uid(*paths)
    ds = pydicom.dcmread(paths[2])
    ds[keyword] = RawDataElement(Tag(keyword), vr, len(raw), raw, 0, False, True)
    ds.save_as(paths[2], enforce_file_format=False)
    facts = read_study(keyed)
    assert instances_in(facts) == len(paths)
    choose_roles(facts)
    for series in facts.series:
        with contextlib.suppress(BtNodeError):
            load_series(series, keyed)


def test_a_disk_that_fails_is_no_damaged_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    keyed = by_uid(*write_series(tmp_path, VOLUME))
    monkeypatch.setattr(Path, "open", broken)
    with pytest.raises(OSError, match="Input/output"):
        read_study(keyed)


def test_absent_timing_is_none(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOLUME, EchoTime=None, RepetitionTime=None, EchoTrainLength=None)
    series = only(read_study(by_uid(*paths)))
    assert (series.echo_time_ms, series.repetition_time_ms, series.echo_train_length) == (None, None, None)


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"SOPClassUID": CTImageStorage, "Modality": "CT"}, "CT Image Storage"),
        ({"SOPClassUID": SecondaryCaptureImageStorage, "Modality": "OT"}, "Secondary Capture"),
        ({"Modality": "CT"}, "modality CT"),
    ],
)
def test_what_is_no_mr_image_is_set_aside_with_its_kind(
    tmp_path: Path, attributes: dict[str, str], words: str
) -> None:
    paths = write_series(tmp_path, VOLUME, series_number=4, **attributes)
    facts = read_study(by_uid(*paths))
    assert facts.series == ()
    assert [(entry.series_number, entry.instances) for entry in facts.set_aside] == [(4, 20)]
    assert words in facts.set_aside[0].reason


def test_a_picture_inside_an_mr_series_does_not_spoil_the_series(tmp_path: Path) -> None:
    paths = write_series(tmp_path / "a", VOLUME)
    picture = write_series(
        tmp_path / "b",
        VOLUME,
        series_uid=made_uid(STUDY_UID, 1),
        SOPClassUID=SecondaryCaptureImageStorage,
        SOPInstanceUID=lambda plane: made_uid("picture", plane),
    )[0]
    facts = read_study(by_uid(*paths, picture))
    assert len(facts.series[0].slices) == 20
    assert facts.set_aside[0].instances == 1


@pytest.mark.parametrize("kind", [["DERIVED", "PRIMARY"], ["ORIGINAL", "SECONDARY"]])
def test_a_screenshot_stored_as_mr_does_not_spoil_the_series(tmp_path: Path, kind: list[str]) -> None:
    paths = write_series(tmp_path, VOLUME)
    ds = pydicom.dcmread(paths[-1])
    del ds.ImagePositionPatient, ds.ImageOrientationPatient
    ds.ImageType = [*kind, "OTHER"]
    ds.save_as(paths[-1])
    facts = read_study(by_uid(*paths))
    assert len(facts.series[0].slices) == 19
    assert [(entry.instances, "without a place" in entry.reason) for entry in facts.set_aside] == [(1, True)]


def test_an_original_slice_that_lost_its_place_sets_its_series_aside(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOLUME)
    ds = pydicom.dcmread(paths[-1])
    del ds.ImagePositionPatient, ds.ImageOrientationPatient
    ds.ImageType = ["ORIGINAL", "PRIMARY", "OTHER"]
    ds.save_as(paths[-1])
    assert read_study(by_uid(*paths)).series == ()


@pytest.mark.parametrize(
    ("keyword", "words"),
    [
        ("ImagePositionPatient", "ImagePositionPatient"),
        ("ImageOrientationPatient", "ImageOrientationPatient"),
        ("PixelSpacing", "PixelSpacing"),
        ("PixelData", "before any pixel data"),
    ],
)
def test_one_unusable_instance_sets_the_whole_series_aside_because_a_slice_would_be_missing(
    tmp_path: Path, keyword: str, words: str
) -> None:
    paths = write_series(tmp_path, VOLUME)
    ds = pydicom.dcmread(paths[-1])
    del ds[keyword]
    ds.save_as(paths[-1])
    facts = read_study(by_uid(*paths))
    assert facts.series == ()
    assert facts.set_aside[0].instances == 20
    assert "1 of 20 instances" in facts.set_aside[0].reason
    assert words in facts.set_aside[0].reason


@pytest.mark.parametrize("content", [b"", b"no DICOM at all " * 40, b"\0" * 128 + b"DICM" + b"\xff" * 60])
def test_a_file_that_is_no_dicom_is_set_aside_by_its_uid(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.dcm"
    path.write_bytes(content)
    facts = read_study({"1.2.3.4": path})
    assert facts.series == ()
    assert "1.2.3.4" in facts.set_aside[0].reason


@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2.1", DeflatedExplicitVRLittleEndian])
@pytest.mark.parametrize("kept", [140, 300, 500, 800])
def test_a_header_that_was_cut_off_never_loses_the_instance(tmp_path: Path, kept: int, syntax: str) -> None:
    paths = write_series(tmp_path, VOLUME, transfer_syntax=syntax)
    keyed = by_uid(*paths)
    paths[3].write_bytes(paths[3].read_bytes()[:kept])
    facts = read_study(keyed)
    assert instances_in(facts) == 20
    assert facts.set_aside


def test_pixel_data_that_was_cut_off_is_refused_where_it_is_decoded(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOLUME)
    keyed = by_uid(*paths)
    paths[3].write_bytes(paths[3].read_bytes()[:-30])
    series = only(read_study(keyed))
    with pytest.raises(PixelDataError, match=series.slices[3].sop_instance_uid):
        load_series(series, keyed)


def test_a_file_that_is_not_there_is_for_later(tmp_path: Path) -> None:
    with pytest.raises(SpoolFileMissingError):
        read_study({"1.2.3.4": tmp_path / "gone.dcm"})


def test_two_echoes_in_one_series_become_two_volumes(tmp_path: Path) -> None:
    echoes = [
        write_series(
            tmp_path / name,
            VOLUME,
            series_uid="1.2.3.5",
            SeriesDescription="PD T2 tse",
            EchoTime=echo,
            RepetitionTime="3000",
            SOPInstanceUID=lambda plane, name=name: made_uid(name, plane),
        )
        for name, echo in (("first", "15"), ("second", "98"))
    ]
    keyed = by_uid(*echoes[0], *echoes[1])
    facts = read_study(keyed)
    assert sorted(series.echo_time_ms or 0 for series in facts.series) == [15.0, 98.0]
    chosen = choose_roles(facts)
    assert chosen.choices[Role.T2].series.echo_time_ms == 98.0
    assert load_series(chosen.choices[Role.T2].series, keyed).grid.shape == (20, 8, 8)
    assert [(entry.instances, "proton density" in entry.reason) for entry in chosen.set_aside] == [(20, True)]


@pytest.mark.parametrize("agents", [("", "Gadobutrol"), ("Gadobutrol", "")])
def test_two_volumes_of_one_series_have_the_contrast_that_their_own_headers_tell(
    tmp_path: Path, agents: tuple[str, str]
) -> None:
    paths: list[Path] = []
    for index, agent in enumerate(agents):
        paths += write_series(
            tmp_path / str(index),
            VOLUME,
            series_uid="1.2.3.5",
            SOPInstanceUID=lambda plane, index=index: made_uid(index, plane),
            InstanceNumber=lambda plane, index=index: 1 + 100 * index + plane,
            AcquisitionNumber=1 + index,
            ContrastBolusAgent=agent,
        )
    first, second = read_study(by_uid(*paths)).series
    assert (first.contrast_agent, second.contrast_agent) == agents


def test_slices_that_nothing_tells_apart_stay_together_and_are_refused(tmp_path: Path) -> None:
    other = ramp_volume(VOLUME.grid, seed=2)  # images with the same pixels would be taken as copies
    keyed = by_uid(
        *write_series(tmp_path / "a", VOLUME, series_uid="1.2.3.5"),
        *write_series(
            tmp_path / "b", other, series_uid="1.2.3.5", SOPInstanceUID=lambda plane: made_uid("again", plane)
        ),
    )
    with pytest.raises(DuplicateSliceError):
        load_series(only(read_study(keyed)), keyed)


def test_dynamics_of_an_enhanced_file_become_volumes(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path, VOLUME, order=[*range(20), *range(20)])
    ds = pydicom.dcmread(path)
    for index, frame in enumerate(ds.PerFrameFunctionalGroupsSequence):
        frame.FrameContentSequence[0].TemporalPositionIndex = 1 + index // 20
    ds.save_as(path)
    facts = read_study(by_uid(path))
    assert [[s.frame for s in series.slices] for series in facts.series] == [list(range(20)), list(range(20, 40))]


def test_an_enhanced_file_with_too_few_functional_groups_is_set_aside(tmp_path: Path) -> None:
    path = write_enhanced(tmp_path, VOLUME)
    ds = pydicom.dcmread(path)
    ds.PerFrameFunctionalGroupsSequence = ds.PerFrameFunctionalGroupsSequence[:7]
    ds.save_as(path)
    facts = read_study(by_uid(path))
    assert "20 frames, but functional groups for 7" in facts.set_aside[0].reason


def test_the_order_of_the_files_makes_no_difference(tmp_path: Path) -> None:
    paths = [p for n in range(1, 4) for p in write_series(tmp_path, VOLUME, series_number=n)]
    keyed = by_uid(*paths)
    shuffled = list(keyed.items())
    random.Random(4).shuffle(shuffled)
    assert read_study(dict(shuffled)) == read_study(keyed)


def test_nothing_of_the_patient_is_in_the_reasons(tmp_path: Path) -> None:
    paths = write_series(
        tmp_path / "a", VOLUME, SeriesDescription="Doe^Jane", Modality="CT", SOPClassUID=CTImageStorage
    )
    paths += write_series(tmp_path / "b", VOLUME, series_number=2, SeriesDescription="Doe^Jane", PixelSpacing=None)
    paths += write_series(tmp_path / "c", VOLUME, series_number=3, SeriesDescription="Doe^Jane", ProtocolName="DOE-1")
    chosen = choose_roles(read_study(by_uid(*paths)))
    assert len(chosen.set_aside) + len(chosen.choices) == 3
    spoken = " ".join([e.reason for e in chosen.set_aside] + [c.reason for c in chosen.choices.values()])
    assert "Doe" not in spoken
    assert "DOE" not in spoken


def test_a_study_of_four_series_is_understood_from_its_files(tmp_path: Path) -> None:
    kinds = {
        3: {"SeriesDescription": "t1_se", "EchoTime": "12", "RepetitionTime": "550"},
        9: {"SeriesDescription": "t1_se", "EchoTime": "12", "RepetitionTime": "550"},
        5: {"SeriesDescription": "t2_tse", "EchoTime": "98", "RepetitionTime": "4000"},
        6: {"SeriesDescription": "flair", "EchoTime": "98", "RepetitionTime": "9000", "InversionTime": "2500"},
    }
    paths = [p for n, kind in kinds.items() for p in write_series(tmp_path, VOLUME, series_number=n, **kind)]
    chosen = choose_roles(read_study(by_uid(*paths)))
    numbers = {role: choice.series.series_number for role, choice in chosen.choices.items()}
    assert numbers == {Role.T1: 3, Role.T1C: 9, Role.T2: 5, Role.FLAIR: 6}


# ---------------------------------------------------------------- real scanners


def _unpacked(shared_data: Path, archive: str, into: Path) -> dict[str, Path]:
    with ZipFile(shared_data / "dicom" / archive) as packed:
        packed.extractall(into)
    return by_uid(*into.rglob("*.dcm"))


@pytest.mark.shared_data
def test_the_real_patient_s_roles_are_found(shared_data: Path, tmp_path: Path) -> None:
    keyed = _unpacked(shared_data, "patient_b.zip", tmp_path)
    chosen = choose_roles(read_study(keyed))
    folders = {
        role: keyed[choice.series.slices[0].sop_instance_uid].parent.name for role, choice in chosen.choices.items()
    }
    assert folders == {Role.T1: "SE000001", Role.T1C: "SE000008", Role.T2: "SE000002", Role.FLAIR: "SE000009"}
    assert [entry.instances for entry in chosen.set_aside] == [9]
    assert "localizer" in chosen.set_aside[0].reason


@pytest.mark.shared_data
def test_every_real_vendor_file_ends_somewhere(shared_data: Path, tmp_path: Path) -> None:
    keyed = _unpacked(shared_data, "vendors.zip", tmp_path)
    facts = read_study(keyed)
    assert instances_in(facts) == len(keyed)
    assert [(entry.instances, entry.reason) for entry in facts.set_aside] == [
        (7, "not an MR image (Enhanced SR Storage)")
    ]
    assert all(np.isfinite(series.slices[0].position).all() for series in facts.series)


@pytest.mark.filterwarnings("error")
def test_a_folder_is_read_without_remarks_that_quote_its_values(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_series(tmp_path, VOLUME)[2]
    with config.disable_value_validation():
        ds = pydicom.dcmread(path)
        ds.BodyPartExamined = "Doe, Jane (call 555)"
        ds.save_as(path)
    read_folder(tmp_path)
    assert "Jane" not in caplog.text
