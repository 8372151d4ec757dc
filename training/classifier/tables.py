"""CSV tables beside the pictures: `split.csv` (class and part of each), or one that only names patients or groups."""

from __future__ import annotations

import csv
import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from training.classifier.pictures import TABLE, TRAIN, UNDECIDED, VALIDATION, DataError, Entry, class_of, listed

PATIENT, GROUP = "patient", "group"
_PARTS = {TRAIN: TRAIN, "training": TRAIN, VALIDATION: VALIDATION, "validation": VALIDATION, "valid": VALIDATION}


def read_table(folder: Path) -> tuple[Entry, ...]:
    """Read `split.csv`: columns path, class, split, and perhaps patient or group; others are ignored.

    An empty split leaves the part to the recipe. A picture that no row names is not used.

    Raises:
        DataError: no table, or rows with an unknown class or part, the same path twice, or a path without a file;
            all of them in one message.
    """
    table = folder / TABLE
    rows = _read(table, ("path", "class", "split"))
    mistakes: list[str] = []
    entries = []
    for line, row in enumerate(rows, start=2):
        kind, part = class_of(row["class"]), _PARTS.get(row["split"].strip().lower())
        if kind is None:
            mistakes.append(f"line {line}: unknown class {row['class']!r}")
        elif part is None and row["split"].strip():
            mistakes.append(f"line {line}: unknown split {row['split']!r}; train and val are known")
        else:
            entries.append(Entry(_slashed(row["path"]), kind, part or UNDECIDED, _group(row)))
    mistakes += _path_mistakes(folder, [_slashed(row["path"]) for row in rows])
    if mistakes:
        raise DataError(f"{table} has {len(mistakes)} mistake(s):\n{listed(mistakes)}")
    return tuple(entries)


def read_groups(folder: Path, table: str, paths: Sequence[str]) -> Mapping[str, str]:
    """Patient or group of each picture, from a table with columns path and patient or group.

    Args:
        folder: holds pictures and table.
        table: file name of the table.
        paths: all pictures that were found.

    Raises:
        DataError: rows without file, files without row, or no such columns.
    """
    rows = _read(folder / table, ("path",))
    named = [_slashed(row["path"]) for row in rows]
    mistakes = _path_mistakes(folder, named)
    mistakes += [f"{path}: the file has no row" for path in sorted(set(paths) - set(named))]
    mistakes += [f"line {line}: neither patient nor group" for line, row in enumerate(rows, 2) if not _group(row)]
    if mistakes:
        raise DataError(f"{folder / table} has {len(mistakes)} mistake(s):\n{listed(mistakes)}")
    return {path: _group(row) for path, row in zip(named, rows, strict=True)}


def pseudonym(patient: str) -> str:
    """A patient's ID as it may stand in run folders and messages: the same for the same patient, and not the ID."""
    return f"patient-{hashlib.sha256(patient.encode()).hexdigest()[:10]}"


def _read(table: Path, columns: Sequence[str]) -> list[dict[str, str]]:
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            reader = csv.DictReader(file, restval="")
            rows = [dict(row) for row in reader]
            missing = [column for column in columns if column not in (reader.fieldnames or ())]
    except OSError as error:
        raise DataError(f"{table} cannot be read: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{table} is not a CSV file in UTF-8: {error}") from error
    if missing:
        raise DataError(f"{table} lacks the column(s) {', '.join(missing)}")
    return rows


def _group(row: Mapping[str, str]) -> str:
    patient = row.get(PATIENT, "").strip()
    return pseudonym(patient) if patient else row.get(GROUP, "").strip()


def _slashed(path: str) -> str:
    return path.strip().replace("\\", "/").removeprefix("./")


def _path_mistakes(folder: Path, paths: Sequence[str]) -> list[str]:
    twice = [f"{path}: a path occurs twice" for path, count in Counter(paths).items() if count > 1]
    return twice + [f"{path}: no such file" for path in dict.fromkeys(paths) if not (folder / path).is_file()]
