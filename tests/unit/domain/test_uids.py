"""Nothing but digits and dots becomes a path."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bt_node.domain.uids import is_safe_uid
from bt_node.receive.spool import instance_path

EVIL = [
    "../../../../tmp/evil", "/etc/cron.d/evil", "1.2.3;rm -rf", "1.2.3\n4", "1.2.3\n", "", ".", "..", "1..2", ".1",
    "1.", "1.2.3/4", "1.2\\3", "1.2.3\0", "١.٢", "1.2.a", " 1.2", "1" * 65,
]  # fmt: skip


@pytest.mark.parametrize("text", EVIL)
def test_text_that_is_no_uid_is_refused(text):
    assert not is_safe_uid(text)
    with pytest.raises(ValueError, match="not a UID"):
        instance_path("1.2", "1.2", text)
    with pytest.raises(ValueError, match="not a UID"):
        instance_path(text, "1.2", "1.2")


@pytest.mark.parametrize("text", ["1.2.840.10008.1.2", "1.02.003", "0", "2.25." + "9" * 39, "1" * 64])
def test_uids_of_the_standard_and_leading_zeros_of_real_scanners_pass(text):
    assert is_safe_uid(text)


@given(st.text(max_size=70))
def test_whatever_passes_holds_digits_and_dots_only(text):
    if is_safe_uid(text):
        assert set(text) <= set("0123456789.")
        assert ".." not in text
        assert 0 < len(text) <= 64
