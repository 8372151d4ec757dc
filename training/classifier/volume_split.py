"""Who trains and who validates among the volumes: by patient, and no head on both sides under two names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.classifier.leaks import OnLeak
from training.classifier.recipe import VolumesRecipe
from training.classifier.volumes import read_volume
from training.segmenter.case import Case, CaseError
from training.segmenter.leaks import Likeness, same_heads
from training.segmenter.split import Split, split_by_patient

_FACTS = "volumes_split"


def split_of_volumes(
    cases: Sequence[Case], wanted: VolumesRecipe, on_leak: OnLeak, known: dict[str, Any]
) -> tuple[Split, dict[str, Any]]:
    """Split the cases by patient and look for one head under two names, or take the run's own split.

    Args:
        cases: all that the folder holds.
        wanted: how many validate, and the seed.
        on_leak: what to do about a head on both sides. `drop` leaves out the training case, `regroup` lets it
            validate.
        known: `RUN/data.json`.

    Returns:
        The split, and `known` with the split and what the guard found.

    Raises:
        CaseError: a head on both sides and `on_leak` is stop (the message lists them), or cases of the run are gone.
    """
    if _FACTS in known:
        return _stored(cases, known[_FACTS]), known
    drawn = split_by_patient({case.name: case.group for case in cases}, wanted.validation_cases, wanted.split_seed)
    final, pairs = _guarded(cases, drawn, on_leak)
    facts = {
        "training": list(final.training),
        "validation": list(final.validation),
        "heads_on_both_sides": [str(pair) for pair in pairs],
        "on_leak": on_leak.value,
    }
    return final, known | {
        _FACTS: facts,
        "volumes_split_sha256": final.sha256,
        "validation_cases": list(final.validation),
    }


def _guarded(cases: Sequence[Case], drawn: Split, on_leak: OnLeak) -> tuple[Split, list[Likeness]]:
    by_name = {case.name: case for case in cases}

    def heads_of(names: Sequence[str]) -> list[Likeness]:
        others = [name for name in by_name if name in drawn.training and name not in names]
        return same_heads((read_volume(by_name[n]) for n in others), (read_volume(by_name[n]) for n in names))

    found = heads_of(drawn.validation)
    if not found or on_leak is OnLeak.TELL:
        return drawn, found
    if on_leak is OnLeak.STOP:
        lines = [f"the same head trains and validates among the volumes under {len(found)} pair(s) of names:"]
        lines += [f"  - {pair}" for pair in found]
        lines.append("Remove one of each, or say --on-leak drop (the training case goes) or regroup (it validates).")
        raise CaseError("\n".join(lines))
    alike, fresh = list(found), found
    while fresh and on_leak is OnLeak.REGROUP:  # what moves over may have copies of its own among those that stay
        moved = {pair.first for pair in alike}
        fresh = [pair for pair in heads_of([*drawn.validation, *moved]) if pair.first not in moved]
        alike += fresh
    out = {pair.first for pair in alike}
    training = tuple(name for name in drawn.training if name not in out)
    validation = drawn.validation if on_leak is OnLeak.DROP else (*drawn.validation, *sorted(out))
    return Split(training, validation), alike


def _stored(cases: Sequence[Case], facts: dict[str, Any]) -> Split:
    split = Split(tuple(facts["training"]), tuple(facts["validation"]))
    gone = {*split.training, *split.validation} - {case.name for case in cases}
    if gone:
        raise CaseError(f"cases of the run are not in the data folder: {', '.join(sorted(gone))}")
    return split
