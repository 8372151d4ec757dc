"""What the listener notes about an instance it stored or refused. UIDs and facts only: no patient data."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ReceivedInstance:
    """One DICOM instance that lies durably in the spool.

    Attributes:
        path: POSIX path relative to the spool root.
        digest: SHA-256 (hex) of the data set as it was received, file meta excluded.
        is_image: whether the SOP class can hold one of the MR roles; other objects are kept but open no new run.
    """

    sop_instance_uid: str
    sop_class_uid: str
    study_instance_uid: str
    series_instance_uid: str
    transfer_syntax_uid: str
    path: str
    size_bytes: int
    digest: str
    calling_ae_title: str
    is_image: bool = True


@dataclass(frozen=True)
class Refusal:
    """One C-STORE that was answered with a failure status (PS3.4 Table B.2-1)."""

    status: int
    reason: str
    calling_ae_title: str
    sop_instance_uid: str = ""
    study_instance_uid: str = ""


@dataclass(frozen=True)
class HeldInstance:
    """What the job book has of an instance that is said to lie in the spool.

    Attributes:
        path: POSIX path relative to the spool root.
        digest: SHA-256 (hex) of the data set, file meta excluded.
        transfer_syntax_uid: of the data set; the file must say so, too.
    """

    sop_class_uid: str
    path: str
    digest: str
    transfer_syntax_uid: str
