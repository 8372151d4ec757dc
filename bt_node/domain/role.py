"""The four MR roles, how surely a series has one, and a person's word on it: light enough for every command."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """The four MR sequences a BraTS-like segmenter reads."""

    T1 = "T1"
    T1C = "T1C"  # T1 after contrast
    T2 = "T2"
    FLAIR = "FLAIR"


class Certainty(StrEnum):
    """How a role came out: the words in job book, CLI and documents."""

    SURE = "sure"
    LIKELY = "likely"  # used, and said on the result
    AMBIGUOUS = "ambiguous"  # a person must decide
    MISSING = "missing"


@dataclass(frozen=True)
class NamedVolume:
    """A volume as a person named it.

    Attributes:
        series_instance_uid: its series.
        image: where the series holds several volumes: SOPInstanceUID of an image of this one, or `UID/frame` (from 0)
            in a multi-frame image; else empty.
    """

    series_instance_uid: str
    image: str = ""

    def __str__(self) -> str:
        return f"series {self.series_instance_uid}" + (f", volume of image {self.image}" if self.image else "")


@dataclass(frozen=True)
class Assigned:
    """A person's word on a role: it stands before every rule.

    Attributes:
        series_instance_uid: the series to use.
        by: who said so, "cli:ann".
        image: as in `NamedVolume`.
    """

    series_instance_uid: str
    by: str
    image: str = ""

    @property
    def volume(self) -> NamedVolume:
        """What was named."""
        return NamedVolume(self.series_instance_uid, self.image)
