"""Which cases a release has seen: its manifest tells hashes of their names, so that an evaluation can warn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

TRAINED = "training_case_hashes"
WATCHED = "validation_cases"


def hashes_of(names: Sequence[str]) -> list[str]:
    """Short hashes of case names; names of one's own patients need not stand in a manifest that travels."""
    return sorted(hashlib.sha256(name.encode()).hexdigest()[:16] for name in names)


def seen_among(training: Mapping[str, Any], names: Sequence[str]) -> list[str] | None:
    """Which of these cases a release was trained on or watched with; None where its manifest does not tell.

    Args:
        training: table `[training]` of the release's manifest.
        names: of cases.
    """
    if TRAINED not in training:
        return None
    trained, watched = set(training[TRAINED]), set(training.get(WATCHED, ()))
    return [name for name in names if name in watched or hashes_of([name])[0] in trained]


def caution(training: Mapping[str, Any], names: Sequence[str]) -> str:
    """A sentence on how far figures on these cases can be trusted.

    Args:
        training: table `[training]` of the release's manifest.
        names: of the cases that are evaluated.
    """
    known = training.get(TRAINED)
    watched = sorted(set(names) & set(training.get(WATCHED, ())))
    words = []
    if known is None:
        words.append(
            "The manifest does not name the cases that it was trained on: whether some are among these is unknown."
        )
    else:
        trained = [name for name in names if hashes_of([name])[0] in set(known)]
        if trained:
            words.append(
                f"**{len(trained)} of {len(names)} cases were trained on ({', '.join(trained)}): their figures say "
                "nothing about new patients.**"
            )
    if watched:
        words.append(
            f"{len(watched)} of {len(names)} cases were watched during training (and tuned on, where the release was "
            f"tuned): their figures are optimistic ({', '.join(watched)})."
        )
    return " ".join(words) or "None of these cases was trained on or watched during training, by their names."
