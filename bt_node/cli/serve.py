"""`bt-node serve`: the long-running processes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bt_node.cli.context import state_of
from bt_node.domain.errors import Retry


class Wanted(StrEnum):
    """What to run."""

    LISTENER = "listener"
    WORKER = "worker"
    ALL = "all"


ALL = Wanted.ALL


def serve(
    context: typer.Context,
    part: Annotated[
        Wanted, typer.Argument(help="The listener receives, the worker analyses and sends.")
    ] = Wanted.ALL,
) -> None:
    """Run the listener, the worker, or both as two processes, until SIGTERM or Ctrl-C."""
    from bt_node.runtime.logs import set_up_logging  # noqa: PLC0415
    from bt_node.runtime.permissions import no_core_dumps, private_umask  # noqa: PLC0415
    from bt_node.runtime.process import Part  # noqa: PLC0415
    from bt_node.runtime.startup import require_conditions  # noqa: PLC0415

    state = state_of(context)
    set_up_logging(state.config.logging.level)
    private_umask()
    no_core_dumps()
    if part is Wanted.ALL:
        from bt_node.runtime.supervisor import run_all  # noqa: PLC0415

        try:
            require_conditions(state.config, state.config_path, frozenset(Part))
        except Retry as trouble:  # each process is started again until it holds
            typer.echo(f"bt-node: {trouble}", err=True)
        raise typer.Exit(run_all(state.config_arguments))
    require_conditions(state.config, state.config_path, {Part(part)})
    if part is Wanted.LISTENER:
        from bt_node.runtime.listener import run_listener  # noqa: PLC0415

        run_listener(state.config)
    else:
        from bt_node.runtime.worker import run_worker  # noqa: PLC0415

        run_worker(state.config)
