"""`bt-node models`: the releases on disk."""

from __future__ import annotations

from typing import Annotated

import typer

from bt_node.cli.context import print_json, print_table, state_of

app = typer.Typer(help="Model releases.", no_args_is_help=True)


@app.command("list")
def list_models(
    context: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="Print JSON for programs.")] = False
) -> None:
    """List the releases in [models] folder, and which ones this node uses. Reads manifests only, no weights."""
    from bt_node.infer.release import list_releases  # noqa: PLC0415

    settings = state_of(context).config.models
    used = {settings.segmenter, settings.classifier}
    rows = [
        {
            "name": release.folder.name,
            "version": release.identity.version,
            "kind": release.kind,
            "architecture": release.manifest.network.architecture,
            "weights_sha256": release.identity.weights_sha256,
            "in_use": release.folder.name in used,
        }
        for release in list_releases(settings.folder)
    ]
    if as_json:
        print_json(rows)
        return
    print_table(
        "Releases. For research use only, not for diagnosis.",
        ("folder", "version", "kind", "network", "weights", "in use"),
        [
            (
                r["name"],
                r["version"],
                r["kind"],
                r["architecture"],
                str(r["weights_sha256"])[:12],
                "yes" if r["in_use"] else "",
            )
            for r in rows
        ],
    )
