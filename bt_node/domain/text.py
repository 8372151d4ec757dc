"""Text of others where people read it: in the log, on a terminal, in the audit trail."""

from __future__ import annotations


def visible(text: str, keep: str = "") -> str:
    r"""`text` with each character that is not printable written as its escape (`\n`, `\x1b`, `\u202e`).

    Control characters (C0, C1, DEL), line and paragraph separators, bidi and other format characters, surrogates:
    they could end a line and begin a forged one, steer a terminal, or show another order than is stored.

    Args:
        text: whatever somebody sent.
        keep: characters to leave as they are.
    """
    if text.isprintable():
        return text
    return "".join(
        letter if letter.isprintable() or letter in keep else letter.encode("unicode_escape").decode("ascii")
        for letter in text
    )


def one_line(text: str, longest: int) -> str:
    """`visible`, and no longer than `longest` characters."""
    shown = visible(text[: longest + 1])
    return shown if len(shown) <= longest else f"{shown[: longest - 1]}…"
