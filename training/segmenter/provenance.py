"""Which cases a release has seen: its manifest tells hashes of their names, so that an evaluation can warn."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

_KEY = "training_case_hashes"


def hashes_of(names: Sequence[str]) -> list[str]:
    """Short hashes of case names; names of one's own patients need not stand in a manifest that travels."""
    return sorted(hashlib.sha256(name.encode()).hexdigest()[:16] for name in names)


def caution(training: Mapping[str, Any], names: Sequence[str]) -> str:
    """A sentence on how far figures on these cases can be trusted.

    Args:
        training: table `[training]` of the release's manifest.
        names: of the cases that are evaluated.
    """
    known = training.get(_KEY)
    watched = sorted(set(names) & set(training.get("validation_cases", ())))
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
