"""Whether two encoded data sets are the same object, whatever transfer syntax each came in.

A sender may write the same object with other sequence lengths, in another byte order or losslessly compressed. Then
the bytes differ and the object does not. Everything but the pixels is compared as bytes in one normal form; pixels
are decoded, and only when everything else is equal.

Neither object is trusted: a few bytes may inflate to millions of elements, and a code stream may declare an image
that the headers know nothing of. So elements are counted, none is kept, and code streams are looked at first.
"""

from __future__ import annotations

import hashlib
import io
import logging
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from pydicom import Dataset, dcmread, uid
from pydicom.encaps import generate_frames

from bt_node.receive.encoded import ITEM, Element, Encoding, elements, encoding_of, inflate
from bt_node.receive.part10 import encode_file_meta

_log = logging.getLogger(__name__)

_PIXEL_DATA = 0x7FE00010
_BESIDE_PIXELS = frozenset({0x7FE00001, 0x7FE00002, _PIXEL_DATA})  # offset tables (PS3.5 A.4) and the pixels
_TRAILING_PADDING = 0xFFFCFFFC
_DERIVATION_DESCRIPTION = 0x00082111  # dcmtk and others write "Lossless JPEG compression, …" into it
_TEXT_VRS = frozenset(
    {"AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_WORD_BYTES = {
    **dict.fromkeys(("US", "SS", "AT", "OW"), 2),
    **dict.fromkeys(("UL", "SL", "FL", "OL", "OF"), 4),
    **dict.fromkeys(("FD", "OD", "SV", "UV", "OV"), 8),
}  # PS3.5 7.3: what big endian swaps
_MAX_INFLATED = 256 * 1024 * 1024
_MAX_DECODED = 256 * 1024 * 1024
_MOST_ELEMENTS = 500_000  # 4,000 frames with 100 elements each; every one holds up all other associations for 3 µs
_FACT = struct.Struct("<LLQ")
_J2K = b"\xff\x4f\xff\x51"  # SOC and SIZ (ISO 15444-1 A.4.1, A.5.1); PS3.5 8.2.4: no JP2 file around it
_SIZ = struct.Struct(">8x4L")
_JPEG, _SOS = b"\xff\xd8", 0xDA  # ISO 10918-1 B.1.1.3; JPEG-LS (ISO 14495-1) has the same and its own SOF
_SOF = frozenset({0xF7, *range(0xC0, 0xD0)} - {0xC4, 0xC8, 0xCC})
_SEGMENT = struct.Struct(">BBH")
_FRAME_SIZE = struct.Struct(">xHH")
_PIXEL_MODULE = (
    "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames", "Rows", "Columns",
    "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelData",
)  # fmt: skip


@dataclass(frozen=True)
class Encoded:
    """A data set as bytes and the transfer syntax they are in."""

    data: bytes
    transfer_syntax_uid: str

    def inflated(self) -> bytes:
        """The bytes with deflation undone; a data set that inflates beyond the limit is refused."""
        if not encoding_of(self.transfer_syntax_uid).deflated:
            return self.data
        plain, whole = inflate(self.data, _MAX_INFLATED)
        if not whole:
            raise ValueError("the data set inflates beyond the limit")
        return plain


def same_object(one: Encoded, other: Encoded) -> bool:
    """Whether both are the same object. What cannot be compared counts as different."""
    try:
        return _same(one, other)
    except Exception as error:  # noqa: BLE001 - decoders raise anything; an object that breaks them is not "the same"
        _log.warning("two data sets of one SOPInstanceUID could not be compared: %s", type(error).__name__)
        return False


def _same(one: Encoded, other: Encoded) -> bool:
    plain_one, plain_other = one.inflated(), other.inflated()
    encoding_one, encoding_other = encoding_of(one.transfer_syntax_uid), encoding_of(other.transfer_syntax_uid)
    hints = _told_vrs(plain_one, encoding_one) | _told_vrs(plain_other, encoding_other)
    added = frozenset() if _is_native(one) == _is_native(other) else frozenset({_DERIVATION_DESCRIPTION})
    left = _normal_form(plain_one, encoding_one, hints, added)
    right = _normal_form(plain_other, encoding_other, hints, added)
    if left.facts != right.facts:
        return False
    if left.pixels is None or right.pixels is None:
        return left.pixels is right.pixels
    if _is_native(one) and _is_native(other):
        return left.pixels.rstrip(b"\0") == right.pixels.rstrip(b"\0")
    return bool(np.array_equal(_decoded_pixels(one), _decoded_pixels(other)))


def _is_native(encoded: Encoded) -> bool:
    return not uid.UID(encoded.transfer_syntax_uid).is_encapsulated


def _told_vrs(data: bytes, encoding: Encoding) -> dict[int, str]:
    """VRs by the encoding's own word; the other side, in implicit VR, cannot tell those of private elements."""
    return {element.tag: element.vr for element in _counted(elements(data, encoding)) if element.vr not in {"", "UN"}}


def _counted(found: Iterator[Element]) -> Iterator[Element]:
    for number, element in enumerate(found):
        if number >= _MOST_ELEMENTS:
            raise ValueError("the elements are too many to compare")
        yield element


@dataclass(frozen=True)
class _NormalForm:
    facts: bytes  # a hash: as a list, a million empty elements would take 150 MiB
    pixels: bytes | None


def _normal_form(data: bytes, encoding: Encoding, hints: dict[int, str], left_out: frozenset[int]) -> _NormalForm:
    """Top-level elements `left_out` do not count."""
    facts = hashlib.sha256()
    pixels: bytes | None = None
    for element in _counted(elements(data, encoding, known_vrs=hints)):
        if element.depth == 0 and element.tag in _BESIDE_PIXELS:
            if element.tag == _PIXEL_DATA:
                pixels = _little_endian(element, encoding)
        elif not (_is_bookkeeping(element.tag) or element.depth == 0 and element.tag in left_out):  # noqa: RUF021
            value = _without_padding(element, _little_endian(element, encoding))
            facts.update(_FACT.pack(element.depth, element.tag, len(value)))
            facts.update(value)
    return _NormalForm(facts.digest(), pixels)


def _is_bookkeeping(tag: int) -> bool:
    """Group lengths (retired, and they lie) and trailing padding say nothing about the object."""
    return tag != ITEM and (tag & 0xFFFF == 0 or tag == _TRAILING_PADDING)


def _little_endian(element: Element, encoding: Encoding) -> bytes:
    size = _WORD_BYTES.get(element.vr, 1)
    if encoding.little_endian or size == 1:
        return bytes(element.value)
    return np.frombuffer(element.value, dtype=f">u{size}").astype(f"<u{size}").tobytes()


def _without_padding(element: Element, value: bytes) -> bytes:
    return value.rstrip(b"\0 ") if element.vr in _TEXT_VRS else value


def _decoded_pixels(encoded: Encoded) -> np.ndarray:
    """Pixel values of all frames; only the pixel module is parsed."""
    plain = encoded.inflated()
    syntax = encoded.transfer_syntax_uid
    if encoding_of(syntax).deflated:
        syntax = uid.ExplicitVRLittleEndian
    part10 = io.BytesIO(encode_file_meta(uid.MRImageStorage, "1.2.3", syntax) + plain)
    dataset = dcmread(part10, specific_tags=list(_PIXEL_MODULE))
    frames = int(dataset.get("NumberOfFrames") or 1)
    size = frames * dataset.Rows * dataset.Columns * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
    if size > _MAX_DECODED:
        raise ValueError("the pixels are too many to compare")
    if not _is_native(encoded) and syntax != uid.RLELossless:  # whose size nobody declares
        _require_declared_size(dataset, frames)
    return np.asarray(dataset.pixel_array)


def _require_declared_size(dataset: Dataset, frames: int) -> None:
    """A decoder makes room for the image that the code stream declares, before anybody compares it with the headers.

    Raises:
        ValueError: a code stream declares another size than Rows and Columns.
    """
    for frame in generate_frames(dataset.PixelData, number_of_frames=frames):
        if any(size != (dataset.Rows, dataset.Columns) for size in _declared_sizes(frame)):
            raise ValueError("a code stream declares another size than its headers")


def _declared_sizes(frame: bytes) -> Iterator[tuple[int, int]]:
    """Rows and columns by the code stream's own word.

    Raises:
        ValueError, struct.error: it is none, or does not begin as it must.
    """
    if frame.startswith(_J2K):
        right, bottom, left, top = _SIZ.unpack_from(frame)
        yield bottom - top, right - left
        return
    if not frame.startswith(_JPEG):
        raise ValueError("a code stream of no known kind")
    position, marker = len(_JPEG), 0
    while marker != _SOS:
        start, marker, length = _SEGMENT.unpack_from(frame, position)
        if start != 0xFF:  # noqa: PLR2004 - every marker begins so
            raise ValueError("a code stream with bytes between its segments")
        if marker in _SOF:
            yield _FRAME_SIZE.unpack_from(frame, position + _SEGMENT.size)
        position += length + 2
