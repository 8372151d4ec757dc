"""A folder per class, as Kaggle's sets come, and Figshare's .mat files: what lies there, of which class and part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

from bt_node.domain.errors import PictureError
from training.classifier.figshare import NOT_SLICES, SUFFIX, read_entry
from training.classifier.pictures import (
    TRAIN,
    UNDECIDED,
    VALIDATION,
    DataError,
    Entry,
    class_of,
    listed,
    spellings,
)
from training.classifier.tables import read_groups

PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png"})
_PART_FOLDERS = {
    **dict.fromkeys(("training", "train"), TRAIN),
    **dict.fromkeys(("testing", "test", "validation", "valid", "val"), VALIDATION),
}


def find_entries(folder: Path, groups_table: str | None, *, keep_parts: bool) -> tuple[Entry, ...]:
    """All pictures below `folder`: `CLASS/*.jpg|png`, also below `Training/` and `Testing/`, and `*.mat` anywhere.

    Args:
        folder: the data folder's pictures.
        groups_table: CSV file in it with columns path and patient (or group), for pictures that are not .mat.
        keep_parts: take the parts from folders named Training and Testing; otherwise all are pooled.

    Raises:
        DataError: no pictures, a picture that lies in no class's folder, damaged .mat files, or a table that does
            not fit; all of a kind in one message.
    """
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder; --data and the recipe's [data] pictures name it together")
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    pictures = [path for path in paths if PurePosixPath(path).suffix.lower() in PICTURE_SUFFIXES]
    slices = [path for path in paths if path.lower().endswith(SUFFIX) and PurePosixPath(path).name not in NOT_SLICES]
    if not pictures and not slices:
        raise DataError(f"{folder} holds no picture: neither split.csv, nor CLASS/*.jpg or *.png, nor *.mat")
    entries = [*_of_folders(folder, pictures), *_of_mat_files(folder, slices)]
    if keep_parts:
        entries = [replace(entry, split=_part(entry.path)) for entry in entries]
    if groups_table is not None:
        groups = read_groups(folder, groups_table, pictures)
        entries = [replace(entry, group=groups.get(entry.path, entry.group)) for entry in entries]
    return tuple(entries)


def _of_folders(folder: Path, paths: Sequence[str]) -> list[Entry]:
    entries, strange = [], set()
    for path in paths:
        parents = PurePosixPath(path).parts[:-1]
        kinds = [kind for kind in (class_of(parent) for parent in reversed(parents)) if kind is not None]
        if kinds:
            entries.append(Entry(path, kinds[0]))
        else:
            strange.add("/".join(parents) or ".")
    if strange:
        raise DataError(
            f"{folder}: pictures lie in folders that name no class:\n{listed(sorted(strange))}\n"
            f"Known names are {spellings()}."
        )
    return entries


def _of_mat_files(folder: Path, paths: Sequence[str]) -> list[Entry]:
    entries, refused = [], []
    for path in paths:
        try:
            entries.append(read_entry(folder, path))
        except PictureError as error:
            refused.append(f"{path}: {error.detail}")
    if refused:
        raise DataError(f"{len(refused)} .mat file(s) cannot be used:\n{listed(refused)}")
    return entries


def _part(path: str) -> str:
    named = [
        _PART_FOLDERS[parent.lower()] for parent in PurePosixPath(path).parts[:-1] if parent.lower() in _PART_FOLDERS
    ]
    return named[-1] if named else UNDECIDED
