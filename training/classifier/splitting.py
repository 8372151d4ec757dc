"""Which pictures train and which validate: whole groups, classes in proportion, seeded."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.model_selection import StratifiedGroupKFold

from bt_node.domain.tumour import TumourType
from training.classifier.guard import Copy, content_hashes
from training.classifier.pictures import (
    CLASSES,
    TABLE,
    TRAIN,
    UNDECIDED,
    VALIDATION,
    DataError,
    Entry,
    class_of,
    listed,
)
from training.classifier.recipe import SplitRecipe
from training.runs import write_atomically

_COLUMNS = ("path", "class", "group", "split", "sha256")


def bound_together(entries: Sequence[Entry], copies: Sequence[Copy]) -> npt.NDArray[np.int64]:
    """A number for each entry: the same for entries of one group, for copies, and for whoever is tied to them."""
    first_of: dict[str, int] = {}
    pairs = [(copy.first, copy.second) for copy in copies]
    for place, entry in enumerate(entries):
        if entry.group:
            pairs.append((first_of.setdefault(entry.group, place), place))
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    ties = coo_array((np.ones(len(pairs)), (rows, columns)), shape=(len(entries), len(entries)))
    return np.asarray(connected_components(ties, directed=False)[1], dtype=np.int64)


def with_groups(entries: Sequence[Entry], together: npt.NDArray[np.int64]) -> tuple[Entry, ...]:
    """Give entries of unknown patient the cluster of their near-copies as group, named by its first picture."""
    first = {number: entry.path for entry, number in reversed(list(zip(entries, together.tolist(), strict=True)))}
    return tuple(
        entry if entry.group else replace(entry, group=first[number])
        for entry, number in zip(entries, together.tolist(), strict=True)
    )


def split(entries: Sequence[Entry], together: npt.NDArray[np.int64], wanted: SplitRecipe) -> tuple[Entry, ...]:
    """Draw the validation part.

    Args:
        entries: without parts.
        together: what may not be parted (see `bound_together`).
        wanted: a fraction (rounded to one part in so many), or one fold of several.

    Raises:
        DataError: a class has too few groups for it.
    """
    folds = wanted.folds or max(2, round(1 / wanted.validation_fraction))
    kinds = np.array([CLASSES.index(entry.kind) for entry in entries])
    few = [
        f"{CLASSES[kind].value}: {len(set(together[kinds == kind].tolist()))} group(s) for {folds} parts"
        for kind in sorted(set(kinds.tolist()))
        if len(set(together[kinds == kind].tolist())) < folds
    ]
    if few:
        raise DataError(
            f"too few groups (patients, or clusters of near-copies) to split:\n{listed(few)}\n"
            "Give more pictures, a larger validation_fraction or fewer folds."
        )
    drawn = StratifiedGroupKFold(folds, shuffle=True, random_state=wanted.seed).split(kinds, kinds, together)
    chosen = set(list(drawn)[wanted.fold][1].tolist())
    return tuple(
        replace(entry, split=VALIDATION if place in chosen else TRAIN) for place, entry in enumerate(entries)
    )


def check_classes(entries: Sequence[Entry], elsewhere: Collection[TumourType]) -> None:
    """Refuse a split in which a class is missing in a part, unless slices of volumes show it (`elsewhere`).

    Raises:
        DataError: names each class and part.
    """
    counts = Counter((entry.kind, entry.split) for entry in entries)
    missing = [
        f"{kind.value}: no picture to {verb}"
        for kind in CLASSES
        if kind not in elsewhere or counts[kind, TRAIN] or counts[kind, VALIDATION]
        for part, verb in ((TRAIN, "train"), (VALIDATION, "validate"))
        if not counts[kind, part]
    ]
    if missing:
        raise DataError(f"classes without pictures:\n{listed(missing)}")


def write_split(path: Path, folder: Path, entries: Sequence[Entry]) -> None:
    """Write the split that a run uses, with the content hash of every file."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(_COLUMNS)
    for entry, sha256 in zip(entries, content_hashes([folder / entry.path for entry in entries]), strict=True):
        writer.writerow([entry.path, entry.kind.value, entry.group, entry.split, sha256])
    write_atomically(path, text.getvalue().encode())


def read_split(path: Path, folder: Path) -> tuple[Entry, ...]:
    """Read what `write_split` wrote, and make sure that the pictures are still the same.

    Raises:
        DataError: files that are gone or changed since.
    """
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    gone = [row["path"] for row in rows if not (folder / row["path"]).is_file()]
    there = [row for row in rows if (folder / row["path"]).is_file()]
    hashes = content_hashes([folder / row["path"] for row in there])
    gone += [row["path"] for row, sha256 in zip(there, hashes, strict=True) if row["sha256"] != sha256]
    if gone:
        raise DataError(
            f"{len(gone)} picture(s) are gone or changed since this run's split was made:\n{listed(gone)}\n"
            "Restore them, or name a new folder with --run."
        )
    return tuple(
        Entry(row["path"], class_of(row["class"]) or TumourType.NONE, row["split"], row["group"]) for row in rows
    )


def undecided(entries: Sequence[Entry]) -> bool:
    """Whether nobody has told the parts yet.

    Raises:
        DataError: told for some pictures only.
    """
    open_ones = [entry.path for entry in entries if entry.split == UNDECIDED]
    if open_ones and len(open_ones) < len(entries):
        raise DataError(
            f"{len(open_ones)} of {len(entries)} pictures belong to no part, the others do:\n{listed(open_ones)}\n"
            f'Name a part for all ({TABLE}, or folders Training and Testing), or set parts = "pool" in [data].'
        )
    return bool(open_ones)
