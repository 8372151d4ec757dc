"""What a DICOM Part 10 file says about itself, read without its pixels."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_partial
from pydicom.tag import BaseTag
from pydicom.uid import UID

_PREAMBLE, _MAGIC = 128, b"DICM"  # PS3.10 7.1
_SOP_INSTANCE_UID = 0x00080018
_MEDIA_STORAGE_DIRECTORY = "1.2.840.10008.1.3.10"


class NotDicomError(Exception):
    """The file is not DICOM Part 10, or does not say what it holds."""


@dataclass(frozen=True)
class FileIdentity:
    """SOP class, SOP instance and transfer syntax of a file.

    Attributes:
        meta_agrees: the meta information names the same object as the data set. Anonymisers that give a data set new
            UIDs and forget the meta information are common; the data set is what a receiver checks and keeps.
    """

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax: UID
    meta_agrees: bool

    @property
    def is_directory(self) -> bool:
        """A DICOMDIR: the index of a medium, nothing to store."""
        return self.sop_class_uid == _MEDIA_STORAGE_DIRECTORY


def read_identity(path: Path) -> FileIdentity:
    """Read who a file is; the data set only as far as SOPInstanceUID.

    Raises:
        FileNotFoundError: no such file.
        NotDicomError: anything else.
    """
    try:
        with path.open("rb") as file:
            if file.read(_PREAMBLE + len(_MAGIC))[_PREAMBLE:] != _MAGIC:
                raise NotDicomError("no DICM after the preamble")
            file.seek(0)
            dataset = read_partial(file, stop_when=_after_sop_instance_uid)
        meta = dataset.file_meta
        named = (str(meta.get("MediaStorageSOPClassUID", "")), str(meta.get("MediaStorageSOPInstanceUID", "")))
        # A DICOMDIR has no SOP UIDs in its data set.
        own = (str(dataset.get("SOPClassUID", named[0])), str(dataset.get("SOPInstanceUID", named[1])))
        identity = FileIdentity(*own, UID(str(meta.get("TransferSyntaxUID", ""))), meta_agrees=own == named)
    except FileNotFoundError:
        raise
    except (OSError, InvalidDicomError, AttributeError, EOFError, ValueError, KeyError) as trouble:
        raise NotDicomError(type(trouble).__name__) from trouble
    if not all(UID(uid).is_valid for uid in (*own, identity.transfer_syntax)):
        raise NotDicomError("no valid UIDs")
    return identity


def _after_sop_instance_uid(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return bool(tag > _SOP_INSTANCE_UID)
