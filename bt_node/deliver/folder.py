"""C-STORE all of a folder: what `bt-node send` does."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from bt_node.deliver.part10 import NotDicomError, read_identity
from bt_node.deliver.peer import OutgoingFile, Peer
from bt_node.deliver.send import send
from bt_node.domain.result import SendOutcome

FolderProgress = Callable[[int, int, SendOutcome], None]


@dataclass(frozen=True)
class FolderContents:
    """What a search of a folder found."""

    files: tuple[OutgoingFile, ...]
    directories: int  # DICOMDIR files: an index of a medium, nothing to store
    others: int  # not DICOM Part 10


@dataclass(frozen=True)
class FolderSummary:
    """How many objects went where. `str()` is the line for the operator."""

    outcomes: tuple[SendOutcome, ...]
    directories: int = 0
    others: int = 0

    @property
    def stored(self) -> int:
        """Objects that the peer stored."""
        return sum(outcome.delivered for outcome in self.outcomes)

    @property
    def all_stored(self) -> bool:
        """Something was sent, and every object was stored."""
        return bool(self.outcomes) and self.stored == len(self.outcomes)

    @property
    def details(self) -> Mapping[str, int]:
        """How often each detail came back, the most frequent first."""
        return dict(Counter(outcome.detail for outcome in self.outcomes).most_common())

    def __str__(self) -> str:
        lines = [f"{self.stored} of {len(self.outcomes)} objects stored"]
        lines += [f"  {count} × {detail}" for detail, count in self.details.items()]
        if self.directories or self.others:
            lines.append(f"  skipped: {self.directories} DICOMDIR, {self.others} not DICOM")
        return "\n".join(lines)


def find_files(folder: Path) -> FolderContents:
    """All DICOM Part 10 files under a folder (or the one file given), by content and not by name, in path order.

    Links to folders are not followed, so a loop of links ends.
    """
    paths = [folder] if folder.is_file() else sorted(path for path in folder.rglob("*") if path.is_file())
    files, directories, others = [], 0, 0
    for path in paths:
        try:
            found = read_identity(path)
        except (FileNotFoundError, NotDicomError):
            others += 1
            continue
        if found.is_directory:
            directories += 1
        else:
            files.append(OutgoingFile(path, found.sop_class_uid, found.sop_instance_uid))
    return FolderContents(tuple(files), directories, others)


def send_folder(
    peer: Peer,
    calling_ae_title: str,
    folder: Path,
    progress: FolderProgress | None = None,
    timeout_s: float = 60.0,
) -> FolderSummary:
    """C-STORE every DICOM file under a folder.

    Args:
        peer: where to.
        calling_ae_title: our AE title.
        folder: searched to the bottom; may be one file.
        progress: called after each object with (objects so far, objects in all, outcome).
        timeout_s: see `send`.

    Raises:
        ValueError: `calling_ae_title` is not an AE title.
    """
    contents = find_files(folder)
    done = 0

    def count(outcome: SendOutcome) -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(contents.files), outcome)

    outcomes = send(peer, calling_ae_title, contents.files, timeout_s, count)
    return FolderSummary(outcomes, contents.directories, contents.others)
