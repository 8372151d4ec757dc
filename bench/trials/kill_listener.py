"""kill -9 of the listener during ingest: nothing that was acknowledged is lost, no file is half a file.

    python -m bench.trials.kill_listener [--kills 200] [--senders 4] [--seed 1]

Senders send new slices all the time, each again until it is acknowledged; the listener, with a real SQLite job book,
is killed at a random moment and started again on the same port. At the end every acknowledged instance must have its
row and its file with the digest of what was sent, and every file its row.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import signal
import struct
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from pydicom import uid

from bench.trials.raw_peer import in_pdus, raw_association, read_pdu, status_in
from bt_node.jobs import open_book, upgrade_schema
from bt_node.receive import command as cs
from bt_node.receive.command import encode_command
from bt_node.receive.listener import Listener
from bt_node.receive.part10 import read_stored_file
from bt_node.receive.settings import ListenerSettings
from bt_node.receive.spool import Spool
from bt_node.simulate.node_process import free_port

ROOT = "1.2.826.0.1.77"
PARALLEL_STUDIES = 3


@dataclass
class Ledger:
    """What was acknowledged: digest of the data set by SOPInstanceUID."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    stop: threading.Event = field(default_factory=threading.Event)

    def note(self, instance: str, data: bytes) -> None:
        with self.lock:
            self.acknowledged[instance] = hashlib.sha256(data).hexdigest()


@dataclass(frozen=True)
class Outcome:
    """What was found at the end; `lost` and `corrupt` must be empty."""

    kills: int
    acknowledged: int
    lost: list[str]
    corrupt: list[str]
    left_over: int


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    value += b"\0" * (len(value) % 2)
    if vr == b"OW":
        return struct.pack("<HH2sHL", tag >> 16, tag & 0xFFFF, vr, 0, len(value)) + value
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value


def data_set(study: str, instance: str, pixels: bytes) -> bytes:
    """A small MR data set in Explicit VR Little Endian."""
    return b"".join((
        element(0x00080016, b"UI", uid.MRImageStorage.encode()),
        element(0x00080018, b"UI", instance.encode()),
        element(0x0020000D, b"UI", study.encode()),
        element(0x0020000E, b"UI", f"{study}.1".encode()),
        element(0x7FE00010, b"OW", pixels),
    ))  # fmt: skip


def message(instance: str, data: bytes) -> bytes:
    values: dict[int, cs.Value] = {
        cs.AFFECTED_SOP_CLASS_UID: str(uid.MRImageStorage), cs.COMMAND_FIELD: cs.C_STORE_RQ, cs.MESSAGE_ID: 1,
        cs.DATA_SET_TYPE: cs.DATA_SET, cs.AFFECTED_SOP_INSTANCE_UID: instance,
    }  # fmt: skip
    return in_pdus(encode_command(values), data, piece=16_000)


def send_for_ever(port: int, number: int, seed: int, ledger: Ledger) -> None:
    """One sender; an instance is sent again until it is acknowledged."""
    rng = random.Random(seed * 1000 + number)
    count = 0
    pending: tuple[str, bytes] | None = None
    while not ledger.stop.is_set():
        with suppress(OSError, AssertionError), raw_association(port, calling=f"SENDER{number}") as connection:
            while not ledger.stop.is_set():
                if pending is None:
                    count += 1
                    study = f"{ROOT}.{number}.{count // 40 % PARALLEL_STUDIES}"
                    instance = f"{ROOT}.{number}.{seed}.{count}"
                    pending = instance, data_set(study, instance, rng.randbytes(rng.choice((500, 20_000, 130_000))))
                connection.sendall(message(*pending))
                if status_in(read_pdu(connection)) == 0:
                    ledger.note(*pending)
                    pending = None
        ledger.stop.wait(0.02)


def start(folder: Path, port: int) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bench.trials.kill_listener", "--listen", str(port), "--folder", str(folder)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    assert process.stdout is not None
    if process.stdout.readline().strip() != b"listening":
        raise SystemExit("the listener did not start")
    return process


def listen(folder: Path, port: int) -> None:
    url = f"sqlite:///{folder / 'jobs.sqlite'}"
    settings = ListenerSettings(host="127.0.0.1", port=port, accept_unknown_sources=True, name="trial")
    listener = Listener(settings, Spool(folder / "spool"), open_book(url))
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    listener.start()
    print("listening", flush=True)
    stopping.wait()
    listener.stop()


def run(folder: Path, kills: int, senders: int, seed: int, longest_life_s: float = 0.6) -> Outcome:
    """The trial; `folder` is empty."""
    upgrade_schema(f"sqlite:///{folder / 'jobs.sqlite'}")
    rng, port, ledger = random.Random(seed), free_port(), Ledger()
    threads = [threading.Thread(target=send_for_ever, args=(port, number, seed, ledger)) for number in range(senders)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(kills):
            process = start(folder, port)
            time.sleep(rng.uniform(0.05, longest_life_s))
            process.kill()
            process.wait()
    finally:
        ledger.stop.set()
        for thread in threads:
            thread.join()
    last = start(folder, port)
    last.terminate()
    last.wait(timeout=60)
    return audit(folder, kills, ledger)


def audit(folder: Path, kills: int, ledger: Ledger) -> Outcome:
    """Compare what was acknowledged with book and spool, and every file with its row."""
    spool, book = Spool(folder / "spool"), open_book(f"sqlite:///{folder / 'jobs.sqlite'}")
    held = book.held_instances(ledger.acknowledged)
    lost = [each for each in ledger.acknowledged if each not in held or not spool.absolute(held[each].path).exists()]
    corrupt = [each for each, row in held.items() if row.digest != ledger.acknowledged[each]]
    stored = list(spool.stored())
    rows = book.held_instances([Path(path).stem for path in stored])
    for path in stored:
        row = rows.get(Path(path).stem)
        if row is None or row.path != path or read_stored_file(spool.absolute(path)).digest() != row.digest:
            corrupt.append(path)
    book.close()
    left_over = sum(1 for path in spool.root.rglob("*.part"))
    return Outcome(kills, len(ledger.acknowledged), lost, corrupt, left_over)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--senders", type=int, default=4)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--listen", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.listen:
        listen(options.folder, options.listen)
        return
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kill-") as folder:
        outcome = run(Path(folder), options.kills, options.senders, options.seed)
    print(
        f"{outcome.kills} kills, {options.senders} senders, seed {options.seed}: "
        f"{outcome.acknowledged} acknowledged, "
        f"{len(outcome.lost)} lost, {len(outcome.corrupt)} corrupt, {outcome.left_over} left over; "
        f"{time.monotonic() - started:.0f} s"
    )
    if outcome.lost or outcome.corrupt or outcome.left_over:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
