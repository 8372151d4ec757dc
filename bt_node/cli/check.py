"""`bt-node check`: is this node fit to work?"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from bt_node.cli.context import print_json, print_table, state_of


def check(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """Check configuration, database, spool, permissions, certificates, weights, and destinations by C-ECHO."""
    from bt_node.runtime.health import run_checks  # noqa: PLC0415

    state = state_of(context)
    results = list(run_checks(state.config, state.config_path))
    if as_json:
        print_json([asdict(result) for result in results])
    else:
        print_table("", ("check", "", "detail"), [(r.name, "ok" if r.ok else "FAIL", r.detail) for r in results])
    raise typer.Exit(0 if all(result.ok for result in results) else 1)
