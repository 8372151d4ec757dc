"""What a request is answered with."""

from __future__ import annotations

from dataclasses import dataclass

from bt_node.domain.uids import is_safe_uid
from bt_node.receive import command as cs
from bt_node.receive.command import Command, Value, encode_command

_MAX_COMMENT = 64  # (0000,0902) is LO


@dataclass(frozen=True)
class Answer:
    """Status of a response, words for Error Comment and tags for Offending Element."""

    status: int
    comment: str = ""
    offending: tuple[int, ...] = ()


@dataclass(frozen=True)
class Message:
    """A DIMSE message to be sent: command set and data set, encoded."""

    context_id: int
    command: bytes
    data: bytes = b""


def respond(request: Command, context_id: int, answer: Answer, **echoed: int) -> Message:
    """The response to a request without a data set (PS3.7 9.3, 10.3).

    Args:
        request: its command.
        context_id: presentation context it came in.
        answer: what it gets.
        echoed: further US elements, by the names of bt_node.receive.command.
    """
    values: dict[int, Value] = {
        cs.COMMAND_FIELD: request.field | cs.RESPONSE,
        cs.MESSAGE_ID_RESPONDED_TO: request.message_id,
        cs.DATA_SET_TYPE: cs.NO_DATA_SET,
        cs.STATUS: answer.status,
    }
    values |= {getattr(cs, name): value for name, value in echoed.items()}
    # What the peer chose goes back to it only where it is a UID.
    sop_class = request.text(cs.AFFECTED_SOP_CLASS_UID) or request.text(cs.REQUESTED_SOP_CLASS_UID)
    instance = request.text(cs.AFFECTED_SOP_INSTANCE_UID) or request.text(cs.REQUESTED_SOP_INSTANCE_UID)
    if is_safe_uid(sop_class):
        values[cs.AFFECTED_SOP_CLASS_UID] = sop_class
    if is_safe_uid(instance):
        values[cs.AFFECTED_SOP_INSTANCE_UID] = instance
    if answer.comment:
        values[cs.ERROR_COMMENT] = answer.comment[:_MAX_COMMENT]
    if answer.offending:
        values[cs.OFFENDING_ELEMENT] = answer.offending
    return Message(context_id, encode_command(values))
