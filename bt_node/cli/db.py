"""`bt-node db`: the job book's schema."""

from __future__ import annotations

import typer

from bt_node.cli.context import echo, state_of

app = typer.Typer(help="The job book's database.", no_args_is_help=True)


@app.command("upgrade")
def upgrade(context: typer.Context) -> None:
    """Create the database or bring its schema to what this node needs. Safe to repeat."""
    from bt_node.jobs import schema_revision, upgrade_schema  # noqa: PLC0415

    url = state_of(context).config.database.url
    before, _ = schema_revision(url)
    upgrade_schema(url)
    after, _ = schema_revision(url)
    echo(f"Schema {after}." if before == after else f"Schema {before or 'none'} -> {after}.")
