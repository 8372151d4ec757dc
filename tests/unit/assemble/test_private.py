"""Private elements: by their creator, wherever its block stands, and never by a number alone."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as DicomSequence

from bt_node.assemble.private import (
    component,
    philips_classic_header,
    philips_inversion_time,
    sequence_names,
    wanted_tags,
)

GE, GE_PARM, PHILIPS = "GEMS_ACQU_01", "GEMS_PARM_01", "Philips Imaging DD 001"
PHILIPS_MR, SIEMENS = "Philips MR Imaging DD 001", "SIEMENS MR HEADER"


def with_private(*elements: tuple[int, str, int, str, object], before: int = 0) -> Dataset:
    """A data set of (group, creator, low byte, VR, value), with `before` other creators ahead in each group."""
    ds = Dataset()
    for group in sorted({element[0] for element in elements}):
        for other in range(before):
            ds.private_block(group, f"OTHER {other}", create=True).add_new(0x9C, "LO", "not this")
    for group, creator, low, vr, value in elements:
        ds.private_block(group, creator, create=True).add_new(low, vr, value)
    return ds


@pytest.mark.parametrize("before", [0, 1, 5])
def test_names_of_sequences_are_found_in_whatever_block_their_creator_has(before: int) -> None:
    ge = with_private((0x19, GE, 0x9C, "LO", "fse-xl"), (0x19, GE, 0x9E, "LO", "FSE-XL"), before=before)
    assert sequence_names(ge) == ("fse-xl", "FSE-XL")
    philips = with_private((0x2001, PHILIPS, 0x20, "LO", "T1TFE"), before=before)
    assert sequence_names(philips) == ("T1TFE",)


def test_the_same_number_of_another_creator_is_nothing() -> None:
    ds = with_private((0x19, "SIEMENS MR HEADER", 0x9C, "LO", "fse-xl"), (0x43, "OTHER", 0x2F, "SS", 1))
    assert sequence_names(ds) == ()
    assert component(ds) == ""
    bare = Dataset()
    bare.add_new(0x0019109C, "LO", "fse-xl")  # no creator at all, as after careless de-identification
    assert sequence_names(bare) == ()


@pytest.mark.parametrize(
    ("element", "expected"),
    [
        ((0x43, GE_PARM, 0x2F, "SS", 0), ""), ((0x43, GE_PARM, 0x2F, "SS", 1), "PHASE"),
        ((0x43, GE_PARM, 0x2F, "SS", 2), "REAL"), ((0x43, GE_PARM, 0x2F, "SS", 3), "IMAGINARY"),
        ((0x43, GE_PARM, 0x2F, "SS", 99), ""),
        ((0x2005, PHILIPS_MR, 0x11, "CS", "M"), ""), ((0x2005, PHILIPS_MR, 0x11, "CS", "P_FFE"), "PHASE"),
        ((0x2005, PHILIPS_MR, 0x11, "CS", "R"), "REAL"), ((0x2005, PHILIPS_MR, 0x11, "CS", "I"), "IMAGINARY"),
        ((0x51, SIEMENS, 0x16, "LO", "p2 M/NORM/DIS2D"), ""), ((0x51, SIEMENS, 0x16, "LO", "P/ND"), "PHASE"),
        ((0x51, SIEMENS, 0x16, "LO", "p2 R/NORM"), "REAL"),
    ],
)  # fmt: skip
def test_phase_and_real_images_are_told_by_their_vendor(
    element: tuple[int, str, int, str, object], expected: str
) -> None:
    assert component(with_private(element, before=1)) == expected


def test_philips_inversion_time_and_classic_header_of_a_frame() -> None:
    assert philips_inversion_time(with_private((0x2001, PHILIPS, 0x84, "DS", "2800"), before=2)) == 2800.0
    assert philips_inversion_time(Dataset()) is None
    classic = Dataset()
    classic.ScanningSequence = ["SE", "IR"]
    frame = with_private((0x2005, "Philips MR Imaging DD 005", 0x0F, "SQ", DicomSequence([classic])), before=3)
    assert philips_classic_header(frame).ScanningSequence == ["SE", "IR"]
    assert len(philips_classic_header(Dataset())) == 0


def test_what_is_read_from_files_includes_creators_and_elements_of_many_blocks() -> None:
    wanted = {int(tag) for tag in wanted_tags()}
    assert {0x00190010, 0x0019109C, 0x0019001F, 0x00191F9C, 0x20011020, 0x00431F2F} <= wanted
