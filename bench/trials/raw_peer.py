"""A peer that writes PDUs byte by byte, and so may also write wrong ones."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from pydicom import uid
from pydicom.dataset import Dataset
from pynetdicom import build_context
from pynetdicom.dsutils import encode
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from bt_node.receive import command as cs
from bt_node.receive.command import Value, decode_command, encode_command

CONTEXT = 1


def encoded(ds: Dataset) -> bytes:
    """The data set as it goes over the wire in its own transfer syntax."""
    syntax = ds.file_meta.TransferSyntaxUID
    data = encode(ds, syntax.is_implicit_VR, syntax.is_little_endian, syntax.is_deflated)
    assert data is not None
    return data


RELEASE = struct.pack(">BxLL", 5, 4, 0)


def associate_request(
    contexts: Sequence[tuple[str, Sequence[str]]] = ((uid.MRImageStorage, (uid.ExplicitVRLittleEndian,)),),
    *,
    calling: str = "SCANNER",
    called: str = "BT_NODE",
    max_pdu: int = 16384,
) -> bytes:
    """A-ASSOCIATE-RQ with contexts 1, 3, 5 …"""
    request = A_ASSOCIATE()
    request.application_context_name = uid.UID("1.2.840.10008.3.1.1.1")
    request.calling_ae_title, request.called_ae_title = calling, called
    proposed = [build_context(sop_class, list(syntaxes)) for sop_class, syntaxes in contexts]
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    request.presentation_context_definition_list = proposed
    length, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    length.maximum_length_received = max_pdu
    implementation.implementation_class_uid = uid.UID("1.2.3")
    request.user_information = [length, implementation]
    return A_ASSOCIATE_RQ(request).encode()


def pdu(body: bytes, pdu_type: int = 4, length: int | None = None) -> bytes:
    """A PDU; `length` is what its header says, if not the truth."""
    return struct.pack(">BxL", pdu_type, len(body) if length is None else length) + body


def pdv(data: bytes, *, command: bool, last: bool = True, context: int = CONTEXT, length: int | None = None) -> bytes:
    """A presentation data value; `length` is what it says, if not the truth."""
    return struct.pack(">LBB", len(data) + 2 if length is None else length, context, command | last << 1) + data


def store_command(ds: Dataset, message: int = 1, **changed: Value) -> bytes:
    """The command set of a C-STORE-RQ; further elements by the names of bt_node.receive.command."""
    values: dict[int, Value] = {
        cs.AFFECTED_SOP_CLASS_UID: str(ds.SOPClassUID),
        cs.COMMAND_FIELD: cs.C_STORE_RQ,
        cs.MESSAGE_ID: message,
        cs.DATA_SET_TYPE: cs.DATA_SET,
        cs.AFFECTED_SOP_INSTANCE_UID: str(ds.SOPInstanceUID),
    }
    return encode_command(values | {getattr(cs, name): value for name, value in changed.items()})


def store_request(ds: Dataset, message: int = 1, *, piece: int = 100_000, context: int = CONTEXT) -> bytes:
    """A whole C-STORE-RQ in P-DATA-TF PDUs."""
    return in_pdus(store_command(ds, message), encoded(ds), piece=piece, context=context)


def in_pdus(command: bytes, data: bytes, *, piece: int = 100_000, context: int = CONTEXT) -> bytes:
    """A message in P-DATA-TF PDUs."""
    starts = range(0, len(data), piece)
    return pdu(pdv(command, command=True, context=context)) + b"".join(
        pdu(pdv(data[start : start + piece], command=False, last=start == starts[-1], context=context))
        for start in starts
    )


def read_exactly(connection: socket.socket, count: int) -> bytes:
    """So many bytes; fewer where the connection ended."""
    got = b""
    while len(got) < count and (piece := connection.recv(count - len(got))):
        got += piece
    return got


def read_pdu(connection: socket.socket) -> bytes:
    """The next PDU with its header; b"" at the end of the connection."""
    header = read_exactly(connection, 6)
    if len(header) < 6:
        return b""
    return header + read_exactly(connection, struct.unpack(">BxL", header)[1])


def status_in(answer: bytes) -> int | None:
    """Status of a response in one P-DATA-TF PDU."""
    assert answer[:1] == b"\4", f"no P-DATA-TF but {answer[:10]!r}"
    return decode_command(answer[12:]).number(cs.STATUS)


def connect(port: int, timeout: float = 10.0) -> socket.socket:
    """A connection to the listener."""
    connection = socket.create_connection(("127.0.0.1", port), timeout=timeout)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


@contextmanager
def raw_association(port: int, **request: object) -> Iterator[socket.socket]:
    """An established association as a bare connection."""
    with connect(port) as connection:
        connection.sendall(associate_request(**request))  # type: ignore[arg-type]
        answer = read_pdu(connection)
        assert answer[:1] == b"\2", f"not accepted: {answer[:10]!r}"
        yield connection
