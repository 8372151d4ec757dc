"""What to do about pictures that lie, as copies or as slices of one patient, in both parts."""

from __future__ import annotations

import csv
import io
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path

import numpy as np
import numpy.typing as npt

from training.classifier.guard import Copy
from training.classifier.pictures import TRAIN, VALIDATION, DataError, Entry, listed
from training.runs import write_atomically

LEAKS = "leaks.csv"


class OnLeak(StrEnum):
    """The ways out."""

    STOP = "stop"
    DROP = "drop"  # the training picture goes
    REGROUP = "regroup"  # everything that belongs together goes to the part that holds more of it
    TELL = "tell"  # for runs that were trained before the guard looked: nothing changes


@dataclass(frozen=True)
class Leak:
    """A training picture and a validation picture that may not be apart."""

    train: str
    validation: str
    how: str
    distance: int | None = None
    correlation: float | None = None

    def __str__(self) -> str:
        figures = (
            f" (distance {self.distance}, correlation {self.correlation:.2f})" if self.distance is not None else ""
        )
        return f"{self.train} (train) = {self.validation} (val): {self.how}{figures}"


@dataclass(frozen=True)
class Verdict:
    """Entries as they may be used, and what was found and done."""

    entries: tuple[Entry, ...]
    leaks: tuple[Leak, ...]
    dropped: int = 0
    moved: int = 0


def find_leaks(entries: Sequence[Entry], copies: Sequence[Copy]) -> tuple[Leak, ...]:
    """Copies between the parts, surest first, then groups that lie in both (told once each)."""
    found = []
    for copy in copies:
        pair = {entries[place].split: entries[place].path for place in (copy.first, copy.second)}
        if len(pair) == 2:
            found.append(Leak(pair[TRAIN], pair[VALIDATION], copy.pose.words, copy.distance, copy.correlation))
    found.sort(key=lambda leak: -(leak.correlation or 0.0))
    return (*found, *_shared_groups(entries))


def resolve(
    entries: Sequence[Entry], copies: Sequence[Copy], together: npt.NDArray[np.int64], on_leak: OnLeak, run: Path
) -> Verdict:
    """Find leaks, list them in `RUN/leaks.csv`, and stop, drop or regroup.

    Args:
        entries: with parts.
        copies: pairs of places in `entries`.
        together: what belongs together (see `splitting.bound_together`).
        on_leak: what to do.
        run: where the list goes.

    Raises:
        DataError: there are leaks and nobody chose a way out; the first ones are named.
    """
    leaks = find_leaks(entries, copies)
    write_atomically(run / LEAKS, _as_csv(leaks, on_leak).encode())
    if not leaks or on_leak is OnLeak.TELL:
        return Verdict(tuple(entries), leaks)
    if on_leak is OnLeak.STOP:
        raise DataError(
            f"{len(leaks)} leak(s) between training and validation; scores would be too good:\n"
            f"{listed([str(leak) for leak in leaks])}\nAll of them: {run / LEAKS}. Repair the data, or choose "
            "--on-leak drop (leaves out the training pictures) or --on-leak regroup (moves what belongs together "
            "to one part)."
        )
    kept = _dropped(entries, copies) if on_leak is OnLeak.DROP else _regrouped(entries, together)
    before = {entry.path: entry.split for entry in entries}
    moved = sum(before[entry.path] != entry.split for entry in kept)
    return Verdict(kept, leaks, len(entries) - len(kept), moved)


def _shared_groups(entries: Sequence[Entry]) -> list[Leak]:
    members: dict[str, dict[str, str]] = defaultdict(dict)
    for entry in entries:
        if entry.group:
            members[entry.group].setdefault(entry.split, entry.path)
    return [
        Leak(parts[TRAIN], parts[VALIDATION], f"both of patient or group {group!r}")
        for group, parts in sorted(members.items())
        if len(parts) == 2
    ]


def _dropped(entries: Sequence[Entry], copies: Sequence[Copy]) -> tuple[Entry, ...]:
    kept_apart = {entry.group for entry in entries if entry.split == VALIDATION and entry.group}
    copied = set()
    for copy in copies:
        parts = {entries[place].split: place for place in (copy.first, copy.second)}
        if len(parts) == 2:
            copied.add(parts[TRAIN])
    return tuple(
        entry
        for place, entry in enumerate(entries)
        if entry.split == VALIDATION or (place not in copied and entry.group not in kept_apart)
    )


def _regrouped(entries: Sequence[Entry], together: npt.NDArray[np.int64]) -> tuple[Entry, ...]:
    votes: dict[int, Counter[str]] = defaultdict(Counter)
    for entry, number in zip(entries, together.tolist(), strict=True):
        votes[number][entry.split] += 1
    return tuple(
        replace(entry, split=VALIDATION if votes[number][VALIDATION] > votes[number][TRAIN] else TRAIN)
        for entry, number in zip(entries, together.tolist(), strict=True)
    )


def _as_csv(leaks: Sequence[Leak], on_leak: OnLeak) -> str:
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(["train", "val", "how", "distance", "correlation", "on_leak"])
    for leak in leaks:
        likeness = "" if leak.correlation is None else f"{leak.correlation:.4f}"
        distance = "" if leak.distance is None else leak.distance
        writer.writerow([leak.train, leak.validation, leak.how, distance, likeness, on_leak.value])
    return text.getvalue()
