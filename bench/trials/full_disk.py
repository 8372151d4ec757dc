"""A spool on a small disk that fills while several senders send: 0xA700, nothing lost, and it goes on by itself.

    python -m bench.trials.full_disk [--mib 64] [--senders 4]      (mounts a tmpfs: needs root)

Half of the disk is taken by something else. When every sender has been refused, that is taken away, and each sender
goes on on the association it has until it is refused again. Every acknowledged slice must be there, whole.
"""

from __future__ import annotations

import argparse
import random
import subprocess
import tempfile
import threading
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from bench.trials.kill_listener import Ledger, data_set, message
from bench.trials.raw_peer import RELEASE, raw_association, read_pdu, status_in
from bt_node.jobs import open_book, upgrade_schema
from bt_node.receive.listener import Listener
from bt_node.receive.part10 import read_stored_file
from bt_node.receive.settings import ListenerSettings
from bt_node.receive.spool import Spool

OUT_OF_RESOURCES = 0xA700


@dataclass
class Outcome:
    """What came out; `lost`, `corrupt` and `left_over` must be 0."""

    statuses: Counter[int | None] = field(default_factory=Counter)
    stored_before: int = 0
    stored_after: int = 0
    lost: int = 0
    corrupt: int = 0
    left_over: int = 0


def send_until_refused(connection, sender: int, first: int, size: int, ledger: Ledger, outcome: Outcome) -> int:
    """Send slices until one is refused; gives the number of the next."""
    number, status = first, None
    while True:
        instance = f"1.2.6.{sender}.{number}"
        data = data_set("1.2.6", instance, random.Random(instance).randbytes(size))
        connection.sendall(message(instance, data))
        status = status_in(read_pdu(connection))
        with ledger.lock:
            outcome.statuses[status] += 1
        if status != 0:
            return number + 1
        ledger.note(instance, data)
        number += 1


def run(disk: Path, elsewhere: Path, senders: int, size: int) -> Outcome:
    """The trial: `disk` is a small file system, `elsewhere` a folder for the job book."""
    url = f"sqlite:///{elsewhere / 'jobs.sqlite'}"
    upgrade_schema(url)
    book, spool, ledger, outcome = open_book(url), Spool(disk / "spool"), Ledger(), Outcome()
    ballast = disk / "ballast"
    usage = int(spool.free_mib() * 2**20)
    ballast.write_bytes(bytes(usage // 2))
    listener = Listener(ListenerSettings(host="127.0.0.1", port=0, accept_unknown_sources=True), spool, book)
    listener.start()
    full = threading.Barrier(senders + 1)
    room = threading.Barrier(senders + 1)

    def one_sender(sender: int) -> None:
        with raw_association(listener.port, calling=f"SENDER{sender}") as connection:
            following = send_until_refused(connection, sender, 0, size, ledger, outcome)
            full.wait(120)
            room.wait(120)
            send_until_refused(connection, sender, following, size, ledger, outcome)
            connection.sendall(RELEASE)
            read_pdu(connection)

    threads = [threading.Thread(target=one_sender, args=(number,)) for number in range(senders)]
    for thread in threads:
        thread.start()
    full.wait(120)
    outcome.stored_before = len(ledger.acknowledged)
    ballast.unlink()
    room.wait(120)
    for thread in threads:
        thread.join(120)
    listener.stop()
    outcome.stored_after = len(ledger.acknowledged) - outcome.stored_before
    held = book.held_instances(ledger.acknowledged)
    outcome.lost = len(ledger.acknowledged) - len(held)
    for instance, row in held.items():
        path = spool.absolute(row.path)
        if not path.exists() or read_stored_file(path).digest() != ledger.acknowledged[instance]:
            outcome.corrupt += 1
    outcome.left_over = sum(1 for _ in spool.root.rglob("*.part"))
    book.close()
    return outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mib", type=int, default=64)
    parser.add_argument("--senders", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="full-") as name:
        disk, elsewhere = Path(name) / "disk", Path(name) / "book"
        disk.mkdir()
        elsewhere.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={options.mib}m", "tmpfs", str(disk)], check=True)
        try:
            outcome = run(disk, elsewhere, options.senders, 130_000)
        finally:
            subprocess.run(["umount", str(disk)], check=True)
    statuses = ", ".join(f"{count} x 0x{status or 0:04X}" for status, count in sorted(outcome.statuses.items()))
    print(
        f"{options.mib} MiB, {options.senders} senders: {statuses}; {outcome.stored_before} stored, full, "
        f"{outcome.stored_after} more when there was room; {outcome.lost} lost, {outcome.corrupt} corrupt, "
        f"{outcome.left_over} left over"
    )
    if outcome.lost or outcome.corrupt or outcome.left_over or set(outcome.statuses) != {0, OUT_OF_RESOURCES}:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
