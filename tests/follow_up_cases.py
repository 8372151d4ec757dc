"""A former study to compare with, made from a request to encode."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from bt_node.domain.follow_up import Change, FollowUp, FormerObject, LesionChange, Way
from bt_node.domain.result import EncodedObject
from bt_node.domain.tumour import Region
from bt_node.encode.request import EncodeRequest

FORMER_STUDY = "2.25.4711"
FORMER_DAY = date(2025, 12, 1)
GOING_ON = {region: f"2.25.77{place}" for place, region in enumerate(Region)}


def objects_of(encoded: Sequence[EncodedObject]) -> tuple[FormerObject, ...]:
    return tuple(
        FormerObject(
            each.kind, each.sop_class_uid, each.sop_instance_uid, each.series_instance_uid, f"{each.kind.value}.dcm"
        )
        for each in encoded
    )


def compared(
    request: EncodeRequest, objects: tuple[FormerObject, ...], study: str = FORMER_STUDY, **changes: Any
) -> EncodeRequest:
    """The request with a former study in which every region had half its present volume."""
    measured = request.findings.measurements.items()
    follow_up = FollowUp(
        former_job=7,
        former_study_instance_uid=study,
        former_day=FORMER_DAY,
        days=90,
        objects=objects,
        segmenter=replace(request.findings.segmenter, version="1.1.0"),
        changes=tuple(Change(region, round(m.volume_ml / 2, 3), round(m.volume_ml, 3)) for region, m in measured),
        lesions=(LesionChange("2.25.881", 1.5, 3.0), LesionChange("2.25.882", None, 0.25)),
        way=Way.REGISTERED,
        tracking=GOING_ON,
    )
    return replace(request, follow_up=replace(follow_up, **changes))
