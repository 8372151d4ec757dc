"""Storage commitment, Push Model (PS3.4 Annex J): as SCP, and as the place where reports to us may arrive.

An N-ACTION is answered when the request is durable. The report (N-EVENT-REPORT) follows on the same association;
where the peer does not answer it there, `Reporter` brings it on a new one.
"""

from __future__ import annotations

import itertools
import logging
import threading
from collections.abc import Callable, Iterator

from bt_node.receive import command as cs
from bt_node.receive import statuses
from bt_node.receive.answers import Answer, Message, respond
from bt_node.receive.association import Who
from bt_node.receive.command import Command, encode_command
from bt_node.receive.errors import EncodingError, SpoolWriteError
from bt_node.receive.negotiation import STORAGE_COMMITMENT, STORAGE_COMMITMENT_INSTANCE, AcceptedContext
from bt_node.receive.ports import ReceiptBook
from bt_node.receive.promises import Promise, Promises
from bt_node.receive.references import References, encode_report, read_references

_log = logging.getLogger(__name__)

MAX_INFORMATION_BYTES = 4 * 1024 * 1024  # some 30,000 objects
REQUEST_STORAGE_COMMITMENT = 1  # Action Type ID
ALL_KEPT, FAILURES_EXIST = 1, 2  # Event Type ID

_IN_HAND = 0  # stands for the Message ID of a report that is not sent yet
_MAX_UNANSWERED = 8  # of one association


class Commitment:
    """What all associations share: promises, and which of them wait for an answer on their association."""

    def __init__(self, promises: Promises, book: ReceiptBook, wake_reporter: Callable[[], None]) -> None:
        self._promises = promises
        self._book = book
        self._wake_reporter = wake_reporter
        self._numbers = itertools.count(1)
        self._lock = threading.Lock()
        self._unanswered: dict[tuple[str, int], Promise] = {}

    def reported(self, association: str, response: Command) -> None:
        """A peer answered our N-EVENT-REPORT."""
        with self._lock:
            promise = self._unanswered.pop((association, response.number(cs.MESSAGE_ID_RESPONDED_TO) or 0), None)
        if promise is None:
            return
        if response.number(cs.STATUS) == statuses.SUCCESS:
            self._promises.forget(promise)
        else:
            self._wake_reporter()

    def closed(self, association: str) -> None:
        """An association ended: what was not answered there is brought on a new one."""
        with self._lock:
            left = [key for key in self._unanswered if key[0] == association]
            for key in left:
                del self._unanswered[key]
        if left:
            self._wake_reporter()

    def is_under_way(self, promise: Promise) -> bool:
        """Whether its report waits for an answer on the association that asked for it."""
        with self._lock:
            return promise in self._unanswered.values()

    def ask(self, command: Command, data: bytes, context: AcceptedContext, who: Who) -> Answer | Promise:
        """An N-ACTION: the promise, durable, or why there is none."""
        refused = _check(command, context, cs.REQUESTED_SOP_INSTANCE_UID)
        if refused is not None:
            return refused
        if command.number(cs.ACTION_TYPE_ID) != REQUEST_STORAGE_COMMITMENT:
            return Answer(statuses.NO_SUCH_ACTION)
        try:
            asked = read_references(data, context.transfer_syntax)
            promise = Promise(who.calling, asked.transaction_uid, asked.referenced)
            with self._lock:
                if sum(name == who.name for name, _ in self._unanswered) >= _MAX_UNANSWERED:
                    return Answer(statuses.RESOURCE_LIMITATION, "reports are not answered")
                self._unanswered[who.name, _IN_HAND] = promise
            self._promises.keep(promise)
        except EncodingError as error:
            return Answer(statuses.INVALID_ARGUMENT, str(error))
        except SpoolWriteError as error:
            _log.error("%s: %s", error.code, error.message)
            return Answer(statuses.RESOURCE_LIMITATION, f"spool: {error.detail}")
        return promise

    def event(self, promise: Promise, context_id: int, context: AcceptedContext, who: Who) -> Message | None:
        """Our N-EVENT-REPORT on the association that asked; None where the book does not answer now."""
        try:
            report = self._promises.report(promise)
        except Exception as error:  # noqa: BLE001 - whatever the book raises; the reporter tries again
            _log.error("a storage commitment could not be looked into now: %s", type(error).__name__)
            with self._lock:
                self._unanswered.pop((who.name, _IN_HAND), None)
            self._wake_reporter()
            return None
        number = next(self._numbers) % 0xFFFF + 1
        with self._lock:
            self._unanswered.pop((who.name, _IN_HAND), None)
            self._unanswered[who.name, number] = promise
        values: dict[int, cs.Value] = {
            cs.AFFECTED_SOP_CLASS_UID: STORAGE_COMMITMENT,
            cs.COMMAND_FIELD: cs.N_EVENT_REPORT_RQ,
            cs.MESSAGE_ID: number,
            cs.DATA_SET_TYPE: cs.DATA_SET,
            cs.AFFECTED_SOP_INSTANCE_UID: STORAGE_COMMITMENT_INSTANCE,
            cs.EVENT_TYPE_ID: event_type(report),
        }
        return Message(context_id, encode_command(values), encode_report(report, context.transfer_syntax))

    def take_report(self, command: Command, data: bytes, context: AcceptedContext, who: Who) -> Answer:
        """A peer's N-EVENT-REPORT about a commitment that this node asked for."""
        refused = _check(command, context, cs.AFFECTED_SOP_INSTANCE_UID)
        if refused is not None:
            return refused
        if command.number(cs.EVENT_TYPE_ID) not in {ALL_KEPT, FAILURES_EXIST}:
            return Answer(statuses.NO_SUCH_EVENT)
        try:
            report = read_references(data, context.transfer_syntax)
            self._book.commitment_reported(report.transaction_uid, who.calling, report.referenced, report.failed)
        except EncodingError as error:
            return Answer(statuses.INVALID_ARGUMENT, str(error))
        except Exception as error:  # noqa: BLE001 - the edge to the peer: it may report again
            _log.error("a report of storage commitment could not be noted: %s", type(error).__name__)
            return Answer(statuses.PROCESSING_FAILURE)
        return Answer(statuses.SUCCESS)


def event_type(report: References) -> int:
    """Event Type ID of a report."""
    return FAILURES_EXIST if report.failed else ALL_KEPT


def _check(command: Command, context: AcceptedContext, instance: int) -> Answer | None:
    if context.abstract_syntax != STORAGE_COMMITMENT:
        return Answer(statuses.UNRECOGNISED_OPERATION)
    if command.text(instance) != STORAGE_COMMITMENT_INSTANCE:
        return Answer(statuses.NO_SUCH_INSTANCE)
    return None


class Information:
    """The data set of an N-ACTION or N-EVENT-REPORT while it arrives, in memory up to a limit."""

    def __init__(self, command: Command, context_id: int, context: AcceptedContext, who: Who) -> None:
        self._command, self._context_id, self._context, self._who = command, context_id, context, who
        self._data = bytearray()
        self._too_large = False

    def write(self, part: memoryview) -> None:
        """Take bytes."""
        self._too_large = self._too_large or len(self._data) + len(part) > MAX_INFORMATION_BYTES
        if self._too_large:
            self._data.clear()
        else:
            self._data += part

    def discard(self) -> None:
        """Nothing was kept."""


class Action(Information):
    """An N-ACTION in progress."""

    def __init__(
        self, commitment: Commitment, command: Command, context_id: int, context: AcceptedContext, who: Who
    ) -> None:
        super().__init__(command, context_id, context, who)
        self._commitment = commitment

    def finish(self) -> Iterator[Message]:
        """The response, and then the report."""
        if self._too_large:
            asked: Answer | Promise = Answer(statuses.RESOURCE_LIMITATION, "too many objects in one request")
        else:
            asked = self._commitment.ask(self._command, bytes(self._data), self._context, self._who)
        if isinstance(asked, Answer):
            yield respond(self._command, self._context_id, asked)
            return
        done = Answer(statuses.SUCCESS)
        yield respond(self._command, self._context_id, done, ACTION_TYPE_ID=REQUEST_STORAGE_COMMITMENT)
        event = self._commitment.event(asked, self._context_id, self._context, self._who)
        if event is not None:
            yield event


class Event(Information):
    """An N-EVENT-REPORT in progress."""

    def __init__(
        self, commitment: Commitment, command: Command, context_id: int, context: AcceptedContext, who: Who
    ) -> None:
        super().__init__(command, context_id, context, who)
        self._commitment = commitment

    def finish(self) -> Iterator[Message]:
        """The response."""
        if self._too_large:
            answer = Answer(statuses.RESOURCE_LIMITATION, "too many objects in one report")
        else:
            answer = self._commitment.take_report(self._command, bytes(self._data), self._context, self._who)
        yield respond(self._command, self._context_id, answer)
