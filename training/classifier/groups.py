"""Which pictures belong together, so that intervals do not take one patient's slices for many patients."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from training.classifier.pictures import CLASSES, Pictures

BLOCK = 20  # pictures; in Cheng's set a patient has 13 on average, in consecutive files
_TOLD = 2.0  # pictures of a group on average, from which groups are more than a few near-copies among strangers


@dataclass(frozen=True)
class Grouping:
    """The group of each picture, and in words what the groups are."""

    groups: tuple[str, ...]
    words: str

    @property
    def count(self) -> int:
        """Number of different groups."""
        return len(set(self.groups))


def grouped(pictures: Pictures, *, known: bool = False) -> Grouping:
    """The unit of intervals, class by class: groups that the data tells, else blocks of consecutive files.

    Groups are told where a patient, a case or a cluster of near-copies stands for two pictures or more on average.
    Where a class has none (or a few near-copies only), but files carry numbers, a block is 20 consecutive files of
    the class: those of one patient mostly follow one another. One patient may straddle two blocks, and a block may
    hold several patients, so blocks are a proxy.

    Args:
        pictures: one part of the data.
        known: the data names a patient or group for every picture; then nothing else counts.
    """
    groups, words = list(pictures.groups), []
    if known:
        return Grouping(tuple(groups), "patients or groups that the data names")
    if pictures.source == "volumes" and groups == list(pictures.names):
        return Grouping(("unknown",) * len(groups), "cases, which the slices' names do not tell")
    for kind in sorted(set(pictures.labels.tolist())):
        places = [place for place, label in enumerate(pictures.labels) if label == kind]
        numbers = [_number(pictures.names[place]) for place in places]
        if len(places) >= _TOLD * len({groups[place] for place in places}):
            words.append("patients, cases or near-copies")
        elif len(set(numbers)) == len(places) and None not in numbers:
            order = sorted(zip([number or 0 for number in numbers], places, strict=True))
            for rank, (_, place) in enumerate(order):
                groups[place] = f"{CLASSES[kind].value}, block {rank // BLOCK}"
            words.append(f"blocks of {BLOCK} consecutive file numbers of a class")
        else:
            words.append("single pictures (nothing tells groups: the intervals are too narrow)")
    return Grouping(tuple(groups), _joined(words))


def _number(name: str) -> int | None:
    """The last number in a file's name."""
    found = re.findall(r"\d+", PurePosixPath(name).stem)
    return int(found[-1]) if found else None


def _joined(words: Sequence[str]) -> str:
    return "; ".join(dict.fromkeys(words)) or "none"
