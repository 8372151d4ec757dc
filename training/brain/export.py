"""From a run to a release: averaged weights in half precision, manifest and card."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch

from bt_node.infer.release import Release
from training.brain.train import ARCHITECTURE, ARGUMENTS, FRAME, SCORES, WEIGHTS
from training.releases import write_release
from training.runs import read_json

_NOTE = "Written by `python -m training brain export`. For research use only, not for diagnosis."


def export(run: Path, folder: Path, *, version: str, training: Sequence[str], validation: Sequence[str]) -> Release:
    """Write a release from a run.

    Args:
        run: what `train` wrote.
        folder: the release to write, for example `models/bt-brain-0.1`.
        version: of the release.
        training: names of the cases whose brains it learned from.
        validation: names of the cases whose heads were scored.

    Raises:
        ReleaseError: the manifest is not one that the node reads.
    """
    scores = read_json(run / SCORES)
    dice = [float(value) for value in scores["dice"]]
    facts = {
        "steps": scores["step"],
        "cases": list(training),
        "validation_cases": list(validation),
        "dice_of_validation_heads": [round(value, 4) for value in dice],
    }
    manifest = {
        "schema": 1,
        "kind": "brain",
        "name": "bt-brain",
        "version": version,
        "network": {"architecture": ARCHITECTURE, "arguments": ARGUMENTS},
        "input": {
            "roles": ["T1", "T1C", "T2", "FLAIR"],
            "spacing_mm": FRAME.spacing_mm,
            "orientation": "LPS",
            "normalisation": "p99",
        },
        "output": {"threshold": 0.5},
        "training": facts,
    }
    weights = safetensors.torch.load_file(run / WEIGHTS)
    return write_release(folder, manifest, weights, _card(version, dice, training, validation), note=_NOTE)


def _card(version: str, dice: Sequence[float], training: Sequence[str], validation: Sequence[str]) -> str:
    spread = f"{statistics.mean(dice):.3f} ({min(dice):.3f} to {max(dice):.3f})"
    return f"""# bt-brain {version}

For research use only, not for diagnosis.

Finds the brain, ventricles and sulci included, in registered MR heads with skull (any of T1, T1c, T2, FLAIR). The
segmenter's input is normalised inside this mask, and nothing outside it is outlined.

## How it was made

A small 3D U-Net sees the whole head at {FRAME.spacing_mm} mm. It learnt on synthetic heads
(`training/brain/heads.py`): skull-stripped BraTS brains in a simulated skull, scalp, face and neck, cut into slices
of 1 to 6.5 mm at a slant, with further changes drawn at each step (`training/brain/augment.py`). **No real skull was
in its training.**

Brains of {len(training)} BraTS 2018 cases (research use; cite Menze 2015, doi:10.1109/TMI.2014.2377694; Bakas 2017,
doi:10.1038/sdata.2017.117; Bakas 2018, arXiv:1811.02629); {len(validation)} others, kept apart by patient, made the
heads that were scored: {", ".join(validation)}.

## Scores

Dice on {len(dice)} synthetic heads of the validation cases, on the network's own grid: {spread}. Figures on
real heads and after the whole preparation: docs/preprocessing.md.

## Limits

Adults, whole heads. Not tried on resection cavities, infants, heavy metal, or sequences other than the four.
Synthetic scores flatter: look at the outline.
"""
