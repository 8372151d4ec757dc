"""C-STORE (PS3.4 Annex B, PS3.7 9.1.1): from the bytes of a request to a durable, recorded instance and a status.

The data set goes to the disk as it came; nothing is decoded and encoded again. Success is answered only when the file
and its name are synced and the job book has the instance.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import traceback
from dataclasses import dataclass

from pydicom.dataset import Dataset

from bt_node.domain.errors import InstanceConflictError
from bt_node.domain.receipt import ReceivedInstance, Refusal
from bt_node.receive import header, statuses
from bt_node.receive.errors import DifferentObjectError, EncodingError, SpoolWriteError, StoreRefusedError
from bt_node.receive.header import Identity, read_identity
from bt_node.receive.negotiation import MR_IMAGES, STORAGE_CLASSES
from bt_node.receive.part10 import StoredFile, encode_file_meta, read_stored_file
from bt_node.receive.ports import ReceiptBook
from bt_node.receive.sameness import Encoded, same_object
from bt_node.receive.spool import Spool, instance_path
from bt_node.receive.uids import is_safe_uid

_log = logging.getLogger(__name__)

_LOCKS = 64
_MAX_COMMENT = 64  # (0000,0902) is LO


@dataclass(frozen=True)
class StoreRequest:
    """A C-STORE request as it came over the wire.

    Attributes:
        sop_class_uid: Affected SOP Class UID of the command.
        sop_instance_uid: Affected SOP Instance UID of the command; any text the peer chose.
        context_class_uid: abstract syntax of the presentation context it came in.
        transfer_syntax_uid: transfer syntax of that context.
        data: the encoded data set.
    """

    sop_class_uid: str
    sop_instance_uid: str
    context_class_uid: str
    transfer_syntax_uid: str
    data: bytes
    calling_ae_title: str = ""
    called_ae_title: str = ""


class StoreScp:
    """Answers C-STORE requests of any number of associations at once."""

    def __init__(self, spool: Spool, book: ReceiptBook) -> None:
        self._spool = spool
        self._book = book
        # One instance must not be checked and written by two associations at once; others need not wait for it.
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def answer(self, request: StoreRequest, association: str) -> Dataset:
        """Store the instance and give the status elements of the response; never raises."""
        try:
            self.store(request, association)
        except StoreRefusedError as refusal:
            self._note(request, refusal)
            return _response(refusal.status, refusal.comment, refusal.offending)
        except Exception as error:  # noqa: BLE001 - the edge to the peer: it gets a status whatever happened
            # Where it happened, never the text: a message of a library may quote the data set.
            where = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("C-STORE failed: %s in %s:%s", type(error).__name__, where.filename, where.lineno)
            failure = StoreRefusedError(statuses.PROCESSING_FAILURE, "processing failure, see the node's log")
            self._note(request, failure)
            return _response(failure.status, failure.comment)
        return _response(statuses.SUCCESS)

    def store(self, request: StoreRequest, association: str) -> None:
        """Make the instance durable and recorded.

        Raises:
            StoreRefusedError: with the status the peer must get.
        """
        identity = _identify(request)
        path = instance_path(identity.study_instance_uid, identity.series_instance_uid, identity.sop_instance_uid)
        instance = describe(path, request, identity)
        with self._locks[hash(instance.sop_instance_uid) % _LOCKS]:
            self._keep(instance, request, association)

    def _keep(self, instance: ReceivedInstance, request: StoreRequest, association: str) -> None:
        known = self._ask_book(instance.sop_instance_uid)
        on_disk = self._spool.absolute(instance.path).exists()
        if on_disk and known != instance.digest:
            instance = self._as_kept(instance, request)
        elif not on_disk and known in {None, instance.digest}:
            self._write(instance, request)
        elif not on_disk:  # known, of another study or series
            raise DifferentObjectError
        # Also when the book has it: it changes no row, but this association keeps the study open while it sends.
        self._record(instance, association)

    def _as_kept(self, instance: ReceivedInstance, request: StoreRequest) -> ReceivedInstance:
        """The instance as its file has it, if that is the object of the request.

        The book may not know the file: a crash, or a book out of reach, came between the two.
        """
        try:
            stored = read_stored_file(self._spool.absolute(instance.path))
        except (OSError, ValueError) as error:
            raise StoreRefusedError(statuses.OUT_OF_RESOURCES, "the kept file cannot be read") from error
        kept = describe(instance.path, stored, _identify_stored(stored))
        if kept.digest == instance.digest:
            return kept
        arrived = Encoded(request.data, request.transfer_syntax_uid)
        if same_object(Encoded(stored.data, stored.transfer_syntax_uid), arrived):
            return kept
        raise DifferentObjectError

    def _ask_book(self, sop_instance_uid: str) -> str | None:
        try:
            return self._book.known_digest(sop_instance_uid)
        except Exception as error:
            raise _book_unavailable(error) from error

    def _record(self, instance: ReceivedInstance, association: str) -> None:
        try:
            self._book.record_instance(instance, association)
        except InstanceConflictError as error:
            raise DifferentObjectError from error
        except Exception as error:
            raise _book_unavailable(error) from error

    def _write(self, instance: ReceivedInstance, request: StoreRequest) -> None:
        meta = encode_file_meta(
            instance.sop_class_uid,
            instance.sop_instance_uid,
            instance.transfer_syntax_uid,
            calling=request.calling_ae_title,
            called=request.called_ae_title,
        )
        try:
            self._spool.write(instance.path, (meta, request.data))
        except SpoolWriteError as error:
            _log.error("%s: %s", error.code, error.message)
            raise StoreRefusedError(statuses.OUT_OF_RESOURCES, f"spool: {error.detail}") from error

    def _note(self, request: StoreRequest, refusal: StoreRefusedError) -> None:
        # A UID is noted only if it is one: anything else is text the peer chose.
        named = request.sop_instance_uid if is_safe_uid(request.sop_instance_uid) else ""
        _log.warning("C-STORE of %s from %s refused: %s", named or "?", request.calling_ae_title, refusal.message)
        try:
            self._book.note_refusal(
                Refusal(
                    status=refusal.status,
                    reason=refusal.comment,
                    calling_ae_title=request.calling_ae_title,
                    sop_instance_uid=named,
                    study_instance_uid=_study_of(request),
                )
            )
        except Exception as error:  # noqa: BLE001 - the peer's answer matters more than our note of it
            _log.error("a refusal could not be noted: %s", type(error).__name__)


def digest_of(data: bytes) -> str:
    """SHA-256 (hex) of a data set as it was received."""
    return hashlib.sha256(data).hexdigest()


def describe(path: str, stored: StoredFile | StoreRequest, identity: Identity) -> ReceivedInstance:
    """What the job book records of an instance at `path` in the spool."""
    return ReceivedInstance(
        sop_instance_uid=identity.sop_instance_uid,
        sop_class_uid=identity.sop_class_uid,
        study_instance_uid=identity.study_instance_uid,
        series_instance_uid=identity.series_instance_uid,
        transfer_syntax_uid=stored.transfer_syntax_uid,
        path=path,
        size_bytes=len(stored.data),
        digest=digest_of(stored.data),
        calling_ae_title=stored.calling_ae_title,
        is_image=identity.sop_class_uid in MR_IMAGES,
    )


def _identify(request: StoreRequest) -> Identity:
    """The data set's UIDs, once the command, the context and the data set agree."""
    if request.sop_class_uid not in STORAGE_CLASSES or request.sop_class_uid != request.context_class_uid:
        raise StoreRefusedError(statuses.SOP_CLASS_NOT_SUPPORTED, "SOP class is not that of the context")
    if not is_safe_uid(request.sop_instance_uid):
        raise StoreRefusedError(statuses.INVALID_SOP_INSTANCE, "Affected SOP Instance UID is not a UID")
    try:
        identity = read_identity(request.data, request.transfer_syntax_uid)
    except EncodingError as error:
        raise StoreRefusedError(statuses.CANNOT_UNDERSTAND, f"unreadable at byte {error.position}") from error
    _check_agreement(request, identity)
    return identity


def _identify_stored(stored: StoredFile) -> Identity:
    return read_identity(stored.data, stored.transfer_syntax_uid)


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


def _study_of(request: StoreRequest) -> str:
    try:
        study = read_identity(request.data, request.transfer_syntax_uid).study_instance_uid
    except EncodingError:
        return ""
    return study if is_safe_uid(study) else ""


def _book_unavailable(error: Exception) -> StoreRefusedError:
    _log.error("the job book did not answer: %s", type(error).__name__)
    return StoreRefusedError(statuses.OUT_OF_RESOURCES, "the job book is not available")


def _response(status: int, comment: str = "", offending: tuple[int, ...] = ()) -> Dataset:
    response = Dataset()
    response.Status = status
    if comment:
        response.ErrorComment = comment[:_MAX_COMMENT]
    if offending:
        response.OffendingElement = list(offending)
    return response
