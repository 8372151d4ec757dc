"""What an evaluation says: recalls, confusion matrix, calibration. numpy in, plain numbers out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special

from bt_node.domain.geometry import FloatArray
from bt_node.domain.tumour import TumourType
from training.classifier.pictures import CLASSES

Labels = npt.NDArray[np.int64]
TUMOURS = tuple(number for number, kind in enumerate(CLASSES) if kind is not TumourType.NONE)
_BINS = 15
_COLDEST, _HOTTEST = 0.2, 10.0


def softmax(logits: FloatArray, temperature: float = 1.0) -> FloatArray:
    """Probabilities (N, classes) of logits divided by a temperature."""
    return np.asarray(special.softmax(logits / temperature, axis=1), dtype=np.float64)


def confusion(labels: Labels, predicted: Labels) -> npt.NDArray[np.int64]:
    """Counts (true class, predicted class)."""
    matrix = np.zeros((len(CLASSES), len(CLASSES)), dtype=np.int64)
    np.add.at(matrix, (labels, predicted), 1)
    return matrix


def recalls(matrix: npt.NDArray[np.int64]) -> list[float | None]:
    """Share of each true class that was named rightly; None for a class without pictures."""
    totals = matrix.sum(axis=1)
    return [float(matrix[k, k] / total) if total else None for k, total in enumerate(totals)]


def balanced_accuracy(labels: Labels, predicted: Labels) -> float:
    """Mean recall of the classes that occur."""
    known = [value for value in recalls(confusion(labels, predicted)) if value is not None]
    return float(np.mean(known))


def three_class_balanced_accuracy(logits: FloatArray, labels: Labels) -> float | None:
    """Balanced accuracy over the pictures with a tumour; an answer "no tumour" counts as wrong."""
    ill = np.isin(labels, TUMOURS)
    return balanced_accuracy(labels[ill], logits[ill].argmax(axis=1)) if ill.any() else None


def forced_choice_balanced_accuracy(logits: FloatArray, labels: Labels) -> float | None:
    """The same where the answer must be one of the three tumour types: which type, given that there is one."""
    ill = np.isin(labels, TUMOURS)
    if not ill.any():
        return None
    return balanced_accuracy(labels[ill], np.asarray(TUMOURS)[logits[ill][:, TUMOURS].argmax(axis=1)])


def negative_log_likelihood(logits: FloatArray, labels: Labels, temperature: float = 1.0) -> float:
    """Mean over classes of the mean cross-entropy in nats, so that a large class does not rule."""
    losses = special.logsumexp(logits / temperature, axis=1) - logits[np.arange(len(labels)), labels] / temperature
    return float(np.mean([losses[labels == kind].mean() for kind in np.unique(labels)]))


def fit_temperature(logits: FloatArray, labels: Labels) -> float:
    """The one number that makes probabilities fit best (Guo 2017, arXiv:1706.04599); classes weigh alike."""
    found = optimize.minimize_scalar(
        lambda log_t: negative_log_likelihood(logits, labels, float(np.exp(log_t))),
        bounds=(np.log(_COLDEST), np.log(_HOTTEST)),
        method="bounded",
    )
    return float(np.exp(found.x))


def expected_calibration_error(probabilities: FloatArray, labels: Labels) -> float:
    """Mean distance between certainty and accuracy in 15 bins of certainty, weighted by their pictures."""
    certainty = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == labels
    bins = np.minimum((certainty * _BINS).astype(int), _BINS - 1)
    gaps = [abs(certainty[bins == k].mean() - right[bins == k].mean()) * (bins == k).sum() for k in np.unique(bins)]
    return float(np.sum(gaps) / len(labels))


def summary(logits: FloatArray, labels: Labels, temperature: float) -> dict[str, Any]:
    """All numbers of one set of pictures, as `metrics.json` holds them."""
    predicted = logits.argmax(axis=1)
    matrix = confusion(labels, predicted)
    probabilities = softmax(logits, temperature)
    return {
        "pictures": len(labels),
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": balanced_accuracy(labels, predicted),
        "balanced_accuracy_three_tumours": three_class_balanced_accuracy(logits, labels),
        "balanced_accuracy_three_tumours_forced": forced_choice_balanced_accuracy(logits, labels),
        "recall": dict(zip(_words(), recalls(matrix), strict=True)),
        "confusion": matrix.tolist(),
        "ece": expected_calibration_error(probabilities, labels),
        "ece_uncalibrated": expected_calibration_error(softmax(logits), labels),
        "nll": negative_log_likelihood(logits, labels, temperature),
    }


def _words() -> Sequence[str]:
    return [kind.value for kind in CLASSES]
