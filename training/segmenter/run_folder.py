"""What a run folder holds, whose it is, and the prepared cases of its split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import ValidationError

from training.runs import hash_of, read_json, write_json
from training.segmenter.case import CaseError
from training.segmenter.cases import Case, Found, find_cases
from training.segmenter.prepared import PreparedCase, cached_cases, check_one_scheme
from training.segmenter.recipe import DataRecipe, SegmenterRecipe
from training.segmenter.split import Split, split_by_list, split_by_patient, split_in_folds

CHECKPOINT = "checkpoint.safetensors"
BEST = "best.safetensors"  # the averaged network at the validation with the highest mean Dice
SPLIT = "split.json"
RECIPE = "recipe.json"
METRICS = "metrics.csv"


class RunMismatchError(ValueError):
    """The run folder belongs to another recipe or other data."""


@dataclass(frozen=True)
class TrainingData:
    """Both sides of the split, ready for the network."""

    training: tuple[PreparedCase, ...]
    validation: tuple[PreparedCase, ...]


def cases_of(recipe: DataRecipe, data: Path) -> Found:
    """The cases under `data`, in the recipe's layout, without those that it keeps apart.

    Raises:
        CaseError: see `find_cases`; or a case to keep apart is not there, and its name may be misspelt.
    """
    found = find_cases(data, recipe.layout, recipe.roles, recipe.label_scheme)
    wanted = set(recipe.kept_apart)
    absent = wanted - {name for case in found.cases for name in (case.name, case.group)}
    if absent:
        raise CaseError(f"the recipe keeps apart what is not there: {', '.join(sorted(absent))}")
    patients = {case.group for case in found.cases if {case.name, case.group} & wanted}
    left = tuple(case for case in found.cases if case.group not in patients)
    return replace(found, cases=left, kept_apart=tuple(case.name for case in found.cases if case.group in patients))


def draw_split(recipe: SegmenterRecipe, cases: Sequence[Case]) -> Split:
    """The split that the recipe asks for; a patient's cases lie on one side.

    Raises:
        CaseError: too few patients, or a list that tears a patient apart.
    """
    plan, patient_of = recipe.data, {case.name: case.group for case in cases}
    if plan.validation:
        return split_by_list(patient_of, plan.validation)
    if plan.folds is not None:
        return split_in_folds(patient_of, plan.folds, plan.fold, recipe.seed)
    return split_by_patient(patient_of, plan.validation_cases or 1, recipe.seed)


def check_run_folder(run: Path, recipe: SegmenterRecipe, split: Split) -> None:
    """Make sure that a run folder, if it is in use, belongs to this recipe and this split.

    Raises:
        RunMismatchError: it does not.
    """
    mine = recipe.model_dump(mode="json")
    if (run / RECIPE).exists() and hash_of(_stored_recipe(run).model_dump(mode="json")) != hash_of(mine):
        raise RunMismatchError(f"{run} was begun with another recipe; take a new run folder")
    if (run / SPLIT).exists() and read_split(run).sha256 != split.sha256:
        raise RunMismatchError(f"{run} was begun with other cases; take a new run folder")


def claim_run_folder(run: Path, recipe: SegmenterRecipe, split: Split) -> None:
    """Write recipe and split: from now on the folder is this run's. Not before the data was found fit for it."""
    write_json(run / RECIPE, recipe.model_dump(mode="json"))
    write_json(
        run / SPLIT, {"training": split.training, "validation": split.validation, "split_sha256": split.sha256}
    )


def read_split(run: Path) -> Split:
    """The split that a run was trained with.

    Raises:
        RunMismatchError: the folder is not a run.
    """
    if not (run / SPLIT).exists():
        raise RunMismatchError(f"{run} is not a run folder: {SPLIT} is missing")
    stored = read_json(run / SPLIT)
    return Split(tuple(stored["training"]), tuple(stored["validation"]))


def prepared_split(recipe: SegmenterRecipe, data: Path, run: Path) -> TrainingData:
    """The cases of an existing run, both sides.

    Raises:
        RunMismatchError: `data` does not hold the cases of the run's split.
    """
    cases, split = cases_of(recipe.data, data).cases, read_split(run)
    absent = {*split.training, *split.validation} - {case.name for case in cases}
    if absent:
        raise RunMismatchError(f"{data} lacks cases of the run: {', '.join(sorted(absent))}")
    return load_data(cases, split, recipe, run)


def load_data(cases: Sequence[Case], split: Split, recipe: SegmenterRecipe, run: Path) -> TrainingData:
    """Prepare (or read from the run's cache) the cases of a split.

    Raises:
        CaseError: a case is unsound, or label files disagree about what their numbers mean.
    """
    by_name = {case.name: case for case in cases}
    data = TrainingData(
        cached_cases([by_name[name] for name in split.training], recipe.data.roles, run / "cache"),
        cached_cases([by_name[name] for name in split.validation], recipe.data.roles, run / "cache"),
    )
    check_one_scheme([*data.training, *data.validation])
    return data


def _stored_recipe(run: Path) -> SegmenterRecipe:
    """The recipe of a run; keys that came later have their defaults."""
    try:
        return SegmenterRecipe.model_validate(read_json(run / RECIPE))
    except (ValidationError, ValueError) as error:
        raise RunMismatchError(f"{run / RECIPE} cannot be read; take a new run folder") from error
