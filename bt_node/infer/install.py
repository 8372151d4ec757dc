"""Put a release into the models folder: all of it and tried, or nothing.

What is new is unpacked, converted and tried in a hidden folder beside its place, written through to the disk, and
then takes its place by one rename. A node at work has its weights in memory and notices nothing until it is
restarted.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from bt_node.domain.errors import ReleaseError
from bt_node.infer.release import MANIFEST, Release, read_release
from bt_node.infer.trial import CARD, find_problems
from bt_node.infer.unpack import BUNDLE_METADATA, InstallError, as_folder, is_pickle_name

_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")  # what `[models] segmenter` may hold
# What a run may lay beside the three files.
_FOR_PEOPLE = frozenset({".md", ".txt", ".csv", ".json", ".toml", ".png", ".svg"})


class Outcome(StrEnum):
    """What installing did."""

    NEW = "installed"
    REPLACED = "replaced"
    UNCHANGED = "was installed already"


@dataclass(frozen=True)
class Installed:
    """A release in its place.

    Attributes:
        release: as it now lies in the models folder.
        outcome: what was done.
        converted: it came from a MONAI bundle.
        left_out: files and folders of the source that no release has.
    """

    release: Release
    outcome: Outcome
    converted: bool
    left_out: tuple[str, ...]


def install(source: Path, models: Path, *, name: str | None = None, replace: bool = False) -> Installed:
    """Install a release folder, a zip of one, or a MONAI bundle (folder or zip).

    Args:
        source: what was handed over; it is not changed.
        models: the models folder; made when absent.
        name: folder of the release there; default: name and version of its manifest.
        replace: a release of that name with other content may be replaced.

    Raises:
        InstallError: nothing was changed; the message says why.
    """
    if name is not None:
        _check_name(name)
    source = source.resolve()
    try:
        with _workplace(models) as place:
            return _install(source, models, place, name, replace=replace)
    except OSError as error:
        where = f" ({Path(error.filename).name})" if error.filename else ""
        raise InstallError(source.name, f"{error.strerror or error}{where}. Nothing was changed.") from error


def _install(source: Path, models: Path, place: Path, name: str | None, *, replace: bool) -> Installed:
    origin = as_folder(source, _made(place / "unpacked"))
    staged = _made(place / "staged" / (name or source.stem or "release"))
    converted = not (origin / MANIFEST).is_file() and (origin / BUNDLE_METADATA).is_file()
    left_out = _convert(origin, staged) if converted else _copy(origin, staged, source.name)
    if problems := find_problems(staged):
        raise _unfit(source.name, problems)
    manifest = read_release(staged).manifest
    chosen = name or f"{manifest.name}-{manifest.version}"
    _check_name(chosen)
    target = models / chosen
    if _same(staged, target):
        return Installed(read_release(target), Outcome.UNCHANGED, converted, left_out)
    outcome = Outcome.REPLACED if target.exists() else Outcome.NEW
    if outcome is Outcome.REPLACED and not replace:
        raise InstallError(
            source.name,
            f"{target.name} exists with other {_difference(staged, target)}.",
            remedy="Choose another --name, or say --replace.",
        )
    _write_through(staged)
    _take_place(staged, target, place / "before")
    return Installed(read_release(target), outcome, converted, left_out)


def _unfit(name: str, problems: Sequence[str]) -> InstallError:
    return InstallError(name, "it is not fit to work:" + "".join(f"\n  - {problem}" for problem in problems))


def _check_name(name: str) -> None:
    if not _NAME.match(name):
        raise InstallError(
            repr(name), "a release's folder is named by letters, digits, '_', '.' and '-'.", remedy="Give --name."
        )


@contextmanager
def _workplace(models: Path) -> Iterator[Path]:
    """A hidden folder on the same file system; releases in it lie one level too deep to be listed as installed."""
    models.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".installing-", dir=models, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


def _convert(origin: Path, staged: Path) -> tuple[str, ...]:
    from bt_node.infer.bundle_release import write_from_bundle  # noqa: PLC0415 - few installs need it

    write_from_bundle(origin, staged)
    return ()


def _copy(origin: Path, staged: Path, name: str) -> tuple[str, ...]:
    """Copy what belongs to a release; the names of what does not."""
    try:
        wanted = {MANIFEST, CARD, read_release(origin).manifest.weights.file}
    except ReleaseError as error:
        raise _unfit(name, [str(error)]) from error
    left_out = []
    for path in sorted(origin.iterdir()):
        if is_pickle_name(path.name):
            raise InstallError(name, f"{path.name} is a pickle or TorchScript; a release has safetensors only.")
        if path.is_file() and (path.name in wanted or path.suffix.lower() in _FOR_PEOPLE):
            shutil.copyfile(path, staged / path.name)
        else:
            left_out.append(path.name)
    return tuple(left_out)


def _same(staged: Path, target: Path) -> bool:
    """Whether the target is this very release, its weights as sound as the new ones."""
    return _told(staged) == _told(target) and not find_problems(target)


def _told(folder: Path) -> list[bytes | None]:
    paths = (folder / MANIFEST, folder / CARD)
    return [path.read_bytes() if path.is_file() else None for path in paths]


def _difference(staged: Path, target: Path) -> str:
    try:
        other = read_release(target).identity.weights_sha256 != read_release(staged).identity.weights_sha256
    except ReleaseError:  # what is there is no sound release
        return "content"
    return "weights" if other else "content (the weights are the same)"


def _write_through(folder: Path) -> None:
    """Make sure that a power cut after the rename finds whole files."""
    for path in [*folder.iterdir(), folder]:
        _sync(path)


def _take_place(staged: Path, target: Path, before: Path) -> None:
    """Rename into place. A folder that is not empty cannot be renamed over: the old one steps aside first.

    Two renames are not one: a power cut between them leaves the old release, whole, in `.installing-*/before`.
    """
    stood = target.exists()
    if stood:
        target.rename(before)
    try:
        staged.rename(target)
    except OSError:
        if stood:
            before.rename(target)
        raise
    _sync(target.parent)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
