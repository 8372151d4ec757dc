"""The conformance statement says what the code does."""

from __future__ import annotations

import re
from pathlib import Path

from bt_node.receive import negotiation, statuses
from bt_node.receive.settings import ListenerSettings

STATEMENT = (Path(__file__).parents[3] / "docs" / "dicom-conformance.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    start = STATEMENT.index(f"### {title}")
    return STATEMENT[start : STATEMENT.index("\n### ", start + 1)]


def uids(text: str) -> list[str]:
    return re.findall(r"\| ([0-9.]+) \|", text)


def test_transfer_syntaxes_stand_in_the_order_they_are_preferred():
    rows = [uid for uid in uids(section("1.2")) if uid.startswith("1.2.840.10008.1.2")]
    assert rows == list(negotiation.TRANSFER_SYNTAXES)


def test_every_storage_class_is_listed_and_no_other():
    images, _, companions = section("1.3").partition("**Companions")
    assert set(uids(images)) == negotiation.MR_IMAGES
    assert uids(companions) == list(negotiation.COMPANIONS)


def test_every_status_is_listed_and_no_other():
    rows = re.findall(r"^\| (0x[0-9A-Fx, ]+) \|", section("1.4") + section("1.5"), re.MULTILINE)
    listed = {int(code, 16) for row in rows for code in row.split(", ")}
    assert listed == {value for name, value in vars(statuses).items() if name.isupper()}


def test_names_and_limits_are_those_of_the_code():
    settings = ListenerSettings()
    assert negotiation.IMPLEMENTATION_CLASS_UID in STATEMENT
    assert negotiation.IMPLEMENTATION_VERSION_NAME in STATEMENT
    assert f"{settings.max_pdu_bytes:,} bytes" in STATEMENT
    assert f"default {settings.max_associations};" in STATEMENT
    assert f"{settings.acse_timeout_seconds:.0f} s from connection" in STATEMENT
    assert f"{settings.network_timeout_seconds:.0f} s of silence" in STATEMENT
