"""Who may open an association."""

from __future__ import annotations

import pytest

from bt_node.receive.admission import admit, counted_as
from bt_node.receive.settings import AllowedSource, ListenerSettings

SETTINGS = ListenerSettings(
    ae_title="BT_NODE",
    sources=(
        AllowedSource("ANYWHERE"),
        AllowedSource("FIXED", "192.0.2.7"),
        AllowedSource("FIXED", "192.0.2.8"),
        AllowedSource("NETWORK", "198.51.100.0/24"),
        AllowedSource("NAMED", "localhost"),
        AllowedSource("NOWHERE", "no-such-host.invalid"),
    ),
)


@pytest.mark.parametrize(
    ("calling", "address"),
    [
        ("ANYWHERE", "203.0.113.1"),
        ("ANYWHERE  ", "203.0.113.1"),
        ("FIXED", "192.0.2.7"),
        ("FIXED", "192.0.2.8"),
        ("FIXED", "::ffff:192.0.2.8"),
        ("NETWORK", "198.51.100.200"),
        ("NAMED", "127.0.0.1"),
    ],
)
def test_a_configured_source_is_let_in(calling, address):
    assert admit(SETTINGS, calling, "BT_NODE", address) is None


@pytest.mark.parametrize(
    ("calling", "address"),
    [
        ("STRANGER", "192.0.2.7"),
        ("anywhere", "192.0.2.7"),
        ("FIXED", "192.0.2.9"),
        ("NETWORK", "198.51.101.1"),
        ("NETWORK", "2001:db8::1"),
        ("NAMED", "203.0.113.1"),
        ("NOWHERE", "192.0.2.7"),
        ("", "192.0.2.7"),
    ],
)
def test_everyone_else_is_rejected_for_the_calling_ae_title(calling, address):
    rejection = admit(SETTINGS, calling, "BT_NODE", address)
    assert rejection is not None
    assert (rejection.result, rejection.source, rejection.reason) == (1, 1, 3)  # PS3.8 Table 9-21


def test_a_wrong_called_ae_title_is_rejected_for_that():
    rejection = admit(SETTINGS, "ANYWHERE", "OTHER", "192.0.2.7")
    assert rejection is not None
    assert (rejection.result, rejection.source, rejection.reason) == (1, 1, 7)


def test_unknown_sources_come_in_only_where_the_settings_say_so():
    assert admit(ListenerSettings(), "STRANGER", "BT_NODE", "192.0.2.7") is not None
    assert admit(ListenerSettings(accept_unknown_sources=True), "STRANGER", "BT_NODE", "192.0.2.7") is None


@pytest.mark.parametrize(
    "wrong",
    [
        {"ae_title": ""},
        {"ae_title": "A" * 17},
        {"ae_title": "BACK\\SLASH"},
        {"ae_title": "TÜR"},
        {"port": 65536},
        {"name": "a/b"},
        {"max_associations": 0},
        {"network_timeout_seconds": 0},
        {"max_pdu_bytes": 0},
    ],
)
def test_settings_that_cannot_work_are_never_born(wrong):
    with pytest.raises(ValueError, match=r"\w"):
        ListenerSettings(**wrong)


@pytest.mark.parametrize(
    ("hosts", "address", "counts_alone"),
    [
        (("10.0.0.0/8",), "10.1.2.3", True),
        (("10.0.0.0/8",), "::ffff:10.1.2.3", True),
        (("10.0.0.0/8",), "192.0.2.1", False),
        (("10.0.0.1", "*"), "192.0.2.1", True),
        (("10.0.0.1", "scanner.example"), "192.0.2.1", True),
        ((), "192.0.2.1", False),
    ],
)
def test_addresses_that_no_source_has_count_as_one(hosts, address, counts_alone):
    settings = ListenerSettings(sources=tuple(AllowedSource("SCANNER", host) for host in hosts))
    assert (counted_as(settings, address) == address) is counts_alone


@pytest.mark.parametrize("calling", ["", "  ", "A\n2026 job 7", "A\x1b[2J", "A\0", "A\\B", "TÜR", "A\x7f"])
def test_text_that_is_no_ae_title_comes_in_nowhere(calling):
    rejection = admit(ListenerSettings(accept_unknown_sources=True), calling, "BT_NODE", "192.0.2.7")
    assert rejection is not None
    assert rejection.reason == 3
