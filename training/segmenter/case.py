"""A case: one patient's sequences at one time, with the expert's labels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Literal

from bt_node.domain.study import Role

Layout = Literal["brats2018", "brats2020", "brats2021", "brats2023", "decathlon", "table", "auto"]


class CaseError(ValueError):
    """A case, or the folder of cases, is not what training can use; the message says what, where and what to do."""


class LabelScheme(StrEnum):
    """What the numbers in a label file mean; the node's own are 0 background, 1 NCR, 2 ED, 3 ET."""

    BRATS = "brats"  # 0-1-2-4 or 0-1-2-3, whichever the files hold, never both
    BRATS_4 = "0-1-2-4"  # BraTS until 2021: 4 is enhancing tumour
    BRATS_3 = "0-1-2-3"  # BraTS from 2023 on: 3 is enhancing tumour
    DECATHLON = "decathlon"  # 1 oedema, 2 necrotic and non-enhancing, 3 enhancing


@dataclass(frozen=True)
class Case:
    """Where the files of one case lie.

    Attributes:
        name: unique among the cases.
        images: a NIfTI file per sequence.
        labels: the expert's labels on the images' grid.
        patient: who was scanned; cases of one patient stay on one side of the split. Empty: the case's own name.
        channels: index along the fourth axis, for sequences that lie in one 4D file.
        scheme: what the label numbers mean.
    """

    name: str
    images: Mapping[Role, Path]
    labels: Path
    patient: str = ""
    channels: Mapping[Role, int] = field(default_factory=dict)
    scheme: LabelScheme = LabelScheme.BRATS

    @property
    def group(self) -> str:
        """What the split keeps together."""
        return self.patient or self.name
