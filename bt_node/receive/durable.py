"""The few system calls that durable files are made of."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

from bt_node.receive.errors import SpoolWriteError

# What file systems without hard links answer (CIFS, some FUSE); there a rename must do.
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def worded(error: OSError) -> SpoolWriteError:
    """What a refusal of the system means to the spool; the kind of error only, no path."""
    return SpoolWriteError(errno.errorcode.get(error.errno or 0, type(error).__name__))


def locked(descriptor: int) -> bool:
    """Lock a new temporary file; False (and closed) where a sweep has taken it for a dead writer's just before."""
    # Held until the file is closed: tells remove_leftovers, also of another process, that we live.
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    if os.fstat(descriptor).st_nlink:
        return True
    os.close(descriptor)
    return False


def place(temporary: Path, target: Path) -> None:
    """Rename, but never over a file: a listener in another process may have stored another object there just now."""
    try:
        os.link(temporary, target)
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        temporary.rename(target)
    else:
        temporary.unlink()


def replace_file(temporary: Path, target: Path) -> None:
    """Rename, over an earlier file too."""
    temporary.rename(target)


def write_all(descriptor: int, part: bytes | memoryview) -> None:
    """Write all of it, however little the system takes at a time."""
    view = memoryview(part)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder durable."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
