"""What an evaluation says: recalls, confusion matrix, calibration. numpy in, plain numbers out."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import optimize, special
from sklearn.metrics import precision_recall_fscore_support, roc_auc_score

from bt_node.domain.geometry import FloatArray
from bt_node.domain.tumour import TumourType
from training.classifier.pictures import CLASSES

Labels = npt.NDArray[np.int64]
TUMOURS = tuple(number for number, kind in enumerate(CLASSES) if kind is not TumourType.NONE)
_BINS = 15
_COLDEST, _HOTTEST = 0.2, 10.0


def softmax(logits: FloatArray, temperature: float | FloatArray = 1.0) -> FloatArray:
    """Probabilities (N, classes) of logits divided by a temperature, or by one for each picture (N, 1)."""
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


def negative_log_likelihood(logits: FloatArray, labels: Labels, temperature: float | FloatArray = 1.0) -> float:
    """Mean over classes of the mean cross-entropy in nats, so that a large class does not rule."""
    scaled = logits / temperature
    losses = special.logsumexp(scaled, axis=1) - scaled[np.arange(len(labels)), labels]
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
    certainty, accuracy, count = reliability(probabilities, labels)
    return float(np.sum(np.abs(certainty - accuracy) * count) / len(labels))


def reliability(probabilities: FloatArray, labels: Labels) -> tuple[FloatArray, FloatArray, Labels]:
    """Mean certainty, accuracy and number of pictures of each of 15 equal bins of certainty that holds any."""
    certainty = probabilities.max(axis=1)
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    bins = np.minimum((certainty * _BINS).astype(int), _BINS - 1)
    count = np.bincount(bins, minlength=_BINS)
    held = count > 0
    means = [np.bincount(bins, weights=values, minlength=_BINS)[held] / count[held] for values in (certainty, right)]
    return means[0], means[1], count[held]


def macro_figures(logits: FloatArray, labels: Labels) -> dict[str, float]:
    """Precision, recall, F1 and one-vs-rest ROC-AUC of each class that occurs, and their plain means.

    Precision of a class that is never named is 0. AUC needs pictures of the class and of another one. Names are
    `recall.glioma` and `macro_recall`; AUC is that of the softmax's probabilities.
    """
    kinds = np.unique(labels)
    predicted = logits.argmax(axis=1)
    by_name = dict(
        zip(
            ("precision", "recall", "f1"),
            precision_recall_fscore_support(labels, predicted, labels=kinds, average=None, zero_division=0.0)[:3],
            strict=True,
        )
    )
    if len(kinds) > 1:
        probabilities = softmax(logits)
        by_name["auc"] = [roc_auc_score(labels == kind, probabilities[:, kind]) for kind in kinds]
    figures = {f"macro_{name}": float(np.mean(values)) for name, values in by_name.items()}
    for name, values in by_name.items():
        figures |= {f"{name}.{CLASSES[kind].value}": float(value) for kind, value in zip(kinds, values, strict=True)}
    return figures


def tumour_or_none_balanced_accuracy(labels: Labels, predicted: Labels) -> float | None:
    """Balanced accuracy of the yes-or-no question "is there a tumour"; None where only one of both occurs."""
    ill = np.isin(labels, TUMOURS)
    if ill.all() or not ill.any():
        return None
    named = np.isin(predicted, TUMOURS)
    return float(named[ill].mean() / 2 + (~named[~ill]).mean() / 2)


def brier_score(probabilities: FloatArray, labels: Labels) -> float:
    """Mean over pictures of the summed squared distances from the truth (0 best, 2 worst; Brier 1950)."""
    return float(np.square(probabilities - np.eye(len(CLASSES))[labels]).sum(axis=1).mean())


def scores(logits: FloatArray, labels: Labels, temperature: float | FloatArray) -> dict[str, float | None]:
    """Every figure of some pictures as one flat table, for a bootstrap to repeat.

    Args:
        logits: (N, classes).
        labels: (N), place in `CLASSES`.
        temperature: the release's, or one for each picture (N, 1), fitted on other groups than the picture's.
    """
    predicted = logits.argmax(axis=1)
    probabilities = softmax(logits, temperature)
    return {
        "accuracy": float((predicted == labels).mean()),
        "balanced_accuracy": balanced_accuracy(labels, predicted),
        "balanced_accuracy_three_tumours": three_class_balanced_accuracy(logits, labels),
        "balanced_accuracy_three_tumours_forced": forced_choice_balanced_accuracy(logits, labels),
        "balanced_accuracy_tumour_or_none": tumour_or_none_balanced_accuracy(labels, predicted),
        **macro_figures(logits, labels),
        "ece": expected_calibration_error(probabilities, labels),
        "ece_uncalibrated": expected_calibration_error(softmax(logits), labels),
        "brier": brier_score(probabilities, labels),
        "nll": negative_log_likelihood(logits, labels, temperature),
    }


def summary(logits: FloatArray, labels: Labels, temperature: float) -> dict[str, Any]:
    """All numbers of one set of pictures, as `metrics.json` holds them: single figures, and tables by class."""
    found = scores(logits, labels, temperature)
    tables = {
        name: {kind.value: found.get(f"{name}.{kind.value}") for kind in CLASSES}
        for name in ("precision", "recall", "f1", "auc")
    }
    matrix = confusion(labels, logits.argmax(axis=1))
    return {
        "pictures": len(labels),
        "confusion": matrix.tolist(),
        **{name: value for name, value in found.items() if "." not in name},
        **tables,
    }
