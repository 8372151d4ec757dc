"""What cannot take any role, whatever its weighting: localizers, maps, projections, diffusion and the like."""

from __future__ import annotations

from bt_node.assemble.candidate import Candidate
from bt_node.assemble.vocabulary import (
    BODY_WORDS,
    EXCLUDED_SEQUENCES,
    EXCLUDED_WORDS,
    HEAD_WORDS,
    REFORMAT_WORDS,
)
from bt_node.assemble.words import first_key

# ImageType values (PS3.3 C.8.3.1.1.1, C.8.13.3.1.1, and what vendors add) that settle the matter.
_IMAGE_TYPES = {
    "LOCALIZER": "a localizer",
    "PROJECTION IMAGE": "a projection",
    "MIP": "a maximum intensity projection",
    "MIN_IP": "a minimum intensity projection",
    "MINIP": "a minimum intensity projection",
    "MNIP": "a minimum intensity projection",
    "MAX_IP": "a maximum intensity projection",
    "MPR": "a reformat (MPR) of another series",
    "CSA MPR": "a reformat (MPR) of another series",
    "REFORMATTED": "a reformat of another series",
    "SUBTRACTION": "a subtraction of other series",
    "SUBTRACT": "a subtraction of other series",
    "ADC": "a map of apparent diffusion",
    "DIFFUSION": "diffusion-weighted",
    "TRACEW": "diffusion-weighted",
    "TRACE": "diffusion-weighted",
    "FA": "a map of fractional anisotropy",
    "TENSOR": "diffusion-weighted",
    "ASL": "arterial spin labelling",
    "PERFUSION": "perfusion",
    "MTT": "a perfusion map",
    "CBF": "a perfusion map",
    "CBV": "a perfusion map",
    "TTP": "a perfusion map",
    "SWI": "susceptibility-weighted",
    "T1 MAP": "a parameter map",
    "T2 MAP": "a parameter map",
    "T2_STAR MAP": "a parameter map",
    "R2 MAP": "a parameter map",
    "FIELD_MAP": "a field map",
    "B0": "a field map",
    "P": "a phase image",
    "PHASE": "a phase image",
    "PHASE MAP": "a phase image",
    "VELOCITY MAP": "a flow map",
    "I": "the imaginary part of an image",
    "IMAGINARY": "the imaginary part of an image",
    "FAT": "the fat image of a Dixon series",
    "OPP_PHASE": "an opposed-phase image",
    "OUT_PHASE": "an opposed-phase image",
    "MOSAIC": "a mosaic of slices",
    "SCREEN SAVE": "a screenshot",
    "CSA REPORT": "a report",
    "POST_PROCESSED": "a post-processed picture",
}
_DERIVED = "DERIVED"
# Clearly not a head. HEAD, BRAIN, NECK or empty tell nothing here: they are filled in by habit.
_OTHER_BODY_PARTS = {
    *("SPINE", "CSPINE", "TSPINE", "LSPINE", "SSPINE", "LUMBARSPINE", "KNEE", "HIP", "SHOULDER", "ANKLE", "WRIST"),
    *(
        "ELBOW",
        "HAND",
        "FOOT",
        "ABDOMEN",
        "PELVIS",
        "CHEST",
        "BREAST",
        "HEART",
        "PROSTATE",
        "LIVER",
        "EXTREMITY",
        "LEG",
    ),
}
_SMALLEST_COVERAGE_MM = 30.0
_B_VALUE = 1.0


def why_excluded(candidate: Candidate) -> str | None:
    """The reason why this series can take no role, or None when it may."""
    for judge in (_by_modality, _by_image_type, _by_words, _by_sequence, _by_body_part, _by_geometry):
        reason = judge(candidate)
        if reason:
            return reason
    return None


def _by_modality(candidate: Candidate) -> str | None:
    modality = candidate.series.modality.upper()
    return None if modality == "MR" else f"modality {modality[:16]}, not MR"


def _by_image_type(candidate: Candidate) -> str | None:
    found = [_IMAGE_TYPES[word] for word in candidate.series.image_type if word in _IMAGE_TYPES]
    return f"ImageType says: {found[0]}" if found else None


def _by_words(candidate: Candidate) -> str | None:
    for text in candidate.texts:
        key = first_key(EXCLUDED_WORDS, text)
        if key is None and _DERIVED in candidate.series.image_type:
            key = first_key(REFORMAT_WORDS, text)
        if key:
            return f"description says {key}"
    return None


def _by_sequence(candidate: Candidate) -> str | None:
    series = candidate.series
    if (series.b_value or 0) >= _B_VALUE:
        return f"diffusion-weighted (b = {series.b_value:.0f})"
    if "EP" in series.scanning_sequence:
        return "echo-planar sequence (diffusion, perfusion or functional)"
    key = first_key(EXCLUDED_SEQUENCES, series.sequence_name.strip().lower())
    return f"SequenceName says {key}" if key else None


def _by_body_part(candidate: Candidate) -> str | None:
    if any(first_key(HEAD_WORDS, text) for text in candidate.texts):
        return None
    part = candidate.series.body_part.replace(" ", "").replace("-", "")
    if part in _OTHER_BODY_PARTS:
        return f"BodyPartExamined is {part}, not the head"
    keys = [first_key(BODY_WORDS, text) for text in candidate.texts]
    found = next((key for key in keys if key), None)
    return f"description says {found}, not the head" if found else None


def _by_geometry(candidate: Candidate) -> str | None:
    shape = candidate.shape
    if shape.planes > 1:
        return f"slices in {shape.planes} different orientations, as a localizer has"
    if shape.coverage_mm < _SMALLEST_COVERAGE_MM:
        return f"covers only {shape.coverage_mm:.0f} mm of the head ({shape.slices} slices)"
    return None
