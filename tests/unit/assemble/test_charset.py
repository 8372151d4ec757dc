"""Texts read in a wrong character set."""

from __future__ import annotations

import pytest

from bt_node.assemble.charset import mended


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        ("T1 tra après injection", "utf-8"), ("T1 增强", "utf-8"), ("T1 横断 增强", "gb18030"),
        ("T1 平扫", "gb18030"), ("T1強調 造影後", "shift_jis"), ("T1強調 造影後", "euc_jp"),
        ("T1 조영증강 축상", "euc_kr"),
        ("Т1 с контрастом", "cp1251"),
    ],
)  # fmt: skip
def test_bytes_that_were_read_as_latin_1_become_the_text_that_was_meant(text: str, encoding: str) -> None:
    garbled = text.encode(encoding).decode("latin-1")
    assert garbled != text
    assert mended(garbled) == text


@pytest.mark.parametrize(
    "text", ["T1 tra", "T1 après injection", "Schädel", "Übersicht", "PÓS contraste", "T1 造影後", "ÄÖÜ", "ÆØ Å"]
)
def test_what_was_read_well_stays_as_it_is(text: str) -> None:
    assert mended(text) == text
