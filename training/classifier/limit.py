"""From which probability on a tumour type may be named: a limit that the release's calibration bears out.

Of the validation pictures with a tumour, those whose most probable type (given a tumour) reaches the limit must be
named rightly 95 times in 100, by the lower end of a 95 % interval over groups: so few patients, or a network that is
sure and wrong, raise the limit. The figures of the limit are told cross-fitted: temperature and limit are
chosen on one half of the groups and tried on the other, eight times over.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from bt_node.domain.geometry import FloatArray
from training.bootstrap import FEWEST_GROUPS
from training.classifier.calibration import HALVINGS
from training.classifier.metrics import TUMOURS, Labels, expected_calibration_error, fit_temperature, softmax

WANTED = 0.95
_LIMITS = tuple(round(percent / 100, 2) for percent in range(50, 100))
_DRAWS = 1000


def type_limit(
    logits: FloatArray, labels: Labels, groups: Sequence[str], temperature: float, seed: int = 0
) -> dict[str, Any] | None:
    """The limit and what it does, as `metrics.json` holds it.

    Args:
        logits: (N, classes) of all validation pictures; those without tumour are left out here.
        labels: (N), place in `CLASSES`.
        groups: (N), the unit of intervals.
        temperature: the release's.
        seed: of draws and halvings.

    Returns:
        None where a type has too few groups for an interval, or no limit is enough: then the node's cautious default
        counts.
    """
    ill = np.flatnonzero(np.isin(labels, TUMOURS))
    types, true, of = logits[ill][:, TUMOURS], _places(labels[ill]), np.asarray(groups)[ill]
    if any(len(set(of[true == kind])) < FEWEST_GROUPS for kind in range(len(TUMOURS))):
        return None
    probabilities = softmax(types, temperature)
    limit = least_limit(probabilities, true, of, seed)
    if limit is None:
        return None
    tried = _cross_fitted(logits[ill], labels[ill], of, seed)
    return {
        "limit": limit,
        "wanted": WANTED,
        "pictures": len(ill),
        "groups": len(set(of)),
        "ece_given_tumour": expected_calibration_error(probabilities, true),
        **_told(probabilities, true, limit),
        **{f"{name}_cross_fitted": value for name, value in tried.items()},
    }


def least_limit(probabilities: FloatArray, labels: Labels, groups: Sequence[str], seed: int = 0) -> float | None:
    """The smallest limit (hundredths, from a half on) at which enough is right; None where none is."""
    sure, right = probabilities.max(axis=1), probabilities.argmax(axis=1) == labels
    names, of = np.unique(np.asarray(groups), return_inverse=True)
    generator = np.random.default_rng(seed)
    drawn = generator.multinomial(len(names), np.full(len(names), 1 / len(names)), size=_DRAWS)
    for limit in _LIMITS:
        named = sure >= limit
        in_all = drawn @ np.bincount(of, weights=named, minlength=len(names))
        rightly = drawn @ np.bincount(of, weights=named & right, minlength=len(names))
        if named.any() and np.quantile(rightly[in_all > 0] / in_all[in_all > 0], 0.025) >= WANTED:
            return limit
    return None


def _told(probabilities: FloatArray, labels: Labels, limit: float) -> dict[str, float]:
    """Share that is named, and how often rightly, above and below the limit."""
    named = probabilities.max(axis=1) >= limit
    right = probabilities.argmax(axis=1) == labels
    below = float(right[~named].mean()) if (~named).any() else float("nan")
    above = float(right[named].mean()) if named.any() else float("nan")
    return {"named": float(named.mean()), "right": above, "right_below": below}


def _cross_fitted(logits: FloatArray, labels: Labels, groups: Sequence[str], seed: int) -> dict[str, float]:
    """Means over the halves on which neither temperature nor limit was chosen."""
    found = []
    for number in range(HALVINGS):
        halves = StratifiedGroupKFold(n_splits=2, shuffle=True, random_state=seed + number)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            parts = list(halves.split(logits, labels, groups))
        for chosen_on, tried_on in parts:
            types = logits[:, TUMOURS] / fit_temperature(logits[chosen_on][:, TUMOURS], _places(labels[chosen_on]))
            true = _places(labels)
            limit = least_limit(softmax(types[chosen_on]), true[chosen_on], np.asarray(groups)[chosen_on], seed)
            if limit is not None:
                found.append({"limit": limit, **_told(softmax(types[tried_on]), true[tried_on], limit)})
    names = ("limit", "named", "right", "right_below")
    return {name: float(np.nanmean([each[name] for each in found])) for name in names} if found else {}


def _places(labels: Labels) -> Labels:
    """Place of each label among the types of tumour."""
    return np.asarray([TUMOURS.index(int(label)) for label in labels], dtype=np.int64)
