"""A run folder: the recipe that was used, metrics as CSV, checkpoints, and progress on the terminal.

Everything is written beside its final name first and renamed, so that a run that dies in the middle of a write
resumes from what was there before.
"""

from __future__ import annotations

import csv
import errno
import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from bt_node.domain.errors import Reject, Retry

Scalar = int | float | str


class DiskFullError(Retry):
    """No space is left for the run's files. What was written before is whole, so the run can go on."""

    code = "disk-full"

    def __init__(self, path: Path, size: int) -> None:
        super().__init__(
            f"No space is left on the disk for {path} ({size / 2**20:.1f} MiB).",
            remedy="Free some and give the same command again: the run goes on from its last checkpoint.",
        )


class CheckpointError(Reject):
    """A checkpoint cannot be read."""

    code = "checkpoint-damaged"


@contextmanager
def disk_may_fill(path: Path, size: int) -> Iterator[None]:
    """Turn the operating system's "no space left" into a message for people.

    Raises:
        DiskFullError: the disk, or the user's share of it, is full.
    """
    try:
        yield
    except OSError as error:
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            raise DiskFullError(path, size) from error
        raise


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it.

    Raises:
        DiskFullError: no space left; the old file is as it was.
    """
    part = path.with_name(f"{path.name}.part")
    try:
        with disk_may_fill(path, len(content)), part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a disk may say only now that it is full
        os.replace(part, path)  # noqa: PTH105 - atomic on one file system
    finally:
        part.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write a table as readable JSON."""
    write_atomically(path, (json.dumps(value, indent=2, sort_keys=True) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """Read what `write_json` wrote."""
    value: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return value


def hash_of(value: object) -> str:
    """SHA-256 (hex) of a value's canonical JSON; used for splits and recipes."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def save_tensors(path: Path, tensors: Mapping[str, torch.Tensor], state: Mapping[str, Scalar]) -> None:
    """Save tensors and a few numbers in one safetensors file (no pickle), atomically.

    Args:
        path: target.
        tensors: any device, any layout; stored on the processor, contiguous.
        state: numbers and words; they travel as JSON in the file's metadata.
    """
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    write_atomically(path, save(plain, metadata={"state": json.dumps(state, sort_keys=True)}))


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Scalar]]:
    """Load what `save_tensors` saved.

    Raises:
        CheckpointError: the file is damaged.
    """
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
            return tensors, json.loads((file.metadata() or {}).get("state", "{}"))
    except SafetensorError as error:
        raise CheckpointError(f"{path} is damaged ({error}); remove it to begin the run anew") from error


class MetricsTable:
    """A CSV file that grows by one row at a time; reopened for a resumed run, it drops rows after that step."""

    def __init__(self, path: Path, columns: Sequence[str], *, resume_at: int = 0) -> None:
        self._path, self._columns = path, tuple(columns)
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self._columns, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(self._rows_up_to(resume_at))
        write_atomically(path, text.getvalue().encode())

    def append(self, row: Mapping[str, Scalar]) -> None:
        """Add one row and flush it; absent columns stay empty.

        Raises:
            DiskFullError: no space left; no half row stays.
        """
        text = io.StringIO(newline="")
        csv.DictWriter(text, self._columns).writerow(row)
        before = self._path.stat().st_size
        try:
            with disk_may_fill(self._path, len(text.getvalue())), self._path.open("ab") as file:
                file.write(text.getvalue().encode())
        except DiskFullError:
            os.truncate(self._path, before)
            raise

    def rows(self) -> list[dict[str, str]]:
        """All rows so far, as words; absent values are empty."""
        with self._path.open(newline="", encoding="utf-8") as file:
            return list(csv.DictReader(file, restval=""))

    def _rows_up_to(self, step: int) -> list[dict[str, str]]:
        if not self._path.exists():
            return []
        with self._path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file, restval="") if int(row["step"]) <= step]
