"""Models without training, whose answers are known: for tests of what happens around them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import nn

from bt_node.domain.study import Role
from bt_node.domain.tumour import Region, ReleaseIdentity, TumourType
from bt_node.infer.classifier import Classifier
from bt_node.infer.release import ClassifierManifest, SegmenterInput, SegmenterOutput
from bt_node.infer.segmenter import Segmenter

_WHOLE, _CORE, _ENHANCING = 1.6, 2.4, 2.8  # z-scores inside the brain


class BrightParts(nn.Module):
    """Outlines what is bright on T1c or FLAIR; core and enhancing tumour are brighter still on T1c."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t1c, flair = (x[:, list(Role).index(role)] for role in (Role.T1C, Role.FLAIR))
        bright = torch.maximum(t1c, flair)
        return 8 * torch.stack([bright - _WHOLE, t1c - _CORE, t1c - _ENHANCING], dim=1)


def bright_parts_segmenter(needs_one_of: Sequence[Role] = (), smallest_ml: float = 1.0) -> Segmenter:
    """A segmenter of all four roles that needs no weights."""
    return Segmenter(
        ReleaseIdentity("bright-parts", "1", "b" * 64),
        SegmenterInput(
            roles=tuple(Role),
            needs_one_of=tuple(needs_one_of),
            spacing_mm=(1.0, 1.0, 1.0),
            orientation="LPS",
            normalisation="zscore-brain",
            patch=(96, 96, 96),
        ),
        SegmenterOutput(
            regions=(Region.WT, Region.TC, Region.ET),
            thresholds=(0.5, 0.5, 0.5),
            min_component_ml=(smallest_ml, smallest_ml / 4, smallest_ml / 4),
        ),
        BrightParts(),
        torch.device("cpu"),
    )


class SameAnswer(nn.Module):
    """The same logits for every slice, or one row for each."""

    def __init__(self, rows: Sequence[Sequence[float]]) -> None:
        super().__init__()
        self.rows = torch.tensor(rows)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        return self.rows[: len(pictures)] if len(self.rows) > 1 else self.rows.repeat(len(pictures), 1)


def fixed_classifier(*rows: Sequence[float], sequence: Role = Role.T1C) -> Classifier:
    """A classifier that answers with `rows` of logits (glioma, meningioma, pituitary, no tumour)."""
    manifest = ClassifierManifest.model_validate(
        {
            "schema": 1,
            "name": "fixed",
            "version": "1",
            "kind": "classifier",
            "network": {"architecture": "none"},
            "input": {"size": 32, "plane": "axial", "sequence": sequence, "normalisation": "head-imagenet"},
            "output": {"classes": [kind.value for kind in TumourType]},
            "weights": {"file": "w.safetensors", "sha256": "c" * 64, "dtype": "float16"},
        }
    )
    network = SameAnswer(rows or [(3.0, 0.0, 0.0, 0.0)])
    return Classifier(network, manifest, ReleaseIdentity("fixed", "1", "c" * 64), torch.device("cpu"))
