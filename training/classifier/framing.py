"""Read and frame pictures by the node's own code, with a bar, and keep the result in the run's cache."""

from __future__ import annotations

import shutil
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from rich.console import Console
from rich.progress import track

from bt_node.domain.errors import PictureError
from bt_node.domain.geometry import ImageArray
from bt_node.infer.classifier import read_picture
from bt_node.infer.picture import frame_head
from training.classifier.figshare import SUFFIX, read_mat
from training.classifier.pictures import CLASSES, Bytes, DataError, Entry, Pictures, listed, to_bytes
from training.runs import disk_may_fill, hash_of

_TRIED = 16  # pictures that are timed before the long work
_SHOWN = 20


def read_image(path: Path) -> ImageArray:
    """Grey intensities, float32 (Y, X), of a PNG, JPEG or Figshare's .mat file.

    Raises:
        PictureError: it cannot be read.
    """
    return read_mat(path) if path.suffix.lower() == SUFFIX else read_picture(path)


def load_pictures(folder: Path, entries: Sequence[Entry], split: str, size: int, cache: Path) -> Pictures:
    """Frame the pictures of one part, or take them from `cache` where an earlier run left them.

    Raises:
        DataError: pictures that cannot be read or show no head, all in one message; or none at all.
        DiskFullError: the cache does not fit.
    """
    chosen = [entry for entry in entries if entry.split == split]
    if not chosen:
        raise DataError(f"{folder}: no picture is in part {split!r}")
    grey = framed(folder, chosen, size, cache, f"pictures-{split}")
    labels = np.array([CLASSES.index(entry.kind) for entry in chosen], dtype=np.int64)
    groups = tuple(entry.group or entry.path for entry in chosen)
    return Pictures(grey, labels, tuple(entry.path for entry in chosen), "pictures", groups)


def framed(folder: Path, entries: Sequence[Entry], size: int, cache: Path, name: str) -> Bytes:
    """Heads as uint8 (N, size, size), in the order of `entries`, from `cache` if they are there.

    Raises:
        DataError: pictures that cannot be used.
        DiskFullError: the cache does not fit.
    """
    key = hash_of([size, [[entry.path, (folder / entry.path).stat().st_size] for entry in entries]])
    stored = cache / f"{name}-{key[:16]}.npy"
    if stored.exists():
        grey: Bytes = np.load(stored, allow_pickle=False)
        return grey
    _outlook(folder, entries, size, cache, name)
    grey = _frame_all(folder, entries, size, name)
    save_array(stored, grey)
    return grey


def save_array(path: Path, array: npt.NDArray[np.generic]) -> None:
    """Write a cache file that is whole or absent.

    Raises:
        DiskFullError: no space left; nothing stays, and the same command tries again.
    """
    part = path.with_name(f"{path.name}.part.npy")
    try:
        with disk_may_fill(path, array.nbytes):
            path.parent.mkdir(parents=True, exist_ok=True)
            # Not np.save: where the disk is full, it raises an error that does not say so.
            with part.open("wb") as file:
                header = np.lib.format.header_data_from_array_1_0(array)
                np.lib.format.write_array_header_1_0(file, header)
                file.write(np.ascontiguousarray(array).data)
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _outlook(folder: Path, entries: Sequence[Entry], size: int, cache: Path, name: str) -> None:
    """Say what the work will take, and refuse at once what cannot fit."""
    needed = len(entries) * size * size
    tried = entries[:_TRIED]
    start = time.monotonic()
    for entry in tried:
        try:
            frame_head(read_image(folder / entry.path), size)
        except PictureError:
            continue  # told with all the others
    seconds = (time.monotonic() - start) / len(tried) * len(entries)
    print(
        f"{name}: {len(entries)} pictures at {size}×{size}, {needed / 2**20:.1f} MiB of memory and of cache, "
        f"about {seconds:.0f} s to frame",
        flush=True,
    )
    there = next(place for place in (cache, *cache.parents) if place.exists())
    free = shutil.disk_usage(there).free
    if free < needed:
        raise DataError(
            f"{cache} has {free / 2**20:.1f} MiB free and the cache needs {needed / 2**20:.1f} MiB; "
            "free some space or choose another --run, then give the same command again"
        )


def _frame_all(folder: Path, entries: Sequence[Entry], size: int, name: str) -> Bytes:
    grey, refused = np.empty((len(entries), size, size), dtype=np.uint8), []
    shown = track(entries, description=name, console=Console(stderr=True))
    for number, entry in enumerate(shown):
        try:
            grey[number] = to_bytes(frame_head(read_image(folder / entry.path), size))
        except PictureError as error:
            refused.append(f"{entry.path}: {error.detail}")
    if refused:
        raise DataError(
            f"{len(refused)} picture(s) cannot be used; repair them or take them out:\n{listed(refused, _SHOWN)}"
        )
    return grey
