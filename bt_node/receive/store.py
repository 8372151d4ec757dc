"""C-STORE (PS3.4 Annex B, PS3.7 9.1.1): from the bytes of a request to a durable, recorded instance and a status.

The data set goes to the disk as it comes; nothing is decoded and encoded again. Success is answered only when the
file and its name are synced and the job book has the instance.
"""

from __future__ import annotations

import logging
import threading
import traceback

from bt_node.domain.errors import InstanceConflictError
from bt_node.domain.receipt import HeldInstance, ReceivedInstance, Refusal
from bt_node.domain.uids import is_safe_uid
from bt_node.receive import statuses
from bt_node.receive.answers import Answer
from bt_node.receive.errors import DifferentObjectError, EncodingError, SpoolWriteError, StoreRefusedError
from bt_node.receive.header import find_identity
from bt_node.receive.incoming import Incoming
from bt_node.receive.instance import StoreRequest, check_command, describe, identify, identity_of, instance_of
from bt_node.receive.part10 import Kept, StoredFile, encode_file_meta, look_at, read_stored_file
from bt_node.receive.ports import ReceiptBook
from bt_node.receive.recorder import GroupRecorder
from bt_node.receive.sameness import Encoded, same_object
from bt_node.receive.spool import Spool, instance_path

_log = logging.getLogger(__name__)

_LOCKS = 64
_LOOKS = 3
# Objects that differ in bytes are compared in memory, one pair at a time; larger ones count as different.
_MAX_COMPARED = 128 * 1024 * 1024
_comparing = threading.Lock()


class Reception:
    """One C-STORE in progress: `write` its data set as it comes, then `answer`; `discard` at the end in any case.

    What is refused already is still taken off the wire, and goes nowhere.
    """

    def __init__(self, scp: StoreScp, request: StoreRequest, association: str) -> None:
        self._scp = scp
        self.request = request
        self.association = association
        self.refusal: StoreRefusedError | None = None
        self.incoming: Incoming | None = None
        try:
            check_command(request)
            self.incoming = scp.open_file(request)
        except StoreRefusedError as refusal:
            self.refusal = refusal

    def write(self, part: bytes | memoryview) -> None:
        """Take bytes of the data set."""
        if self.refusal is None and self.incoming is not None:
            try:
                self.incoming.write(part)
            except SpoolWriteError as error:
                self.refusal = _spool_refused(error)

    def answer(self) -> Answer:
        """Store the instance and give the status of the response; never raises."""
        return self._scp.answer(self)

    def discard(self) -> None:
        """Remove what was not placed."""
        if self.incoming is not None:
            self.incoming.discard()


class StoreScp:
    """Answers C-STORE requests of any number of associations at once."""

    def __init__(self, spool: Spool, book: ReceiptBook) -> None:
        self._spool = spool
        self._book = book
        self._recorder = GroupRecorder(book)
        # One instance must not be checked and written by two associations at once; others need not wait for it.
        self._locks = [threading.Lock() for _ in range(_LOCKS)]

    def begin(self, request: StoreRequest, association: str) -> Reception:
        """A request whose data set is still to come; never raises for what the peer sent."""
        return Reception(self, request, association)

    def open_file(self, request: StoreRequest) -> Incoming:
        """A file for the request's data set.

        Raises:
            StoreRefusedError: the disk is full or broken.
        """
        meta = encode_file_meta(
            request.sop_class_uid,
            request.sop_instance_uid,
            request.transfer_syntax_uid,
            calling=request.calling_ae_title,
            called=request.called_ae_title,
        )
        try:
            return self._spool.receive(meta)
        except SpoolWriteError as error:
            raise _spool_refused(error) from error

    def answer(self, reception: Reception) -> Answer:
        """Store the instance and give the status of the response; never raises."""
        try:
            self._store(reception)
        except StoreRefusedError as refusal:
            self._note(reception, refusal)
            return Answer(refusal.status, refusal.comment, refusal.offending)
        except Exception as error:  # noqa: BLE001 - the edge to the peer: it gets a status whatever happened
            # Where it happened, never the text: a message of a library may quote the data set.
            where = traceback.extract_tb(error.__traceback__)[-1]
            _log.error("C-STORE failed: %s in %s:%s", type(error).__name__, where.filename, where.lineno)
            failure = StoreRefusedError(statuses.PROCESSING_FAILURE, "processing failure, see the node's log")
            self._note(reception, failure)
            return Answer(failure.status, failure.comment)
        else:
            return Answer(statuses.SUCCESS)
        finally:
            reception.discard()

    def _store(self, reception: Reception) -> None:
        """Make the instance durable and recorded.

        Raises:
            StoreRefusedError: with the status the peer must get.
        """
        if reception.refusal is not None:
            raise reception.refusal
        request, incoming = reception.request, reception.incoming
        assert incoming is not None  # noqa: S101 - it is, where nothing was refused
        identity = identify(request, incoming)
        path = instance_path(identity.study_instance_uid, identity.series_instance_uid, identity.sop_instance_uid)
        instance = instance_of(path, identity, request, incoming.size_bytes, incoming.digest)
        with self._locks[hash(instance.sop_instance_uid) % _LOCKS]:
            self._keep(instance, incoming, reception.association)

    def _keep(self, instance: ReceivedInstance, incoming: Incoming, association: str) -> None:
        for _ in range(_LOOKS):
            if self._keep_once(instance, incoming, association):
                return
            # retention removed the file between our two looks at it
        raise StoreRefusedError(statuses.OUT_OF_RESOURCES, "the kept file comes and goes")

    def _keep_once(self, instance: ReceivedInstance, incoming: Incoming, association: str) -> bool:
        """Store and record; False when the file that another one had stored before was not there at the end."""
        file = self._spool.absolute(instance.path)
        placed = not file.exists() and self._place(instance, incoming)
        if not placed:
            kept = self._kept(instance, incoming)
            if kept is None:
                return False
            instance = kept
        try:
            # Also when the book has it: it changes no row, but this association keeps the study open while it sends.
            self._record(instance, association)
        except DifferentObjectError:
            if not placed:
                raise
            if not self._replace_lost(instance):
                self._spool.remove(instance.path)  # the SOPInstanceUID is known from another study or series
                raise
            self._record(instance, association)
        return placed or file.exists()

    def _kept(self, instance: ReceivedInstance, incoming: Incoming) -> ReceivedInstance | None:
        """The instance as it lies there, which is what came before; in place of a damaged file what came now.

        None where the file is gone.
        """
        held = self._ask_book(instance.sop_instance_uid)
        if held is None or held.path != instance.path:
            return self._as_kept(instance, incoming)
        match self._look_at(held):
            case Kept.GONE:
                return None
            case Kept.DAMAGED:
                self._replace_damaged(instance, held, incoming)
                return instance
        return instance if held.digest == instance.digest else self._as_kept(instance, incoming)

    def _look_at(self, held: HeldInstance) -> Kept:
        try:
            return look_at(self._spool.absolute(held.path), held.digest, held.transfer_syntax_uid)
        except OSError as error:
            raise StoreRefusedError(statuses.OUT_OF_RESOURCES, "the kept file cannot be read") from error

    def _replace_damaged(self, instance: ReceivedInstance, held: HeldInstance, incoming: Incoming) -> None:
        """Put what came now in the place of a file that is not what was received; the row says what lies there.

        A crash between the two leaves a file that differs from its row: it counts as damaged, and is replaced again.
        """
        self._replace(instance, incoming)
        if (held.digest, held.transfer_syntax_uid) != (instance.digest, instance.transfer_syntax_uid):
            self._replace_lost(instance)

    def _replace(self, instance: ReceivedInstance, incoming: Incoming) -> None:
        _log.warning("%s in the spool is not what was received; what is sent now takes its place", instance.path)
        try:
            incoming.place(instance.path, replace=True)
        except SpoolWriteError as error:
            raise _spool_refused(error) from error

    def _as_kept(self, instance: ReceivedInstance, incoming: Incoming) -> ReceivedInstance | None:
        """The instance as its file has it, if that is the object of the request; None where the file is gone.

        The book may not know the file: a crash, or a book out of reach, came between the two.
        """
        try:
            self._spool.make_name_durable(instance.path)
            stored = read_stored_file(self._spool.absolute(instance.path))
            kept = describe(instance.path, stored, identity_of(stored))
            if kept.digest == instance.digest or self._same(stored, instance, incoming):
                return kept
        except FileNotFoundError:
            return None
        except OSError as error:
            raise StoreRefusedError(statuses.OUT_OF_RESOURCES, "the kept file cannot be read") from error
        except (ValueError, EncodingError):  # no object at all: nobody was told that it is kept
            self._replace(instance, incoming)
            return instance
        raise DifferentObjectError

    def _same(self, stored: StoredFile, instance: ReceivedInstance, incoming: Incoming) -> bool:
        if max(stored.size_bytes, incoming.size_bytes) > _MAX_COMPARED:
            return False
        with _comparing:
            return same_object(
                Encoded(stored.data, stored.transfer_syntax_uid),
                Encoded(incoming.head(incoming.size_bytes), instance.transfer_syntax_uid),
            )

    def _ask_book(self, sop_instance_uid: str) -> HeldInstance | None:
        try:
            return self._book.held_instances([sop_instance_uid]).get(sop_instance_uid)
        except Exception as error:
            raise _book_unavailable(error) from error

    def _record(self, instance: ReceivedInstance, association: str) -> None:
        try:
            self._recorder.record(instance, association)
        except InstanceConflictError as error:
            raise DifferentObjectError from error
        except Exception as error:
            raise _book_unavailable(error) from error

    def _replace_lost(self, instance: ReceivedInstance) -> bool:
        """Whether the book now has this object in the place of one whose file was lost: nothing else is kept."""
        try:
            return self._book.replace_lost(instance)
        except Exception as error:
            raise _book_unavailable(error) from error

    def _place(self, instance: ReceivedInstance, incoming: Incoming) -> bool:
        """Give the file its name; False when another process has just stored one of that name."""
        try:
            incoming.place(instance.path)
        except FileExistsError:
            return False
        except SpoolWriteError as error:
            raise _spool_refused(error) from error
        return True

    def _note(self, reception: Reception, refusal: StoreRefusedError) -> None:
        request = reception.request
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
                    study_instance_uid=_study_of(reception),
                )
            )
        except Exception as error:  # noqa: BLE001 - the peer's answer matters more than our note of it
            _log.error("a refusal could not be noted: %s", type(error).__name__)


def _study_of(reception: Reception) -> str:
    """The study, for our note of a refusal, where the data set got so far as to name one."""
    incoming = reception.incoming
    if incoming is None or not incoming.is_open:
        return ""
    try:
        syntax = reception.request.transfer_syntax_uid
        study = find_identity(incoming.head, incoming.size_bytes, syntax).study_instance_uid
    except (EncodingError, OSError):
        return ""
    return study if is_safe_uid(study) else ""


def _spool_refused(error: SpoolWriteError) -> StoreRefusedError:
    _log.error("%s: %s", error.code, error.message)
    return StoreRefusedError(statuses.OUT_OF_RESOURCES, f"spool: {error.detail}")


def _book_unavailable(error: Exception) -> StoreRefusedError:
    _log.error("the job book did not answer: %s", type(error).__name__)
    return StoreRefusedError(statuses.OUT_OF_RESOURCES, "the job book is not available")
