"""Former studies of the same patient: what the node remembers of a study, and how two studies compare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from enum import StrEnum
from typing import Any

from bt_node.domain.receipt import HeldInstance
from bt_node.domain.region import Region, ReleaseIdentity
from bt_node.domain.result import ResultKind


@dataclass(frozen=True)
class Lesion:
    """A connected part of the whole tumour.

    Attributes:
        tracking_uid: the same for the same lesion in later studies.
        volume_ml: its volume.
        centre_mm: middle of its voxels, LPS mm in the world of its own study.
    """

    tracking_uid: str
    volume_ml: float
    centre_mm: tuple[float, float, float]


@dataclass(frozen=True)
class Remembered:
    """What the job book keeps of a study whose results left, so that the patient's next study can be compared.

    Attributes:
        patient_hash: keyed hash (hex), never the PatientID.
        study_day: day of the study; hours are not kept.
        reference_series_uid: the series on whose grid the outline lies.
        volumes_ml: by region; regions that could not be assessed are left out.
        tracking: tracking UID of each region as a whole, as SEG and SR carry it.
        lesions: the tumour's connected parts, the largest first.
        segmenter: which release outlined.
        missing: sequences that the study lacked.
    """

    patient_hash: str
    study_day: date
    reference_series_uid: str
    volumes_ml: Mapping[Region, float]
    tracking: Mapping[Region, str]
    lesions: tuple[Lesion, ...]
    segmenter: ReleaseIdentity
    missing: tuple[str, ...] = ()

    def facts(self) -> dict[str, Any]:
        """Everything but hash and day, as plain JSON."""
        return {
            "reference_series_uid": self.reference_series_uid,
            "volumes_ml": {region.value: ml for region, ml in self.volumes_ml.items()},
            "tracking": {region.value: uid for region, uid in self.tracking.items()},
            "lesions": [
                {"tracking_uid": each.tracking_uid, "volume_ml": each.volume_ml, "centre_mm": list(each.centre_mm)}
                for each in self.lesions
            ],
            "segmenter": vars(self.segmenter),
            "missing": list(self.missing),
        }

    @classmethod
    def of_facts(cls, patient_hash: str, study_day: date, facts: Mapping[str, Any]) -> Remembered:
        """The inverse of `facts`."""
        return cls(
            patient_hash=patient_hash,
            study_day=study_day,
            reference_series_uid=facts["reference_series_uid"],
            volumes_ml={Region(name): float(ml) for name, ml in facts["volumes_ml"].items()},
            tracking={Region(name): uid for name, uid in facts["tracking"].items()},
            lesions=tuple(
                Lesion(each["tracking_uid"], each["volume_ml"], tuple(each["centre_mm"])) for each in facts["lesions"]
            ),
            segmenter=ReleaseIdentity(**facts["segmenter"]),
            missing=tuple(facts["missing"]),
        )


@dataclass(frozen=True)
class FormerObject:
    """A result object of a former study: what a reference to it needs, its file below the spool's root, its hash."""

    kind: ResultKind
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    path: str
    sha256: str = ""


@dataclass(frozen=True)
class FormerStudy:
    """A former study of the same patient, as the job book knows it.

    Attributes:
        job_id: its job.
        study_instance_uid: which study.
        remembered: what was measured.
        objects: its result objects, in the order they were made.
        reference: files of its reference series as they were received, by SOPInstanceUID; empty once deleted.
    """

    job_id: int
    study_instance_uid: str
    remembered: Remembered
    objects: tuple[FormerObject, ...]
    reference: Mapping[str, HeldInstance]


@dataclass(frozen=True)
class Change:
    """One region's volume then and now, ml rounded as the reports say it."""

    region: Region
    former_ml: float
    present_ml: float

    @property
    def ml(self) -> float:
        """Growth in ml; negative when it shrank."""
        return round(self.present_ml - self.former_ml, 3)

    @property
    def percent(self) -> float | None:
        """Growth in percent of the former volume; None when that was 0."""
        return round(100.0 * (self.present_ml - self.former_ml) / self.former_ml, 1) if self.former_ml > 0 else None


@dataclass(frozen=True)
class LesionChange:
    """A lesion then and now; None where it was not, or is not, outlined by itself."""

    tracking_uid: str
    former_ml: float | None
    present_ml: float | None


class Way(StrEnum):
    """How the lesions of two studies were compared. The words stand in reports and in the job book."""

    REGISTERED = "REGISTERED"  # the heads were registered, and the former outline was laid over this one
    NUMBERS = "NUMBERS"  # the former images are gone or do not fit: volumes alone


@dataclass(frozen=True)
class FollowUp:
    """A study beside the former one of the same patient.

    Attributes:
        former_job: the former study's job.
        former_study_instance_uid: which study that was.
        former_day: its day.
        days: days from there to here, at least 1.
        objects: its result objects, which the report names as evidence.
        segmenter: which release outlined then.
        changes: of every region that both studies assessed.
        lesions: of every lesion of either study; empty where the lesions could not be told apart.
        way: how lesions were compared.
        because: why not by registration, as the end of a sentence; empty where it was.
        tracking: tracking UIDs that go on from the former study; empty when no lesion is the same one.
    """

    former_job: int
    former_study_instance_uid: str
    former_day: date
    days: int
    objects: tuple[FormerObject, ...]
    segmenter: ReleaseIdentity
    changes: tuple[Change, ...]
    lesions: tuple[LesionChange, ...] = ()
    way: Way = Way.NUMBERS
    because: str = ""
    tracking: Mapping[Region, str] = field(default_factory=dict)

    def change_of(self, region: Region) -> Change | None:
        """The change of one region, None where it cannot be told."""
        return next((change for change in self.changes if change.region is region), None)

    @property
    def found_again(self) -> int:
        """How many lesions of the former study are lesions of this one."""
        return sum(1 for each in self.lesions if each.former_ml is not None and each.present_ml is not None)

    def facts(self) -> dict[str, Any]:
        """The same as plain JSON, for the job book and for people."""
        return {
            "former_job": self.former_job,
            "former_study_instance_uid": self.former_study_instance_uid,
            "former_day": self.former_day.isoformat(),
            "days": self.days,
            "compared": self.way.value,
            "because": self.because,
            "same_tumour": bool(self.tracking),
            "tracking": {region.value: uid for region, uid in self.tracking.items()},
            "volumes_ml": {
                change.region.value: {
                    "former": change.former_ml,
                    "present": change.present_ml,
                    "change": change.ml,
                    "percent": change.percent,
                }
                for change in self.changes
            },
            "lesions": [
                {"tracking_uid": each.tracking_uid, "former_ml": each.former_ml, "present_ml": each.present_ml}
                for each in self.lesions
            ],
            "former_objects": [each.sop_instance_uid for each in self.objects],
        }
