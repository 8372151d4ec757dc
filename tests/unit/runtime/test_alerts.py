"""Refused peers in the audit trail."""

from __future__ import annotations

from bt_node.domain.audit import AuditEvent, AuditRecord
from bt_node.runtime import alerts
from bt_node.runtime.alerts import RefusalAlerts, note_stopped


class Trail:
    def __init__(self, *, broken: bool = False) -> None:
        self.records: list[AuditRecord] = []
        self.broken = broken

    def note_audit(self, record: AuditRecord) -> None:
        if self.broken:
            raise OSError("disk full")
        self.records.append(record)


def test_a_stranger_who_knocks_all_day_is_told_once():
    trail = Trail()
    told = RefusalAlerts(trail, "node:104")
    for _ in range(50):
        told.refused("STRANGER", "10.0.0.9", "calling AE title is not in [[sources]]")
    told.refused("STRANGER", "10.0.0.8", "calling AE title is not in [[sources]]")
    assert [(each.event, each.peer, each.address) for each in trail.records] == [
        (AuditEvent.REFUSED, "STRANGER", "10.0.0.9"),
        (AuditEvent.REFUSED, "STRANGER", "10.0.0.8"),
    ]


def test_after_a_while_it_is_told_again(monkeypatch):
    trail, now = Trail(), [0.0]
    monkeypatch.setattr(alerts.time, "monotonic", lambda: now[0])
    told = RefusalAlerts(trail, "node:104")
    for now[0] in (0.0, 599.0, 601.0):
        told.refused("STRANGER", "10.0.0.9", "why")
    assert len(trail.records) == 2


def test_somebody_who_invents_names_does_not_fill_the_memory():
    told = RefusalAlerts(Trail(), "node:104")
    for number in range(3000):
        told.refused(f"AE{number}", "10.0.0.9", "why")
    assert len(told._told_at) <= 1024


def test_somebody_who_invents_names_does_not_fill_the_trail_and_hides_nobody_else(monkeypatch):
    trail, now = Trail(), [0.0]
    monkeypatch.setattr(alerts.time, "monotonic", lambda: now[0])
    told = RefusalAlerts(trail, "node:104")
    for number in range(3000):
        told.refused(f"AE{number}", "10.0.0.9", "why")
    assert len(trail.records) == 16
    assert "not told" in trail.records[-1].detail
    told.refused("STRANGER", "10.0.0.8", "why")
    assert trail.records[-1].address == "10.0.0.8"
    now[0] = 601.0
    told.refused("AE7000", "10.0.0.9", "why")
    assert trail.records[-1].peer == "AE7000"


def test_somebody_with_many_addresses_does_not_fill_the_trail_either():
    trail = Trail()
    told = RefusalAlerts(trail, "node:104")
    for number in range(3000):
        told.refused("AE", f"2001:db8::{number:x}", "why")
    assert len(trail.records) == 1024


def test_a_title_of_control_characters_and_a_broken_trail_do_no_harm():
    trail = Trail()
    RefusalAlerts(trail, "node:104").refused("A\x00<é", "10.0.0.9", "why")
    assert trail.records[0].peer == "A?<?"
    RefusalAlerts(Trail(broken=True), "node:104").refused("A", "10.0.0.9", "why")
    note_stopped(Trail(broken=True), "node:104", "listener")
