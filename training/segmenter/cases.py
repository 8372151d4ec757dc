"""From a folder to cases: the layouts in which labelled brain tumours are handed around.

| layout       | what lies in the folder                                                                        |
|--------------|------------------------------------------------------------------------------------------------|
| `brats2018`  | `NAME/NAME_{t1,t1ce,t2,flair,seg}.nii.gz`, also under `HGG/` and `LGG/`; 2018 and 2019          |
| `brats2020`  | the same names, `BraTS20_Training_001/…`; `.nii` or `.nii.gz`                                   |
| `brats2021`  | the same names, `BraTS2021_00000/…`                                                            |
| `brats2023`  | `BraTS-GLI-00000-000/BraTS-GLI-00000-000-{t1n,t1c,t2w,t2f,seg}.nii.gz`; 2023 and 2024           |
| `decathlon`  | `dataset.json`, `imagesTr/`, `labelsTr/` of Task01_BrainTumour: one 4D file a case             |
| `table`      | a CSV file (see `training.segmenter.table`)                                                    |
| `auto`       | whichever of these is found                                                                    |
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from bt_node.domain.study import Role
from training.segmenter.case import Case, CaseError, LabelScheme
from training.segmenter.decathlon import find_decathlon
from training.segmenter.split import Split, split_by_case
from training.segmenter.table import find_table

__all__ = ["Case", "CaseError", "Found", "LabelScheme", "Split", "find_brats2018", "find_cases", "split_by_case"]

ALL_ROLES = (Role.T1, Role.T1C, Role.T2, Role.FLAIR)
AUTO = "auto"
_ENDINGS = (".nii.gz", ".nii")


@dataclass(frozen=True)
class _BratsNames:
    """How one family of BraTS years names its files, and which part of a case's name is the patient."""

    suffixes: Mapping[Role, str]
    labels: str
    patient: re.Pattern[str]  # group 1; names that do not match are patients by themselves
    scheme: LabelScheme
    shown: str


_UNDERSCORED = _BratsNames(
    {Role.T1: "_t1", Role.T1C: "_t1ce", Role.T2: "_t2", Role.FLAIR: "_flair"},
    "_seg",
    re.compile(r"(Brats1[789]_[^_]+_[^_]+)_\d+"),  # Brats18_TCIA01_201_1: the last number is the time point
    LabelScheme.BRATS,
    "NAME/NAME_{t1,t1ce,t2,flair,seg}.nii.gz (or .nii)",
)
_HYPHENED = _BratsNames(
    {Role.T1: "-t1n", Role.T1C: "-t1c", Role.T2: "-t2w", Role.FLAIR: "-t2f"},
    "-seg",
    re.compile(r"(BraTS-[A-Za-z]+-\d+)-\d+"),  # BraTS-GLI-00005-101: patient 5, time point 101
    LabelScheme.BRATS_3,
    "NAME/NAME-{t1n,t1c,t2w,t2f,seg}.nii.gz (or .nii)",
)


@dataclass(frozen=True)
class Found:
    """Cases, the layout they lie in, what a person should know about how they were found, and who was left out."""

    layout: str
    cases: tuple[Case, ...]
    notes: tuple[str, ...] = ()
    kept_apart: tuple[str, ...] = ()  # names of cases that lie there too, and that the run must not know


def find_brats2018(folder: Path) -> tuple[Case, ...]:
    """Find cases in BraTS 2018's layout with all four sequences.

    Raises:
        CaseError: see `find_cases`.
    """
    return find_cases(folder, "brats2018").cases


def find_cases(
    folder: Path, layout: str = AUTO, roles: Sequence[Role] = ALL_ROLES, scheme: LabelScheme | None = None
) -> Found:
    """Find all cases in a folder, sorted by name.

    Args:
        folder: the data; for `table` it may be the CSV file itself.
        layout: one of the table above.
        roles: sequences that each case must have.
        scheme: what label numbers mean, where it is not what the layout's usually do.

    Raises:
        CaseError: no case at all, files missing (all in one message), one name twice, or an ambiguous folder.
    """
    if not folder.exists():
        raise CaseError(f"the data folder {folder} does not exist")
    if layout == AUTO:
        layout = _detect(folder)
    found = _FINDERS[layout](folder, roles)
    if not found.cases:
        raise CaseError(f"no cases under {folder}. Looked for {layout}: {_SHOWN[layout]}")
    twice = sorted(name for name, count in Counter(case.name for case in found.cases).items() if count > 1)
    if twice:
        raise CaseError(f"under {folder} the same case lies more than once: {', '.join(twice)}; remove one of each")
    missing = [
        str(path)
        for case in found.cases
        for path in (*(case.images[role] for role in roles), case.labels)
        if not path.is_file()
    ]
    if missing:
        raise CaseError("\n  - ".join([f"{len(missing)} file(s) of the {layout} layout missing:", *missing]))
    cases = found.cases if scheme is None else tuple(replace(case, scheme=scheme) for case in found.cases)
    return Found(layout, tuple(sorted(cases, key=lambda case: case.name)), found.notes)


def _detect(folder: Path) -> str:
    found = []
    if folder.is_file() or any(folder.glob("*.csv")):
        found.append("table")
    if folder.is_dir():
        if (folder / "dataset.json").is_file():
            found.append("decathlon")
        if _case_folders(folder, _HYPHENED):
            found.append("brats2023")
        underscored = _case_folders(folder, _UNDERSCORED)
        if underscored:
            found.append(_year_of(underscored[0].name))
    # BraTS comes with tables of survival and names: they say nothing as long as there are case folders.
    found = [layout for layout in found if layout != "table"] or found
    if not found:
        looked_for = "\n  - ".join(f"{name}: {shown}" for name, shown in _SHOWN.items())
        raise CaseError(f"no cases under {folder}. Looked for:\n  - {looked_for}")
    if len(found) > 1:
        raise CaseError(f"{folder} holds more than one layout: {', '.join(found)}; name one in [data] layout")
    return found[0]


def _year_of(name: str) -> str:
    lowered = name.lower()
    return next((year for sign, year in (("brats20_", "brats2020"), ("brats2021", "brats2021")) if sign in lowered),
                "brats2018")  # fmt: skip


def _case_folders(folder: Path, names: _BratsNames) -> list[Path]:
    """Folders NAME, here or one level deeper, that hold at least one file named as the family names them."""
    suffixes = (*names.suffixes.values(), names.labels)
    return sorted(
        inside
        for depth in ("*", "*/*")
        for inside in folder.glob(depth)
        if inside.is_dir() and any((inside / f"{inside.name}{s}{e}").exists() for s in suffixes for e in _ENDINGS)
    )


def _brats(layout: str, names: _BratsNames) -> Callable[[Path, Sequence[Role]], Found]:
    def find(folder: Path, roles: Sequence[Role]) -> Found:
        notes: list[str] = []
        cases = [_brats_case(inside, names, roles, notes) for inside in _case_folders(folder, names)]
        return Found(layout, tuple(cases), tuple(notes))

    return find


def _brats_case(folder: Path, names: _BratsNames, roles: Sequence[Role], notes: list[str]) -> Case:
    images = {role: _either_ending(folder, names.suffixes[role]) for role in roles}
    labels = _either_ending(folder, names.labels)
    if not labels.exists():
        labels = _labels_under_another_name(folder, labels, notes)
    patient = names.patient.fullmatch(folder.name)
    return Case(folder.name, images, labels, patient.group(1) if patient else folder.name, scheme=names.scheme)


def _either_ending(folder: Path, suffix: str) -> Path:
    """The compressed file, or the plain one where only that is there."""
    compressed, plain = (folder / f"{folder.name}{suffix}{ending}" for ending in _ENDINGS)
    if compressed.exists() and plain.exists():
        raise CaseError(f"{compressed} lies there twice, compressed and plain; remove one of the two")
    return plain if plain.exists() else compressed


def _labels_under_another_name(folder: Path, expected: Path, notes: list[str]) -> Path:
    """The one file of another name that says it is a segmentation.

    BraTS 2020 was handed out with the labels of case 355 as W39_1998.09.19_Segm.nii.
    """
    others = [
        path
        for path in folder.iterdir()
        if path.name.endswith(_ENDINGS) and not path.name.startswith((f"{folder.name}_", f"{folder.name}-", "."))
    ]
    named_so = [path for path in others if "seg" in path.name.lower()]
    if len(named_so) != 1:
        return expected
    notes.append(f"{folder.name}: labels taken from {named_so[0].name}, the only segmentation there")
    return named_so[0]


def _decathlon(folder: Path, roles: Sequence[Role]) -> Found:
    return Found("decathlon", find_decathlon(folder, roles))


def _table(folder: Path, roles: Sequence[Role]) -> Found:
    return Found("table", find_table(folder, roles))


_FINDERS: Mapping[str, Callable[[Path, Sequence[Role]], Found]] = {
    "brats2018": _brats("brats2018", _UNDERSCORED),
    "brats2020": _brats("brats2020", _UNDERSCORED),
    "brats2021": _brats("brats2021", _UNDERSCORED),
    "brats2023": _brats("brats2023", _HYPHENED),
    "decathlon": _decathlon,
    "table": _table,
}
_SHOWN: Mapping[str, str] = {
    **dict.fromkeys(("brats2018", "brats2020", "brats2021"), f"{_UNDERSCORED.shown}, here or one folder deeper"),
    "brats2023": f"{_HYPHENED.shown}, here or one folder deeper",
    "decathlon": "dataset.json with imagesTr/ and labelsTr/ beside it",
    "table": "a CSV file with the columns case,t1,t1c,t2,flair,label",
}
LAYOUTS = (*_FINDERS, AUTO)
