"""What is known when a study is declared complete: who was asked, what he has, what did not arrive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class SourceSeries:
    """One series as the sender of a study has it.

    Attributes:
        series_instance_uid: which series.
        series_number: its number, where the source told it.
        modality: "MR", "SR", …; empty where the source did not tell it.
        instances: how many instances the source has; None where neither a number nor a list could be had.
        counted: whether the instances were counted one by one (IMAGE level), because the source gave no number.
    """

    series_instance_uid: str
    series_number: int | None = None
    modality: str = ""
    instances: int | None = None
    counted: bool = False

    @property
    def may_hold_images(self) -> bool:
        """MR, or not told. Reports and segmentations of the study (our own too) are not waited for."""
        return self.modality in {"MR", ""}

    @property
    def order(self) -> tuple[bool, int, str]:
        """Sort key: by number, those without one last."""
        return (self.series_number is None, self.series_number or 0, self.series_instance_uid)


@dataclass(frozen=True)
class SourceAnswer:
    """What one source answered about one study.

    Attributes:
        ae_title: who was asked.
        series: what it has of the study; empty when it knows nothing of it.
        trouble: why there is no answer, in an operator's words; empty when there is one.
    """

    ae_title: str
    series: tuple[SourceSeries, ...] = ()
    trouble: str = ""


@dataclass(frozen=True)
class Shortfall:
    """A series of which the source has more than arrived; `arrived` is 0 where nothing of it came."""

    series_instance_uid: str
    series_number: int | None
    expected: int
    arrived: int

    @property
    def name(self) -> str:
        """Series and number ("series 9"), or its UID where it has no number."""
        return f"series {self.series_instance_uid if self.series_number is None else self.series_number}"

    def __str__(self) -> str:
        return f"{self.name}: {self.arrived} of {self.expected} images arrived"


@dataclass(frozen=True)
class KnownGaps:
    """What was lacking when a study was declared complete: it travels with the study to its result.

    Attributes:
        source: AE title of the source that was asked; empty when none is configured for the study.
        short: series that came in part.
        unsent: series of which nothing came.
        unsent_expected: whether the site waits for every series of the source: then those unsent are cautioned about.
        silent: why the source gave no answer; empty when it did.
        accepted_by: the person who wants the study to go on although series are short.
    """

    source: str = ""
    short: tuple[Shortfall, ...] = ()
    unsent: tuple[Shortfall, ...] = ()
    unsent_expected: bool = True
    silent: str = ""
    accepted_by: str = ""

    def of(self, series_instance_uid: str) -> Shortfall | None:
        """What is lacking of one series that came in part."""
        return next((short for short in self.short if short.series_instance_uid == series_instance_uid), None)

    def as_json(self) -> dict[str, Any]:
        """Plain values for the job book."""
        return {
            "source": self.source,
            "short": [vars(short) for short in self.short],
            "unsent": [vars(short) for short in self.unsent],
            "unsent_expected": self.unsent_expected,
            "silent": self.silent,
            "accepted_by": self.accepted_by,
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> KnownGaps:
        """The inverse of `as_json`; nothing stored means that nothing is known to lack."""
        lists = {key: tuple(Shortfall(**short) for short in stored.get(key, ())) for key in ("short", "unsent")}
        return cls(**{**stored, **lists})
