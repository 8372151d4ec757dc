"""What commands share: configuration, job book, JSON and tables."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from bt_node.domain.errors import ConfigError
from bt_node.domain.text import visible

if TYPE_CHECKING:  # the commands that need neither must not pay for them
    from bt_node.config import Config
    from bt_node.jobs import JobBook

DEFAULT_CONFIG = Path("config.toml")


@dataclass
class CliState:
    """The options that stand before the command, and what is derived from them."""

    config_option: Path | None

    @property
    def config_path(self) -> Path | None:
        """The file to read: the option, else ./config.toml, else none (all defaults).

        Raises:
            ConfigError: the file that was asked for does not exist.
        """
        if self.config_option is not None:
            if not self.config_option.is_file():
                raise ConfigError([f"{self.config_option}: no such file"])
            return self.config_option
        return DEFAULT_CONFIG if DEFAULT_CONFIG.is_file() else None

    @property
    def config_arguments(self) -> list[str]:
        """The same choice as arguments for a process of our own."""
        return [] if self.config_path is None else ["--config", str(self.config_path)]

    @cached_property
    def config(self) -> Config:
        """The checked configuration."""
        from bt_node.config import load_config  # noqa: PLC0415

        return load_config(self.config_path, os.environ)

    def open_book(self) -> JobBook:
        """The job book, at the schema revision this node needs."""
        from bt_node.jobs import open_book  # noqa: PLC0415

        return open_book(self.config.database.url)


def state_of(context: typer.Context) -> CliState:
    """The state that the root callback left."""
    state = context.find_root().obj
    assert isinstance(state, CliState)  # noqa: S101 - the callback always runs first
    return state


def echo(text: str, *, err: bool = False) -> None:
    """Print lines; whatever else could steer a terminal is escaped, for much of what we show came from outside."""
    typer.echo(visible(text, keep="\n"), err=err)


def print_json(value: Any) -> None:
    """Print a value as JSON, for programs; ASCII, so that nothing in it steers a terminal."""
    typer.echo(json.dumps(value, indent=2, default=str).replace("\x7f", "\\u007f"))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table for people; text wraps inside its cell and nothing is cut off."""
    from rich.console import Console  # noqa: PLC0415
    from rich.markup import escape  # noqa: PLC0415
    from rich.table import Column, Table  # noqa: PLC0415

    console = Console()
    if title:  # as a line of its own: inside a narrow table it would be broken into pieces
        console.print(escape(visible(title)), style="bold")
    table = Table(*(Column(name, overflow="fold") for name in columns))
    for row in rows:
        table.add_row(*(escape("" if cell is None else visible(str(cell), keep="\n")) for cell in row))
    console.print(table)
