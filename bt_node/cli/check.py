"""`bt-node check`: is this node fit to work?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bt_node.cli.context import print_json, print_table, state_of


def check(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Try all that `serve` needs to start (exit code 78 where it would not), then free space and every peer."""
    from bt_node.runtime.health import run_checks  # noqa: PLC0415
    from bt_node.runtime.process import EX_CONFIG  # noqa: PLC0415

    state = state_of(context)
    results = list(run_checks(state.config, state.config_path))
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        print_table("", ("check", "", "detail"), [(r.name, "ok" if r.ok else "FAILED", r.detail) for r in results])
    if any(result.stops for result in results):
        raise typer.Exit(EX_CONFIG)
    raise typer.Exit(0 if all(result.ok for result in results) else 1)
