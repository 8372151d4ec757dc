"""The control: what eleven numbers of a picture's histogram tell, without any place, shape or texture.

Pictures with and without tumour often come from different collections. A forest that sees tones only then "finds"
tumours too, and its score is how much of a network's score the source alone could explain.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import RandomForestClassifier

from bt_node.domain.geometry import FloatArray
from training.classifier.metrics import TUMOURS, Labels, balanced_accuracy, tumour_or_none_balanced_accuracy
from training.classifier.pictures import CLASSES, Bytes, Pictures

FEATURES = (
    "percentile 5",
    "percentile 25",
    "percentile 50",
    "percentile 75",
    "percentile 95",
    "mean",
    "deviation",
    "skewness",
    "kurtosis",
    "entropy",
    "share of air",
)
TUMOUR_OR_NONE, THREE_TUMOURS = "balanced_accuracy_tumour_or_none", "balanced_accuracy_three_tumours"
_PERCENTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_AIR = 13  # of 255: a twentieth of bright tissue
_TREES = 300
_NONE = next(number for number in range(len(CLASSES)) if number not in TUMOURS)


def histogram_features(grey: Bytes) -> FloatArray:
    """Eleven numbers (N, 11) of each framed picture (N, S, S), from its 256 counts alone; greys from 0 to 1."""
    counts = np.stack([np.bincount(picture.ravel(), minlength=256) for picture in grey]).astype(np.float64)
    share = counts / counts.sum(axis=1, keepdims=True)
    tones = np.arange(256) / 255.0
    cumulated = share.cumsum(axis=1)
    percentiles = [(cumulated < wanted - 1e-9).sum(axis=1) / 255.0 for wanted in _PERCENTILES]
    mean = share @ tones
    central = tones[None] - mean[:, None]
    deviation = np.sqrt((share * central**2).sum(axis=1))
    scaled = np.maximum(deviation, 1e-9)
    entropy = -(share * np.log2(np.where(share > 0, share, 1.0))).sum(axis=1)
    return np.stack(
        [
            *percentiles,
            mean,
            deviation,
            (share * central**3).sum(axis=1) / scaled**3,
            (share * central**4).sum(axis=1) / scaled**4,
            entropy,
            cumulated[:, _AIR],
        ],
        axis=1,
    )


def control_answers(train: Pictures, validation: Pictures, seed: int = 0) -> dict[str, Labels]:
    """Answers of two forests for the validation pictures: tumour or none, and which of the tumours.

    Returns:
        Places in `CLASSES` under the name of the figure that they make; a question that the training pictures do not
        hold is left out. For "tumour or none" any tumour stands as the first class.
    """
    known, asked = histogram_features(train.grey), histogram_features(validation.grey)
    ill = np.isin(train.labels, TUMOURS)
    answers: dict[str, Labels] = {}
    if ill.any() and not ill.all():
        answers[TUMOUR_OR_NONE] = np.where(_forest(known, ill, asked, seed), TUMOURS[0], _NONE)
    if len(np.unique(train.labels[ill])) > 1:
        answers[THREE_TUMOURS] = _forest(known[ill], train.labels[ill], asked, seed)
    return answers


def control_figures(answers: dict[str, Labels], labels: Labels) -> dict[str, float | None]:
    """The two balanced accuracies, each under its name; None where the pictures do not hold the question."""
    ill = np.isin(labels, TUMOURS)
    figures: dict[str, float | None] = {}
    if TUMOUR_OR_NONE in answers:
        figures[TUMOUR_OR_NONE] = tumour_or_none_balanced_accuracy(labels, answers[TUMOUR_OR_NONE])
    if THREE_TUMOURS in answers:
        figures[THREE_TUMOURS] = (
            balanced_accuracy(labels[ill], answers[THREE_TUMOURS][ill]) if len(np.unique(labels[ill])) > 1 else None
        )
    return figures


def _forest(known: FloatArray, truth: Any, asked: FloatArray, seed: int) -> Any:
    forest = RandomForestClassifier(_TREES, class_weight="balanced_subsample", random_state=seed, n_jobs=1)
    return forest.fit(known, truth).predict(asked)
