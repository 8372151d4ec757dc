"""What a report says of the former study of the same patient: coded numbers for each region, and sentences.

TID 1500 has no row for a change in time (TID 1420 takes ranks within a population only), so it stands among the
group's measurements (TID 1419) under the concept that CAD reports use for quantitative temporal differences, once in
cm3 and once in percent. The former volume is what the difference was inferred from: below it, so that a reader that
knows nothing of this still finds one Volume in each group, this study's. The former study's objects are Pertinent
Other Evidence (PS3.3 C.17.2).
"""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.dataset import Dataset

from bt_node.domain.follow_up import Change, FollowUp, LesionChange, Way
from bt_node.domain.tumour import Region, ReleaseIdentity
from bt_node.encode import codes
from bt_node.encode.quantity import Quantity


def compared_sizes(follow_up: FollowUp | None, region: Region, release: ReleaseIdentity) -> tuple[Quantity, ...]:
    """Difference in cm3, inferred from the former volume, and in percent of it; nothing where it is not known."""
    change = follow_up.change_of(region) if follow_up else None
    if follow_up is None or change is None:
        return ()
    former = Quantity(codes.VOLUME, change.former_ml, codes.CUBIC_CENTIMETER, follow_up.segmenter)
    grown = Quantity(codes.SIZE_DIFFERENCE, change.ml, codes.CUBIC_CENTIMETER, release, inferred_from=(former,))
    if change.percent is None:
        return (grown,)
    return (grown, Quantity(codes.SIZE_DIFFERENCE, change.percent, codes.PERCENT, release))


def former_evidence(follow_up: FollowUp | None) -> list[Dataset]:
    """One small header (UIDs) for each result object of the former study."""
    return [] if follow_up is None else [_header(follow_up, *each) for each in former_references(follow_up)]


def former_references(follow_up: FollowUp | None) -> list[tuple[str, str, str]]:
    """SOP class, SOP instance and series UID of each result object of the former study."""
    objects = follow_up.objects if follow_up else ()
    return [(each.sop_class_uid, each.sop_instance_uid, each.series_instance_uid) for each in objects]


def _header(follow_up: FollowUp, sop_class_uid: str, sop_instance_uid: str, series_instance_uid: str) -> Dataset:
    header = Dataset()
    header.SOPClassUID = sop_class_uid
    header.SOPInstanceUID = sop_instance_uid
    header.SeriesInstanceUID = series_instance_uid
    header.StudyInstanceUID = follow_up.former_study_instance_uid
    return header


# ---------------------------------------------------------------- sentences


def comparison_words(follow_up: FollowUp | None) -> tuple[str, ...]:
    """Volumes of both studies, each lesion, and how it was compared."""
    if follow_up is None:
        return ()
    changes = "; ".join(f"{codes.REGIONS[change.region].label} {_change(change)}" for change in follow_up.changes)
    when = f"{follow_up.former_day.isoformat()}, {_days(follow_up.days)} earlier"
    first = f"Compared with the study of the same patient of {when} (then, now, change): {changes}."
    return (first, *_lesions(follow_up), _how(follow_up))


def _change(change: Change) -> str:
    percent = "" if change.percent is None else f", {change.percent:+.1f} %"
    return f"{change.former_ml:.2f} ml, {change.present_ml:.2f} ml, {change.ml:+.2f} ml{percent}"


def _lesions(follow_up: FollowUp) -> Iterator[str]:
    """Only where there is more than one: a lone lesion is the whole tumour."""
    if len(follow_up.lesions) < 2:  # noqa: PLR2004
        return
    told = "; ".join(f"{number}: {_lesion(each)}" for number, each in enumerate(follow_up.lesions, start=1))
    yield f"Lesions (connected parts of the whole tumour) then and now: {told}."


def _lesion(each: LesionChange) -> str:
    if each.former_ml is None:
        return f"new, {each.present_ml:.2f} ml now"
    if each.present_ml is None:
        return f"{each.former_ml:.2f} ml then, not outlined by itself now"
    return f"{each.former_ml:.2f} ml then, {each.present_ml:.2f} ml now"


def _how(follow_up: FollowUp) -> str:
    if follow_up.way is Way.REGISTERED:
        how = "The heads were registered and the former outline was laid over this one."
    else:
        how = f"Lesions were compared by their number alone, because {follow_up.because}."
    goes_on = "go on from the former study" if follow_up.tracking else "are new"
    return f"{how} Tracking UIDs {goes_on}."


def _days(days: int) -> str:
    return "1 day" if days == 1 else f"{days} days"
