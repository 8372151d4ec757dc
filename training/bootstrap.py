"""Bootstrap intervals by group: what a figure could have been, had other patients come.

Slices of one patient, or near-copies of one picture, repeat one another. Drawing single pictures would take each
repetition for new evidence and tell intervals that are far too narrow; so whole groups are drawn (cluster bootstrap,
Davison and Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping, Sequence

import numpy as np
import numpy.typing as npt

Indices = npt.NDArray[np.int64]
Interval = tuple[float, float]
RESAMPLES = 1000
FEWEST_GROUPS = 4  # of each stratum; from fewer the interval would say next to nothing, and too narrowly
_LEVEL = 0.95


def enough_groups(groups: Sequence[Hashable], strata: Sequence[Hashable] | None = None) -> bool:
    """Whether each stratum has the groups that an interval needs."""
    return min(map(len, _by_stratum(groups, strata).values()), default=0) >= FEWEST_GROUPS


def intervals_by_group(
    groups: Sequence[Hashable],
    measure: Callable[[Indices], Mapping[str, float | None]],
    *,
    strata: Sequence[Hashable] | None = None,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Interval]:
    """Percentile intervals (95 %) of some figures under drawing groups with replacement.

    Args:
        groups: group of each item (picture, case): its patient, or its block.
        measure: figures of the items at some places; places repeat. A figure that is None or no number is left out.
        strata: class of each item. Groups are drawn within the class that most of their items have, so that no class
            vanishes from a draw.
        resamples: number of draws.
        seed: of the draws; the same seed gives the same intervals.

    Returns:
        (low, high) of each figure that was known in at least half of the draws; nothing where a stratum has fewer
        than `FEWEST_GROUPS` groups.
    """
    if not enough_groups(groups, strata):
        return {}
    generator = np.random.default_rng(seed)
    gathered = list(_by_stratum(groups, strata).values())
    drawn: dict[str, list[float]] = defaultdict(list)
    for _ in range(resamples):
        chosen = [found[k] for found in gathered for k in generator.integers(len(found), size=len(found))]
        for name, value in measure(np.concatenate(chosen)).items():
            if value is not None and np.isfinite(value):
                drawn[name].append(value)
    tails = (1 - _LEVEL) / 2
    return {
        name: (float(np.quantile(values, tails)), float(np.quantile(values, 1 - tails)))
        for name, values in drawn.items()
        if len(values) >= resamples / 2
    }


def _by_stratum(groups: Sequence[Hashable], strata: Sequence[Hashable] | None) -> dict[Hashable, list[Indices]]:
    """Places of each group's items, gathered by the stratum of most of them."""
    places: dict[Hashable, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        places[group].append(place)
    gathered: dict[Hashable, list[Indices]] = defaultdict(list)
    for members in places.values():
        stratum = None if strata is None else Counter(strata[place] for place in members).most_common(1)[0][0]
        gathered[stratum].append(np.array(members, dtype=np.int64))
    return gathered
