"""Is a probability worth its name? One temperature for the release; another pair, fitted apart, for honest figures.

A temperature that is fitted on the pictures on which the calibration error is told makes that error too small. So
the error is told with cross-fitting: the groups are halved, and each half is calibrated by a temperature that was
fitted on the other.
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


def cross_fitted_temperatures(
    logits: FloatArray, labels: Labels, groups: Sequence[str], seed: int = 0
) -> FloatArray | None:
    """Temperatures (N, 1), each fitted on the half of the groups in which its picture is not.

    Returns:
        None where there are not two groups to part.
    """
    if len(set(groups)) < 2:
        return None
    halves = StratifiedGroupKFold(n_splits=2, shuffle=True, random_state=seed)
    temperatures = np.empty((len(labels), 1))
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
        try:
            parts = list(halves.split(logits, labels, groups))
        except ValueError:  # each class has a single picture
            return None
    for fitted_on, applied_to in parts:
        if not len(fitted_on):
            return None
        temperatures[applied_to] = fit_temperature(logits[fitted_on], labels[fitted_on])
    return temperatures


def calibration_figures(logits: FloatArray, labels: Labels, temperatures: FloatArray) -> dict[str, float]:
    """Calibration error, Brier score and log-likelihood of cross-fitted probabilities."""
    probabilities = softmax(logits, temperatures)
    return {
        "ece_cross_fitted": expected_calibration_error(probabilities, labels),
        "brier_cross_fitted": brier_score(probabilities, labels),
        "nll_cross_fitted": negative_log_likelihood(logits, labels, temperatures),
    }
