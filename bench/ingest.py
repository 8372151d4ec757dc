"""C-STORE rate of the listener beside dcmtk's storescp and Orthanc, all in one run on this machine.

    python bench/ingest.py [--count 120] [--rounds 3] [--nagle]

Sender is dcmtk's storescu; instances are generated MR slices of 256×256×16 bit (130 KB), new UIDs in each round, the
same ones for each receiver. The listener writes to a real SQLite job book; Orthanc syncs its files (SyncStorageData,
its default); storescp syncs nothing. All of dcmtk gets TCP_NODELAY=1 unless --nagle. Receivers take turns, so a
machine that slows down slows all.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from pydicom import uid
from pydicom.dataset import Dataset, FileMetaDataset

from bt_node.jobs import open_book, upgrade_schema
from bt_node.receive.listener import Listener
from bt_node.receive.settings import ListenerSettings
from bt_node.receive.spool import Spool
from bt_node.simulate.node_process import free_port

LIMIT_S = 170.0
HERE = Path(__file__).resolve()


# ---------------------------------------------------------------- what is sent


def write_slices(folder: Path, count: int, tag: int) -> list[Path]:
    """`count` MR slices in one series; `tag` makes their UIDs new."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(tag)
    paths = []
    for number in range(1, count + 1):
        ds = Dataset()
        ds.file_meta = FileMetaDataset()
        ds.file_meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian
        ds.SOPClassUID, ds.Modality = uid.MRImageStorage, "MR"
        ds.StudyInstanceUID, ds.SeriesInstanceUID = f"1.2.826.0.1.9.{tag}", f"1.2.826.0.1.9.{tag}.1"
        ds.SOPInstanceUID = f"1.2.826.0.1.9.{tag}.1.{number}"
        ds.PatientID, ds.PatientName, ds.InstanceNumber = "BENCH", "Bench^Ingest", number
        ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
        ds.Rows = ds.Columns = 256
        ds.BitsAllocated, ds.BitsStored, ds.HighBit = 16, 12, 11
        ds.PixelData = rng.integers(0, 4096, (256, 256), dtype=np.uint16).tobytes()
        paths.append(folder / f"{number}.dcm")
        ds.save_as(paths[-1], enforce_file_format=True)
    return paths


def send(port: int, parts: list[Path], called: str) -> float:
    """Seconds that one storescu per folder takes, all at once."""
    command = ["storescu", "-aet", "BENCH", "-aec", called, "+sd", "127.0.0.1", str(port)]
    started = time.perf_counter()
    senders = [
        subprocess.Popen([*command, str(part)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) for part in parts
    ]
    for sender in senders:
        _, errors = sender.communicate(timeout=120)
        if sender.returncode != 0:
            raise SystemExit(f"storescu failed: {errors.decode()[-400:]}")
    return time.perf_counter() - started


# ---------------------------------------------------------------- who receives


@dataclass
class Receiver:
    """A running receiver; rates are instances per second by number of associations."""

    name: str
    port: int
    process: subprocess.Popen[bytes]
    store: Path
    called: str = "BT_NODE"
    rates: dict[int, list[float]] = field(default_factory=dict)
    cpu_ms: dict[int, list[float]] = field(default_factory=dict)

    def note(self, associations: int, count: int, seconds: float, cpu_seconds: float) -> None:
        self.rates.setdefault(associations, []).append(count / seconds)
        self.cpu_ms.setdefault(associations, []).append(1000 * cpu_seconds / count)

    def cpu_seconds(self) -> float:
        """Processor time of the receiver, without children that still run."""
        times = Path(f"/proc/{self.process.pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
        return sum(int(ticks) for ticks in times[11:15]) / os.sysconf("SC_CLK_TCK")

    def stored(self) -> int:
        return sum(1 for path in self.store.rglob("*") if path.is_file() and path.stat().st_size > 100_000)

    def peak_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text(encoding="utf-8")
        line = next((line for line in status.splitlines() if line.startswith("VmHWM")), "VmHWM: 0 kB")
        return int(line.split()[1]) / 1024


def wait_for_port(port: int, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.1)
    raise SystemExit(f"nothing listens on port {port}")


@contextlib.contextmanager
def receiver(name: str, command: list[str], port: int, store: Path, called: str = "BT_NODE") -> Iterator[Receiver]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for_port(port)
        yield Receiver(name, port, process, store, called)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=30)


def bt_node(folder: Path) -> contextlib.AbstractContextManager[Receiver]:
    port = free_port()
    command = [sys.executable, str(HERE), "--listen", str(port), "--folder", str(folder)]
    return receiver("bt-node, fsync, SQLite", command, port, folder / "spool")


def storescp(folder: Path) -> contextlib.AbstractContextManager[Receiver]:
    port = free_port()
    folder.mkdir()
    return receiver("storescp (no fsync)", ["storescp", "--fork", "-od", str(folder), str(port)], port, folder)


def orthanc(folder: Path) -> contextlib.AbstractContextManager[Receiver]:
    port = free_port()
    folder.mkdir()
    configuration = {
        "Name": "bench", "DicomAet": "BT_NODE", "DicomPort": port, "HttpServerEnabled": False,
        "StorageDirectory": str(folder / "store"), "IndexDirectory": str(folder / "index"),
        "SyncStorageData": True, "StorageCompression": False, "DicomAlwaysAllowStore": True,
        "DicomThreadsCount": 4, "Plugins": [],
    }  # fmt: skip
    path = folder / "orthanc.json"
    path.write_text(json.dumps(configuration), encoding="utf-8")
    program = shutil.which("Orthanc", path="/usr/sbin:" + os.environ.get("PATH", ""))
    return receiver("Orthanc, fsync", [str(program), str(path)], port, folder / "store")


def listen(port: int, folder: Path) -> None:
    """Run the listener until told to stop (a process of its own, as in service)."""
    folder.mkdir(parents=True, exist_ok=True)
    url = f"sqlite:///{folder / 'jobs.sqlite'}"
    upgrade_schema(url)
    settings = ListenerSettings(host="127.0.0.1", port=port, accept_unknown_sources=True)
    listener = Listener(settings, Spool(folder / "spool"), open_book(url))
    stopping = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    listener.start()
    stopping.wait()
    listener.stop()


# ---------------------------------------------------------------- the run


def run(count: int, rounds: int, associations: list[int]) -> list[Receiver]:
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="ingest-") as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        makers = [("bt", bt_node), ("dcmtk", storescp)]
        if shutil.which("Orthanc", path="/usr/sbin:" + os.environ.get("PATH", "")):
            makers.append(("orthanc", orthanc))
        else:
            print("Orthanc is not installed and is left out (make peers)")
        receivers = [stack.enter_context(make(folder / part)) for part, make in makers]
        sent = 0
        for turn in range(rounds):
            for number in associations:
                if time.monotonic() - started > LIMIT_S:
                    print(f"stopped after {LIMIT_S:.0f} s, in round {turn + 1}")
                    return receivers
                parts = split(folder / f"in-{turn}-{number}", count, number, tag=1 + turn * 100 + number * 10)
                sent += count // number * number
                for each in receivers[turn % len(receivers) :] + receivers[: turn % len(receivers)]:
                    before = each.cpu_seconds()
                    seconds = send(each.port, parts, each.called)
                    each.note(number, count // number * number, seconds, each.cpu_seconds() - before)
                for part in parts:
                    shutil.rmtree(part)
        for each in receivers:
            if each.stored() != sent:
                raise SystemExit(
                    f"{each.name} holds {each.stored()} of {sent} instances: no figure is worth anything"
                )
        print(f"peak memory of the listener: {receivers[0].peak_mib():.0f} MiB")
        return receivers


def split(folder: Path, count: int, parts: int, tag: int) -> list[Path]:
    """One folder of slices for each association, written and cached before the clock runs."""
    folders = [folder / str(part) for part in range(parts)]
    for part, each in enumerate(folders):
        write_slices(each, count // parts, tag * 10 + part)
    return folders


def table(receivers: list[Receiver]) -> str:
    """Medians, range, ratio to storescp of the same rounds (median of the ratios), processor time of an instance."""
    reference = next(each for each in receivers if each.name.startswith("storescp"))
    heads = (
        ("associations", 13),
        ("median/s", 10),
        ("min-max/s", 14),
        ("ratio", 8),
        ("ratio min-max", 15),
        ("CPU ms", 8),
    )
    lines = [f"{'receiver':26}" + "".join(f"{head:>{width}}" for head, width in heads)]
    for number in sorted(reference.rates):
        for each in receivers:
            rates = each.rates[number]
            ratios = [one / other for one, other in zip(rates, reference.rates[number], strict=False)]
            lines.append(
                f"{each.name:26}{number:>13}{statistics.median(rates):>10.0f}"
                f"{f'{min(rates):.0f}-{max(rates):.0f}':>14}"
                f"{statistics.median(ratios):>8.2f}{f'{min(ratios):.2f}-{max(ratios):.2f}':>15}"
                f"{statistics.median(each.cpu_ms[number]):>8.2f}"
            )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=120, help="instances in each run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--associations", type=int, nargs="+", default=[1, 2, 4])
    parser.add_argument(
        "--nagle", action="store_true", help="dcmtk and Orthanc as Debian ships them, with Nagle's algorithm on"
    )
    parser.add_argument("--listen", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.listen:
        listen(options.listen, options.folder)
        return
    load = os.getloadavg()[0]
    print(
        f"{os.cpu_count()} cores, load before the run {load:.1f}, {'Nagle on' if options.nagle else 'TCP_NODELAY=1'}"
    )
    if not options.nagle:
        # dcmtk's own switch, read by storescu, storescp and Orthanc alike; without it their rate is the 46 ms of a
        # delayed acknowledgement.
        os.environ["TCP_NODELAY"] = "1"
    print(table(run(options.count, options.rounds, options.associations)))


if __name__ == "__main__":
    main()
