"""Facts of one series from the header of one instance and from its frames.

Enhanced MR says with other elements what classic MR says (PS3.3 C.8.13.4 to C.8.13.5); both end in the classic words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TypeVar

from pydicom.dataset import Dataset

from bt_node.assemble.frames import Frame
from bt_node.assemble.injection import administered_in_all, agent_of, started_at_s
from bt_node.assemble.private import philips_classic_header, sequence_names
from bt_node.assemble.values import integer, items, text, texts
from bt_node.domain.study import SeriesFacts

_T = TypeVar("_T")


def _most_common(values: Iterable[_T | None]) -> _T | None:
    counted = Counter(value for value in values if value is not None)
    return min(counted, key=lambda value: (-counted[value], str(value))) if counted else None


def series_facts(uid: str, ds: Dataset, frames: Sequence[Frame]) -> SeriesFacts:
    """Facts of one volume of a series.

    Args:
        uid: SeriesInstanceUID.
        ds: header of one instance of the series, for what all of them share.
        frames: the slices of the volume; of values that differ between them the most common one is told, of
            acquisition times the earliest.
    """
    given = administered_in_all(frame.contrast_given for frame in frames)
    times = [frame.acquired_at_s for frame in frames if frame.acquired_at_s is not None]
    return SeriesFacts(
        series_instance_uid=uid,
        series_number=integer(ds, "SeriesNumber"),
        modality=text(ds, "Modality") or "MR",
        sop_class_uid=text(ds, "SOPClassUID"),
        slices=tuple(frame.slice for frame in frames),
        description=text(ds, "SeriesDescription"),
        protocol_name=text(ds, "ProtocolName"),
        image_type=_most_common(frame.image_type for frame in frames) or (),
        scanning_sequence=_scanning_sequence(ds),
        sequence_variant=_sequence_variant(ds),
        scan_options=_scan_options(ds),
        sequence_name=text(ds, "SequenceName") or text(ds, "PulseSequenceName"),
        pulse_names=_pulse_names(ds),
        acquisition_contrast=_most_common(frame.acquisition_contrast or None for frame in frames) or "",
        acquisition_type=text(ds, "MRAcquisitionType").upper(),
        echo_time_ms=_most_common(frame.echo_time_ms for frame in frames),
        repetition_time_ms=_most_common(frame.repetition_time_ms for frame in frames),
        inversion_time_ms=_most_common(frame.inversion_time_ms for frame in frames),
        flip_angle_deg=_most_common(frame.flip_angle_deg for frame in frames),
        echo_train_length=_most_common(frame.echo_train_length for frame in frames),
        b_value=_most_common(frame.b_value for frame in frames),
        contrast_agent="" if given is False else agent_of(ds),
        contrast_given=given,
        contrast_started_at_s=started_at_s(ds),
        acquired_at_s=min(times) if times else None,
        slice_thickness_mm=_most_common(frame.thickness_mm for frame in frames),
        frame_of_reference_uid=text(ds, "FrameOfReferenceUID"),
        body_part=_body_part(ds),
        study_description=_asked_for(ds),
        manufacturer=text(ds, "Manufacturer"),
        station=text(ds, "StationName"),
    )


def _upper(ds: Dataset, keyword: str) -> tuple[str, ...]:
    return tuple(word.upper() for word in texts(ds, keyword))


def _shared(ds: Dataset, keyword: str) -> Dataset:
    for holder in ("SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"):
        for groups in items(ds, holder)[:1]:
            found = items(groups, keyword)
            if found:
                return found[0]
    return Dataset()


def _philips(ds: Dataset) -> Dataset:
    """The classic header that Philips keeps in the first frame of its Enhanced MR."""
    frames = items(ds, "PerFrameFunctionalGroupsSequence")[:1]
    return philips_classic_header(frames[0]) if frames else Dataset()


def _scanning_sequence(ds: Dataset) -> tuple[str, ...]:
    """ScanningSequence, or for Enhanced MR the same words from the pulse sequence module (PS3.3 C.8.13.4)."""
    classic = _upper(ds, "ScanningSequence") or _upper(_philips(ds), "ScanningSequence")
    if classic:
        return classic
    pulse = text(ds, "EchoPulseSequence").upper()
    words = [word for word, wanted in (("SE", {"SPIN", "BOTH"}), ("GR", {"GRADIENT", "BOTH"})) if pulse in wanted]
    if text(ds, "EchoPlanarPulseSequence").upper() == "YES":
        words.append("EP")
    if text(_shared(ds, "MRModifierSequence"), "InversionRecovery").upper() == "YES":
        words.append("IR")
    return tuple(words)


def _sequence_variant(ds: Dataset) -> tuple[str, ...]:
    classic = _upper(ds, "SequenceVariant") or _upper(_philips(ds), "SequenceVariant")
    if classic:
        return classic
    spoiling = text(_shared(ds, "MRModifierSequence"), "Spoiling").upper()
    steady = text(ds, "SteadyStatePulseSequence").upper()
    return tuple(
        word for word, given in (("SP", spoiling not in {"", "NONE"}), ("SS", steady not in {"", "NONE"})) if given
    )


def _scan_options(ds: Dataset) -> tuple[str, ...]:
    classic = _upper(ds, "ScanOptions")
    suppressed = text(ds, "SpectrallySelectedSuppression").upper()
    excited = text(_shared(ds, "MRModifierSequence"), "SpectrallySelectedExcitation").upper()
    fat_free = suppressed in {"FAT", "FAT AND WATER"} or excited == "WATER"
    return (*classic, "FS") if fat_free and "FS" not in classic else classic


def _pulse_names(ds: Dataset) -> tuple[str, ...]:
    """Private names, and what Enhanced MR flags, as the names that such sequences have."""
    flags = (("TimeOfFlightContrast", "tof"), ("PhaseContrast", "pca"))
    labelled = text(ds, "ArterialSpinLabelingContrast").upper() not in {"", "NONE"}
    return (
        *((text(ds, "PulseSequenceName"),) if text(ds, "SequenceName") and text(ds, "PulseSequenceName") else ()),
        *sequence_names(ds),
        *(name for keyword, name in flags if text(ds, keyword).upper() == "YES"),
        *(("asl",) if labelled else ()),
    )


def _body_part(ds: Dataset) -> str:
    """BodyPartExamined, else the coded region, at the top level or of the first frame."""
    holders = [ds, _shared(ds, "FrameAnatomySequence")]
    regions = [text(item, "CodeMeaning") for holder in holders for item in items(holder, "AnatomicRegionSequence")]
    return (text(ds, "BodyPartExamined") or " ".join(regions)).upper()


def _asked_for(ds: Dataset) -> str:
    keywords = ("StudyDescription", "RequestedProcedureDescription", "PerformedProcedureStepDescription")
    return " / ".join(dict.fromkeys(said for keyword in keywords if (said := text(ds, keyword))))
