"""Name a release in config.toml: one value is changed, and everything else stays as it was typed."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
import tomllib
from pathlib import Path

from bt_node.cli.context import CliState

_TABLE = re.compile(r"^\s*\[([^\[\]]+)\]\s*(#.*)?$")


def activate(state: CliState, kind: str, name: str, *, write: bool) -> list[str]:
    """Make `name` the release of its kind in the configuration file, or say what to type there.

    Args:
        state: which configuration file is read.
        kind: key in `[models]`: segmenter or classifier.
        name: folder of the release.
        write: change the file; otherwise nothing is written.

    Returns:
        Lines for the person: what was done, what is left to do.
    """
    if getattr(state.config.models, kind) == name:
        return [f"config.toml names it already. {_RESTART}"]
    where = state.config_path or "config.toml"
    by_hand = [f"To use it, put into {where}:", "  [models]", f'  {kind} = "{name}"', _RESTART]
    variable = f"BT_NODE_MODELS__{kind.upper()}"
    if variable in os.environ:
        return [f"{variable} names another release and goes before the file: change it there.", _RESTART]
    if not write:
        return by_hand
    path = state.config_path
    before = path.read_text(encoding="utf-8") if path else ""
    after = with_value(before, "models", kind, name)
    if path is None or after is None or not os.access(path.parent, os.W_OK):
        return ["The configuration file was not changed: it is not there, not writable, or not plain.", *by_hand]
    _replace(path.resolve(), after)
    return [f'{path}: [models] {kind} = "{name}".', _RESTART]


_RESTART = (
    "A running worker keeps the releases it loaded at its start: restart it (`bt-node serve all`, or the worker's "
    "service)."
)


def with_value(text: str, table: str, key: str, value: str) -> str | None:
    """TOML text with one string value changed or added, comments and order kept.

    Returns:
        The new text; None where the result, read back, would differ in anything else.
    """
    lines, current, done, table_at = text.splitlines(keepends=True), "", False, -1
    for number, line in enumerate(lines):
        if header := _TABLE.match(line):
            current = header.group(1).strip()
            table_at = number if current == table else table_at
        elif current == table and re.match(rf"\s*{re.escape(key)}\s*=", line):
            lines[number] = re.sub(r'=\s*("[^"]*"|\'[^\']*\')', lambda _: f'= "{value}"', line, count=1)
            done = True
    if not done and table_at >= 0:
        lines.insert(table_at + 1, f'{key} = "{value}"\n')
    elif not done:
        lines.append(f'{"" if text.endswith(chr(10)) or not text else chr(10)}\n[{table}]\n{key} = "{value}"\n')
    after = "".join(lines)
    return after if _differs_only_in(text, after, table, key, value) else None


def _differs_only_in(before: str, after: str, table: str, key: str, value: str) -> bool:
    try:
        old, new = tomllib.loads(before), tomllib.loads(after)
    except tomllib.TOMLDecodeError:
        return False
    return bool(new == old | {table: old.get(table, {}) | {key: value}})


def _replace(path: Path, text: str) -> None:
    """Write beside the file and rename over it, with its permissions."""
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    shutil.copymode(path, file.name)
    Path(file.name).replace(path)
