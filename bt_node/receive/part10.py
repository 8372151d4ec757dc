"""DICOM files (PS3.10 chapter 7): file meta of our own in front of the data set exactly as it arrived."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydicom import uid
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_file_meta_info
from pydicom.filewriter import write_file_meta_info

from bt_node.receive.negotiation import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# Zeros, never the peer's bytes: a preamble that is another file type has no way onto the disk.
_PREAMBLE = b"\0" * 128 + b"DICM"
_GROUP_LENGTH_END = len(_PREAMBLE) + 12  # (0002,0000) UL, counted from behind itself (PS3.10 Table 7.1-1)


def encode_file_meta(
    sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, *, calling: str = "", called: str = ""
) -> bytes:
    """Preamble, prefix and group 0002 of a file; the AE titles are kept where given."""
    meta = FileMetaDataset()
    meta.FileMetaInformationVersion = b"\0\1"
    meta.MediaStorageSOPClassUID = uid.UID(sop_class_uid)
    meta.MediaStorageSOPInstanceUID = uid.UID(sop_instance_uid)
    meta.TransferSyntaxUID = uid.UID(transfer_syntax_uid)
    meta.ImplementationClassUID = uid.UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    if calling:
        meta.SourceApplicationEntityTitle = calling
    if called:
        meta.ReceivingApplicationEntityTitle = called
    buffer = DicomBytesIO()
    write_file_meta_info(buffer, meta, enforce_standard=True)
    return _PREAMBLE + buffer.getvalue()


@dataclass(frozen=True)
class StoredFile:
    """A file of the spool, read back: its data set as it was received and what group 0002 says of it."""

    data: bytes
    transfer_syntax_uid: str
    calling_ae_title: str


def read_stored_file(path: Path) -> StoredFile:
    """Read a file that the spool wrote.

    Raises:
        OSError: it cannot be read.
        ValueError: it is not a DICOM file of ours.
    """
    content = path.read_bytes()
    if not content.startswith(_PREAMBLE):
        raise ValueError("no DICM prefix")
    meta = read_file_meta_info(path)
    if "FileMetaInformationGroupLength" not in meta or "TransferSyntaxUID" not in meta:
        raise ValueError("incomplete file meta information")
    start = _GROUP_LENGTH_END + int(meta.FileMetaInformationGroupLength)
    return StoredFile(
        data=content[start:],
        transfer_syntax_uid=str(meta.TransferSyntaxUID),
        calling_ae_title=str(meta.get("SourceApplicationEntityTitle", "") or ""),
    )
