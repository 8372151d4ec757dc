"""Figures over cases: mean and median of each, with bootstrap intervals by case."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bt_node.domain.tumour import Region
from training.bootstrap import FEWEST_GROUPS, RESAMPLES, Interval, intervals_by_group
from training.segmenter.evaluate import REGIONS, CaseScore
from training.segmenter.metrics import MEASURES

Values = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """One figure over cases.

    Attributes:
        mean: over the cases where it is defined; nan where there is none.
        median: likewise.
        mean_interval: 95 % interval of the mean; None where the cases are too few for one.
        median_interval: 95 % interval of the median.
        lowest: of the cases.
        highest: of the cases.
        defined: number of cases where it is defined.
        undefined: number of the others.
    """

    mean: float
    median: float
    mean_interval: Interval | None
    median_interval: Interval | None
    lowest: float
    highest: float
    defined: int
    undefined: int

    def table(self) -> dict[str, Any]:
        """As it stands in JSON and in a manifest; what is not known is left out."""
        plain = {
            "mean": self.mean,
            "median": self.median,
            "mean_95": self.mean_interval,
            "median_95": self.median_interval,
            "lowest": self.lowest,
            "highest": self.highest,
        }
        known = {name: rounded for name, value in plain.items() if (rounded := _rounded(value)) is not None}
        return known | {"cases": self.defined} | ({"not_defined": self.undefined} if self.undefined else {})


Summary = Mapping[Region, Mapping[str, Figure]]


def summarise(scores: Sequence[CaseScore], *, seed: int = 0) -> Summary:
    """Every figure of every region over the cases; the same scores and seed give the same intervals."""
    names = [(region, measure) for region in REGIONS for measure in MEASURES]
    values = np.array([[score.regions[region].figures()[measure] for region, measure in names] for score in scores])
    intervals = intervals_by_group(
        [score.name for score in scores], lambda places: _keyed(*_centres(values[places])), seed=seed
    )
    figures = {
        name: _figure(column, intervals.get(f"mean {k}"), intervals.get(f"median {k}"))
        for k, (name, column) in enumerate(zip(names, values.T, strict=True))
    }
    return {region: {measure: figures[region, measure] for measure in MEASURES} for region in REGIONS}


def how_intervals_were_made(cases: int) -> str:
    """A sentence for reports."""
    if cases < FEWEST_GROUPS:
        return (
            f"{cases} case(s) are too few for an interval (fewest {FEWEST_GROUPS}); lowest and highest case are "
            "given instead, and another case may well lie outside."
        )
    return (
        f"In brackets the 95 % interval of the mean: percentiles over {RESAMPLES} bootstrap draws of whole cases "
        "with a fixed seed."
    )


def _centres(values: Values) -> tuple[Values, Values]:
    """Mean and median of each column over the cases where it is defined; nan where there is none."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # columns of nan alone
        return np.nanmean(values, axis=0), np.nanmedian(values, axis=0)


def _keyed(means: Values, medians: Values) -> dict[str, float]:
    return {f"mean {k}": float(value) for k, value in enumerate(means)} | {
        f"median {k}": float(value) for k, value in enumerate(medians)
    }


def _figure(column: Values, mean_interval: Interval | None, median_interval: Interval | None) -> Figure:
    known = column[np.isfinite(column)]
    mean, median = (float(part[0]) for part in _centres(column[:, None]))
    # An interval over cases of which fewer are defined than a bootstrap needs would pretend to know.
    enough = len(known) >= FEWEST_GROUPS
    return Figure(
        mean,
        median,
        mean_interval if enough else None,
        median_interval if enough else None,
        float(known.min()) if len(known) else float("nan"),
        float(known.max()) if len(known) else float("nan"),
        len(known),
        len(column) - len(known),
    )


def _rounded(value: float | Interval | None) -> float | list[float] | None:
    if value is None or not np.isfinite(value).all():
        return None
    return [round(end, 4) for end in value] if isinstance(value, tuple) else round(value, 4)
