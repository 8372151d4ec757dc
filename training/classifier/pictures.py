"""Pictures of one class each, from a folder with a table of classes and split; framed by the node's own code."""

from __future__ import annotations

import csv
import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from bt_node.domain.errors import PictureError
from bt_node.domain.tumour import TumourType
from bt_node.infer.classifier import read_picture
from bt_node.infer.picture import frame_head
from training.runs import hash_of

CLASSES: tuple[TumourType, ...] = tuple(TumourType)
TABLE = "split.csv"
TRAIN, VALIDATION = "train", "val"
Bytes = npt.NDArray[np.uint8]


class DataError(ValueError):
    """The data folder is not what training needs; the message lists what is wrong."""


@dataclass(frozen=True)
class Entry:
    """One row of the table."""

    path: str
    kind: TumourType
    split: str


@dataclass(frozen=True, eq=False)
class Pictures:
    """Framed pictures in memory.

    Attributes:
        grey: uint8 (N, S, S), 0 air to 255 the 99.5th percentile (see `frame_head`).
        labels: int64 (N), place in `CLASSES`.
        names: one name for each picture: path in its folder, or case, plane and slice.
        source: word for where they came from, for the evaluation's tables.
    """

    grey: Bytes
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]
    source: str

    def __post_init__(self) -> None:
        if not len(self.grey) == len(self.labels) == len(self.names):
            raise ValueError("grey, labels and names must have the same length")

    def __len__(self) -> int:
        return len(self.labels)


def read_table(folder: Path) -> tuple[Entry, ...]:
    """Read `split.csv` (columns path, class, split; others are ignored).

    Raises:
        DataError: no table, or rows with an unknown class or split, or the same path twice.
    """
    path = folder / TABLE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        entries = tuple(Entry(row["path"], TumourType(row["class"]), row["split"]) for row in rows)
    except (OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: {error}") from error
    unknown = sorted({entry.split for entry in entries} - {TRAIN, VALIDATION})
    if unknown or len({entry.path for entry in entries}) != len(entries):
        raise DataError(f"{path}: {'unknown split ' + ', '.join(unknown) if unknown else 'a path occurs twice'}")
    return entries


def split_hash(entries: Sequence[Entry]) -> str:
    """Hash of paths, classes and parts: the same hash is the same split."""
    return hash_of(sorted([entry.path, entry.kind.value, entry.split] for entry in entries))


def check_split(folder: Path, entries: Sequence[Entry]) -> None:
    """Refuse a split in which the same file, by its content, lies in both parts.

    The place of the leakage guard: near-duplicates and patients are the next step here.

    Raises:
        DataError: names each pair.
    """
    seen: dict[str, list[Entry]] = defaultdict(list)
    for entry in entries:
        try:
            seen[hashlib.sha256((folder / entry.path).read_bytes()).hexdigest()].append(entry)
        except OSError as error:
            raise DataError(f"{entry.path} cannot be read: {error.strerror}") from error
    leaks = [same for same in seen.values() if len({entry.split for entry in same}) > 1]
    if leaks:
        listed = "; ".join(" = ".join(f"{entry.path} ({entry.split})" for entry in same) for same in leaks)
        raise DataError(f"the same picture lies in both parts: {listed}")


def load_pictures(folder: Path, entries: Sequence[Entry], split: str, size: int, cache: Path) -> Pictures:
    """Frame the pictures of one part, or take them from `cache` where an earlier run left them.

    Raises:
        DataError: pictures that cannot be read or show no head, all in one message; or none at all.
    """
    chosen = [entry for entry in entries if entry.split == split]
    if not chosen:
        raise DataError(f"{folder / TABLE} names no picture of part {split!r}")
    key = hash_of([size, [[entry.path, (folder / entry.path).stat().st_size] for entry in chosen]])
    stored = cache / f"pictures-{split}-{key[:16]}.npy"
    grey = np.load(stored) if stored.exists() else _frame_all(folder, chosen, size)
    if not stored.exists():
        save_array(stored, grey)
    labels = np.array([CLASSES.index(entry.kind) for entry in chosen], dtype=np.int64)
    return Pictures(grey, labels, tuple(entry.path for entry in chosen), "pictures")


def to_bytes(framed: npt.NDArray[np.float32]) -> Bytes:
    """Store a framed picture (0 to 1) in a quarter of the memory; 256 greys are what JPEG had to begin with."""
    return np.asarray(np.rint(framed * 255.0), dtype=np.uint8)


def save_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Write a cache file that is whole or absent."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.part.npy")
    np.save(part, array, allow_pickle=False)
    part.replace(path)


def _frame_all(folder: Path, chosen: Sequence[Entry], size: int) -> Bytes:
    framed, refused = [], []
    for entry in chosen:
        try:
            framed.append(to_bytes(frame_head(read_picture(folder / entry.path), size)))
        except PictureError as error:
            refused.append(f"  - {entry.path}: {error.message}")
    if refused:
        raise DataError("\n".join([f"{len(refused)} picture(s) cannot be used:", *refused]))
    return np.stack(framed)
