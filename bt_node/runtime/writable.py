"""Can files be made there? Tried before the node starts; nothing is left behind."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

from bt_node.domain.errors import NotWritableError, StorageAwayError

# A full disk is no reason not to start: the listener answers 0xA700, and retention makes room.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT})
# What goes away only when somebody changes rights, mounts or names; anything else may be a disk in trouble.
_FOR_GOOD = frozenset(
    {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG}
)


def nearest_existing(path: Path) -> Path:
    """The path itself or the nearest folder above it that is there; a link to nowhere is there."""
    return next(each for each in (path, *path.parents) if os.path.lexists(each))


def is_there(what: str, path: Path, remedy: str) -> bool:
    """Whether something lies at this path; `os.path.lexists` says no where a folder above may not be entered.

    Raises:
        NotWritableError: that cannot be told, for want of rights, say.
    """
    try:
        path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        raise NotWritableError(what, path, f"cannot be reached ({why})", remedy) from error
    return True


def require_folder(what: str, folder: Path, remedy: str) -> None:
    """Make sure that files can be made in a folder, or the folder itself where it is not there yet.

    Args:
        what: for the message, "The spool".
        folder: absolute.
        remedy: what to do where it cannot be written.

    Raises:
        NotWritableError: it is no folder, may not be written, or lies on a read-only file system.
        StorageAwayError: the disk failed in another way.
    """
    home = nearest_existing(folder)
    if not home.is_dir():
        raise NotWritableError(what, home, "is no folder", remedy)
    try:
        with tempfile.TemporaryFile(dir=home):  # without a name, where the file system can do that
            pass
    except OSError as error:
        why = (error.strerror or type(error).__name__).lower()
        if error.errno in _FOR_GOOD:
            raise NotWritableError(what, home, f"does not take a file ({why})", remedy) from error
        if error.errno not in _FULL:
            raise StorageAwayError(what, home, why) from error
