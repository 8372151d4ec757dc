"""The one table of codes that result objects use.

Each code is written out, so that a reader sees what leaves the node; a test compares value and meaning with pydicom's
dictionaries wherever these know the code. Meanings are the dictionaries' own (American) words. Context groups (CID)
are those of PS3.16.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydicom.sr.coding import Code

from bt_node.domain.tumour import Region, TumourType

# ---- what was examined, and with what
BRAIN = Code("12738006", "SCT", "Brain")
MULTIPARAMETRIC_MRI = Code("126020", "DCM", "Multiparametric MRI")  # CID 100 has no brain MRI
ARTIFICIAL_INTELLIGENCE = Code("123110", "DCM", "Artificial Intelligence")  # CID 7162
PROCESSING_EQUIPMENT = Code("109102", "DCM", "Processing Equipment")  # CID 7005
DEVICE = Code("121007", "DCM", "Device")  # CID 270
ENGLISH = Code("en-GB", "RFC5646", "English (United Kingdom)")

# ---- the report's own headings (TID 1500)
ONCOLOGY_REPORT = Code("126001", "DCM", "Oncology Measurement Report")  # CID 7021
QUALITATIVE_EVALUATIONS = Code("C0034375", "UMLS", "Qualitative Evaluations")
COMMENT = Code("121106", "DCM", "Comment")
SOURCE_SERIES_FOR_SEGMENTATION = Code("121232", "DCM", "Source series for segmentation")

# ---- what is outlined
ABNORMAL_STRUCTURE = Code("49755003", "SCT", "Morphologically Abnormal Structure")  # CID 7150
NECROSIS = Code("6574001", "SCT", "Necrosis")  # CID 7168
EDEMA = Code("79654002", "SCT", "Edema")  # CID 7168
ENHANCING_LESION = Code("C113842", "NCIt", "Enhancing Lesion")  # CID 7168
NEOPLASM = Code("108369006", "SCT", "Neoplasm")  # CID 7159
LESION_OF_BRAIN = Code("301766008", "SCT", "Lesion of Brain")  # CID 7194

# ---- how large it is
VOLUME = Code("118565006", "SCT", "Volume")  # CID 7472
VOXEL_SUM = Code("126030", "DCM", "Sum of segmented voxel method for volume")
LONG_AXIS = Code("103339001", "SCT", "Long axis")  # CID 7470
PERPENDICULAR_AXIS = Code("131189007", "SCT", "Perpendicular Axis")  # CID 7470
CUBIC_CENTIMETER = Code("cm3", "UCUM", "cubic centimeter")
MILLIMETER = Code("mm", "UCUM", "mm")
PERCENT = Code("%", "UCUM", "Percent")

# ---- how it compares with the former study
SIZE_DIFFERENCE = Code("442714003", "SCT", "Difference in size")  # CID 6133, quantitative temporal differences
COMPARED = Code("122140", "DCM", "Comparison with Prior Study Done")
YES = Code("373066001", "SCT", "Yes")  # CID 230

# ---- what it may be
IMPRESSION = Code("111023", "DCM", "Differential Diagnosis/Impression")
CERTAINTY = Code("111013", "DCM", "Certainty of Impression")
ABSENT = Code("272519000", "SCT", "Absent")
INDETERMINATE = Code("82334004", "SCT", "Indeterminate")
NOT_EVALUATED = Code("373121007", "SCT", "Not Evaluated")  # CID 3703
# No DICOM dictionary holds diagnoses; these three are SNOMED CT's own. 302820008 is active before and after the
# October 2025 edition (393566004 is not), and 127024001 is as broad as the class it names (adenoma would not be).
GLIOMA = Code("393564001", "SCT", "Glioma")
MENINGIOMA = Code("302820008", "SCT", "Intracranial meningioma")
PITUITARY_NEOPLASM = Code("127024001", "SCT", "Neoplasm of pituitary gland")

DIAGNOSES: Mapping[TumourType, Code] = MappingProxyType(
    {
        TumourType.GLIOMA: GLIOMA,
        TumourType.MENINGIOMA: MENINGIOMA,
        TumourType.PITUITARY: PITUITARY_NEOPLASM,
    }
)


@dataclass(frozen=True)
class RegionTerms:
    """How a region is called, coded and coloured (sRGB, 0 to 255)."""

    label: str
    finding: Code
    colour: tuple[int, int, int]


REGIONS: Mapping[Region, RegionTerms] = MappingProxyType(
    {
        Region.NCR: RegionTerms("Necrotic tumour core", NECROSIS, (255, 0, 0)),
        Region.ED: RegionTerms("Peritumoural oedema", EDEMA, (0, 255, 0)),
        Region.ET: RegionTerms("Enhancing tumour", ENHANCING_LESION, (255, 255, 0)),
        Region.TC: RegionTerms("Tumour core", NEOPLASM, (255, 128, 0)),
        Region.WT: RegionTerms("Whole tumour", LESION_OF_BRAIN, (0, 128, 255)),
    }
)
