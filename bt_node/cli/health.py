"""`bt-node health`: a quick probe for systemd, containers and people."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bt_node.cli.context import echo, state_of


class Asked(StrEnum):
    """Whom to ask."""

    LISTENER = "listener"
    WORKER = "worker"
    ALL = "all"


def health(
    context: typer.Context,
    part: Annotated[Asked, typer.Argument(help="Which process, of this account on this machine.")] = Asked.ALL,
) -> None:
    """Ask the running processes whether their work goes on: exit code 0 when it does. Asks no database, no peer."""
    from bt_node.runtime.pulse import ALIVE, ask  # noqa: PLC0415

    spool = state_of(context).config.storage.spool
    well = True
    for name in (Asked.LISTENER, Asked.WORKER) if part is Asked.ALL else (part,):
        answer = ask(spool, name.value)
        echo(f"{name.value}: {answer or 'does not run here'}")
        well = well and (answer or "").startswith(ALIVE)
    raise typer.Exit(0 if well else 1)
