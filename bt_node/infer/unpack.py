"""What a person hands over to be installed, as a folder on this disk: a folder, or a zip archive of one.

An archive comes from anywhere, so nothing in it is believed: no entry may leave the folder it is unpacked into, be a
link, or be larger than announced. Folders are the user's own disk, where links are followed (download caches are
made of them).
"""

from __future__ import annotations

import stat
import zipfile
import zlib
from pathlib import Path, PurePosixPath
from typing import IO

from bt_node.domain.errors import BtNodeError
from bt_node.infer.release import MANIFEST

BUNDLE_METADATA = Path("configs", "metadata.json")  # what makes a folder a MONAI bundle

LARGEST_BYTES = 4 * 1024**3  # of everything that is unpacked from one archive
MOST_ENTRIES = 2000
_PICKLES = frozenset({".pt", ".pth", ".ts", ".pkl", ".pickle", ".ckpt", ".bin"})
_CHUNK = 1024 * 1024
_ENCRYPTED = 0x1  # general purpose bit 0, APPNOTE.TXT 4.4.4


class InstallError(BtNodeError):
    """What was handed over cannot become a release of this node."""

    code = "release-install"

    def __init__(self, what: str, detail: str, *, remedy: str = "") -> None:
        self.detail = detail
        super().__init__(f"{what} was not installed: {detail}", remedy=remedy)


def is_pickle_name(name: str) -> bool:
    """Whether a file is by its name one that only unpickling (or TorchScript) could read."""
    return PurePosixPath(name).suffix.lower() in _PICKLES


def as_folder(source: Path, scratch: Path) -> Path:
    """The folder that holds `manifest.toml`, or a MONAI bundle's `configs`.

    Args:
        source: a folder or a zip archive; what matters may lie in its only subfolder.
        scratch: an empty folder for what an archive holds.

    Raises:
        InstallError: neither of both, an archive that cannot be trusted, or nothing in it that could be installed.
    """
    if source.is_file() and is_pickle_name(source.name):
        raise InstallError(
            source.name,
            "a bare weights file says nothing about its network, and files of this kind can run code when read.",
            remedy="Give the release's folder, or the whole MONAI bundle.",
        )
    if source.is_file():
        _extract(source, scratch)
        folder = scratch
    elif source.is_dir():
        folder = source
    else:
        raise InstallError(source.name, "there is no such folder or zip file.")
    return _root(folder, source.name)


def _root(folder: Path, name: str) -> Path:
    inner = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith((".", "__MACOSX"))]
    candidates = [folder, *inner] if len(inner) == 1 else [folder]
    for candidate in candidates:
        if (candidate / MANIFEST).is_file() or (candidate / BUNDLE_METADATA).is_file():
            return candidate
    raise InstallError(
        name,
        f"it holds neither {MANIFEST} (a release) nor {BUNDLE_METADATA} (a MONAI bundle).",
        remedy="Give the folder that holds one of them, or a zip of that folder.",
    )


def _extract(source: Path, scratch: Path) -> None:
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            _check_entries(entries, source.name)
            left = LARGEST_BYTES
            for entry in entries:
                target = scratch.joinpath(*PurePosixPath(entry.filename).parts)
                if entry.is_dir():
                    target.mkdir(parents=True, exist_ok=True)
                    continue
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(entry) as stream, target.open("xb") as file:
                    left -= _copy(stream, file, min(entry.file_size, left), source.name, entry.filename)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, FileExistsError) as error:
        raise InstallError(source.name, f"it is not a sound zip file ({error}).") from error


def _check_entries(entries: list[zipfile.ZipInfo], name: str) -> None:
    """Refuse an archive before anything of it is written, all reasons in one message."""
    problems = [f"{entry.filename!r} {why}" for entry in entries if (why := _refused(entry))]
    if len(entries) > MOST_ENTRIES:
        problems.append(f"{len(entries)} entries, more than {MOST_ENTRIES}")
    total = sum(entry.file_size for entry in entries)
    if total > LARGEST_BYTES:
        problems.append(f"{total / 1024**3:.1f} GiB unpacked, more than {LARGEST_BYTES / 1024**3:.0f} GiB")
    if problems:
        raise InstallError(name, f"nothing was unpacked: {'; '.join(problems[:10])}.")


def _refused(entry: zipfile.ZipInfo) -> str:
    parts = PurePosixPath(entry.filename).parts
    kind = stat.S_IFMT(entry.external_attr >> 16)  # 0 where the archiver wrote no Unix mode
    if not parts or entry.filename.startswith("/") or ".." in parts or "\\" in entry.filename or ":" in parts[0]:
        return "leads out of the archive"
    if kind not in {0, stat.S_IFREG, stat.S_IFDIR}:
        return "is a link or a special file"
    return "is encrypted" if entry.flag_bits & _ENCRYPTED else ""


def _copy(stream: IO[bytes], file: IO[bytes], announced: int, name: str, entry: str) -> int:
    copied = 0
    while chunk := stream.read(_CHUNK):
        copied += len(chunk)
        if copied > announced:
            raise InstallError(name, f"{entry!r} is larger than announced.")
        file.write(chunk)
    return copied
