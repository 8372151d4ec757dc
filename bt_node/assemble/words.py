"""Finding the vocabulary's words in header texts."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from bt_node.assemble.vocabulary import BEFORE_AND_AFTER, CONTRAST_ABSENT, CONTRAST_FILLERS, CONTRAST_PRESENT, Word

_LETTERS = str.maketrans({"ı": "i", "ł": "l", "ø": "o", "đ": "d", "ß": "ss", "æ": "ae"})
_CYRILLIC_T = re.compile(r"т(?= ?[12])")  # Cyrillic Т1 looks like T1
_CAMEL = re.compile(r"(?<=[a-z])(?=(?:FLAIR|TSE|FSE|MPRAGE|POST|GD)(?![a-z]))")
# "C-", "K-", "IV-", "Gd-" and "- C": without contrast. A minus before a further word is a dash.
_MINUS = re.compile(
    r"(?<=[\s_0-9w])c ?-(?=[\s_)]|$)|(?<=\s)- ?c(?![a-z])"
    r"|(?<=[\s_0-9w])(?:k|iv|gd|gado|km|civ|mdc|inj|ку)-(?=[\s_)]|$)"
)
_DOTTED = re.compile(r"(?<![a-z])(?:[a-z]\.){2,}[a-z]?(?![a-z])")  # "i.v.", "m.d.c.", "k.l."
_SEPARATORS = re.compile(r"[\s_\-.,;:()\[\]{}'\"=#!?<>|~^]+")


def normalise(text: str) -> str:
    """Lower case, accents stripped, full-width characters folded, separators as single spaces."""
    folded = unicodedata.normalize("NFKC", text)
    plain = "".join(c for c in unicodedata.normalize("NFKD", folded) if not unicodedata.combining(c))
    lower = unicodedata.normalize("NFC", _CAMEL.sub(" ", plain)).lower().translate(_LETTERS)
    lower = _DOTTED.sub(lambda found: found.group().replace(".", ""), lower)
    lower = _CYRILLIC_T.sub("t", lower).replace("+/-", " ± ").replace("+-", " ± ")
    return _SEPARATORS.sub(" ", _MINUS.sub(" without contrast ", lower)).strip()


def first_key(words: Sequence[Word], text: str) -> str | None:
    """Key of the first word found in normalised text."""
    return next((word.key for word in words if word.pattern.search(text)), None)


def without_words(words: Sequence[Word], text: str) -> str:
    """Normalised text with the found words cut out, and no double spaces."""
    for word in words:
        text = word.pattern.sub(" ", text)
    return " ".join(text.split())


def contrast_word(text: str) -> tuple[bool | None, str]:
    """Whether normalised text says that contrast was given: True, False or None (silent or both), and the key."""
    if BEFORE_AND_AFTER.search(text):
        return None, ""
    absent = first_key(CONTRAST_ABSENT, text)
    present = first_key(CONTRAST_PRESENT, without_words(CONTRAST_ABSENT, text))
    if absent and present:
        return None, ""
    if present:
        return True, present
    return (False, absent) if absent else (None, "")


def without_contrast_words(text: str) -> str:
    """Normalised text without anything that speaks about contrast: what twins before and after have in common."""
    return without_words((*CONTRAST_ABSENT, *CONTRAST_PRESENT, *CONTRAST_FILLERS), text)
