"""Private elements of vendors that say what a sequence is, found by their private creator, never by a fixed number.

A vendor reserves a block of 256 elements by writing its name at (gggg,0010-00FF); the elements lie in that block
(PS3.5 7.8.1), so the same element has another number where another vendor came first. Names and types are those of
the vendors' conformance statements, as pydicom's private dictionary lists them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset
from pydicom.tag import BaseTag, Tag

from bt_node.assemble.values import items, number, text


@dataclass(frozen=True)
class PrivateElement:
    """One element of one creator: group, name of the creator, and its low byte."""

    creator: str
    group: int
    element: int


GE_SEQUENCE = PrivateElement("GEMS_ACQU_01", 0x0019, 0x9C)  # Pulse Sequence Name: "fse-xl", "bravo"
GE_INTERNAL = PrivateElement("GEMS_ACQU_01", 0x0019, 0x9E)  # Internal Pulse Sequence Name: "FSE-XL", "EFGRE3D"
GE_COMPONENT = PrivateElement("GEMS_PARM_01", 0x0043, 0x2F)  # Image Type (magnitude, phase, real, imaginary)
PHILIPS_TECHNIQUE = PrivateElement("Philips Imaging DD 001", 0x2001, 0x20)  # Scanning Technique Description MR
PHILIPS_TI = PrivateElement("Philips Imaging DD 001", 0x2001, 0x84)  # Inversion Time
PHILIPS_IMAGE_TYPE = PrivateElement("Philips MR Imaging DD 001", 0x2005, 0x11)  # M, P, R, I and their like
PHILIPS_CLASSIC = PrivateElement("Philips MR Imaging DD 005", 0x2005, 0x0F)  # of Enhanced MR: its classic header
SIEMENS_IMAGE_TYPE = PrivateElement("SIEMENS MR HEADER", 0x0051, 0x16)  # "p2 M/NORM/DIS2D"

_TOP_LEVEL = (
    *(GE_SEQUENCE, GE_INTERNAL, GE_COMPONENT, PHILIPS_TECHNIQUE, PHILIPS_TI, PHILIPS_IMAGE_TYPE),
    SIEMENS_IMAGE_TYPE,
)
_BLOCKS = range(0x10, 0x20)  # scanners and archives number their blocks from 10 on, one for each creator
_RESERVED = range(0x10, 0x100)  # where creators stand (PS3.5 7.8.1)

_GE_COMPONENTS = {1: "PHASE", 2: "REAL", 3: "IMAGINARY"}
_LETTERS = {"P": "PHASE", "R": "REAL", "I": "IMAGINARY"}


def wanted_tags() -> tuple[BaseTag, ...]:
    """All elements that this module may look at, with the creators' own, for a reader that skips the rest."""
    creators = {Tag(element.group, block) for element in _TOP_LEVEL for block in _BLOCKS}
    elements = {Tag(element.group, block << 8 | element.element) for element in _TOP_LEVEL for block in _BLOCKS}
    return tuple(sorted(creators | elements))


def sequence_names(ds: Dataset) -> tuple[str, ...]:
    """What the vendor calls the pulse sequence, most telling first; empty where nothing is said."""
    found = (_text(ds, element) for element in (GE_SEQUENCE, GE_INTERNAL, PHILIPS_TECHNIQUE))
    return tuple(name for name in found if name)


def component(ds: Dataset) -> str:
    """PHASE, REAL or IMAGINARY where a private element says so, MAGNITUDE or silence as empty text."""
    ge = _number(ds, GE_COMPONENT)
    if ge is not None:
        return _GE_COMPONENTS.get(int(ge), "")
    letter = _text(ds, PHILIPS_IMAGE_TYPE).upper().split("_")[0]
    if letter in _LETTERS:
        return _LETTERS[letter]
    flags = _text(ds, SIEMENS_IMAGE_TYPE).upper().split("/")[0].split()
    return _LETTERS.get(flags[-1], "") if flags else ""


def philips_inversion_time(ds: Dataset) -> float | None:
    """TI in ms of Philips, whose Enhanced MR may leave the standard one out."""
    return _number(ds, PHILIPS_TI)


def philips_classic_header(frame: Dataset) -> Dataset:
    """The classic attributes that Philips keeps in a private item of each frame; empty where there are none."""
    tag = _tag(frame, PHILIPS_CLASSIC)
    found = items(frame, tag) if tag is not None else ()
    return found[0] if found else Dataset()


def _tag(ds: Dataset, wanted: PrivateElement) -> BaseTag | None:
    """Where the element lies in this data set; None if it is not there."""
    for block in _blocks_of(ds, wanted):
        tag = Tag(wanted.group, block << 8 | wanted.element)
        if tag in ds:
            return tag
    return None


def _blocks_of(ds: Dataset, wanted: PrivateElement) -> Iterator[int]:
    reserved = sorted(tag for tag in ds.keys() if tag.group == wanted.group and tag.element in _RESERVED)  # noqa: SIM118
    for tag in reserved:
        if text(ds, tag) == wanted.creator:
            yield tag.element


def _text(ds: Dataset, wanted: PrivateElement) -> str:
    tag = _tag(ds, wanted)
    return text(ds, tag) if tag is not None else ""


def _number(ds: Dataset, wanted: PrivateElement) -> float | None:
    tag = _tag(ds, wanted)
    return number(ds, tag) if tag is not None else None
