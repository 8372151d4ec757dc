"""Reads the elements of an encoded data set without interpreting them (PS3.5 chapter 7).

Why not pydicom here: what arrives is not trusted. A few hundred crafted bytes of nested sequences drive pydicom's
decoding past 2 GB, and its readers recurse. This walk is iterative, copies nothing, never looks at a value it was not
asked for, and refuses what does not add up.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType

from pydicom import uid
from pydicom.datadict import dictionary_VR

from bt_node.receive.errors import EncodingError

ITEM, ITEM_END, SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD  # PS3.5 7.5
_UNDEFINED = 0xFFFFFFFF
_LONG_VRS = frozenset({"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"})  # PS3.5 7.1.2
_MAX_DEPTH = 64  # real objects nest less than ten deep


@dataclass(frozen=True)
class Encoding:
    """How a transfer syntax writes elements."""

    implicit: bool
    little_endian: bool
    deflated: bool = False


def encoding_of(transfer_syntax_uid: str) -> Encoding:
    """Encoding of a transfer syntax; every encapsulated one is Explicit VR Little Endian (PS3.5 A.4)."""
    return Encoding(
        implicit=transfer_syntax_uid == uid.ImplicitVRLittleEndian,
        little_endian=transfer_syntax_uid != uid.ExplicitVRBigEndian,
        deflated=transfer_syntax_uid == uid.DeflatedExplicitVRLittleEndian,
    )


def inflate(data: bytes, limit: int) -> tuple[bytes, bool]:
    """The first `limit` bytes of a deflated data set (RFC 1951), and whether that is all of it."""
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        plain = stream.decompress(data, limit)
    except zlib.error as error:
        raise EncodingError("the deflated stream is broken", 0) from error
    return plain, stream.eof


@dataclass(frozen=True, slots=True)
class Element:
    """One element, sequence start ("SQ", no value) or item start (tag ITEM, no value).

    Attributes:
        depth: 0 in the data set itself, one more inside each sequence and each item.
        vr: as written in explicit encodings, from the dictionary in implicit ones ("" when private).
        value: the bytes as encoded; of encapsulated pixel data all fragments with their item headers.
    """

    depth: int
    tag: int
    vr: str
    value: memoryview


@dataclass(frozen=True, slots=True)
class _Frame:
    end: int  # where it must end at the latest
    open_ended: bool  # ends at its delimiter
    is_sequence: bool
    implicit: bool


@lru_cache(maxsize=8192)
def _dictionary_vr(tag: int) -> str:
    group, element = tag >> 16, tag & 0xFFFF
    if group % 2 and 0x10 <= element <= 0xFF:  # noqa: PLR2004 - PS3.5 7.8.1: private creators are LO
        return "LO"
    try:
        return dictionary_VR(tag)
    except KeyError:
        return ""


class _Walk:
    """State of one pass over a data set."""

    def __init__(self, data: bytes, encoding: Encoding, known_vrs: Mapping[int, str], *, descend: bool) -> None:
        self._data = memoryview(data)
        self._position = 0
        self._descend = descend
        self._known_vrs = known_vrs
        order = "<" if encoding.little_endian else ">"
        self._tag_and_length = struct.Struct(f"{order}HHL")
        self._tag = struct.Struct(f"{order}HH")
        self._short = struct.Struct(f"{order}H")
        self._long = struct.Struct(f"{order}L")
        self._frames = [_Frame(len(data), open_ended=False, is_sequence=False, implicit=encoding.implicit)]

    def run(self) -> Iterator[Element]:
        while self._frames:
            frame = self._frames[-1]
            if self._position >= frame.end:
                if frame.open_ended:
                    raise EncodingError("an undefined length has no end", self._position)
                self._frames.pop()
            elif frame.is_sequence:
                yield from self._in_sequence(frame)
            else:
                yield from self._in_item(frame)

    def _unpack(self, layout: struct.Struct, frame: _Frame) -> tuple[int, ...]:
        if self._position + layout.size > frame.end:
            raise EncodingError("an element header is cut off", self._position)
        fields = layout.unpack_from(self._data, self._position)
        self._position += layout.size
        return fields

    def _in_sequence(self, frame: _Frame) -> Iterator[Element]:
        group, element, length = self._unpack(self._tag_and_length, frame)
        tag = group << 16 | element
        if tag == SEQUENCE_END:
            if frame.open_ended:
                self._frames.pop()
        elif tag == ITEM:
            depth = len(self._frames) - 1
            self._push(length, frame, is_sequence=False, implicit=frame.implicit)
            yield Element(depth, ITEM, "", self._data[:0])
        else:
            raise EncodingError(f"({group:04X},{element:04X}) stands where an item must", self._position)

    def _in_item(self, frame: _Frame) -> Iterator[Element]:
        tag, written, length = self._header(frame)
        vr = written
        # PS3.5 6.2.2: a writer that does not know the VR says UN; what is in it is Implicit VR Little Endian.
        if vr in {"", "UN"} and length != _UNDEFINED:
            vr = self._known_vrs.get(tag, vr)
        if tag == ITEM_END:
            if frame.open_ended:
                self._frames.pop()
        elif tag == SEQUENCE_END:
            pass  # written by some after a sequence of defined length; it ends nothing
        elif length == _UNDEFINED and vr in {"OB", "OW"}:
            yield Element(len(self._frames) - 1, tag, vr, self._fragments(frame))
        elif length == _UNDEFINED or (self._descend and vr == "SQ"):
            yield Element(len(self._frames) - 1, tag, "SQ", self._data[:0])
            self._push(length, frame, is_sequence=True, implicit=frame.implicit or written == "UN")
        else:
            yield Element(len(self._frames) - 1, tag, vr, self._take(length, frame))

    def _header(self, frame: _Frame) -> tuple[int, str, int]:
        if frame.implicit:
            group, element, length = self._unpack(self._tag_and_length, frame)
            tag = group << 16 | element
            return tag, _dictionary_vr(tag), length
        group, element = self._unpack(self._tag, frame)
        tag = group << 16 | element
        if tag in {ITEM_END, SEQUENCE_END}:
            return tag, "", self._unpack(self._long, frame)[0]
        vr = bytes(self._data[self._position : self._position + 2])
        if not (vr.isalpha() and vr.isupper()):
            raise EncodingError(f"({group:04X},{element:04X}) has no value representation", self._position)
        self._position += 2
        if vr.decode() in _LONG_VRS:
            self._position += 2  # reserved
            return tag, vr.decode(), self._unpack(self._long, frame)[0]
        return tag, vr.decode(), self._unpack(self._short, frame)[0]

    def _take(self, length: int, frame: _Frame) -> memoryview:
        start = self._position
        if start + length > frame.end:
            raise EncodingError(f"a value of {length} bytes does not fit", start)
        self._position += length
        return self._data[start : self._position]

    def _fragments(self, frame: _Frame) -> memoryview:
        start = self._position
        while True:
            group, element, length = self._unpack(self._tag_and_length, frame)
            if group << 16 | element == SEQUENCE_END:
                return self._data[start : self._position]
            self._take(length, frame)

    def _push(self, length: int, parent: _Frame, *, is_sequence: bool, implicit: bool) -> None:
        if len(self._frames) > _MAX_DEPTH:
            raise EncodingError(f"sequences nest deeper than {_MAX_DEPTH}", self._position)
        open_ended = length == _UNDEFINED
        end = parent.end if open_ended else self._position + length
        if end > parent.end:
            raise EncodingError(f"a sequence or item of {length} bytes does not fit", self._position)
        self._frames.append(_Frame(end, open_ended, is_sequence, implicit))


def elements(
    data: bytes, encoding: Encoding, *, known_vrs: Mapping[int, str] = MappingProxyType({}), descend: bool = True
) -> Iterator[Element]:
    """Elements in the order of the bytes, nested ones included.

    Args:
        data: the data set, already inflated.
        encoding: how it is written.
        known_vrs: VRs by tag, for elements whose encoding does not tell (private ones in implicit VR, UN).
        descend: False skips the content of sequences of defined length and gives their bytes as value.

    Raises:
        EncodingError: the bytes do not add up to a data set; raised where the walk meets the fault.
    """
    return _Walk(data, encoding, known_vrs, descend=descend).run()
