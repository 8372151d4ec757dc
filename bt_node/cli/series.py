"""`bt-node series`: which series of a folder would become what, without a job."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from bt_node.cli.context import echo, print_json, state_of
from bt_node.cli.explained import print_explanation

app = typer.Typer(help="Look at series without a job.", no_args_is_help=True)


@app.callback()
def series() -> None:
    """Look at series without a job."""


@app.command("explain")
def explain(
    context: typer.Context,
    folder: Annotated[
        Path, typer.Argument(metavar="FOLDER", exists=True, help="Folder of DICOM files, or one file.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False,
) -> None:
    """Which series is T1, T1C, T2 and FLAIR, what it was compared with, and why; with the rules of config.toml."""
    from bt_node.assemble.explanation import explanation  # noqa: PLC0415
    from bt_node.assemble.folder import read_folder  # noqa: PLC0415
    from bt_node.assemble.roles import choose_roles  # noqa: PLC0415

    found, site = read_folder(folder), state_of(context).config.roles
    explained = [
        {"study_instance_uid": study.study_instance_uid, **explanation(choose_roles(study, site))}
        for study in found.studies
    ]
    if as_json:
        print_json({"studies": explained, "other_files": found.others, "repeated_instances": found.repeated})
        return
    for study in explained:
        echo(f"Study {study['study_instance_uid']}")
        print_explanation(study)
    if found.others or found.repeated:
        echo(f"Passed over: {found.others} files that are no DICOM image of a study, {found.repeated} repeated.")
