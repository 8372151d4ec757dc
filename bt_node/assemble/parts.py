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
    places = Counter((_rounded(f.slice.position, 2), _rounded(f.slice.orientation, 3)) for f in frames)
    return max(places.values(), default=0) > 1


def _rounded(values: Sequence[float], digits: int) -> tuple[float, ...]:
    return tuple(round(value, digits) + 0.0 for value in values)


def _part_by(mark: Callable[[Frame], Hashable], frames: list[Frame]) -> list[list[Frame]]:
    if not _overlaps(frames):
        return [frames]
    groups: dict[Hashable, list[Frame]] = defaultdict(list)
    for frame in frames:
        groups[mark(frame)].append(frame)
    return list(groups.values())
