"""Whether two encoded data sets are the same object, whatever transfer syntax each came in.

A sender may write the same object with other sequence lengths, in another byte order or losslessly compressed. Then
the bytes differ and the object does not. Everything but the pixels is compared as bytes in one normal form; pixels
are decoded, and only when everything else is equal.
"""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass

import numpy as np
from pydicom import dcmread, uid

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
_MAX_INFLATED = 512 * 1024 * 1024
_MAX_DECODED = 1024 * 1024 * 1024
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
        """The bytes with deflation undone; a data set that inflates beyond half a GiB is refused."""
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
    left = _normal_form(plain_one, encoding_one, hints)
    right = _normal_form(plain_other, encoding_other, hints)
    if _is_native(one) != _is_native(other):
        left, right = left.without(_DERIVATION_DESCRIPTION), right.without(_DERIVATION_DESCRIPTION)
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
    return {element.tag: element.vr for element in elements(data, encoding) if element.vr not in {"", "UN"}}


@dataclass(frozen=True)
class _NormalForm:
    facts: list[tuple[int, int, bytes]]
    pixels: bytes | None

    def without(self, tag: int) -> _NormalForm:
        """This form less a top-level element."""
        return _NormalForm([fact for fact in self.facts if fact[:2] != (0, tag)], self.pixels)


def _normal_form(data: bytes, encoding: Encoding, hints: dict[int, str]) -> _NormalForm:
    facts: list[tuple[int, int, bytes]] = []
    pixels: bytes | None = None
    for element in elements(data, encoding, known_vrs=hints):
        if element.depth == 0 and element.tag in _BESIDE_PIXELS:
            if element.tag == _PIXEL_DATA:
                pixels = _little_endian(element, encoding)
        elif not _is_bookkeeping(element.tag):
            facts.append((element.depth, element.tag, _without_padding(element, _little_endian(element, encoding))))
    return _NormalForm(facts, pixels)


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
    return np.asarray(dataset.pixel_array)
