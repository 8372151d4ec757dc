"""Turn an evaluated run into a release that the node loads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bt_node.infer.release import Release
from training.classifier.card import model_card
from training.classifier.evaluate import load_best
from training.classifier.recipe import ClassifierRecipe
from training.releases import write_release

_DIGITS = 4


def export(
    recipe: ClassifierRecipe,
    metrics: Mapping[str, Any],
    facts: Mapping[str, Any],
    run: Path,
    folder: Path,
    command: str,
) -> Release:
    """Write `folder` from the run's best weights and its metrics.

    Raises:
        DataError: the run has no weights.
        ReleaseError: what was written is not what the node reads.
    """
    weights, _ = load_best(run)
    card = model_card(recipe, metrics, facts, command)
    note = "Written by `python -m training classifier export`. For research use only, not for diagnosis."
    return write_release(folder, _manifest(recipe, metrics, facts, command), weights, card, note=note)


def _manifest(
    recipe: ClassifierRecipe, metrics: Mapping[str, Any], facts: Mapping[str, Any], command: str
) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": recipe.name,
        "version": recipe.version,
        "kind": "classifier",
        "network": {"architecture": recipe.network.architecture, "arguments": dict(recipe.network.arguments)},
        "input": {
            "size": recipe.input.size,
            "plane": "axial",
            "sequence": "T1C",
            "normalisation": recipe.input.normalisation,
        },
        "output": {
            "classes": list(metrics["classes"]),
            "temperature": round(metrics["temperature"], _DIGITS),
            "mirror_average": bool(metrics.get("mirror_average", False)),
            # Without one the node's cautious default counts.
            **({"least_type_probability": metrics["type_limit"]["limit"]} if "type_limit" in metrics else {}),
        },
        "training": {
            "data": [source.name for source in recipe.data.sources],
            **facts,
            "pictures": metrics["train_pictures"],
            "slices": metrics["train_slices"],
            "command": command,
            "seed": recipe.seed,
            "epoch": metrics["epoch"],
            **({"type_limit": _rounded(metrics["type_limit"])} if "type_limit" in metrics else {}),
            "metrics": {part: _scores(metrics[part]) for part in ("pictures", "slices") if part in metrics},
        },
    }


def _scores(numbers: Mapping[str, Any]) -> dict[str, Any]:
    """Single figures, recall of each class, the control's figures, and the intervals of all of these."""
    kept = {name: value for name, value in numbers.items() if isinstance(value, int | float)}
    tables: dict[str, dict[str, Any]] = {
        "recall": {kind: value for kind, value in numbers["recall"].items() if value is not None},
        "control": {name: value for name, value in numbers.get("control", {}).items() if value is not None},
    }
    shown = {*kept, *(f"{table}.{name}" for table, values in tables.items() for name in values)}
    intervals = {name: value for name, value in numbers.get("intervals", {}).items() if name in shown}
    return (
        _rounded(kept)
        | {name: _rounded(values) for name, values in tables.items() if values}
        | ({"intervals": {name: [round(end, _DIGITS) for end in ends] for name, ends in intervals.items()}})
    )


def _rounded(numbers: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, _DIGITS) for name, value in numbers.items()}
