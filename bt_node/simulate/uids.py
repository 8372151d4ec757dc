"""UIDs of simulated objects: the same content has the same UIDs, other content has others."""

from __future__ import annotations

import hashlib


def repeatable_uid(*parts: object) -> str:
    """A UID under 2.25 (PS3.5 B.2) that these parts alone decide."""
    digest = hashlib.sha256("|".join(str(part) for part in parts).encode()).digest()
    return f"2.25.{int.from_bytes(digest[:16], 'big')}"
