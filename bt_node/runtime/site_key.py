"""The site's own key for hashes of patients: a file of one line that only the node's account may read."""

from __future__ import annotations

import logging
import os
import secrets
import stat
from pathlib import Path

from bt_node.domain.errors import SiteKeyError
from bt_node.runtime.writable import is_there, require_folder

logger = logging.getLogger(__name__)

_BYTES = 32
_OTHERS = stat.S_IRWXO  # what the group may read is the administrator's choice, as in permissions.py
_REMEDY = "Give its folder to the account that runs bt-node, or change [follow_up] key_file."


def site_key(path: Path) -> bytes:
    """The key in `path`; where there is none yet, a random one is made with mode 0600.

    Several workers may start together: all get the key of the one that was first.

    Raises:
        SiteKeyError: the file cannot be read or made, or holds no key.
    """
    try:
        if not path.exists():
            _make(path)
    except OSError as error:
        raise SiteKeyError(str(path), f"cannot be made: {error.strerror}") from error
    return read_key(path)


def read_key(path: Path) -> bytes:
    """The key in an existing file; raises as `site_key` does."""
    try:
        key = bytes.fromhex(path.read_text(encoding="ascii").strip())
    except OSError as error:
        raise SiteKeyError(str(path), f"cannot be read: {error.strerror}") from error
    except ValueError:
        raise SiteKeyError(str(path), "is not a line of hexadecimal digits") from None
    if len(key) != _BYTES:
        raise SiteKeyError(str(path), f"holds {len(key)} bytes, not {_BYTES}")
    return key


def check_key(path: Path) -> str:
    """Whether `site_key` will have a key, in words; changes nothing.

    Raises:
        SiteKeyError: the key cannot be used, or others may read it.
        NotWritableError: there is none and none can be made, or its folder may not be entered.
    """
    if not is_there("The site key", path, _REMEDY):
        require_folder("The site key", path.parent, _REMEDY)
        return f"{path} will be made at first use"
    read_key(path)
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & _OTHERS:
        raise SiteKeyError(str(path), f"has mode {mode:04o}, so that others may read it: chmod 600")
    return f"key at {path}"


def _make(path: Path) -> None:
    """Write a new key beside `path`, durably, and give it its name unless another worker was first."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}.part")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_hex(_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
            logger.info("a new site key for follow-ups was made at %s", path)
        except FileExistsError:
            pass
    finally:
        draft.unlink(missing_ok=True)
