"""C-ECHO (PS3.4 Annex A): we are here."""

from __future__ import annotations

from pynetdicom.events import Event

from bt_node.receive import statuses


def answer_echo(_event: Event) -> int:
    """Status of a C-ECHO response."""
    return statuses.SUCCESS
