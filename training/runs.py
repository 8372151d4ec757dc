"""A run folder: the recipe that was used, metrics as CSV, checkpoints, and progress on the terminal.

Everything is written beside its final name first and renamed, so that a run that dies in the middle of a write
resumes from what was there before.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file

Scalar = int | float | str


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    part = path.with_name(f"{path.name}.part")
    part.write_bytes(content)
    os.replace(part, path)  # noqa: PTH105 - atomic on one file system


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
    part = path.with_name(f"{path.name}.part")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save_file(plain, part, metadata={"state": json.dumps(state, sort_keys=True)})
    os.replace(part, path)  # noqa: PTH105


def load_tensors(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, Scalar]]:
    """Load what `save_tensors` saved."""
    with safe_open(path, framework="pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
        return tensors, json.loads((file.metadata() or {}).get("state", "{}"))


class MetricsTable:
    """A CSV file that grows by one row at a time; reopened for a resumed run, it drops rows after that step."""

    def __init__(self, path: Path, columns: Sequence[str], *, resume_at: int = 0) -> None:
        self._path, self._columns = path, tuple(columns)
        kept = self._rows_up_to(resume_at)
        with path.open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, self._columns)
            writer.writeheader()
            writer.writerows(kept)

    def append(self, row: Mapping[str, Scalar]) -> None:
        """Add one row and flush it; absent columns stay empty."""
        with self._path.open("a", newline="", encoding="utf-8") as file:
            csv.DictWriter(file, self._columns).writerow(row)

    def _rows_up_to(self, step: int) -> list[dict[str, str]]:
        if not self._path.exists():
            return []
        with self._path.open(newline="", encoding="utf-8") as file:
            return [row for row in csv.DictReader(file, restval="") if int(row["step"]) <= step]


class TimeLeft:
    """How long the rest of a loop will take, from the pace of the recent steps."""

    def __init__(self, total: int, done: int = 0) -> None:
        self._total, self._seconds = total, 0.0
        self._last, self._done = time.monotonic(), done

    def step(self, done: int) -> str:
        """Note that `done` steps are finished; answer "0.71 s/step, 12 min left"."""
        now = time.monotonic()
        pace = (now - self._last) / max(1, done - self._done)
        self._seconds = pace if self._seconds == 0 else 0.7 * self._seconds + 0.3 * pace
        self._last, self._done = now, done
        return f"{self._seconds:.2f} s/step, {self._seconds * (self._total - done) / 60:.0f} min left"
