"""Is a probability worth its name? One temperature for the release; another pair, fitted apart, for honest figures.

A temperature that is fitted on the pictures on which the calibration error is told makes that error too small. So
the error is told with cross-fitting: the groups are halved, and each half is calibrated by a temperature that was
fitted on the other; the mean over eight such halvings.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import StratifiedGroupKFold

from bt_node.domain.geometry import FloatArray
from training.classifier.metrics import (
    Labels,
    brier_score,
    expected_calibration_error,
    fit_temperature,
    negative_log_likelihood,
    softmax,
)

HALVINGS = 8  # one alone is a matter of luck: the error of a few hundred pictures moves by a few hundredths


def cross_fitted_temperatures(
    logits: FloatArray, labels: Labels, groups: Sequence[str], seed: int = 0
) -> FloatArray | None:
    """Temperatures (N, 8), each fitted on the half of the groups in which its picture is not; a column a halving.

    Returns:
        None where there are not two groups to part.
    """
    columns = [_halved(logits, labels, groups, seed + number) for number in range(HALVINGS)]
    known = [column for column in columns if column is not None]
    return np.stack(known, axis=1) if known else None


def calibration_figures(logits: FloatArray, labels: Labels, temperatures: FloatArray) -> dict[str, float]:
    """Calibration error, Brier score and log-likelihood of cross-fitted probabilities: means over the halvings."""
    found = []
    for column in temperatures.T[:, :, None]:
        probabilities = softmax(logits, column)
        found.append(
            (
                expected_calibration_error(probabilities, labels),
                brier_score(probabilities, labels),
                negative_log_likelihood(logits, labels, column),
            )
        )
    names = ("ece_cross_fitted", "brier_cross_fitted", "nll_cross_fitted")
    return {name: float(value) for name, value in zip(names, np.mean(found, axis=0), strict=True)}


def _halved(logits: FloatArray, labels: Labels, groups: Sequence[str], seed: int) -> FloatArray | None:
    """Temperatures (N) of one halving."""
    if len(set(groups)) < 2:
        return None
    halves = StratifiedGroupKFold(n_splits=2, shuffle=True, random_state=seed)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        try:
            parts = list(halves.split(logits, labels, groups))
        except ValueError:  # each class has a single picture
            return None
    if not all(len(part) for halving in parts for part in halving):
        return None
    temperatures = np.empty(len(labels))
    for fitted_on, applied_to in parts:
        temperatures[applied_to] = fit_temperature(logits[fitted_on], labels[fitted_on])
    return temperatures
