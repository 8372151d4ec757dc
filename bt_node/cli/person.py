"""Who gives a command, for history and audit trail."""

from __future__ import annotations

import os
import pwd
import re

_CLAIM = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.@+$\\-]{0,63}")
_LONGEST_ACCOUNT = 32  # what useradd allows


def actor() -> str:
    """The account that this process runs as; whom sudo names stands beside it, as a claim.

    The account is the kernel's word. Variables (LOGNAME, USER, SUDO_USER) are whatever somebody set them to.
    """
    claimed = os.environ.get("SUDO_USER", "")
    if not claimed:
        return f"cli:{_account()}"
    return f"cli:{_account()} (sudo: {claimed if _CLAIM.fullmatch(claimed) else 'no account name'})"


def _account() -> str:
    uid = os.getuid()
    try:
        return pwd.getpwuid(uid).pw_name[:_LONGEST_ACCOUNT]
    except KeyError:  # a container may run as any number
        return f"uid {uid}"
