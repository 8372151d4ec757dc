"""The former study beside this one, as `bt-node jobs show` prints it."""

from __future__ import annotations

from typing import Any

from bt_node.cli.context import echo, print_table

_HOW = {
    "REGISTERED": "heads registered, former outline laid over this one",
    "NUMBERS": "volumes only",
}


def print_follow_up(findings: dict[str, Any]) -> None:
    """Former job, volumes of both, change; or why no former study was looked for."""
    told = findings.get("follow_up")
    if told is None:
        if findings.get("no_follow_up_because"):
            echo(f"  no former study was looked for: {findings['no_follow_up_because']}")
        return
    how = _HOW.get(told["compared"], told["compared"])
    because = f" ({told['because']})" if told["because"] else ""
    tracked = "go on" if told["same_tumour"] else "are new"
    print_table(
        f"Former study: job {told['former_job']}, {told['former_day']}, {told['days']} days earlier",
        ("region", "then ml", "now ml", "change ml", "change %"),
        [
            (name, each["former"], each["present"], f"{each['change']:+.3f}", _percent(each["percent"]))
            for name, each in told["volumes_ml"].items()
        ],
    )
    echo(f"  compared by: {how}{because}; tracking UIDs {tracked}")
    for number, each in enumerate(told["lesions"], start=1):
        echo(f"  lesion {number}: {_ml(each['former_ml'])} then, {_ml(each['present_ml'])} now")


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f}"


def _ml(value: float | None) -> str:
    return "none" if value is None else f"{value:.2f} ml"
