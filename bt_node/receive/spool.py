"""Durable files: what was answered with success survives a power cut.

Each file is written beside its place, synced, moved there, and then its folder is synced (and, the first time, every
folder above it): only then is the name itself on the disk. Names are made from checked UIDs only.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
import secrets
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

from bt_node.domain.uids import is_safe_uid
from bt_node.receive.durable import locked, place, replace_file, sync_folder, worded, write_all
from bt_node.receive.errors import SpoolFullError, SpoolGoneError, WrongSpoolError
from bt_node.receive.incoming import Incoming

_FOLDER_MODE, _FILE_MODE = 0o700, 0o600
_MIB = 1024 * 1024
_TEMPORARY_SUFFIX = ".part"
_INCOMING = "incoming"
COMMITMENTS = "commitments"  # promises.py
FOLDERS = (_INCOMING, "instances", "results", COMMITMENTS)
_REMEMBERED_FOLDERS = 4096
MARK = ".bt-node-spool"
_MARK_SAYS = b"This folder is the spool of a bt-node, which writes nothing to it without this file.\n"


def instance_path(study_instance_uid: str, series_instance_uid: str, sop_instance_uid: str) -> str:
    """POSIX path of an instance relative to the spool root: `instances/<study>/<series>/<sop>.dcm`.

    Raises:
        ValueError: a UID is not digits and dots (PS3.5 9.1); such text never becomes a path.
    """
    for text in (study_instance_uid, series_instance_uid, sop_instance_uid):
        if not is_safe_uid(text):
            raise ValueError("not a UID: a path is made of digits and dots only")
    return f"instances/{study_instance_uid}/{series_instance_uid}/{sop_instance_uid}.dcm"


class Spool:
    """The folder that holds received instances. Safe for many threads and for several processes.

    A marker file tells it from an empty folder that a lost mount leaves at its path. Once a process has seen the
    marker (`take_up`), it makes no folder without it.
    """

    def __init__(self, root: Path, min_free_mib: float = 0) -> None:
        self.root = root
        self.min_free_mib = min_free_mib
        self._folders_lock = threading.Lock()
        self._durable_folders: set[Path] = set()
        self._mark = root / MARK
        self._mark_seen = False

    def take_up(self, recorded: Iterable[str]) -> None:
        """Begin to use the folder as the spool; made, and marked, where it is new.

        Args:
            recorded: paths below the root that the job book has; of a job book without any the spool may be new.

        Raises:
            WrongSpoolError: as for `require_right`.
            OSError: it cannot be made or marked.
        """
        self.require_right(recorded)
        if not self._mark_seen:
            self._make_chain(self.root)
            if not self._mark.exists():
                self._write_durably(self._mark, (_MARK_SAYS,), replace_file)
        self._mark_seen = True

    def require_right(self, recorded: Iterable[str]) -> None:
        """Refuse a folder that cannot be the spool of the job book; changes nothing.

        Raises:
            WrongSpoolError: it is not marked, and none of the files that are recorded lies in it.
        """
        if not self.is_gone and self._mark_seen:
            return
        known = [self.absolute(path) for path in recorded]
        if known and not any(path.exists() for path in known):
            raise WrongSpoolError(self.root, self._mark)

    @property
    def is_gone(self) -> bool:
        """Whether the marker was there, and is not any more."""
        marked = self._mark.exists()
        self._mark_seen = self._mark_seen or marked
        return self._mark_seen and not marked

    def require(self) -> None:
        """Go on only while the spool is there.

        Raises:
            SpoolGoneError: its marker is gone.
        """
        if self.is_gone:
            raise SpoolGoneError(self._mark)

    def absolute(self, relative: str) -> Path:
        """Where a relative path of the job book lies."""
        return self.root / relative

    def free_mib(self) -> float:
        """MiB an unprivileged process may still write on the spool's file system."""
        try:
            stats = os.statvfs(self.root)
        except FileNotFoundError:
            stats = os.statvfs(next(folder for folder in self.root.absolute().parents if folder.exists()))
        return stats.f_bavail * stats.f_frsize / _MIB

    def result_folder(self, job_id: int) -> Path:
        """Folder of a job's result objects."""
        return self.root / "results" / str(job_id)

    def store_result(self, job_id: int, sop_instance_uid: str, content: bytes) -> str:
        """Keep a result object durably, in place of an earlier run's; gives its path relative to the root.

        Raises:
            ValueError: `sop_instance_uid` is not a UID.
            SpoolWriteError: as for `write`.
        """
        if not is_safe_uid(sop_instance_uid):
            raise ValueError("not a UID: a path is made of digits and dots only")
        target = self.result_folder(job_id) / f"{sop_instance_uid}.dcm"
        relative = target.relative_to(self.root).as_posix()
        self.write(relative, (content,), replace=True)
        return relative

    def write(self, relative: str, parts: Sequence[bytes], *, replace: bool = False) -> int:
        """Write a file so that it is durable when this returns; gives its size in bytes.

        Raises:
            SpoolFullError: less than `min_free_mib` would stay free.
            SpoolWriteError: the disk refused, or the file exists and may not be replaced; no temporary file is left.
        """
        size = sum(map(len, parts))
        try:
            self._check_space(size)
            self._write_durably(self.absolute(relative), parts, replace_file if replace else place)
        except OSError as error:
            raise worded(error) from error
        return size

    def receive(self, meta: bytes) -> Incoming:
        """Begin a file of file meta information and a data set that is yet to come.

        Raises:
            SpoolWriteError: as for `write`.
        """
        try:
            self._check_space(len(meta))
            temporary, descriptor = self._open_incoming()
            return Incoming(temporary, descriptor, meta, check_space=self._check_space, put=self._place_in_folder)
        except OSError as error:
            raise worded(error) from error

    def make_name_durable(self, relative: str) -> None:
        """Sync the folder of a file that somebody else placed: he may have been killed before he could.

        Raises:
            OSError: the folder is gone, or the disk refused.
        """
        sync_folder(self.absolute(relative).parent)

    def remove(self, relative: str) -> None:
        """Take away a file that was placed and never acknowledged; harmless when it is gone."""
        with contextlib.suppress(OSError):
            self.absolute(relative).unlink(missing_ok=True)

    def stored(self) -> Iterator[str]:
        """Relative paths of all instances, in no particular order."""
        for path in (self.root / "instances").glob("*/*/*.dcm"):
            yield path.relative_to(self.root).as_posix()

    def series_folders(self) -> Iterator[tuple[str, int]]:
        """Folders of received series (`instances/<study>/<series>`), study by study; when (ns) each last changed."""
        for study in _folders_in(self.root / "instances"):
            for series in _folders_in(study):
                with contextlib.suppress(FileNotFoundError):  # retention was faster
                    yield f"instances/{study.name}/{series.name}", series.stat().st_mtime_ns

    def stored_in(self, folder: str) -> list[str]:
        """Relative paths of the instances in a folder of `series_folders`."""
        return [f"{folder}/{name}" for name in _names_in(self.root / folder) if name.endswith(".dcm")]

    def remove_leftovers(self) -> int:
        """Delete temporary files outside the series whose writer is dead; gives their number."""
        return sum(
            _remove_if_abandoned(path)
            for folder in (_INCOMING, COMMITMENTS, "results/*")
            for path in self.root.glob(f"{folder}/.*{_TEMPORARY_SUFFIX}")
        )

    def remove_leftovers_in(self, folder: str) -> int:
        """The same in a folder of `series_folders`."""
        names = [name for name in _names_in(self.root / folder) if name.endswith(_TEMPORARY_SUFFIX)]
        return sum(_remove_if_abandoned(self.root / folder / name) for name in names)

    def _open_incoming(self) -> tuple[Path, int]:
        """A locked temporary file for what is arriving; its folder is on the file system that it will be moved on."""
        folder = self.root / _INCOMING
        while True:
            temporary = folder / f".{secrets.token_hex(12)}{_TEMPORARY_SUFFIX}"
            try:
                descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
            except FileNotFoundError:
                self._forget_folders()
                self._make_durable_folder(folder)
                continue
            if locked(descriptor):
                return temporary, descriptor

    def _check_space(self, size: int) -> None:
        free, wanted = self.free_mib(), self.min_free_mib + size / _MIB
        if free < wanted:
            raise SpoolFullError(free, wanted)

    def _place_in_folder(self, temporary: Path, descriptor: int, relative: str, replace: bool) -> None:
        target = self.absolute(relative)
        move = replace_file if replace else place
        self._make_durable_folder(target.parent)
        os.fsync(descriptor)
        try:
            move(temporary, target)
        except FileNotFoundError:  # retention removed the emptied folder since we made it
            self._forget_folders()
            self._make_durable_folder(target.parent)
            move(temporary, target)
        sync_folder(target.parent)

    def _write_durably(self, target: Path, parts: Sequence[bytes], move: Callable[[Path, Path], None]) -> None:
        self._make_durable_folder(target.parent)
        try:
            temporary, descriptor = self._open_temporary(target)
        except FileNotFoundError:  # retention removed the emptied folder since we made it
            self._forget_folders()
            self._make_durable_folder(target.parent)
            temporary, descriptor = self._open_temporary(target)
        try:
            with os.fdopen(descriptor, "wb", buffering=0) as file:
                for part in parts:
                    write_all(file.fileno(), part)
                os.fsync(file.fileno())
                move(temporary, target)
        except BaseException:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
            raise
        sync_folder(target.parent)

    def _open_temporary(self, target: Path) -> tuple[Path, int]:
        while True:
            temporary = target.with_name(f".{target.stem}.{secrets.token_hex(6)}{_TEMPORARY_SUFFIX}")
            descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _FILE_MODE)
            if locked(descriptor):
                return temporary, descriptor

    def _make_durable_folder(self, folder: Path) -> None:
        """Make a folder and sync every folder above it up to the root, once in this process' life."""
        with self._folders_lock:
            if folder in self._durable_folders:
                return
            if len(self._durable_folders) >= _REMEMBERED_FOLDERS:
                self._durable_folders.clear()
            self._make_chain(folder)
            self._durable_folders.add(folder)

    def _make_chain(self, folder: Path) -> None:
        self.require()
        chain = [folder, *folder.parents]
        inside = chain[: chain.index(self.root) + 1]
        missing_above = list(itertools.takewhile(lambda path: not path.exists(), self.root.absolute().parents))
        for path in (*reversed(missing_above), *reversed(inside)):
            path.mkdir(mode=_FOLDER_MODE, exist_ok=True)
            sync_folder(path.absolute().parent)

    def _forget_folders(self) -> None:
        with self._folders_lock:
            self._durable_folders.clear()


def _folders_in(folder: Path | os.DirEntry[str]) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
    except FileNotFoundError:
        return []


def _names_in(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []


def _remove_if_abandoned(path: Path) -> bool:
    try:
        with path.open("r+b") as file:  # NFS locks for writing only what is open for writing
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
    except OSError:  # its writer holds the lock, or it is gone already
        return False
    return True
