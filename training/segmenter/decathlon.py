"""Task01_BrainTumour of the Medical Segmentation Decathlon: 4D images and labels in an order of their own."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bt_node.domain.study import Role
from training.segmenter.case import Case, CaseError, LabelScheme

_ROLE_OF = {"flair": Role.FLAIR, "t1w": Role.T1, "t1gd": Role.T1C, "t2w": Role.T2}
_LABELS = {"0": "background", "1": "edema", "2": "non-enhancing", "3": "enhancing"}


def find_decathlon(folder: Path, roles: Sequence[Role]) -> tuple[Case, ...]:
    """Cases that dataset.json lists for training. Which channel is which sequence stands in it too.

    Raises:
        CaseError: dataset.json is missing, unreadable, or describes another task.
    """
    facts = _read(folder / "dataset.json")
    channels = _channels(folder, facts, roles)
    _check_labels(folder, facts)
    cases = []
    for entry in facts.get("training", ()):
        if not isinstance(entry, Mapping) or not {"image", "label"} <= set(entry):
            raise CaseError(f"{folder / 'dataset.json'}: a training entry without image and label")
        image = folder / entry["image"]
        name = image.name.removesuffix(".gz").removesuffix(".nii")
        cases.append(
            Case(
                name,
                dict.fromkeys(roles, image),
                folder / entry["label"],
                channels=channels,
                scheme=LabelScheme.DECATHLON,
            )
        )
    return tuple(cases)


def _read(path: Path) -> Mapping[str, Any]:
    try:
        facts = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise CaseError(f"{path} cannot be read: {error}") from error
    if not isinstance(facts, Mapping):
        raise CaseError(f"{path} is not a Decathlon description (a JSON object)")
    return facts


def _channels(folder: Path, facts: Mapping[str, Any], roles: Sequence[Role]) -> dict[Role, int]:
    named = {str(name).lower(): int(index) for index, name in dict(facts.get("modality", {})).items()}
    channels = {role: named[name] for name, role in _ROLE_OF.items() if name in named}
    absent = [role.value for role in roles if role not in channels]
    if absent:
        raise CaseError(f"{folder / 'dataset.json'} has no channel for {', '.join(absent)}; its modality is {named}")
    return {role: channels[role] for role in roles}


def _check_labels(folder: Path, facts: Mapping[str, Any]) -> None:
    """A file with another meaning of the numbers would train silently on wrong regions."""
    labels = {str(number): str(name).lower() for number, name in dict(facts.get("labels", {})).items()}
    if set(labels) != set(_LABELS) or any(not labels[number].startswith(word) for number, word in _LABELS.items()):
        raise CaseError(f"{folder / 'dataset.json'}: labels are {labels}, not those of Task01_BrainTumour {_LABELS}")
