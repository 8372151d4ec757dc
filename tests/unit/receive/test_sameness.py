"""One object in many encodings is one object; one changed value makes another."""

from __future__ import annotations

import copy
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from pydicom import uid
from pydicom.dataset import Dataset
from receive_cases import NATIVE, encoded, in_syntax, mr_slice, with_syntax

from bt_node.receive.sameness import Encoded, same_object

COMPRESSED = (uid.RLELossless, uid.JPEGLSLossless, uid.JPEG2000Lossless)


def as_sent(ds: Dataset, syntax: str = uid.ExplicitVRLittleEndian) -> Encoded:
    return Encoded(encoded(in_syntax(ds, syntax)), syntax)


@pytest.mark.parametrize("one", NATIVE + COMPRESSED)
@pytest.mark.parametrize("other", NATIVE + COMPRESSED)
def test_the_same_object_is_the_same_in_any_two_transfer_syntaxes(one, other):
    ds = mr_slice()
    assert same_object(as_sent(ds, one), as_sent(ds, other))


@pytest.mark.parametrize("syntax", NATIVE + COMPRESSED)
def test_one_changed_pixel_makes_another_object(syntax):
    ds, changed = mr_slice(), mr_slice()
    pixels = np.frombuffer(changed.PixelData, np.uint16).copy()
    pixels[37] ^= 1
    changed.PixelData = pixels.tobytes()
    assert not same_object(as_sent(ds), as_sent(changed, syntax))


@pytest.mark.parametrize(
    "change",
    [
        {"EchoTime": "4.7"},
        {"PatientName": "Doe^John"},
        {"EchoTime": None},
        {"LargestImagePixelValue": 4094},
        {"ImageComments": "new"},
    ],
)
def test_one_changed_element_makes_another_object(change):
    assert not same_object(as_sent(mr_slice()), as_sent(mr_slice(**change), uid.ImplicitVRLittleEndian))


def test_a_change_deep_in_a_sequence_makes_another_object():
    changed = mr_slice()
    changed.ReferencedImageSequence[0].PurposeOfReferenceCodeSequence[0].CodeMeaning = "Other"
    assert not same_object(as_sent(mr_slice()), as_sent(changed, uid.ImplicitVRLittleEndian))


def test_an_element_moved_out_of_its_item_makes_another_object():
    one, other = mr_slice(), mr_slice()
    first, second = Dataset(), Dataset()
    first.CodeValue, second.CodeMeaning = "1", "2"
    both = copy.deepcopy(first)
    both.CodeMeaning = "2"
    one.ProcedureCodeSequence, other.ProcedureCodeSequence = [first, second], [both, Dataset()]
    assert not same_object(as_sent(one), as_sent(other))


def test_lengths_of_sequences_and_group_lengths_do_not_matter():
    one, other = mr_slice(), mr_slice()
    other["ReferencedImageSequence"].is_undefined_length = True
    other.ReferencedImageSequence[0].is_undefined_length_sequence_item = True
    other.add_new(0x00080000, "UL", 4711)
    assert encoded(one) != encoded(other)
    assert same_object(as_sent(one), as_sent(other))


def test_an_object_without_pixels_is_not_one_with_pixels():
    assert not same_object(as_sent(mr_slice()), as_sent(mr_slice(PixelData=None)))
    assert same_object(
        as_sent(mr_slice(PixelData=None)), as_sent(mr_slice(PixelData=None), uid.ImplicitVRLittleEndian)
    )


def test_lossy_or_broken_pixels_are_another_object():
    assert not same_object(as_sent(mr_slice()), as_sent(mr_slice(), uid.JPEG2000))


def test_a_derivation_description_matters_unless_a_compressor_added_it():
    described = mr_slice(DerivationDescription="Lossless JPEG compression")
    assert same_object(as_sent(mr_slice()), as_sent(described, uid.JPEGLSLossless))
    assert not same_object(as_sent(mr_slice()), as_sent(described, uid.ImplicitVRLittleEndian))


def test_what_cannot_be_read_is_another_object():
    assert not same_object(as_sent(mr_slice()), Encoded(b"\1\2\3", uid.ExplicitVRLittleEndian))
    assert not same_object(as_sent(mr_slice()), Encoded(b"\1\2\3", uid.DeflatedExplicitVRLittleEndian))


def elements_of_nothing(number: int, last: int) -> bytes:
    """Empty private elements, deflated to a thousandth."""
    empty = struct.pack("<HH2sH", 0x0029, 0x1001, b"LO", 0)
    deflate = zlib.compressobj(9, wbits=-zlib.MAX_WBITS)
    return deflate.compress(empty * number + struct.pack("<HH2sH", 0x0031, last, b"LO", 0)) + deflate.flush()


def test_what_inflates_to_many_elements_takes_no_memory_for_each():
    one, other = (Encoded(elements_of_nothing(20_000, last), uid.DeflatedExplicitVRLittleEndian) for last in (1, 2))
    tracemalloc.start()
    try:
        assert not same_object(one, other)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2 * 1024**2


def test_more_elements_than_any_real_object_has_are_not_compared():
    many = Encoded(elements_of_nothing(600_000, 1), uid.DeflatedExplicitVRLittleEndian)
    assert not same_object(many, many)


@pytest.mark.parametrize("syntax", [uid.JPEGLSLossless, uid.JPEG2000Lossless])
def test_a_code_stream_larger_than_its_headers_say_meets_no_decoder(syntax, monkeypatch):
    large = in_syntax(mr_slice(side=512, PixelData=bytes(512 * 512 * 2)), syntax)
    bomb = with_syntax(mr_slice(side=8, PixelData=large.PixelData), syntax)  # a decoder would make room for `large`
    bomb["PixelData"].VR, bomb["PixelData"].is_undefined_length = "OB", True
    met = []
    monkeypatch.setattr(Dataset, "pixel_array", property(lambda self: met.append(self.file_meta.TransferSyntaxUID)))
    assert not same_object(as_sent(mr_slice(side=8)), Encoded(encoded(bomb), syntax))
    assert syntax not in met
