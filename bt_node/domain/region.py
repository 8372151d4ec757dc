"""The names of tumour regions, and of the release that outlined them: light enough for every command."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Region(StrEnum):
    """Exclusive regions (NCR, ED, ET) and the nested ones that BraTS scores (TC, WT)."""

    NCR = "NCR"  # necrotic and non-enhancing tumour core
    ED = "ED"  # peritumoural oedema
    ET = "ET"  # enhancing tumour
    TC = "TC"  # tumour core: NCR + ET
    WT = "WT"  # whole tumour: NCR + ED + ET


LABEL_OF: Mapping[Region, int] = {Region.NCR: 1, Region.ED: 2, Region.ET: 3}
PARTS_OF: Mapping[Region, tuple[Region, ...]] = {
    Region.NCR: (Region.NCR,),
    Region.ED: (Region.ED,),
    Region.ET: (Region.ET,),
    Region.TC: (Region.NCR, Region.ET),
    Region.WT: (Region.NCR, Region.ED, Region.ET),
}


@dataclass(frozen=True)
class ReleaseIdentity:
    """Which model said it: name and version of the release and SHA-256 (hex) of its weights."""

    name: str
    version: str
    weights_sha256: str
