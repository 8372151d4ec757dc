"""From a data folder to arrays: find the pictures, look for copies, split, guard, frame.

The split is made once a run and stands in `RUN/split.csv` with the content hash of every file; whoever resumes or
evaluates the run takes it from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from bt_node.domain.tumour import TumourType
from training.classifier.folders import PICTURE_SUFFIXES, find_entries
from training.classifier.framing import framed, load_pictures
from training.classifier.guard import LEAST_CORRELATION, MOST_BITS, SIZE, find_copies
from training.classifier.leaks import LEAKS, OnLeak, Verdict, resolve
from training.classifier.loop import Data
from training.classifier.pictures import TABLE, TRAIN, UNDECIDED, VALIDATION, Entry, split_hash
from training.classifier.recipe import ClassifierRecipe, DataRecipe
from training.classifier.splitting import (
    bound_together,
    check_classes,
    read_split,
    split,
    undecided,
    with_groups,
    write_split,
)
from training.classifier.tables import read_table
from training.classifier.volume_split import split_of_volumes
from training.classifier.volumes import find_volumes, load_slices
from training.runs import read_json, write_json

DATA = "data.json"
_IN_VOLUMES = (TumourType.GLIOMA, TumourType.NONE)


def load_data(
    recipe: ClassifierRecipe, folder: Path, cache: Path, *, on_leak: OnLeak | None = None
) -> tuple[Data, dict[str, Any]]:
    """Read, check, guard and frame everything that the recipe names.

    Args:
        recipe: names what lies in the folder.
        folder: the data.
        cache: `RUN/cache`; the run's split, leaks and facts go beside it.
        on_leak: instead of the recipe's.

    Returns:
        The arrays, and the facts that manifest and card cite (also in `RUN/data.json`).

    Raises:
        DataError, CaseError: the data is not what training needs, or leaks between the parts.
        DiskFullError: the cache does not fit.
    """
    pictures, size = folder / recipe.data.pictures, recipe.input.size
    entries, facts = _split_of_run(recipe, pictures, cache, on_leak)
    train = load_pictures(pictures, entries, TRAIN, size, cache)
    validation = load_pictures(pictures, entries, VALIDATION, size, cache)
    if recipe.data.volumes is None:
        return Data(train, validation), facts
    volumes = recipe.data.volumes
    cases = {case.name: case for case in find_volumes(folder / volumes.folder, volumes)}
    way_out = on_leak or OnLeak(recipe.data.on_leak)
    by_case, facts = split_of_volumes(tuple(cases.values()), volumes, way_out, facts)
    write_json(cache.parent / DATA, facts)
    slices = [
        load_slices([cases[name] for name in names], volumes, size, recipe.seed, cache)
        for names in (by_case.training, by_case.validation)
    ]
    return Data(train, validation, *slices), facts


def find_pictures(folder: Path, wanted: DataRecipe) -> tuple[Entry, ...]:
    """What lies in the folder: by its `split.csv` if there is one, else by folders and .mat files.

    Raises:
        DataError: the folder is not one of these.
    """
    keep = wanted.parts == "keep"
    if (folder / TABLE).exists():
        entries = read_table(folder)
        unlisted = sum(path.suffix.lower() in PICTURE_SUFFIXES for path in folder.rglob("*")) - len(entries)
        if unlisted > 0:
            print(f"{folder / TABLE} names {len(entries)} pictures; {unlisted} more in the folder are not used")
        return entries if keep else tuple(replace(entry, split=UNDECIDED) for entry in entries)
    return find_entries(folder, wanted.groups_table, keep_parts=keep)


def _split_of_run(
    recipe: ClassifierRecipe, folder: Path, cache: Path, on_leak: OnLeak | None
) -> tuple[tuple[Entry, ...], dict[str, Any]]:
    run = cache.parent
    known: dict[str, Any] = read_json(run / DATA) if (run / DATA).exists() else {}
    if (run / TABLE).exists():
        return read_split(run / TABLE, folder), known
    # A run that has facts but no split is older than the guard: its pictures are what they are.
    way_out = OnLeak.TELL if known else on_leak or OnLeak(recipe.data.on_leak)
    found = find_pictures(folder, recipe.data)
    elsewhere = _IN_VOLUMES if recipe.data.volumes is not None else ()
    drawn = undecided(found)
    if not drawn:
        check_classes(found, elsewhere)
    copies = find_copies(framed(folder, found, SIZE, cache, "guard"))
    together = bound_together(found, copies)
    entries = split(found, together, recipe.data.split) if drawn else found
    run.mkdir(parents=True, exist_ok=True)
    verdict = resolve(entries, copies, together, way_out, run)
    grouped = {entry.path: entry.group for entry in with_groups(found, together)}
    final = tuple(replace(entry, group=grouped[entry.path]) for entry in verdict.entries)
    check_classes(final, elsewhere)
    guard = _guard_facts(found, final, verdict, way_out, drawn=drawn)
    facts = {**known, "split_sha256": split_hash(final), "guard": guard}
    print(guard["words"], flush=True)
    # The split first: facts without a split would pass for a run from before the guard.
    write_split(run / TABLE, folder, final)
    write_json(run / DATA, facts)
    return final, facts


def _guard_facts(
    found: Sequence[Entry], final: Sequence[Entry], verdict: Verdict, way_out: OnLeak, *, drawn: bool
) -> dict[str, Any]:
    named = sum(bool(entry.group) for entry in found)
    copies = sum(leak.distance is not None for leak in verdict.leaks)
    patients = "known" if named == len(found) else "unknown" if named == 0 else "known for some"
    facts = {
        "on_leak": way_out.value,
        "pictures_compared": len(found),
        "copies_between_parts": copies,
        "groups_in_both_parts": len(verdict.leaks) - copies,
        "dropped": verdict.dropped,
        "moved": verdict.moved,
        "groups": len({entry.group for entry in final}),
        "patients": patients,
        "split": "drawn by group" if drawn else "as the data folder names it",
        "most_bits": MOST_BITS,
        "least_correlation": LEAST_CORRELATION,
    }
    return facts | {"words": _words(facts, way_out)}


def _words(facts: dict[str, Any], way_out: OnLeak) -> str:
    """The guard's facts in sentences, for terminal, card and report."""
    leaks = facts["copies_between_parts"] + facts["groups_in_both_parts"]
    done = {
        OnLeak.DROP: f"{facts['dropped']} training pictures were left out for it.",
        OnLeak.REGROUP: f"{facts['moved']} pictures changed parts for it; nothing that belongs together is parted.",
        OnLeak.TELL: "They stayed, for the run was trained before anybody looked: scores on pictures are too good.",
        OnLeak.STOP: "",
    }
    patients = {
        "known": "Patients or groups are told by the data.",
        "known for some": "Patients or groups are told for some pictures; the others are grouped by near-copies.",
        "unknown": "Patients are unknown: a group is a cluster of near-copies, and slices of one patient that do not "
        "look alike may lie in both parts.",
    }[facts["patients"]]
    return (
        f"Leakage guard: {facts['pictures_compared']} pictures in {facts['groups']} groups; "
        f"{facts['copies_between_parts']} pairs of near-copies (also mirrored or turned) and "
        f"{facts['groups_in_both_parts']} groups lay in both parts"
        + (f" ({LEAKS}). {done[way_out]}" if leaks else ".")
        + f" {patients}"
    )
