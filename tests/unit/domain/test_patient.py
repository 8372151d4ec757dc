"""The same patient has the same hash, nobody is everybody, and the ID is never shown."""

from __future__ import annotations

import pytest

from bt_node.domain.patient import PatientIdentity

KEY = b"k" * 32
JANE = PatientIdentity("H 12-345", "HOSPITAL", "19610203")


def test_the_hash_is_of_sha256_size_and_repeats():
    assert JANE.keyed_hash(KEY) == PatientIdentity("H 12-345", "HOSPITAL", "19610203").keyed_hash(KEY)
    assert len(JANE.keyed_hash(KEY)) == 64
    assert "345" not in repr(JANE)


def test_padding_does_not_make_another_patient():
    assert PatientIdentity(" H 12-345 \0", "HOSPITAL ", "19610203").keyed_hash(KEY) == JANE.keyed_hash(KEY)


@pytest.mark.parametrize(
    "other",
    [
        PatientIdentity("H 12-346", "HOSPITAL", "19610203"),
        PatientIdentity("h 12-345", "HOSPITAL", "19610203"),
        PatientIdentity("H 12-345", "", "19610203"),
        PatientIdentity("H 12-345", "HOSPITAL", "19610204"),
        PatientIdentity("H 12-345", "HOSPITAL1", "9610203"),
    ],
    ids=["id", "case", "issuer", "birth-date", "border"],
)
def test_another_id_issuer_or_birth_date_is_another_patient(other: PatientIdentity):
    assert other.keyed_hash(KEY) != JANE.keyed_hash(KEY)


def test_another_site_cannot_compare():
    assert JANE.keyed_hash(b"l" * 32) != JANE.keyed_hash(KEY)


@pytest.mark.parametrize(
    "shared", ["", "  ", "ANONYMOUS", "anonymous ", "0", "000000", "XXX", "N/A", "12345", "no-name", "7"]
)
def test_an_id_that_many_share_is_nobodys(shared: str):
    assert not PatientIdentity(shared).is_somebody
    with pytest.raises(ValueError, match="names nobody"):
        PatientIdentity(shared).keyed_hash(KEY)


@pytest.mark.parametrize("own", ["ANON-0007", "1234578", "BTN-PHANTOM", "山田01", "A1"])
def test_an_id_of_ones_own_counts(own: str):
    assert PatientIdentity(own).is_somebody
