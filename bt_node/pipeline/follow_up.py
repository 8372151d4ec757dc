"""Is there a former study of this patient, and what became of its tumour?

Nothing here may stop a study: where a former one cannot be read or registered, the volumes are compared all the same,
and the report says so.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from bt_node.assemble.identity import read_identity
from bt_node.assemble.study import UNREADABLE, read_study
from bt_node.convert.lesions import Parts, same_lesions, split
from bt_node.convert.register import register
from bt_node.convert.stack import load_series
from bt_node.domain.errors import BtNodeError, ReadBackError
from bt_node.domain.follow_up import Change, FollowUp, FormerStudy, Lesion, LesionChange, Remembered, Way
from bt_node.domain.geometry import BoolArray
from bt_node.domain.patient import PatientIdentity
from bt_node.domain.receipt import HeldInstance
from bt_node.domain.result import ResultKind
from bt_node.domain.role import Role
from bt_node.domain.study import StackedSeries
from bt_node.domain.tumour import Findings, LabelMap, Region
from bt_node.encode.readback import decode_segmentation
from bt_node.encode.uids import derived_uid, tracking_uid
from bt_node.receive.part10 import Kept, look_at

logger = logging.getLogger(__name__)

_SAME_VOLUME_ML = 0.005

_GONE = "the former images are no longer on this node"
_CHANGED = "the former images are not what was received"
_NO_OUTLINE = "the former outline cannot be read as it was made"
_NOT_REGISTERED = "the heads of the two studies could not be registered"
_NOTHING = "one of the two studies shows no tumour"


@dataclass(frozen=True)
class Memory:
    """How a study finds its former one.

    Attributes:
        key: the site's own key.
        former: the latest sent study with this keyed hash before this day; never the study that asks.
        spool: folder that the paths of former files start at.
    """

    key: bytes = field(repr=False)
    former: Callable[[str, date], FormerStudy | None]
    spool: Path


@dataclass(frozen=True, eq=False)
class Outlined:
    """What this study's outline lies on: the role and the series, and the outline."""

    role: Role
    reference: StackedSeries
    labels: LabelMap


@dataclass(frozen=True)
class Compared:
    """What comparing gave: the former study beside this one, what to remember of this one, or why neither."""

    follow_up: FollowUp | None = None
    former: Remembered | None = None
    remembered: Remembered | None = None
    why_not: str = ""


def compare(
    memory: Memory | None,
    present: Outlined,
    findings: Findings,
    stacks: Mapping[Role, StackedSeries],
    paths: Mapping[str, Path],
) -> Compared:
    """Look for the patient's former study and compare; also says what to remember of this one.

    Args:
        memory: None where the site wants no follow-ups.
        present: this study's outline.
        findings: its measurements.
        stacks: its series, each of which must name the same patient.
        paths: its files by SOPInstanceUID.
    """
    if memory is None:
        return Compared(why_not="follow-ups are switched off")
    patient = read_identity(paths[stack.slices[0].sop_instance_uid] for stack in stacks.values())
    why_not = _why_not(patient)
    if patient is None or patient.study_day is None or why_not:
        return Compared(why_not=why_not)
    hashed = patient.keyed_hash(memory.key)
    former = memory.former(hashed, patient.study_day)
    parts = split(present.labels.mask(Region.WT), present.labels.grid)
    uids = [derived_uid("lesion", patient.study_instance_uid, str(number + 1)) for number in range(parts.count)]
    follow_up = None
    if former is not None:
        follow_up, uids = _beside(former, patient.study_day, present, findings, parts, uids, memory.spool)
    remembered = Remembered(
        patient_hash=hashed,
        study_day=patient.study_day,
        reference_series_uid=present.reference.series_instance_uid,
        volumes_ml=_volumes(findings),
        tracking=_own_tracking(patient.study_instance_uid) | dict(follow_up.tracking if follow_up else {}),
        lesions=tuple(
            Lesion(uid, round(ml, 3), centre)
            for uid, ml, centre in zip(uids, parts.volumes_ml, parts.centres_mm, strict=True)
        ),
        segmenter=findings.segmenter,
        missing=tuple(role.value for role in findings.missing),
    )
    return Compared(follow_up, former.remembered if former else None, remembered)


def _why_not(patient: PatientIdentity | None) -> str:
    if patient is None:
        return "the images do not name one and the same patient and study"
    if not patient.is_somebody:
        return "the images name no patient ID of one person's own"
    return "" if patient.study_day else "the images name no day of the study"


def _volumes(findings: Findings) -> dict[Region, float]:
    return {region: round(measured.volume_ml, 3) for region, measured in findings.measurements.items()}


def _own_tracking(study_instance_uid: str) -> dict[Region, str]:
    return {region: tracking_uid(study_instance_uid, region) for region in Region}


def _beside(
    former: FormerStudy,
    day: date,
    present: Outlined,
    findings: Findings,
    parts: Parts,
    own_uids: list[str],
    spool: Path,
) -> tuple[FollowUp, list[str]]:
    """The comparison, and the tracking UID of each present lesion."""
    then = former.remembered
    pairs, because = _pairs(former, present, parts, spool)
    told_apart = pairs is not None
    if pairs is None:  # a lone lesion can only be the lone lesion; among several nothing tells which is which
        pairs = {1: 1} if parts.count == 1 and len(then.lesions) == 1 else {}
    uids = [
        then.lesions[pairs[number] - 1].tracking_uid if number in pairs else own
        for number, own in enumerate(own_uids, start=1)
    ]
    gone = bool(then.lesions) and not parts.count
    now = _volumes(findings)
    follow_up = FollowUp(
        former_job=former.job_id,
        former_study_instance_uid=former.study_instance_uid,
        former_day=then.study_day,
        days=(day - then.study_day).days,
        objects=former.objects,
        segmenter=then.segmenter,
        changes=tuple(
            Change(region, then.volumes_ml[region], now[region])
            for region in Region
            if region in then.volumes_ml and region in now
        ),
        lesions=_lesion_changes(then.lesions, parts, uids) if told_apart or pairs or gone else (),
        way=Way.NUMBERS if because else Way.REGISTERED,
        because=because,
        tracking=dict(then.tracking) if pairs or gone else {},
    )
    return follow_up, uids


def _lesion_changes(then: tuple[Lesion, ...], parts: Parts, uids: list[str]) -> tuple[LesionChange, ...]:
    """This study's lesions from the largest on, then those of the former study that are not found again."""
    before = {each.tracking_uid: each.volume_ml for each in then}
    here = [LesionChange(uid, before.get(uid), round(ml, 3)) for uid, ml in zip(uids, parts.volumes_ml, strict=True)]
    return (*here, *(LesionChange(uid, ml, None) for uid, ml in before.items() if uid not in uids))


def _pairs(former: FormerStudy, present: Outlined, parts: Parts, spool: Path) -> tuple[dict[int, int] | None, str]:
    """Which present lesion is which former one, or None with the reason why lesions could not be told apart."""
    if not parts.count or not former.remembered.lesions:
        return None, _NOTHING
    found = _former_outline(former, spool)
    if isinstance(found, str):
        return None, found
    reference, outline = found
    before = split(outline, reference.grid)
    if not _as_remembered(before, former.remembered.lesions):
        return None, _NO_OUTLINE
    try:
        report = register(present.reference.volume, reference.volume, present.role)
    except BtNodeError:
        return None, _NOT_REGISTERED
    return same_lesions(parts, before, report.motion), ""


def _as_remembered(parts: Parts, lesions: tuple[Lesion, ...]) -> bool:
    if parts.count != len(lesions):
        return False
    return all(
        abs(ml - each.volume_ml) <= _SAME_VOLUME_ML for ml, each in zip(parts.volumes_ml, lesions, strict=True)
    )


def _is_as_received(path: Path, held: HeldInstance) -> bool:
    return look_at(path, held.digest, held.transfer_syntax_uid) is Kept.SOUND


def _former_outline(former: FormerStudy, spool: Path) -> tuple[StackedSeries, BoolArray] | str:
    """The former reference series and the whole tumour on it, or why there is none."""
    paths = {uid: spool / held.path for uid, held in former.reference.items()}
    made = next((each for each in former.objects if each.kind is ResultKind.SEG_DERIVED), None)
    outline = spool / made.path if made else None
    if not paths or outline is None or not outline.is_file() or not all(path.is_file() for path in paths.values()):
        return _GONE
    try:
        if not all(_is_as_received(paths[uid], held) for uid, held in former.reference.items()):
            return _CHANGED
        if made and hashlib.sha256(outline.read_bytes()).hexdigest() != made.sha256:
            return _NO_OUTLINE
        for series in read_study(paths).series:  # more than one where the series holds several volumes
            stack = load_series(series, paths)
            try:
                return stack, decode_segmentation(outline, stack.grid)[-1]  # the whole tumour is the last segment
            except ReadBackError:
                continue
    except (BtNodeError, OSError, *UNREADABLE) as error:  # damaged, or deleted meanwhile: this study goes on
        logger.warning("former study of job %d cannot be read: %s", former.job_id, type(error).__name__)
    return _NO_OUTLINE
