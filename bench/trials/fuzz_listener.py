"""Seeded fuzz of the wire: mutated association requests, PDUs, command sets and data sets.

    python -m bench.trials.fuzz_listener [--mutations 100000] [--seed 1]

One connection carries one mutated conversation. After each thousand a valid C-STORE must succeed. Counted are: valid
ones that failed, errors that the listener did not expect (its log says "aborted: KIND in FILE" or "C-STORE failed"),
warnings, temporary files and threads left over, and memory.
"""

from __future__ import annotations

import argparse
import logging
import random
import socket
import struct
import tempfile
import threading
import time
import warnings
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import uid
from pydicom.dataset import Dataset

from bench.trials.kill_listener import data_set, message
from bench.trials.raw_peer import (
    RELEASE,
    associate_request,
    connect,
    encoded,
    in_pdus,
    pdu,
    pdv,
    raw_association,
    read_pdu,
    status_in,
)
from bt_node.jobs import open_book, upgrade_schema
from bt_node.receive import command as cs
from bt_node.receive.command import encode_command
from bt_node.receive.listener import Listener
from bt_node.receive.settings import ListenerSettings
from bt_node.receive.spool import Spool

SYNTAXES = (
    uid.ExplicitVRLittleEndian,
    uid.ImplicitVRLittleEndian,
    uid.DeflatedExplicitVRLittleEndian,
    uid.ExplicitVRBigEndian,
)
COMMITMENT = "1.2.840.10008.1.20.1"
ECHO = "1.2.840.10008.1.1"
CONTEXTS = [
    *((uid.MRImageStorage, (syntax,)) for syntax in SYNTAXES),
    (ECHO, SYNTAXES[:2]),
    (COMMITMENT, SYNTAXES[:1]),
]
INTERESTING = (0, 1, 2, 0x7F, 0x80, 0xFE, 0xFF)
LENGTHS = (0, 1, 2, 5, 0x7FFF, 0xFFFF, 0x10000, 0x7FFFFFFF, 0xFFFFFFFE, 0xFFFFFFFF)


@dataclass
class Outcome:
    """What came out; all but `mutations`, `seconds` and the memory should be 0 or empty."""

    mutations: int = 0
    valid_failed: int = 0
    internal_errors: list[str] = field(default_factory=list)
    warnings: int = 0
    left_over: int = 0
    threads_left: int = 0
    memory_mib: list[float] = field(default_factory=list)
    seconds: float = 0.0


class Watching(logging.Handler):
    """Collects the log lines of errors that the listener did not expect."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


def mutate(rng: random.Random, data: bytes) -> bytes:
    """One to four small damages: bytes, lengths, cuts, repeats, swaps."""
    out = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not out:
            return bytes(out)
        at = rng.randrange(len(out))
        kind = rng.randrange(7)
        if kind == 0:
            out[at] = rng.randrange(256)
        elif kind == 1:
            out[at] = rng.choice(INTERESTING)
        elif kind == 2:
            out[at : at + 4] = struct.pack(rng.choice(("<L", ">L")), rng.choice(LENGTHS))
        elif kind == 3:
            out[at : at + 2] = struct.pack(rng.choice(("<H", ">H")), rng.choice(LENGTHS) & 0xFFFF)
        elif kind == 4:
            del out[at : at + rng.randint(1, 40)]
        elif kind == 5:
            out[at:at] = out[at : at + rng.randint(1, 60)]
        else:
            out[at:at] = rng.randbytes(rng.randint(1, 30))
    return bytes(out)


def plain_data_set(rng: random.Random, syntax: str) -> tuple[str, bytes]:
    """SOPInstanceUID and data set of a slice with sequences and private elements."""
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.SOPClassUID, ds.SOPInstanceUID = uid.MRImageStorage, f"1.2.9.{rng.randrange(10**9)}"
    ds.StudyInstanceUID, ds.SeriesInstanceUID = "1.2.9", "1.2.9.1"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = uid.MRImageStorage, "1.2.3"
    ds.ReferencedImageSequence = [item, item]
    block = ds.private_block(0x0009, "FUZZ", create=True)
    block.add_new(0x01, "UN", rng.randbytes(rng.randrange(0, 200, 2)))
    block.add_new(0x02, "SQ", [item])
    ds.Rows = ds.Columns = 8
    ds.BitsAllocated, ds.PixelData = 16, rng.randbytes(128)
    ds["PixelData"].VR = "OW"
    ds.file_meta = Dataset()
    ds.file_meta.TransferSyntaxUID = uid.UID(syntax)
    return str(ds.SOPInstanceUID), encoded(ds)


def store_command(instance: str) -> bytes:
    return encode_command({
        cs.AFFECTED_SOP_CLASS_UID: str(uid.MRImageStorage), cs.COMMAND_FIELD: cs.C_STORE_RQ, cs.MESSAGE_ID: 1,
        cs.DATA_SET_TYPE: cs.DATA_SET, cs.AFFECTED_SOP_INSTANCE_UID: instance,
    })  # fmt: skip


def action(rng: random.Random) -> tuple[bytes, bytes]:
    """Command and data set of an N-ACTION or N-EVENT-REPORT of storage commitment."""
    reports = rng.random() < 0.5
    ds = Dataset()
    ds.TransactionUID = f"1.2.{rng.randrange(10**6)}"
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = uid.MRImageStorage, "1.2.9.5"
    ds.ReferencedSOPSequence = [item] * rng.randrange(3)
    ds.file_meta = Dataset()
    ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
    sop_class, instance, kind = (
        (cs.AFFECTED_SOP_CLASS_UID, cs.AFFECTED_SOP_INSTANCE_UID, cs.EVENT_TYPE_ID)
        if reports
        else (cs.REQUESTED_SOP_CLASS_UID, cs.REQUESTED_SOP_INSTANCE_UID, cs.ACTION_TYPE_ID)
    )
    field_ = cs.N_EVENT_REPORT_RQ if reports else cs.N_ACTION_RQ
    values: dict[int, cs.Value] = {
        sop_class: COMMITMENT, cs.COMMAND_FIELD: field_, cs.MESSAGE_ID: 3, cs.DATA_SET_TYPE: cs.DATA_SET,
        instance: f"{COMMITMENT}.1", kind: 1,
    }  # fmt: skip
    return encode_command(values), encoded(ds)


def conversation(rng: random.Random) -> tuple[bytes, bytes]:
    """What is sent before the association stands, and what after; exactly one of the levels is mutated."""
    request = associate_request(CONTEXTS)
    level = rng.randrange(6)
    if level == 0:
        return mutate(rng, request), b""
    number = rng.randrange(len(SYNTAXES))
    instance, data = plain_data_set(rng, SYNTAXES[number])
    command, context = store_command(instance), 2 * number + 1
    if level == 1 or rng.random() < 0.1:
        command, data = action(rng)
        context = 2 * (len(CONTEXTS) - 1) + 1
    if level in {1, 2}:
        data = mutate(rng, data)
    elif level == 3:
        command = mutate(rng, command)
    stream = in_pdus(command, data, piece=rng.choice((50, 700, 100_000)), context=context)
    if level == 4:
        stream = mutate(rng, stream)
    elif level == 5:
        stream = pdu(
            mutate(rng, pdv(command, command=True, context=context) + pdv(data, command=False, context=context))
        )
    return request, stream + RELEASE


def talk(rng: random.Random, port: int) -> None:
    """One mutated conversation, read to its end; some are cut off by a reset."""
    before, after = conversation(rng)
    with suppress(OSError), connect(port, timeout=5) as connection:
        connection.sendall(before)
        if after:
            if read_pdu(connection)[:1] != b"\2":
                return
            connection.sendall(after)
        if rng.random() < 0.1:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def valid(port: int, number: int) -> bool:
    """Whether an honest C-STORE is answered with success."""
    instance = f"1.2.8.{number}"
    with suppress(OSError, AssertionError), raw_association(port) as connection:
        connection.sendall(message(instance, data_set("1.2.8", instance, bytes(2000))))
        return status_in(read_pdu(connection)) == 0
    return False


def run(folder: Path, mutations: int, seed: int, every: int = 1000) -> Outcome:
    """The trial; the listener runs in this process, so that its threads and memory can be seen."""
    url = f"sqlite:///{folder / 'jobs.sqlite'}"
    upgrade_schema(url)
    spool, book, watching, outcome = Spool(folder / "spool"), open_book(url), Watching(), Outcome()
    settings = ListenerSettings(
        host="127.0.0.1", port=0, accept_unknown_sources=True, network_timeout_seconds=2, acse_timeout_seconds=2,
        dimse_timeout_seconds=2, max_associations=50, max_associations_per_source=50,
    )  # fmt: skip
    listener = Listener(settings, spool, book)
    logging.getLogger("bt_node.receive").addHandler(watching)
    logging.getLogger("bt_node.receive").propagate = False
    listener.start()
    threads, started = threading.active_count(), time.monotonic()
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")  # a warning quotes the peer, and is remembered for ever
            for number in range(mutations):
                talk(random.Random(f"{seed}/{number}"), listener.port)
                outcome.mutations += 1
                if outcome.mutations % every == 0:
                    outcome.valid_failed += not valid(listener.port, number)
                    outcome.memory_mib.append(resident_mib())
            outcome.warnings = len(warned)
    finally:
        listener.stop()
        logging.getLogger("bt_node.receive").removeHandler(watching)
        logging.getLogger("bt_node.receive").propagate = True
    outcome.seconds = time.monotonic() - started
    outcome.internal_errors = [line for line in watching.lines if "aborted: " in line or "failed: " in line]
    outcome.left_over = sum(1 for _ in spool.root.rglob("*.part"))
    outcome.threads_left = max(threading.active_count() - threads + 2, 0)  # those that accept and report have ended
    book.close()
    return outcome


def resident_mib() -> float:
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096 / 2**20


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mutations", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        outcome = run(Path(folder), options.mutations, options.seed)
    memory = outcome.memory_mib or [0.0]
    print(
        f"{outcome.mutations} mutations, seed {options.seed}: {outcome.valid_failed} valid C-STOREs failed, "
        f"{len(outcome.internal_errors)} unexpected errors, {outcome.warnings} warnings, "
        f"{outcome.left_over} files and {outcome.threads_left} "
        f"threads left over, memory {memory[0]:.0f} MiB after the first thousand, {max(memory):.0f} at most, "
        f"{memory[-1]:.0f} at the end; {outcome.seconds:.0f} s"
    )
    for line in sorted(set(outcome.internal_errors))[:20]:
        print(" ", line)


if __name__ == "__main__":
    main()
