"""Facts about studies, series and slices, and the choice of one series for each MR role.

Facts are header values already read and typed; no DICOM library is needed to hold them. Free text of the scanner
(descriptions) lives here in memory only: nothing of it may enter the job book or a log, because operators type
names into it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np

from bt_node.domain.errors import RolesAmbiguousError, RolesMissingError, StudyIncompleteError
from bt_node.domain.geometry import FloatArray, Grid, Volume
from bt_node.domain.role import Assigned, Certainty, NamedVolume, Role

__all__ = [
    "Ambiguity",
    "Assigned",
    "Certainty",
    "NamedVolume",
    "Plane",
    "Ranked",
    "Role",
    "RoleAssignment",
    "RoleChoice",
    "SeriesFacts",
    "SetAside",
    "SliceFacts",
    "StackedSeries",
    "StudyFacts",
]


class Plane(StrEnum):
    """Slice plane nearest to the series' orientation."""

    AXIAL = "axial"
    CORONAL = "coronal"
    SAGITTAL = "sagittal"


@dataclass(frozen=True)
class SliceFacts:
    """One 2D frame as it lies in the patient: a whole classic instance, or one frame of a multi-frame one.

    Attributes:
        sop_instance_uid: the instance that holds the frame.
        frame: zero-based frame index inside the instance (0 for classic instances).
        position: ImagePositionPatient, LPS mm, centre of the first pixel (PS3.3 C.7.6.2).
        orientation: ImageOrientationPatient: unit vectors of increasing column index, then of increasing row index.
        pixel_spacing: mm (between rows, between columns), as PixelSpacing says it (PS3.3 10.7.1.3).
        rows: number of rows.
        columns: number of columns.
        slope: RescaleSlope (1 when absent).
        intercept: RescaleIntercept (0 when absent).
        instance_number: InstanceNumber or frame number, for messages only.
    """

    sop_instance_uid: str
    frame: int
    position: tuple[float, float, float]
    orientation: tuple[float, float, float, float, float, float]
    pixel_spacing: tuple[float, float]
    rows: int
    columns: int
    slope: float = 1.0
    intercept: float = 0.0
    instance_number: int | None = None

    @property
    def normal(self) -> FloatArray:
        """Unit vector along which slices stack: row direction × column direction (right-handed)."""
        cosines = np.asarray(self.orientation, dtype=np.float64)
        normal = np.cross(cosines[:3], cosines[3:])
        return np.asarray(normal / np.linalg.norm(normal), dtype=np.float64)

    @property
    def depth_mm(self) -> float:
        """Position along the normal, in mm."""
        return float(np.dot(self.normal, self.position))


@dataclass(frozen=True)
class SeriesFacts:
    """What the headers of one series say. Times are milliseconds unless named otherwise; None means absent."""

    series_instance_uid: str
    series_number: int | None
    modality: str
    sop_class_uid: str
    slices: tuple[SliceFacts, ...]
    description: str = ""
    protocol_name: str = ""
    image_type: tuple[str, ...] = ()
    scanning_sequence: tuple[str, ...] = ()
    sequence_variant: tuple[str, ...] = ()
    scan_options: tuple[str, ...] = ()
    sequence_name: str = ""
    pulse_names: tuple[str, ...] = ()  # what private elements call the pulse sequence
    acquisition_contrast: str = ""  # AcquisitionContrast of Enhanced MR: T1, T2, FLUID_ATTENUATED, …
    acquisition_type: str = ""  # MRAcquisitionType: 2D or 3D
    echo_time_ms: float | None = None
    repetition_time_ms: float | None = None
    inversion_time_ms: float | None = None
    flip_angle_deg: float | None = None
    echo_train_length: int | None = None
    b_value: float | None = None
    contrast_agent: str = ""
    contrast_given: bool | None = None  # ContrastBolusAgentAdministered of all frames; None where silent or mixed
    contrast_started_at_s: float | None = None  # ContrastBolusStartTime, on the same clock as `acquired_at_s`
    acquired_at_s: float | None = None  # acquisition date and time as seconds since 1970, patient's local time
    slice_thickness_mm: float | None = None
    frame_of_reference_uid: str = ""
    body_part: str = ""
    study_description: str = ""  # what was asked for: of the study, the request or the performed step
    manufacturer: str = ""
    station: str = ""  # StationName, for the rules of a site


@dataclass(frozen=True)
class SetAside:
    """A series or instance that no role uses, with the reason. Nothing disappears silently."""

    series_instance_uid: str
    series_number: int | None
    reason: str
    instances: int = 0


@dataclass(frozen=True)
class StudyFacts:
    """All series of one study, and what could not be read as an image."""

    study_instance_uid: str
    series: tuple[SeriesFacts, ...]
    set_aside: tuple[SetAside, ...] = ()


@dataclass(frozen=True)
class RoleChoice:
    """One series for one role. No words here carry free text of the scanner.

    Attributes:
        role: what it is used as.
        series: the series.
        reason: why it was chosen.
        doubts: what keeps the choice from being sure, each the end of "T1C is likely, not sure: …".
    """

    role: Role
    series: SeriesFacts
    reason: str
    doubts: tuple[str, ...] = ()

    @property
    def certainty(self) -> Certainty:
        """Sure, or likely when anything speaks against being sure."""
        return Certainty.LIKELY if self.doubts else Certainty.SURE


@dataclass(frozen=True)
class Ambiguity:
    """A role that only a person can give: several equally good candidates, or none that is beyond contradiction."""

    role: Role
    candidates: tuple[str, ...]  # "series 4 (axial, 27 slices, …)"


@dataclass(frozen=True)
class Ranked:
    """One candidate for one role in the order of preference, for `explain`.

    Attributes:
        place: 1 for the best; several share it when nothing tells them apart.
        series_instance_uid: which series.
        series_number: its number, where it has one.
        reason: why it fits the role at all, evidence about contrast included.
        doubts: what keeps it from being sure.
        beaten_by: "series 8: 3D before axial before other planes"; empty for the first.
        acquired: time of day, "09:47:05"; empty where the headers have none.
        against_contrast: "before", "after" or "unknown": where it lies against the injection.
    """

    place: int
    series_instance_uid: str
    series_number: int | None
    reason: str
    doubts: tuple[str, ...] = ()
    beaten_by: str = ""
    acquired: str = ""
    against_contrast: str = "unknown"


@dataclass(frozen=True)
class RoleAssignment:
    """The outcome of choosing: roles with their series, and every other series with its reason."""

    choices: Mapping[Role, RoleChoice]
    set_aside: tuple[SetAside, ...]
    ambiguous: tuple[Ambiguity, ...] = field(default=())
    ranking: Mapping[Role, tuple[Ranked, ...]] = field(default_factory=dict)

    def certainty(self, role: Role) -> Certainty:
        """How this role came out."""
        if role in self.choices:
            return self.choices[role].certainty
        return Certainty.MISSING if role in self.missing else Certainty.AMBIGUOUS

    @property
    def doubts(self) -> tuple[str, ...]:
        """One sentence for each role that is only likely: it travels with the result."""
        return tuple(
            f"{role.value} is likely, not sure: {'; '.join(choice.doubts)}."
            for role, choice in self.choices.items()
            if choice.doubts
        )

    @property
    def missing(self) -> tuple[Role, ...]:
        """Roles without a series and without candidates."""
        open_roles = {ambiguity.role for ambiguity in self.ambiguous}
        return tuple(role for role in Role if role not in self.choices and role not in open_roles)

    def require(
        self, roles: tuple[Role, ...], one_of: tuple[Role, ...] = (), *, hold_incomplete: bool = False
    ) -> tuple[Role, ...]:
        """Refuse to go on unless the study holds what a release needs, each role with one sure series.

        A role with several candidates is never treated as missing: a person can tell which one it is.

        Args:
            roles: what the release reads.
            one_of: at least one of these is needed, the other roles may be missing; empty means that all are needed.
            hold_incomplete: whether a study in which a role is missing waits for a person, although the release can
                answer without it.

        Returns:
            The roles that are missing and that the release does without, in the order of `roles`.

        Raises:
            RolesMissingError: the release cannot answer without a role that has no series.
            RolesAmbiguousError: a role has several.
            StudyIncompleteError: it could answer, but `hold_incomplete` forbids it.
        """
        missing = tuple(role for role in roles if role in self.missing)
        seen = len(self.choices) + len(self.set_aside)
        if one_of and not set(one_of) - set(missing):
            raise RolesMissingError([role.value for role in missing], seen, one_of=[role.value for role in one_of])
        if missing and not one_of:
            raise RolesMissingError([role.value for role in missing], seen)
        for ambiguity in self.ambiguous:
            if ambiguity.role in roles:
                raise RolesAmbiguousError(ambiguity.role.value, ambiguity.candidates)
        if missing and hold_incomplete:
            raise StudyIncompleteError([role.value for role in missing], [role.value for role in self.choices])
        return missing


@dataclass(frozen=True, eq=False)
class StackedSeries:
    """A series as a volume on its own grid; `slices[z]` is the frame that became plane z of the array.

    `copies` are images that equal one of `slices` in place and in every pixel, and were left out.
    """

    series_instance_uid: str
    volume: Volume
    slices: tuple[SliceFacts, ...]
    copies: tuple[SliceFacts, ...] = ()

    def __post_init__(self) -> None:
        if len(self.slices) != self.volume.grid.shape[0]:
            raise ValueError(f"{len(self.slices)} slices do not fit grid {self.volume.grid.shape}")

    @property
    def grid(self) -> Grid:
        """The source grid."""
        return self.volume.grid
