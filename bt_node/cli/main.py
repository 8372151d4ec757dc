"""The `bt-node` command. Each noun is a file of its own; heavy libraries load inside the command that needs them."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from pathlib import Path
from typing import Annotated, Optional

import typer

from bt_node.cli import audit, check, db, demo, health, models, predict, roles, send, series, serve
from bt_node.cli.context import CliState, echo
from bt_node.domain.errors import Alarm, BtNodeError
from bt_node.runtime.logs import set_up_logging

# Commands that read or write the job book and end: nothing they make needs the cycle collector.
SHORT_COMMANDS = frozenset({"jobs", "db", "check", "models", "audit", "health"})
EX_CONFIG = 78  # sysexits.h: a supervisor must not restart what only an administrator can mend

app = typer.Typer(
    name="bt-node",
    help="Brain-tumour segmentation and classification inside a PACS. For research use only, not for diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # a traceback with local variables would show patient data
)
app.add_typer(roles.app, name="jobs")  # the commands of jobs.py, and explain and assign
app.add_typer(series.app, name="series")
app.add_typer(models.app, name="models")
app.add_typer(db.app, name="db")
app.add_typer(audit.app, name="audit")
app.add_typer(predict.app, name="predict")
app.command("serve")(serve.serve)
app.command("send")(send.send_command)
app.command("check")(check.check)
app.command("health")(health.health)
app.command("demo")(demo.demo)


def _version(wanted: bool) -> None:
    if wanted:
        from bt_node import __version__  # noqa: PLC0415

        echo(f"bt-node {__version__}")
        raise typer.Exit


@app.callback()
def root(
    context: typer.Context,
    config: Annotated[
        Optional[Path],
        typer.Option(
            "--config", help="Configuration file; default ./config.toml where there is one.", dir_okay=False
        ),
    ] = None,
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Show it.")] = False,
) -> None:
    """Options that stand before the command."""
    del version
    if context.invoked_subcommand not in SHORT_COMMANDS:
        gc.enable()
    context.obj = CliState(config)


def main() -> None:
    """Run the command line; our own errors become one message and an exit code, not a traceback."""
    # Walking the thousands of objects that imports make, at start and again at exit, is a third of a short command.
    gc.disable()
    atexit.register(gc.freeze)
    # At its first model pydantic asks every installed distribution for plug-ins; the node uses none.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    set_up_logging("WARNING", brief=True)  # what libraries remark on headers quotes them
    try:
        app()
    except BtNodeError as error:
        echo(f"bt-node: {error}", err=True)
        sys.exit(EX_CONFIG if isinstance(error, Alarm) else 1)
    except KeyboardInterrupt:
        sys.exit(130)
    except BrokenPipeError:
        # `bt-node jobs list | head`: the reader has seen enough.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
