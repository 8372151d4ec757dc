"""DIMSE command sets (PS3.7 chapter 6.3 and Annex E): group 0000 in Implicit VR Little Endian, nothing nested."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

MAX_COMMAND_BYTES = 64 * 1024  # real ones have some 200

C_STORE_RQ, C_ECHO_RQ, N_EVENT_REPORT_RQ, N_ACTION_RQ, C_CANCEL_RQ = 0x0001, 0x0030, 0x0100, 0x0130, 0x0FFF
RESPONSE = 0x8000
NO_DATA_SET, DATA_SET = 0x0101, 0x0001

AFFECTED_SOP_CLASS_UID, REQUESTED_SOP_CLASS_UID = 0x0002, 0x0003
COMMAND_FIELD, MESSAGE_ID, MESSAGE_ID_RESPONDED_TO, DATA_SET_TYPE = 0x0100, 0x0110, 0x0120, 0x0800
STATUS, OFFENDING_ELEMENT, ERROR_COMMENT = 0x0900, 0x0901, 0x0902
AFFECTED_SOP_INSTANCE_UID, REQUESTED_SOP_INSTANCE_UID = 0x1000, 0x1001
EVENT_TYPE_ID, ACTION_TYPE_ID = 0x1002, 0x1008

_ELEMENT = struct.Struct("<HHL")
_US = struct.Struct("<H")
_UL = struct.Struct("<L")
_AT = struct.Struct("<HH")
_MAX_ELEMENTS = 256

Value = int | str | tuple[int, ...]


class CommandError(ValueError):
    """Bytes that are no command set."""


@dataclass(frozen=True)
class Command:
    """A command set of a request or response: values as encoded, by element number of group 0000."""

    values: dict[int, bytes] = field(default_factory=dict)

    def number(self, element: int) -> int | None:
        """Value of a US element; None where it is absent or no US."""
        value = self.values.get(element, b"")
        return _US.unpack(value)[0] if len(value) == _US.size else None

    def text(self, element: int) -> str:
        """Value of a UI element, "" where it is absent; bytes that are no ASCII become "?" and so no valid UID."""
        return self.values.get(element, b"").rstrip(b"\0 ").decode("ascii", errors="replace")

    @property
    def field(self) -> int:
        """Command Field (0000,0100)."""
        return self.number(COMMAND_FIELD) or 0

    @property
    def message_id(self) -> int:
        """Message ID (0000,0110)."""
        return self.number(MESSAGE_ID) or 0

    @property
    def has_data_set(self) -> bool:
        """Whether a data set follows (0000,0800); anything but 0101H says so."""
        return self.number(DATA_SET_TYPE) != NO_DATA_SET

    @property
    def is_response(self) -> bool:
        """Whether it answers one of our requests."""
        return bool(self.field & RESPONSE)


def decode_command(data: bytes | bytearray | memoryview) -> Command:
    """Read a command set. The group length is not believed: it says nothing that the bytes do not.

    Raises:
        CommandError: the bytes do not add up, or what every message must have is missing.
    """
    command = Command(dict(_elements(memoryview(data))))
    if command.number(COMMAND_FIELD) is None or command.number(DATA_SET_TYPE) is None:
        raise CommandError("no Command Field or no Command Data Set Type")
    asks = not command.is_response and command.field != C_CANCEL_RQ
    if command.number(MESSAGE_ID if asks else MESSAGE_ID_RESPONDED_TO) is None:
        raise CommandError("no Message ID")
    return command


def _elements(data: memoryview) -> Iterator[tuple[int, bytes]]:
    position = count = 0
    while position < len(data):
        if len(data) - position < _ELEMENT.size:
            raise CommandError("an element header is cut off")
        group, element, length = _ELEMENT.unpack_from(data, position)
        position += _ELEMENT.size
        count += 1
        if group != 0 or count > _MAX_ELEMENTS or length > len(data) - position:
            raise CommandError("an element that does not belong here or does not fit")
        yield element, bytes(data[position : position + length])
        position += length


def encode_command(values: dict[int, Value]) -> bytes:
    """A command set with its group length.

    Args:
        values: by element number of group 0000: int for US, str for UI and LO, a tuple of tags for AT.
    """
    body = b"".join(_encode(element, values[element]) for element in sorted(values))
    return _ELEMENT.pack(0, 0, _UL.size) + _UL.pack(len(body)) + body


def _encode(element: int, value: Value) -> bytes:
    if isinstance(value, int):
        encoded = _US.pack(value)
    elif isinstance(value, str):
        padding = b" " if element == ERROR_COMMENT else b"\0"
        text = value.encode("ascii", errors="replace")
        encoded = text + padding * (len(text) % 2)
    else:
        encoded = b"".join(_AT.pack(tag >> 16, tag & 0xFFFF) for tag in value)
    return _ELEMENT.pack(0, element, len(encoded)) + encoded
