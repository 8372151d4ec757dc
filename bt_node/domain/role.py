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
class Assigned:
    """A person's word on a role: it stands before every rule.

    Attributes:
        series_instance_uid: the series to use.
        by: who said so, "cli:ann".
    """

    series_instance_uid: str
    by: str
