"""`bt-node demo`: the whole loop on one machine, with a phantom."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from bt_node.cli.context import echo, print_table, state_of

if TYPE_CHECKING:  # the command line must not load a model to print its help
    from bt_node.simulate.demo import DemoOutcome


def demo(
    context: typer.Context,
    folder: Annotated[Path, typer.Option(help="Where the demo writes; its former files are replaced.")] = Path(
        "demo-output"
    ),
) -> None:
    """Send a phantom study through a node of its own and show what came back. Exit code 0 only if all is right."""
    from bt_node.simulate.demo import run_demo  # noqa: PLC0415

    outcome = run_demo(folder.absolute(), state_of(context).config.models.folder, echo)
    _show(outcome)
    for problem in outcome.problems:
        echo(f"PROBLEM: {problem}", err=True)
    raise typer.Exit(1 if outcome.problems else 0)


def _show(outcome: DemoOutcome) -> None:
    view = outcome.view
    echo("")
    echo("For research use only, not for diagnosis. The phantom is generated; its volumes are known by formula.")
    print_table(
        f"Job {view['id']}: {view['state']}",
        ("role", "series", "why"),
        [(entry["role"], entry["series_number"], entry["reason"]) for entry in view["roles"]],
    )
    print_table(
        "Set aside",
        ("series", "why"),
        [(entry["series_number"], entry["reason"]) for entry in view["set_aside"]],
    )
    findings = {"volumes_ml": {}, "tumour_type": None, "cautions": []} | (view["findings"] or {})
    if findings["tumour_type"]:
        shares = findings["tumour_type"]["given_tumour"]
        told = ", ".join(f"{name} {p:.1%}" for name, p in shares.items())
        echo(f"Tumour type: {findings['tumour_type']['name']} (given a tumour: {told})")
    for caution in findings["cautions"]:
        echo(f"Caution: {caution}")
    print_table(
        "Volumes",
        ("region", "found ml", "true ml", "Dice"),
        [
            (
                region.value,
                f"{findings['volumes_ml'].get(region.value, 0):.2f}",
                f"{true:.2f}",
                _number(outcome, region),
            )
            for region, true in outcome.truth_ml.items()
        ],
    )
    print_table(
        f"Results: {outcome.received} objects came back to the PACS",
        ("kind", "destination", "status", "SOPInstanceUID"),
        [
            (result["kind"], name, delivery["status"], result["sop_instance_uid"])
            for result in view["results"]
            for name, delivery in result["destinations"].items()
        ],
    )
    times = [(stage, f"{seconds:.2f}") for stage, seconds in view["timings_s"].items()]
    print_table("Seconds", ("stage", "s"), [*times, ("first C-STORE to results back", f"{outcome.seconds:.1f}")])
    echo(f"Picture: {outcome.picture}")


def _number(outcome: DemoOutcome, region: object) -> str:
    return f"{outcome.dice[region]:.2f}" if region in outcome.dice else ""  # type: ignore[index]
