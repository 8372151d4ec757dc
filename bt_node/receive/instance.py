"""Which instance a C-STORE brings, or a file of the spool holds: UIDs that agree, and what the job book records."""

from __future__ import annotations

from dataclasses import dataclass

from bt_node.domain.receipt import ReceivedInstance
from bt_node.domain.uids import is_safe_uid
from bt_node.receive import header, statuses
from bt_node.receive.errors import EncodingError, StoreRefusedError
from bt_node.receive.header import Identity, find_identity
from bt_node.receive.incoming import Incoming
from bt_node.receive.negotiation import MR_IMAGES, STORAGE_CLASSES
from bt_node.receive.part10 import StoredFile


@dataclass(frozen=True)
class StoreRequest:
    """A C-STORE request as it came over the wire, its data set apart.

    Attributes:
        sop_class_uid: Affected SOP Class UID of the command.
        sop_instance_uid: Affected SOP Instance UID of the command; any text the peer chose.
        context_class_uid: abstract syntax of the presentation context it came in.
        transfer_syntax_uid: transfer syntax of that context.
    """

    sop_class_uid: str
    sop_instance_uid: str
    context_class_uid: str
    transfer_syntax_uid: str
    calling_ae_title: str = ""
    called_ae_title: str = ""


def describe(path: str, stored: StoredFile, identity: Identity) -> ReceivedInstance:
    """What the job book records of a file at `path` in the spool."""
    return instance_of(path, identity, stored, stored.size_bytes, stored.digest())


def identity_of(stored: StoredFile) -> Identity:
    """The UIDs in a file of the spool.

    Raises:
        OSError: it cannot be read.
        EncodingError: it is no data set of its transfer syntax.
    """
    return find_identity(stored.head, stored.size_bytes, stored.transfer_syntax_uid)


def instance_of(
    path: str, identity: Identity, came: StoredFile | StoreRequest, size_bytes: int, digest: str
) -> ReceivedInstance:
    """What the job book records of an instance, by its UIDs and how it came."""
    return ReceivedInstance(
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=identity.sop_class_uid,
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        transfer_syntax_uid=came.transfer_syntax_uid,
        path=path,
        size_bytes=size_bytes,
        digest=digest,
        calling_ae_title=came.calling_ae_title,
        is_image=identity.sop_class_uid in MR_IMAGES,
    )


def check_command(request: StoreRequest) -> None:
    """What the command alone tells.

    Raises:
        StoreRefusedError: SOP class or instance cannot be taken.
    """
    if request.sop_class_uid not in STORAGE_CLASSES or request.sop_class_uid != request.context_class_uid:
        raise StoreRefusedError(statuses.SOP_CLASS_NOT_SUPPORTED, "SOP class is not that of the context")
    if not is_safe_uid(request.sop_instance_uid):
        raise StoreRefusedError(statuses.INVALID_SOP_INSTANCE, "Affected SOP Instance UID is not a UID")


def identify(request: StoreRequest, incoming: Incoming) -> Identity:
    """The data set's UIDs, once the command, the context and the data set agree.

    Raises:
        StoreRefusedError: they do not, or the data set cannot be read.
    """
    try:
        identity = find_identity(incoming.head, incoming.size_bytes, request.transfer_syntax_uid)
    except EncodingError as error:
        raise StoreRefusedError(statuses.CANNOT_UNDERSTAND, f"unreadable at byte {error.position}") from error
    _check_agreement(request, identity)
    return identity


def _check_agreement(request: StoreRequest, identity: Identity) -> None:
    for tag, value, keyword in (
        (header.SOP_CLASS_UID, identity.sop_class_uid, "SOPClassUID"),
        (header.SOP_INSTANCE_UID, identity.sop_instance_uid, "SOPInstanceUID"),
        (header.STUDY_INSTANCE_UID, identity.study_instance_uid, "StudyInstanceUID"),
        (header.SERIES_INSTANCE_UID, identity.series_instance_uid, "SeriesInstanceUID"),
    ):
        if not is_safe_uid(value):
            problem = "is missing" if not value else "is not a UID"
            raise StoreRefusedError(statuses.CANNOT_UNDERSTAND, f"{keyword} {problem}", (tag,))
    if identity.sop_class_uid != request.sop_class_uid:
        raise StoreRefusedError(
            statuses.DATA_SET_DOES_NOT_MATCH, "SOPClassUID differs from the command", (header.SOP_CLASS_UID,)
        )
    if identity.sop_instance_uid != request.sop_instance_uid:
        raise StoreRefusedError(
            statuses.DATA_SET_DOES_NOT_MATCH, "SOPInstanceUID differs from the command", (header.SOP_INSTANCE_UID,)
        )
