"""The walk over encoded elements: it reads what pydicom writes, and stands what an attacker writes."""

from __future__ import annotations

import random
import struct
import time
import tracemalloc
import zlib

import pytest
from pydicom import uid
from receive_cases import NATIVE, encoded, in_syntax, mr_slice

from bt_node.receive.encoded import ITEM, elements, encoding_of, inflate
from bt_node.receive.errors import EncodingError
from bt_node.receive.header import Identity, read_identity

EXPLICIT, IMPLICIT = encoding_of(uid.ExplicitVRLittleEndian), encoding_of(uid.ImplicitVRLittleEndian)
UNDEFINED = 0xFFFFFFFF


def explicit(tag: int, vr: str, value: bytes, length: int | None = None) -> bytes:
    length = len(value) if length is None else length
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    if vr in {"SQ", "OB", "OW", "UN", "UT"}:
        return head + struct.pack("<HL", 0, length) + value
    return head + struct.pack("<H", length) + value


def item(value: bytes, length: int | None = None) -> bytes:
    return struct.pack("<HHL", 0xFFFE, 0xE000, len(value) if length is None else length) + value


ITEM_END = struct.pack("<HHL", 0xFFFE, 0xE00D, 0)
SEQUENCE_END = struct.pack("<HHL", 0xFFFE, 0xE0DD, 0)


@pytest.mark.parametrize("syntax", [*NATIVE, uid.RLELossless, uid.JPEG2000Lossless, uid.JPEGLossless])
def test_the_uids_are_read_in_each_transfer_syntax(syntax):
    ds = mr_slice()
    assert read_identity(encoded(in_syntax(ds, syntax)), syntax) == Identity(
        ds.SOPClassUID, ds.SOPInstanceUID, ds.StudyInstanceUID, ds.SeriesInstanceUID
    )


def test_every_element_of_pydicom_is_met_in_order():
    ds = mr_slice()
    met = [element.tag for element in elements(encoded(ds), EXPLICIT) if element.depth == 0]
    assert met == [int(tag) for tag in sorted(ds.keys())]


def test_nested_elements_carry_their_depth():
    inner = explicit(0x00080100, "SH", b"12")
    outer = explicit(0x0040A170, "SQ", item(inner) + item(b""))
    # A sequence of undefined length in an item of undefined length in one of defined length.
    data = explicit(0x00081140, "SQ", item(outer + ITEM_END, UNDEFINED) + SEQUENCE_END, UNDEFINED)
    met = [(element.depth, element.tag) for element in elements(data, EXPLICIT)]
    assert met == [(0, 0x00081140), (1, ITEM), (2, 0x0040A170), (3, ITEM), (4, 0x00080100), (3, ITEM)]


def test_reading_stops_behind_the_series_and_never_looks_at_what_follows():
    head = b"".join(explicit(tag, "UI", b"1.2.") for tag in (0x00080016, 0x00080018, 0x0020000D, 0x0020000E)).replace(
        b"1.2.", b"1.23"
    )
    identity = read_identity(head + explicit(0x00200010, "SH", b"") + b"garbage", uid.ExplicitVRLittleEndian)
    assert identity == Identity("1.23", "1.23", "1.23", "1.23")


def test_a_uid_nested_in_a_sequence_is_not_taken_for_the_instances_own():
    decoy = explicit(0x00081140, "SQ", item(explicit(0x0020000D, "UI", b"6.66")))
    data = decoy + explicit(0x0020000D, "UI", b"1.23") + explicit(0x0020000E, "UI", b"1.24")
    assert read_identity(data, uid.ExplicitVRLittleEndian).study_instance_uid == "1.23"


def test_padding_of_uids_is_not_part_of_them():
    data = explicit(0x00080018, "UI", b"1.2.3\0") + explicit(0x0020000D, "UI", b"1.2.4 ")
    identity = read_identity(data, uid.ExplicitVRLittleEndian)
    assert (identity.sop_instance_uid, identity.study_instance_uid) == ("1.2.3", "1.2.4")


@pytest.mark.parametrize(
    "data",
    [
        b"\x08",
        explicit(0x00080016, "UI", b"1.2.", length=4000),
        explicit(0x00080016, "UI", b"1.2.")[:-1],
        struct.pack("<HH", 8, 0x16) + b"\0\0\0\0\0\0",
        explicit(0x00081140, "SQ", item(b"", UNDEFINED), UNDEFINED),
        explicit(0x00081140, "SQ", item(b""), UNDEFINED),
        explicit(0x00081140, "SQ", explicit(0x00080016, "UI", b"1.2.") + SEQUENCE_END, UNDEFINED),
        explicit(0x00080016, "OB", item(b"x" * 9), UNDEFINED),
    ],
)
def test_bytes_that_do_not_add_up_are_refused(data):
    with pytest.raises(EncodingError):
        list(elements(data, EXPLICIT))


@pytest.mark.parametrize("encoding", [EXPLICIT, IMPLICIT])
def test_sequences_nested_thousands_deep_are_refused_without_recursion(encoding):
    if encoding.implicit:
        layer = struct.pack("<HHL", 0x0008, 0x1140, UNDEFINED) + item(b"", UNDEFINED)
    else:
        layer = explicit(0x00081140, "SQ", item(b"", UNDEFINED), UNDEFINED)
    with pytest.raises(EncodingError, match="nest deeper"):
        list(elements(layer * 20_000, encoding))


def test_a_deflate_bomb_costs_bounded_memory():
    bomb = zlib.compressobj(wbits=-15)
    data = b"".join(bomb.compress(b"\0" * 1_000_000) for _ in range(300)) + bomb.flush()
    tracemalloc.start()
    with pytest.raises(EncodingError):
        read_identity(data, uid.DeflatedExplicitVRLittleEndian)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * 1024 * 1024


def test_bytes_that_are_not_deflated_are_refused():
    with pytest.raises(EncodingError, match="deflated"):
        inflate(b"not deflated", 100)


def test_damaged_data_sets_end_in_a_result_or_a_clean_error():
    """Mutations of a real data set: nothing but EncodingError may come out, and soon."""
    rng = random.Random(7)
    whole = encoded(mr_slice())[:1500]
    started = time.monotonic()
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(rng.randint(1, 8)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        for encoding in (EXPLICIT, IMPLICIT):
            try:
                for _ in elements(bytes(data[: rng.randrange(len(data))]), encoding):
                    pass
            except EncodingError:
                pass
    assert time.monotonic() - started < 20
