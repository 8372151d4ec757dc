"""`python -m training segmenter|classifier|brain COMMAND …`."""

from __future__ import annotations

import sys
from importlib import import_module

_KINDS = ("segmenter", "classifier", "brain")
_USAGE = "usage: python -m training {segmenter|classifier|brain} COMMAND [--help]"


def main(arguments: list[str]) -> int:
    """Hand the command over to the package of the model's kind; the other kind is never imported."""
    if arguments and arguments[0] in _KINDS:
        return int(import_module(f"training.{arguments[0]}.commands").main(arguments[1:]))
    print(_USAGE, file=sys.stderr)
    return 0 if arguments in (["-h"], ["--help"]) else 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
