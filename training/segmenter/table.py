"""One's own data: a CSV file with a row per case.

Columns: `case`, `t1`, `t1c`, `t2`, `flair`, `label` and, where patients have several cases, `patient`. Paths are
relative to the CSV file. A sequence that the recipe's roles do not name may be left empty or have no column.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from bt_node.domain.study import Role
from training.segmenter.case import Case, CaseError

_COLUMN = {Role.T1: "t1", Role.T1C: "t1c", Role.T2: "t2", Role.FLAIR: "flair"}
_KNOWN = {"case", "patient", "label", *_COLUMN.values()}
_NAME = re.compile(r"[A-Za-z0-9][\w.-]*")  # it names files in the run folder


def find_table(place: Path, roles: Sequence[Role]) -> tuple[Case, ...]:
    """The cases of a CSV file, or of the one CSV file in a folder (`cases.csv` where there are more).

    Raises:
        CaseError: no table, or its mistakes, all in one message.
    """
    path = _csv_of(place)
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows, columns = list(reader), set(reader.fieldnames or ())
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise CaseError(f"{path} cannot be read as CSV: {error}") from error
    needed = {"case", "label", *(_COLUMN[role] for role in roles)}
    if needed - columns or columns - _KNOWN:
        raise CaseError(
            f"{path}: columns missing: {', '.join(sorted(needed - columns)) or 'none'}; "
            f"unknown: {', '.join(sorted(map(str, columns - _KNOWN))) or 'none'}"
        )
    mistakes = [mistake for number, row in enumerate(rows, start=2) for mistake in _mistakes(number, row, roles)]
    mistakes += _used_twice(rows, roles)
    if mistakes:
        raise CaseError("\n  - ".join([f"{path} has {len(mistakes)} mistake(s):", *mistakes]))
    return tuple(_case(path.parent, row, roles) for row in rows)


def _csv_of(place: Path) -> Path:
    if place.is_file():
        return place
    tables = sorted(place.glob("*.csv"))
    preferred = place / "cases.csv"
    if preferred in tables or len(tables) == 1:
        return preferred if preferred in tables else tables[0]
    raise CaseError(f"{place} holds {len(tables)} CSV files; name the table cases.csv")


def _mistakes(line: int, row: Mapping[str, str], roles: Sequence[Role]) -> list[str]:
    empty = [column for column in ("label", *(_COLUMN[role] for role in roles)) if not row[column].strip()]
    found = [f"line {line}: no {column}, which the recipe's roles need" for column in empty]
    if not _NAME.fullmatch(row["case"].strip()):
        found.append(f"line {line}: the case's name {row['case']!r} may hold letters, digits, dot, - and _ only")
    return found


def _used_twice(rows: Sequence[Mapping[str, str]], roles: Sequence[Role]) -> list[str]:
    """A file that stands in two places is one image under two names, or a slip of the hand."""
    seen: dict[str, str] = {}
    found = []
    for number, row in enumerate(rows, start=2):
        for column in ("label", *(_COLUMN[role] for role in roles)):
            where = f"line {number}, {column}"
            file = row[column].strip()
            if file and file in seen:
                found.append(f"{file} stands twice: {seen[file]} and {where}")
            seen.setdefault(file, where)
    return found


def _case(folder: Path, row: Mapping[str, str], roles: Sequence[Role]) -> Case:
    return Case(
        row["case"].strip(),
        {role: folder / row[_COLUMN[role]].strip() for role in roles},
        folder / row["label"].strip(),
        (row.get("patient") or "").strip(),
    )
