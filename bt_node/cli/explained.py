"""Printing why which series became what: shared by `jobs explain` and `series explain`."""

from __future__ import annotations

from typing import Any

from bt_node.cli.context import echo, print_table


def print_explanation(explained: dict[str, Any]) -> None:
    """One table for each role with candidates, what is open, and every other series with its reason."""
    for role, facts in explained["roles"].items():
        number = facts["series_number"]
        chosen = (
            f", series {number if number is not None else facts['series_instance_uid']}" if facts["reason"] else ""
        )
        echo(f"{role}: {facts['certainty']}{chosen}")
        for doubt in facts["doubts"]:
            echo(f"  not sure: {doubt}")
        for candidate in facts["a_person_must_choose_from"]:
            echo(f"  a person must say whether it is {candidate}")
        if facts["candidates"]:
            print_table(
                "",
                ("place", "series", "SeriesInstanceUID", "acquired", "contrast", "fits because", "behind"),
                [
                    (
                        each["place"],
                        each["series_number"],
                        each["series_instance_uid"],
                        each["acquired"],
                        each["against_contrast"],
                        each["reason"],
                        each["beaten_by"],
                    )
                    for each in facts["candidates"]
                ],
            )
    print_table(
        "Every other series",
        ("series", "SeriesInstanceUID", "reason"),
        [(each["series_number"], each["series_instance_uid"], each["reason"]) for each in explained["set_aside"]],
    )


def print_image_check(images: list[dict[str, Any]]) -> None:
    """What the images of the last run said about the roles it had given; nothing where it did not come so far."""
    if images:
        print_table(
            "What the images of the last run say",
            ("role", "series", "image", "why", "measured"),
            [
                (
                    each["role"],
                    each["series_number"],
                    each["opinion"],
                    each["why"],
                    ", ".join(f"{name} {value:g}" for name, value in each["numbers"].items()),
                )
                for each in images
            ],
        )
