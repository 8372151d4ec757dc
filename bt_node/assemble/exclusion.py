"""What cannot take any role, whatever its weighting: localizers, maps, projections, diffusion and the like."""

from __future__ import annotations

from bt_node.assemble.anatomy import other_part, too_large_or_narrow
from bt_node.assemble.candidate import Candidate
from bt_node.assemble.pulse import excluded_pulse, kinds_of
from bt_node.assemble.values import modality_in_words
from bt_node.assemble.vocabulary import EXCLUDED_WORDS, REFORMAT_WORDS
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
    "SUB": "a subtraction of other series",
    "M_SUB": "a subtraction of other series",
    "UNI": "a part of MP2RAGE",
    "INV1": "a part of MP2RAGE",
    "INV2": "a part of MP2RAGE",
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
    "R": "the real part of an image",
    "REAL": "the real part of an image",
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
    "VOLUME_RENDER": "a rendered picture",
    "SURFACE_RENDER": "a rendered picture",
    "VRT": "a rendered picture",
    "CURVED_MPR": "a reformat (MPR) of another series",
    "RELCBV": "a perfusion map",
    "RELCBF": "a perfusion map",
    "RELMTT": "a perfusion map",
    "MAP": "a parameter map",
    "SYNTHETIC": "computed from other measurements",
}
_DERIVED = "DERIVED"
# AcquisitionContrast of Enhanced MR (PS3.3 C.8.13.3.1.2) that none of the four has, whatever its weighting.
_CONTRASTS = {
    "DIFFUSION": "diffusion",
    "FLOW_ENCODED": "flow encoding",
    "PERFUSION": "perfusion",
    "TAGGING": "tagging",
    "TOF": "angiography",
}
_SMALLEST_COVERAGE_MM = 30.0
_B_VALUE = 1.0


def why_excluded(candidate: Candidate) -> str | None:
    """The reason why this series can take no role, or None when it may."""
    for judge in (_by_modality, _by_image_type, _by_words, _by_sequence, other_part, _by_geometry):
        reason = judge(candidate)
        if reason:
            return reason
    return None


def _by_modality(candidate: Candidate) -> str | None:
    modality = candidate.series.modality.upper()
    return None if modality == "MR" else f"{modality_in_words(modality)}, not MR"


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
    kinds = kinds_of(series)
    # GE leaves a b-value on sequences that are no diffusion; where it is one, they are echo-planar or say so.
    stray = series.manufacturer.upper().startswith("GE") and bool(kinds) and "EP" not in kinds
    if (series.b_value or 0) >= _B_VALUE and not stray:
        return f"diffusion-weighted (b = {series.b_value:.0f})"
    key = excluded_pulse(series)
    if key:
        return f"SequenceName says {key}"
    if "EP" in kinds:
        return "echo-planar sequence (diffusion, perfusion or functional)"
    contrast = _CONTRASTS.get(series.acquisition_contrast)
    return f"AcquisitionContrast says {contrast}" if contrast else None


def _by_geometry(candidate: Candidate) -> str | None:
    shape = candidate.shape
    if shape.planes > 1:
        return f"slices in {shape.planes} different orientations, as a localizer has"
    if shape.slices > 1 and len({facts.position for facts in candidate.series.slices}) == 1:
        same = f"all {shape.slices} slices have the same ImagePositionPatient"
        return f"its headers are wrong: {same}, so nobody can tell where they lie"
    if shape.coverage_mm < _SMALLEST_COVERAGE_MM:
        return f"covers only {shape.coverage_mm:.0f} mm of the head ({shape.slices} slices)"
    return too_large_or_narrow(candidate)
