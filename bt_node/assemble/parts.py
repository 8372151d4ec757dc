"""Several volumes in one series: echoes, b-values, repetitions and image kinds that share one SeriesInstanceUID."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Sequence

from bt_node.assemble.frames import Frame

# What may tell volumes apart, most telling first.
_MARKS: tuple[Callable[[Frame], Hashable], ...] = (
    lambda frame: frame.image_type,
    lambda frame: frame.echo_time_ms,
    lambda frame: frame.b_value,
    lambda frame: frame.inversion_time_ms,
    lambda frame: frame.temporal_index,
    lambda frame: frame.acquisition_number,
)


def split_volumes(frames: Sequence[Frame]) -> list[tuple[Frame, ...]]:
    """Part the frames of one series into volumes.

    Frames are parted only when two of them lie at the same place, and then by the marks that tell them apart. When
    no mark does, they stay together: the stack then refuses the duplicates by name, which beats guessing.

    Returns:
        Volumes, each in order of frame number; the order of `frames` makes no difference.
    """
    ordered = sorted(frames, key=_order)
    if not _overlaps(ordered):
        return [tuple(ordered)]
    parts = [ordered]
    for mark in _MARKS:
        parts = [smaller for part in parts for smaller in _part_by(mark, part)]
    return [tuple(part) for part in sorted(parts, key=lambda part: _order(part[0]))]


def _order(frame: Frame) -> tuple[int, str, int]:
    facts = frame.slice
    return (facts.instance_number or 0, facts.sop_instance_uid, facts.frame)


def _overlaps(frames: Sequence[Frame]) -> bool:
    return max(Counter(map(_place, frames)).values(), default=0) > 1


def _place(frame: Frame) -> Hashable:
    return _rounded(frame.slice.position, 2), _rounded(frame.slice.orientation, 3)


def _rounded(values: Sequence[float], digits: int) -> tuple[float, ...]:
    return tuple(round(value, digits) + 0.0 for value in values)


def _part_by(mark: Callable[[Frame], Hashable], frames: list[Frame]) -> list[list[Frame]]:
    """Frames by their mark, where two at one place differ in it.

    A mark that differs from place to place only (packages of one acquisition) tells no volumes apart: it would make
    volumes of half the slices.
    """
    at: dict[Hashable, set[Hashable]] = defaultdict(set)
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        at[_place(frame)].add(mark(frame))
        groups[mark(frame)].append(frame)
    return list(groups.values()) if any(len(marks) > 1 for marks in at.values()) else [frames]
