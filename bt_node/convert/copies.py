"""The same image received twice under two UIDs, as archives that were moved and senders that repeat make them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from bt_node.convert.pixels import open_instance
from bt_node.domain.study import SliceFacts

_PLACES = 2  # of a millimetre, as the choice of series compares positions


def copies_among(slices: Sequence[SliceFacts], paths: Mapping[str, Path]) -> tuple[SliceFacts, ...]:
    """Slices that equal an earlier one in place, matrix and every pixel after rescale.

    Of each set of equals the one with the lowest InstanceNumber stays, then the one with the lowest UID, whatever the
    order of arrival. Where two images of one place differ in a single pixel, neither is a copy: the stack refuses
    them, since nobody knows which one is right.

    Args:
        slices: of one series.
        paths: file of each instance by SOPInstanceUID; only files of places that occur twice are read.

    Raises:
        PixelDataError: such a file cannot be decoded.
    """
    at: dict[object, list[SliceFacts]] = defaultdict(list)
    for facts in slices:
        at[_place(facts)].append(facts)
    found: list[SliceFacts] = []
    for twins in (twins for twins in at.values() if len(twins) > 1):
        copies = tuple(_copies(twins, paths))
        found += copies
        if len(copies) < len(twins) - 1:  # the stack will refuse these, so what else is copied no longer matters
            break
    return tuple(found)


def _place(facts: SliceFacts) -> object:
    position = tuple(round(value, _PLACES) + 0.0 for value in facts.position)
    return position, facts.orientation, facts.pixel_spacing, facts.rows, facts.columns


def _copies(twins: Sequence[SliceFacts], paths: Mapping[str, Path]) -> Iterator[SliceFacts]:
    def order(facts: SliceFacts) -> tuple[int, str, int]:
        return (facts.instance_number or 0, facts.sop_instance_uid, facts.frame)

    first, *others = sorted(twins, key=order)
    pixels = open_instance(first.sop_instance_uid, paths[first.sop_instance_uid]).frame(first)
    for facts in others:
        if np.array_equal(open_instance(facts.sop_instance_uid, paths[facts.sop_instance_uid]).frame(facts), pixels):
            yield facts
