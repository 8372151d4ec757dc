"""Texts whose SpecificCharacterSet is absent or wrong: bytes of one character set that were read as another.

Consoles write UTF-8, GBK, Shift-JIS or Windows-1251 and say ISO_IR 100 or nothing at all. pydicom then reads each
byte as one letter of Latin-1; from those letters the bytes come back, and with them the text.
"""

from __future__ import annotations

import re

_FOREIGN = re.compile(r"[\x80-\xff]{2,}")  # one accented letter alone is a European word
# What proves that a text was read in the right character set: words that no other reading gives by chance.
_PROOF = {
    "gb18030": re.compile(
        "平扫|增强|强化|造影|横断|横轴|轴位|矢状|冠状|加权|定位|弥散|压水|抑水|注射|头部|颅脑|脑部"
    ),
    "shift_jis": re.compile("造影|強調|横断|矢状|冠状|単純|位置|拡散|頭部|フレア"),
    "euc_jp": re.compile("造影|強調|横断|矢状|冠状|単純|位置|拡散|頭部|フレア"),
    "euc_kr": re.compile("조영|축상|시상|관상|증강"),
    "cp1251": re.compile(r"контраст|[тТ] ?[12]|\bку\b|до|после|аксиал|сагит|корон", re.IGNORECASE),
}


def mended(text: str) -> str:
    """The text as it was meant, where that can be told; otherwise as it is."""
    if not _FOREIGN.search(text):
        return text
    try:
        raw = text.encode("latin-1")
    except UnicodeEncodeError:
        return text
    for encoding, proof in _PROOF.items():
        try:
            read = raw.decode(encoding)
        except UnicodeDecodeError:
            continue
        if proof.search(read):
            return read
    try:  # last: two Chinese signs may be valid UTF-8 by chance
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        return text
