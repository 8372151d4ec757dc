"""Printing why a study waits or went on: shared by `jobs show` and `jobs explain`."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bt_node.cli.context import print_table


def print_completeness(view: Mapping[str, Any]) -> None:
    """Each decision with its reason, and for the last one every series: arrived, at the source, last image."""
    decisions = view.get("completeness") or []
    if not decisions:
        return
    print_table(
        "Completeness",
        ("from", "until", "images", "", "because"),
        [
            (row["begun_at"], row["at"], row["images"], "goes on" if row["complete"] else "waits", row["reason"])
            for row in decisions
        ],
    )
    evidence = decisions[-1]["evidence"]
    if evidence.get("arrived"):
        print_table("Arrived", ("series", "SeriesInstanceUID", "arrived", "at the source", "last"), _series(evidence))


def _series(evidence: Mapping[str, Any]) -> list[tuple[object, ...]]:
    told = {each["series_instance_uid"]: each for entry in evidence["asked"] for each in entry["series"] or ()}
    arrived = {each["series_instance_uid"]: each for each in evidence["arrived"]}
    never = [uid for uid in told if uid not in arrived]
    return [
        (
            arrived.get(uid, {}).get("series_number") or told.get(uid, {}).get("series_number"),
            uid,
            arrived.get(uid, {}).get("instances", 0),
            _at_source(told.get(uid)),
            _clock(arrived.get(uid, {}).get("last_received_at")),
        )
        for uid in (*arrived, *never)
    ]


def _at_source(told: Mapping[str, Any] | None) -> str:
    if told is None:
        return ""
    number = "not told" if told["instances"] is None else str(told["instances"])
    how = " (counted)" if told["counted"] else ""
    return f"{number}{how}{'' if told['modality'] in {'MR', ''} else ' ' + told['modality']}"


def _clock(seconds: float | None) -> str:
    return "" if seconds is None else datetime.fromtimestamp(seconds, tz=UTC).isoformat(timespec="seconds")
