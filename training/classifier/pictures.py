"""Pictures of one class each: what a data folder names, and what training holds in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bt_node.domain.tumour import TumourType
from training.runs import hash_of

CLASSES: tuple[TumourType, ...] = tuple(TumourType)
TABLE = "split.csv"  # beside the pictures, and in the run folder
TRAIN, VALIDATION = "train", "val"
UNDECIDED = ""
Bytes = npt.NDArray[np.uint8]

_SPELLINGS = {
    TumourType.GLIOMA: ("glioma", "gliomas", "glioma_tumor", "glioma_tumour"),
    TumourType.MENINGIOMA: ("meningioma", "meningiomas", "meningioma_tumor", "meningioma_tumour"),
    TumourType.PITUITARY: ("pituitary", "pituitary_tumor", "pituitary_tumour", "pituitary_adenoma"),
    TumourType.NONE: ("no_tumour", "no_tumor", "notumor", "notumour", "no", "none", "normal", "healthy"),
}
_CLASS_OF = {spelling: kind for kind, spellings in _SPELLINGS.items() for spelling in spellings}


class DataError(ValueError):
    """The data folder is not what training needs; the message lists what is wrong."""


@dataclass(frozen=True)
class Entry:
    """One picture of the data folder.

    Attributes:
        path: where it lies, below the data folder's pictures; with "/" on every system.
        kind: its class.
        split: `TRAIN`, `VALIDATION`, or `UNDECIDED` where the folder does not say.
        group: pictures that must stay in one part: a patient or a scan; empty where nobody knows.
    """

    path: str
    kind: TumourType
    split: str = UNDECIDED
    group: str = ""


@dataclass(frozen=True, eq=False)
class Pictures:
    """Framed pictures in memory.

    Attributes:
        grey: uint8 (N, S, S), 0 air to 255 the 99.5th percentile (see `frame_head`).
        labels: int64 (N), place in `CLASSES`.
        names: one name for each picture: path in its folder, or case, plane and slice.
        source: word for where they came from, for the evaluation's tables.
        groups: one name for each picture of what depends on one another (patient, case, or cluster of near-copies):
            the unit of intervals. Where none are given, each picture stands for itself.
    """

    grey: Bytes
    labels: npt.NDArray[np.int64]
    names: tuple[str, ...]
    source: str
    groups: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not self.groups:
            object.__setattr__(self, "groups", self.names)
        if not len(self.grey) == len(self.labels) == len(self.names) == len(self.groups):
            raise ValueError("grey, labels, names and groups must have the same length")

    def __len__(self) -> int:
        return len(self.labels)


def class_of(word: str) -> TumourType | None:
    """The class that a folder or table names, in one of the spellings in use; None if it is none of ours."""
    return _CLASS_OF.get(word.strip().lower().replace(" ", "_").replace("-", "_"))


def spellings() -> str:
    """All spellings of the classes, for messages."""
    return "; ".join(f"{kind.value}: {', '.join(words)}" for kind, words in _SPELLINGS.items())


def split_hash(entries: Sequence[Entry]) -> str:
    """Hash of paths, classes and parts: the same hash is the same split."""
    return hash_of(sorted([entry.path, entry.kind.value, entry.split] for entry in entries))


def to_bytes(framed: npt.NDArray[np.float32]) -> Bytes:
    """Store a framed picture (0 to 1) in a quarter of the memory; 256 greys are what JPEG had to begin with."""
    return np.asarray(np.rint(framed * 255.0), dtype=np.uint8)


def listed(items: Sequence[str], most: int = 10) -> str:
    """Lines of a message: the first few, and how many more there are."""
    lines = [f"  - {item}" for item in items[:most]]
    if len(items) > most:
        lines.append(f"  … and {len(items) - most} more")
    return "\n".join(lines)
