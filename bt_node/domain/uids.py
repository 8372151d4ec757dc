"""What is a UID, and so may become part of a path, of the job book and of a question to others.

PS3.5 9.1: at most 64 characters, components of digits joined by dots. Real scanners write components with leading
zeros, so those pass; nothing but digits and dots ever does, so a UID can never climb out of a folder.
"""

from __future__ import annotations

import re

MAX_UID_LENGTH = 64  # PS3.5 Table 6.2-1, VR UI
_UID = re.compile(r"[0-9]+(\.[0-9]+)*")


def is_safe_uid(text: str) -> bool:
    """Whether `text` is a UID by PS3.5 9.1, leading zeros forgiven."""
    return len(text) <= MAX_UID_LENGTH and _UID.fullmatch(text) is not None
