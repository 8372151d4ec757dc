"""Cases on disk and their split. A case is one patient's four sequences with the expert's labels."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bt_node.domain.study import Role
from training.runs import hash_of

_BRATS_2018 = {Role.T1: "t1", Role.T1C: "t1ce", Role.T2: "t2", Role.FLAIR: "flair"}


class CaseError(ValueError):
    """A case is incomplete or holds what a case may not hold."""


@dataclass(frozen=True)
class Case:
    """Where the files of one case lie."""

    name: str
    images: Mapping[Role, Path]
    labels: Path


@dataclass(frozen=True)
class Split:
    """Names of the cases that train and of those that only validate."""

    training: tuple[str, ...]
    validation: tuple[str, ...]

    def __post_init__(self) -> None:
        both = set(self.training) & set(self.validation)
        if both:
            raise ValueError(f"cases on both sides of the split: {sorted(both)}")
        if not self.training or not self.validation:
            raise ValueError("a split needs cases on both sides")

    @property
    def sha256(self) -> str:
        """Hash of both lists of names: the same hash is the same split."""
        return hash_of({"training": sorted(self.training), "validation": sorted(self.validation)})


def find_brats2018(folder: Path) -> tuple[Case, ...]:
    """Find cases in BraTS 2018's layout: `NAME/NAME_{t1,t1ce,t2,flair,seg}.nii.gz`.

    Raises:
        CaseError: no case at all, or files missing (all of them in one message).
    """
    names = sorted(
        path.parent.name for path in folder.glob("*/*_seg.nii.gz") if path.stem.startswith(path.parent.name)
    )
    if not names:
        raise CaseError(f"no folder NAME with NAME_seg.nii.gz under {folder}")
    cases = [
        Case(
            name,
            {role: folder / name / f"{name}_{suffix}.nii.gz" for role, suffix in _BRATS_2018.items()},
            folder / name / f"{name}_seg.nii.gz",
        )
        for name in names
    ]
    missing = [str(path) for case in cases for path in case.images.values() if not path.is_file()]
    if missing:
        raise CaseError(f"files missing: {', '.join(missing)}")
    return tuple(cases)


def split_by_case(names: Sequence[str], validation_cases: int, seed: int) -> Split:
    """Draw `validation_cases` names for validation; the same names and seed give the same split."""
    shuffled = sorted(names)
    random.Random(seed).shuffle(shuffled)
    return Split(tuple(sorted(shuffled[validation_cases:])), tuple(sorted(shuffled[:validation_cases])))
