"""`bt-node serve`: the long-running processes."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

from bt_node.cli.context import state_of


class Part(StrEnum):
    """What to run."""

    LISTENER = "listener"
    WORKER = "worker"
    ALL = "all"


def serve(
    context: typer.Context,
    part: Annotated[Part, typer.Argument(help="The listener receives, the worker analyses and sends.")] = Part.ALL,
) -> None:
    """Run the listener, the worker, or both as two processes, until SIGTERM or Ctrl-C."""
    from bt_node.runtime.logs import set_up_logging  # noqa: PLC0415
    from bt_node.runtime.permissions import no_core_dumps, private_umask, refuse_open_secrets  # noqa: PLC0415

    state = state_of(context)
    set_up_logging(state.config.logging.level)
    private_umask()
    no_core_dumps()
    refuse_open_secrets(state.config, state.config_path)
    match part:
        case Part.LISTENER:
            from bt_node.runtime.listener import run_listener  # noqa: PLC0415

            run_listener(state.config)
        case Part.WORKER:
            from bt_node.runtime.worker import run_worker  # noqa: PLC0415

            run_worker(state.config)
        case Part.ALL:
            from bt_node.runtime.supervisor import run_all  # noqa: PLC0415

            state.open_book().close()  # one clear message instead of two processes' deaths
            raise typer.Exit(run_all(state.config_arguments))
