"""From a command to who answers it: C-ECHO, C-STORE and storage commitment; everything else is 0x0211."""

from __future__ import annotations

from collections.abc import Iterator

from bt_node.receive import command as cs
from bt_node.receive import statuses
from bt_node.receive.answers import Answer, Message, respond
from bt_node.receive.association import Exchange, Who
from bt_node.receive.command import Command
from bt_node.receive.commitment import Action, Commitment, Event
from bt_node.receive.instance import StoreRequest
from bt_node.receive.negotiation import VERIFICATION, AcceptedContext
from bt_node.receive.store import StoreScp


class Verbs:
    """The verbs of the listener."""

    def __init__(self, store: StoreScp, commitment: Commitment) -> None:
        self._store = store
        self._commitment = commitment

    def begin(self, command: Command, context_id: int, context: AcceptedContext, who: Who) -> Exchange:
        """Who answers this command."""
        if command.is_response or command.field == cs.C_CANCEL_RQ:
            if command.field == cs.N_EVENT_REPORT_RQ | cs.RESPONSE:
                self._commitment.reported(who.name, command)
            return _Unanswered()
        if command.field == cs.C_STORE_RQ:
            return _Storing(command, context_id, self._store, _store_request(command, context, who), who.name)
        if command.field == cs.C_ECHO_RQ:
            # PS3.4 Annex A: we are here.
            known = context.abstract_syntax == VERIFICATION
            return _Answered(
                command, context_id, Answer(statuses.SUCCESS if known else statuses.SOP_CLASS_NOT_SUPPORTED)
            )
        if command.field == cs.N_ACTION_RQ:
            return Action(self._commitment, command, context_id, context, who)
        if command.field == cs.N_EVENT_REPORT_RQ:
            return Event(self._commitment, command, context_id, context, who)
        return _Answered(command, context_id, Answer(statuses.UNRECOGNISED_OPERATION))


def _store_request(command: Command, context: AcceptedContext, who: Who) -> StoreRequest:
    return StoreRequest(
        sop_class_uid=command.text(cs.AFFECTED_SOP_CLASS_UID),
        sop_instance_uid=command.text(cs.AFFECTED_SOP_INSTANCE_UID),
        context_class_uid=context.abstract_syntax,
        transfer_syntax_uid=context.transfer_syntax,
        calling_ae_title=who.calling,
        called_ae_title=who.called,
    )


class _Unanswered:
    """A message that gets no answer: a cancel of what is over, or a response."""

    def write(self, part: memoryview) -> None:
        pass

    def finish(self) -> Iterator[Message]:
        yield from ()

    def discard(self) -> None:
        pass


class _Answered(_Unanswered):
    """A request whose answer its command decides; a data set, if there is one, is thrown away."""

    def __init__(self, command: Command, context_id: int, answer: Answer) -> None:
        self._command, self._context_id, self._answer = command, context_id, answer

    def finish(self) -> Iterator[Message]:
        yield respond(self._command, self._context_id, self._answer)


class _Storing:
    def __init__(
        self, command: Command, context_id: int, store: StoreScp, request: StoreRequest, association: str
    ) -> None:
        self._command, self._context_id = command, context_id
        self._reception = store.begin(request, association)

    def write(self, part: memoryview) -> None:
        self._reception.write(part)

    def finish(self) -> Iterator[Message]:
        yield respond(self._command, self._context_id, self._reception.answer())

    def discard(self) -> None:
        self._reception.discard()
