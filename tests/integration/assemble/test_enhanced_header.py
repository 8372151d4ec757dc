"""Enhanced MR and private elements in real files: what they say becomes the same facts as in classic files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
from dicom_builder import STUDY_UID, made_uid, oblique_grid, ramp_volume, write_enhanced, write_series
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from bt_node.assemble.roles import choose_roles
from bt_node.assemble.study import read_study
from bt_node.domain.study import Certainty, Role, SeriesFacts, StudyFacts

pytestmark = pytest.mark.integration
PLANES = 20
VOLUME = ramp_volume(oblique_grid((PLANES, 8, 8), spacing=(20.0, 20.0, 6.0)))
SHARED, FRAMES = "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"
Change = Callable[[Dataset], None]


def item(**values: Any) -> DicomSequence:
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return DicomSequence([made])


def read(*paths: Path) -> tuple[SeriesFacts, ...]:
    keyed = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in paths}
    return read_study(keyed).series


def enhanced(folder: Path, change: Change, **attributes: Any) -> tuple[SeriesFacts, ...]:
    path = write_enhanced(folder, VOLUME, **attributes)
    ds = pydicom.dcmread(path)
    change(ds)
    ds.save_as(path)
    return read(path)


def in_shared(keyword: str, **values: Any) -> Change:
    return lambda ds: setattr(ds[SHARED].value[0], keyword, item(**values))


def in_frames(keyword: str, *values: dict[str, Any]) -> Change:
    """Each frame gets the next of `values`, in turn."""

    def change(ds: Dataset) -> None:
        for index, frame in enumerate(ds[FRAMES].value):
            setattr(frame, keyword, item(**values[index % len(values)]))

    return change


def usage(*said: str) -> Change:
    return in_frames("ContrastBolusUsageSequence", *({"ContrastBolusAgentAdministered": word} for word in said))


@pytest.mark.parametrize(("said", "given"), [(("YES",), True), (("NO",), False), (("YES", "NO"), None)])
def test_administered_per_frame_is_told_where_all_frames_agree(
    tmp_path: Path, said: tuple[str, ...], given: bool | None
) -> None:
    (series,) = enhanced(tmp_path, usage(*said), ContrastBolusAgentSequence=item(CodeMeaning="Gadobutrol"))
    assert series.contrast_given is given
    assert bool(series.contrast_agent) == (given is not False)


def test_administered_in_the_shared_groups_counts_for_all_frames_and_several_agents_for_each(tmp_path: Path) -> None:
    def two_agents(ds: Dataset) -> None:
        first, second = Dataset(), Dataset()
        first.ContrastBolusAgentAdministered, second.ContrastBolusAgentAdministered = "NO", "YES"
        ds[SHARED].value[0].ContrastBolusUsageSequence = DicomSequence([first, second])

    (series,) = enhanced(tmp_path, two_agents)
    assert series.contrast_given is True


def test_enhanced_t1_before_and_after_are_told_apart_by_the_usage_alone(tmp_path: Path) -> None:
    agent = {"ContrastBolusAgentSequence": item(CodeMeaning="Gadobutrol"), "EchoPulseSequence": "SPIN"}
    t1 = {"SeriesDescription": "T1 tra", "echo_time_ms": 12.0, "repetition_time_ms": 550.0, **agent}
    made = []
    for number, said in ((3, "YES"), (4, "NO")):  # the series with contrast has the earlier time: no order helps
        path = write_enhanced(tmp_path / str(number), VOLUME, series_number=number, **t1)
        ds = pydicom.dcmread(path)
        usage(said)(ds)
        for frame in ds[FRAMES].value:
            del frame.FrameContentSequence[0].FrameAcquisitionDateTime
        del ds.AcquisitionDateTime, ds.SeriesTime
        ds.save_as(path)
        made.append(path)
    keyed = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path for path in made}
    assignment = choose_roles(read_study(keyed))
    assert assignment.choices[Role.T1C].series.series_number == 3
    assert assignment.choices[Role.T1].series.series_number == 4
    assert assignment.certainty(Role.T1C) is Certainty.SURE


def test_phase_in_some_frames_makes_a_volume_of_its_own_that_takes_no_role(tmp_path: Path) -> None:
    def twice(ds: Dataset) -> None:
        words = [{"ComplexImageComponent": "MAGNITUDE"}] * PLANES + [{"ComplexImageComponent": "PHASE"}] * PLANES
        in_frames("MRImageFrameTypeSequence", *words)(ds)

    magnitude, phase = enhanced(
        tmp_path, twice, order=[*range(PLANES), *range(PLANES)], echo_time_ms=98.0, repetition_time_ms=4200.0
    )
    assert "PHASE" not in magnitude.image_type
    assert "PHASE" in phase.image_type
    assert len(magnitude.slices) == len(phase.slices) == PLANES


@pytest.mark.parametrize(
    ("change", "attribute", "expected"),
    [
        (in_shared("MRImageFrameTypeSequence", AcquisitionContrast="T1"), "acquisition_contrast", "T1"),
        (in_shared("FrameAnatomySequence", AnatomicRegionSequence=item(CodeMeaning="Knee")), "body_part", "KNEE"),
        (in_frames("MREchoSequence", {"EffectiveEchoTime": 99.0}), "echo_time_ms", 99.0),
        (
            in_frames("MRTimingAndRelatedParametersSequence", {"RepetitionTime": 777.0}),
            "repetition_time_ms",
            777.0,
        ),
        (in_frames("MRModifierSequence", {"InversionTimes": [2500.0, 100.0]}), "inversion_time_ms", 2500.0),
        (
            in_frames("MRTimingAndRelatedParametersSequence", {"RepetitionTime": 9.0, "EchoTrainLength": 24}),
            "echo_train_length",
            24,
        ),
    ],
)
def test_functional_groups_become_facts(tmp_path: Path, change: Change, attribute: str, expected: object) -> None:
    (series,) = enhanced(tmp_path, change, BodyPartExamined=None)
    assert getattr(series, attribute) == expected


@pytest.mark.parametrize(
    ("attributes", "words"),
    [
        ({"TimeOfFlightContrast": "YES"}, "angiography"),
        ({"PhaseContrast": "YES"}, "angiography"),
        ({"ArterialSpinLabelingContrast": "PSEUDOCONTINUOUS"}, "spin labelling"),
        ({"VolumeBasedCalculationTechnique": "MAX_IP"}, "maximum intensity"),
        ({"ComplexImageComponent": "REAL"}, "real part"),
        ({"AcquisitionContrast": "PERFUSION"}, "perfusion"),
    ],
)
def test_what_enhanced_mr_flags_as_something_else_takes_no_role(
    tmp_path: Path, attributes: dict[str, str], words: str
) -> None:
    path = write_enhanced(
        tmp_path, VOLUME, SeriesDescription="T1 tra", repetition_time_ms=550.0, EchoPulseSequence="SPIN", **attributes
    )
    keyed = {str(pydicom.dcmread(path, stop_before_pixels=True).SOPInstanceUID): path}
    assignment = choose_roles(read_study(keyed))
    assert not assignment.choices
    assert words in assignment.set_aside[0].reason


def test_philips_keeps_what_the_standard_groups_leave_out_in_a_private_item_of_each_frame(tmp_path: Path) -> None:
    def classic(ds: Dataset) -> None:
        header = Dataset()
        header.ScanningSequence, header.InversionTime, header.EchoTime = ["SE", "IR"], "2800", "125"
        del ds[SHARED].value[0].MREchoSequence, ds[SHARED].value[0].MRModifierSequence
        for frame in ds[FRAMES].value:
            block = frame.private_block(0x2005, "Philips MR Imaging DD 005", create=True)
            block.add_new(0x0F, "SQ", DicomSequence([header]))

    (series,) = enhanced(tmp_path, classic, repetition_time_ms=11000.0)
    assert (series.echo_time_ms, series.inversion_time_ms) == (125.0, 2800.0)
    assert series.scanning_sequence == ("SE", "IR")
    assert choose_roles_of(series) == {Role.FLAIR}


def choose_roles_of(series: SeriesFacts) -> set[Role]:
    return set(choose_roles(StudyFacts("1", (series,))).choices)


# ---------------------------------------------------------------- classic files


def private(paths: list[Path], group: int, creator: str, low: int, vr: str, value: Any) -> None:
    for path in paths:
        ds = pydicom.dcmread(path)
        ds.private_block(group, "SOMEBODY ELSE", create=True).add_new(low, "LO", "not this")
        ds.private_block(group, creator, create=True).add_new(low, vr, value)
        ds.save_as(path)


def test_a_private_sequence_name_of_a_file_is_read_from_its_creator_s_block(tmp_path: Path) -> None:
    paths = write_series(tmp_path, VOLUME)
    private(paths, 0x0019, "GEMS_ACQU_01", 0x9C, "LO", "/usr/g/bin/fse-xl")
    assert read(*paths)[0].pulse_names == ("/usr/g/bin/fse-xl",)


def test_magnitude_and_phase_of_ge_in_one_series_are_parted_by_the_private_image_type(tmp_path: Path) -> None:
    uid = made_uid(STUDY_UID, 1)
    magnitude = write_series(tmp_path / "m", VOLUME, series_uid=uid)
    phase = write_series(tmp_path / "p", VOLUME, series_uid=uid, SOPInstanceUID=lambda plane: made_uid("p", plane))
    private(magnitude, 0x0043, "GEMS_PARM_01", 0x2F, "SS", 0)
    private(phase, 0x0043, "GEMS_PARM_01", 0x2F, "SS", 1)
    parted = read(*magnitude, *phase)
    assert [len(series.slices) for series in parted] == [PLANES, PLANES]
    assert sorted("PHASE" in series.image_type for series in parted) == [False, True]


@pytest.mark.parametrize(
    ("attributes", "agent"),
    [
        ({"ContrastBolusAgent": "Gadovist", "ContrastBolusRoute": "IV"}, "Gadovist"),
        ({"ContrastBolusAgent": "Pineapple juice", "ContrastBolusRoute": "Oral"}, ""),
        ({"ContrastBolusAgent": "Gadovist", "ContrastBolusRoute": "intra-articular"}, ""),
        ({"ContrastBolusIngredient": "GADOLINIUM"}, "GADOLINIUM"),
        ({"ContrastBolusIngredient": "IODINE"}, ""),
        ({"ContrastBolusVolume": "7.5"}, "volume"),
        ({"ContrastBolusVolume": "0"}, ""),
        ({"ContrastBolusAgentSequence": item(ContrastBolusIngredientCodeSequence=item(CodeMeaning="Gd"))}, "Gd"),
    ],
)  # fmt: skip
def test_contrast_elements_name_an_agent_that_went_into_a_vein(
    tmp_path: Path, attributes: dict[str, Any], agent: str
) -> None:
    assert read(*write_series(tmp_path, VOLUME, **attributes))[0].contrast_agent == agent


def test_start_of_the_injection_and_what_was_asked_for_are_read(tmp_path: Path) -> None:
    (series,) = read(
        *write_series(
            tmp_path, VOLUME, ContrastBolusStartTime="120030", AcquisitionTime="120000", StudyDescription="MRT Kopf"
        )
    )
    assert series.acquired_at_s is not None
    assert series.contrast_started_at_s == series.acquired_at_s + 30.0
    assert series.study_description == "MRT Kopf"


@pytest.mark.parametrize(
    ("charset", "encoding", "text"),
    [
        ("ISO_IR 100", "latin-1", "T1 tra après injection"),
        ("ISO_IR 192", "utf-8", "T1 横断 增强"),
        ("GB18030", "gb18030", "T1 横断 增强"),
        ("\\ISO 2022 IR 87", "iso2022_jp", "T1 造影後"),
        ("\\ISO 2022 IR 149", "", "T1 조영후"),
        ("ISO_IR 144", "iso8859_5", "Т1 с контрастом"),
        ("ISO_IR 100", "gb18030", "T1 横断 增强"),  # wrongly declared, and so are the next ones
        ("ISO_IR 100", "utf-8", "T1 tra après injection"),
        ("", "utf-8", "T1 横断 增强"),
        ("ISO_IR 100", "cp1251", "Т1 с контрастом"),
    ],
)
def test_descriptions_in_their_own_character_sets_name_contrast(
    tmp_path: Path, charset: str, encoding: str, text: str
) -> None:
    paths = write_series(tmp_path, VOLUME, EchoTime="12", RepetitionTime="550", SeriesDescription="T1")
    for path in paths:
        ds = pydicom.dcmread(path)
        # "\\" parts the two values of the element: the first is empty, the default.
        ds.SpecificCharacterSet = charset.split("\\") if charset else None
        if encoding:
            ds.add_new("SeriesDescription", "LO", text.encode(encoding))
        else:
            ds.SeriesDescription = text
        ds.save_as(path)
    (series,) = read(*paths)
    assert series.description == text
    assert choose_roles_of(series) == {Role.T1C}
