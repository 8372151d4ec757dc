"""A data set on its way from the wire to the disk."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from bt_node.receive.durable import worded, write_all

_SPACE_CHECKED_EVERY = 16 * 1024 * 1024
_SMALL_HEAD = 64 * 1024


class Incoming:
    """A file that is being received: bytes go to the disk and into a SHA-256 as they come; for one thread.

    It ends with `place` or `discard`. A reader of the spool never sees it: it lies in a folder of its own until then.
    """

    def __init__(
        self,
        temporary: Path,
        descriptor: int,
        meta: bytes,
        *,
        check_space: Callable[[int], None],
        put: Callable[[Path, int, str, bool], None],
    ) -> None:
        self._check_space = check_space
        self._put = put
        self._temporary = temporary
        self._descriptor = descriptor
        self._data_offset = len(meta)
        self._digest = hashlib.sha256()
        self._head = bytearray()
        self._unchecked = 0
        self.size_bytes = 0
        try:
            write_all(descriptor, meta)
        except OSError:
            self.discard()
            raise

    @property
    def is_open(self) -> bool:
        """Whether it is neither placed nor discarded."""
        return self._descriptor >= 0

    @property
    def digest(self) -> str:
        """SHA-256 (hex) of the data set so far."""
        return self._digest.hexdigest()

    def write(self, part: bytes | memoryview) -> None:
        """Append bytes of the data set.

        Raises:
            SpoolWriteError: as for `Spool.write`.
        """
        self._unchecked += len(part)
        try:
            if self._unchecked >= _SPACE_CHECKED_EVERY:
                self._unchecked = 0
                self._check_space(0)
            write_all(self._descriptor, part)
        except OSError as error:
            raise worded(error) from error
        if len(self._head) < _SMALL_HEAD:
            self._head += part[: _SMALL_HEAD - len(self._head)]
        self._digest.update(part)
        self.size_bytes += len(part)

    def head(self, limit: int) -> bytes:
        """The first `limit` bytes of the data set."""
        if limit <= len(self._head):
            return bytes(self._head[:limit])
        return os.pread(self._descriptor, limit, self._data_offset)

    def place(self, relative: str, *, replace: bool = False) -> None:
        """Make it durable under its name; with `replace` in place of a file that is there.

        Raises:
            FileExistsError: another process has just stored a file of this name; this one is still here.
            SpoolWriteError: as for `Spool.write`.
        """
        try:
            self._check_space(0)
            self._put(self._temporary, self._descriptor, relative, replace)
        except FileExistsError:
            raise
        except OSError as error:
            raise worded(error) from error
        self._close()

    def discard(self) -> None:
        """Remove it; harmless when it was placed or discarded before."""
        if self._descriptor >= 0:
            with contextlib.suppress(OSError):
                self._temporary.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        os.close(self._descriptor)
        self._descriptor = -1
