"""Who trains and who validates: by patient, seeded, by folds or by a list."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from training.runs import hash_of
from training.segmenter.case import CaseError


@dataclass(frozen=True)
class Split:
    """Names of the cases that train and of those that only validate."""

    training: tuple[str, ...]
    validation: tuple[str, ...]

    def __post_init__(self) -> None:
        both = set(self.training) & set(self.validation)
        if both:
            raise CaseError(f"cases on both sides of the split: {sorted(both)}")
        if not self.training or not self.validation:
            raise CaseError(
                f"a split needs cases on both sides, not {len(self.training)} to train and "
                f"{len(self.validation)} to validate; give more patients or keep fewer apart"
            )

    @property
    def sha256(self) -> str:
        """Hash of both lists of names: the same hash is the same split."""
        return hash_of({"training": sorted(self.training), "validation": sorted(self.validation)})


def split_by_case(names: Sequence[str], validation_cases: int, seed: int) -> Split:
    """Draw `validation_cases` names for validation; the same names and seed give the same split."""
    return split_by_patient({name: name for name in names}, validation_cases, seed)


def split_by_patient(patient_of: Mapping[str, str], validation_cases: int, seed: int) -> Split:
    """Draw patients until at least `validation_cases` cases validate.

    Args:
        patient_of: patient of each case's name.
        validation_cases: how many cases to keep apart; a patient's cases all go with the first.
        seed: the same cases and seed give the same split.
    """
    kept_apart: list[str] = []
    for cases in _shuffled_patients(patient_of, seed):
        if len(kept_apart) >= validation_cases:
            break
        kept_apart += cases
    return _split(patient_of, kept_apart)


def split_in_folds(patient_of: Mapping[str, str], folds: int, fold: int, seed: int) -> Split:
    """Deal shuffled patients to `folds` hands; the hand number `fold` (from 0) validates.

    Over all folds every case validates exactly once.
    """
    patients = _shuffled_patients(patient_of, seed)
    if len(patients) < folds:
        raise CaseError(f"{folds} folds need at least as many patients; there are {len(patients)}")
    return _split(patient_of, [case for cases in patients[fold::folds] for case in cases])


def split_by_list(patient_of: Mapping[str, str], validation: Iterable[str]) -> Split:
    """Keep the named cases apart; a patient's name stands for all its cases.

    Raises:
        CaseError: a name is unknown, or a named case's patient has other cases that would train.
    """
    wanted = set(validation)
    kept_apart = [case for case, patient in patient_of.items() if case in wanted or patient in wanted]
    unknown = wanted - set(kept_apart) - {patient_of[case] for case in kept_apart}
    if unknown:
        raise CaseError(f"the recipe's validation list names cases that are not there: {', '.join(sorted(unknown))}")
    split = _split(patient_of, kept_apart)
    check_patients(split, patient_of)
    return split


def check_patients(split: Split, patient_of: Mapping[str, str]) -> None:
    """Refuse a split with one patient on both sides.

    Raises:
        CaseError: with the list of such patients' cases.
    """
    sides: dict[str, tuple[list[str], list[str]]] = {}
    for side, names in enumerate((split.training, split.validation)):
        for name in names:
            sides.setdefault(patient_of[name], ([], []))[side].append(name)
    leaks = [f"  - {' '.join(a)} trains, {' '.join(b)} validates" for a, b in sides.values() if a and b]
    if leaks:
        lines = [f"{len(leaks)} patient(s) on both sides of the split:", *sorted(leaks)]
        raise CaseError("\n".join([*lines, "Put all cases of a patient on one side."]))


def _shuffled_patients(patient_of: Mapping[str, str], seed: int) -> list[list[str]]:
    """The cases of each patient, patients in random order."""
    by_patient: dict[str, list[str]] = {}
    for case in sorted(patient_of):
        by_patient.setdefault(patient_of[case], []).append(case)
    patients = list(by_patient.values())
    random.Random(seed).shuffle(patients)
    return patients


def _split(names: Iterable[str], kept_apart: Iterable[str]) -> Split:
    validation = set(kept_apart)
    return Split(tuple(sorted(set(names) - validation)), tuple(sorted(validation)))
