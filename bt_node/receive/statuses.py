"""DIMSE statuses this listener answers (PS3.4 Table B.2-1; general codes: PS3.7 9.1.1.1.9 and Annex C)."""

from __future__ import annotations

SUCCESS = 0x0000

# PS3.4 Table B.2-1
OUT_OF_RESOURCES = 0xA700
DATA_SET_DOES_NOT_MATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

# General codes that PS3.4 B.2.3 leaves to PS3.7
PROCESSING_FAILURE = 0x0110
DUPLICATE_SOP_INSTANCE = 0x0111  # PS3.7 Annex C: the UID already names another SOP Instance
INVALID_SOP_INSTANCE = 0x0117  # PS3.7 Annex C: the UID violates the rules UIDs are built by
SOP_CLASS_NOT_SUPPORTED = 0x0122
UNRECOGNISED_OPERATION = 0x0211  # PS3.7 Annex C: every verb but C-ECHO, C-STORE, N-ACTION and N-EVENT-REPORT

# N-ACTION and N-EVENT-REPORT (PS3.7 10.1.1.1.8, 10.1.4.1.10 and Annex C)
NO_SUCH_INSTANCE = 0x0112
NO_SUCH_EVENT = 0x0113
INVALID_ARGUMENT = 0x0115
NO_SUCH_ACTION = 0x0123
RESOURCE_LIMITATION = 0x0213
