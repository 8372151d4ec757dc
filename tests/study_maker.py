"""Series and studies as facts, without files: for tests of the choice of series."""

from __future__ import annotations

from typing import Any

import numpy as np

from bt_node.domain.study import SeriesFacts, SliceFacts, StudyFacts

# Orientation cosines (increasing column index, increasing row index) of the three planes.
_PLANES = {
    "axial": (1.0, 0.0, 0.0, 0.0, 1.0, 0.0),
    "sagittal": (0.0, 1.0, 0.0, 0.0, 0.0, -1.0),
    "coronal": (1.0, 0.0, 0.0, 0.0, 0.0, -1.0),
}

# Physics of one sequence kind: what a scanner would write beside the description.
SE_T1: dict[str, Any] = {"echo_time_ms": 12.0, "repetition_time_ms": 550.0, "scanning_sequence": ("SE",)}
TSE_T2: dict[str, Any] = {"echo_time_ms": 98.0, "repetition_time_ms": 4200.0, "scanning_sequence": ("SE",)}
TSE_PD: dict[str, Any] = {"echo_time_ms": 15.0, "repetition_time_ms": 3000.0, "scanning_sequence": ("SE",)}
IR_FLAIR: dict[str, Any] = {
    "echo_time_ms": 120.0,
    "repetition_time_ms": 9000.0,
    "inversion_time_ms": 2500.0,
    "scanning_sequence": ("SE", "IR"),
}
FLAIR_3D: dict[str, Any] = {
    "echo_time_ms": 390.0,
    "repetition_time_ms": 5000.0,
    "inversion_time_ms": 1800.0,
    "scanning_sequence": ("SE", "IR"),
    "acquisition_type": "3D",
}
T1_FLAIR: dict[str, Any] = {
    "echo_time_ms": 24.0,
    "repetition_time_ms": 2200.0,
    "inversion_time_ms": 860.0,
    "scanning_sequence": ("SE", "IR"),
}
MPRAGE: dict[str, Any] = {
    "echo_time_ms": 2.98,
    "repetition_time_ms": 2300.0,
    "inversion_time_ms": 900.0,
    "flip_angle_deg": 9.0,
    "scanning_sequence": ("GR", "IR"),
    "acquisition_type": "3D",
}
BRAVO: dict[str, Any] = {
    "echo_time_ms": 3.2,
    "repetition_time_ms": 8.2,
    "inversion_time_ms": 450.0,
    "flip_angle_deg": 12.0,
    "scanning_sequence": ("GR",),
    "sequence_variant": ("SS", "SP", "SK"),
    "acquisition_type": "3D",
}
TFE: dict[str, Any] = {
    "echo_time_ms": 3.7,
    "repetition_time_ms": 8.1,
    "flip_angle_deg": 8.0,
    "scanning_sequence": ("GR",),
    "sequence_variant": ("MP",),
    "acquisition_type": "3D",
}
FFE_2D: dict[str, Any] = {
    "echo_time_ms": 2.7,
    "repetition_time_ms": 248.0,
    "flip_angle_deg": 80.0,
    "scanning_sequence": ("GR",),
}
SPACE_T1: dict[str, Any] = {**SE_T1, "echo_time_ms": 9.6, "repetition_time_ms": 700.0, "acquisition_type": "3D"}
SPACE_T2: dict[str, Any] = {**TSE_T2, "echo_time_ms": 408.0, "repetition_time_ms": 3200.0, "acquisition_type": "3D"}
GRE_T2S: dict[str, Any] = {"echo_time_ms": 20.0, "repetition_time_ms": 620.0, "scanning_sequence": ("GR",)}
EPI: dict[str, Any] = {"echo_time_ms": 90.0, "repetition_time_ms": 5000.0, "scanning_sequence": ("EP", "SE")}
TOF: dict[str, Any] = {
    "echo_time_ms": 4.2,
    "repetition_time_ms": 23.0,
    "flip_angle_deg": 18.0,
    "scanning_sequence": ("GR",),
    "acquisition_type": "3D",
}
STIR: dict[str, Any] = {**TSE_T2, "inversion_time_ms": 160.0, "scanning_sequence": ("SE", "IR"), "echo_time_ms": 50.0}
THIN: dict[str, Any] = {"spacing_mm": 1.0, "slices": 176}

START_S = 1_600_000_000.0


def mr_series(
    number: int | None,
    description: str = "",
    *,
    plane: str = "axial",
    slices: int = 24,
    spacing_mm: float = 6.0,
    pixel_mm: float = 0.9,
    minute: float | None = None,
    uid: str = "",
    **facts: Any,
) -> SeriesFacts:
    """One series; `minute` is the acquisition time after the start (its number when not given, None is not said)."""
    uid = uid or f"1.2.3.{number}"
    facts.setdefault("acquired_at_s", START_S + 60.0 * (minute if minute is not None else (number or 0)))
    return SeriesFacts(
        series_instance_uid=uid,
        series_number=number,
        modality=facts.pop("modality", "MR"),
        sop_class_uid="1.2.840.10008.5.1.4.1.1.4",
        slices=_stack(uid, plane, slices, spacing_mm, pixel_mm),
        description=description,
        image_type=facts.pop("image_type", ("ORIGINAL", "PRIMARY", "M")),
        acquisition_type=facts.pop("acquisition_type", "2D"),
        slice_thickness_mm=spacing_mm,
        **facts,
    )


def _stack(uid: str, plane: str, count: int, spacing_mm: float, pixel_mm: float) -> tuple[SliceFacts, ...]:
    orientation = _PLANES[plane]
    normal = np.cross(orientation[:3], orientation[3:])
    made = []
    for index in range(count):
        x, y, z = (float(v) for v in normal * (index - count / 2) * spacing_mm)
        made.append(SliceFacts(f"{uid}.{index}", 0, (x, y, z), orientation, (pixel_mm, pixel_mm), 256, 256))
    return tuple(made)


def study(*series: SeriesFacts) -> StudyFacts:
    """A study of these series."""
    return StudyFacts("1.2.3", series)
