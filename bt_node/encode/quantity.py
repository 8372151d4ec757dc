"""A measured number as the report states it."""

from __future__ import annotations

from dataclasses import dataclass

from pydicom.sr.coding import Code

from bt_node.domain.tumour import ReleaseIdentity


@dataclass(frozen=True)
class Quantity:
    """One measured number with unit, and the model that it comes from.

    `inferred_from` are numbers that it was computed from and that the report states nowhere else.
    """

    name: Code
    value: float
    unit: Code
    release: ReleaseIdentity
    method: Code | None = None
    inferred_from: tuple[Quantity, ...] = ()
