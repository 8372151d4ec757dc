"""`bt-node send`: C-STORE a folder to any application entity."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from bt_node.cli.context import echo, state_of


def send_command(
    context: typer.Context,
    folder: Annotated[Path, typer.Argument(exists=True, help="Folder (searched to the bottom) or one file.")],
    host: Annotated[str, typer.Option(help="Host to send to.")] = "127.0.0.1",
    port: Annotated[Optional[int], typer.Option(help="Port; default: this node's listener.")] = None,
    called: Annotated[Optional[str], typer.Option(help="Called AE title; default: this node's.")] = None,
    calling: Annotated[str, typer.Option(help="Calling AE title.")] = "BT_NODE_SEND",
) -> None:
    """C-STORE all DICOM files of a folder and print a summary of the statuses. Exit code 1 if any was not stored."""
    from bt_node.deliver.folder import send_folder  # noqa: PLC0415
    from bt_node.deliver.peer import Peer  # noqa: PLC0415

    listener = state_of(context).config.listener
    peer = Peer(called or listener.ae_title, host, port or listener.port)
    summary = send_folder(peer, calling, folder)
    echo(f"{peer.ae_title} at {peer.host}:{peer.port}: {summary}")
    raise typer.Exit(0 if summary.all_stored else 1)
