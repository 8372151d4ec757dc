"""How long a listener takes to listen again when it finds files in the spool that the job book does not know.

    python -m bench.trials.recover_spool [--files 10000]

Twice: with no row at all (the book was lost), and with every row there (the usual case after a kill).
"""

from __future__ import annotations

import argparse
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from pydicom import uid

from bench.trials.kill_listener import data_set
from bt_node.jobs import open_book, upgrade_schema
from bt_node.receive.listener import Listener
from bt_node.receive.part10 import encode_file_meta
from bt_node.receive.settings import ListenerSettings
from bt_node.receive.spool import Spool, instance_path


@dataclass(frozen=True)
class Outcome:
    """Files that got their row, files that have none after it, and the seconds of both starts."""

    recorded: int
    missing: int
    first_start_s: float
    second_start_s: float


def fill(folder: Path, files: int) -> Spool:
    """A spool of `files` slices of 130 KB in studies of 200, written without syncing."""
    spool, rng = Spool(folder / "spool"), random.Random(1)
    pixels = rng.randbytes(130_000)
    for number in range(files):
        study = f"1.2.7.{number // 200}"
        instance = f"{study}.1.{number}"
        path = spool.absolute(instance_path(study, f"{study}.1", instance))
        path.parent.mkdir(parents=True, exist_ok=True)
        meta = encode_file_meta(uid.MRImageStorage, instance, uid.ExplicitVRLittleEndian, calling="TRIAL")
        path.write_bytes(meta + data_set(study, instance, pixels))
    return spool


def run(folder: Path, files: int) -> Outcome:
    """The trial; `folder` is empty."""
    spool = fill(folder, files)
    url = f"sqlite:///{folder / 'jobs.sqlite'}"
    upgrade_schema(url)
    seconds = []
    for _ in range(2):
        book = open_book(url)
        listener = Listener(ListenerSettings(host="127.0.0.1", port=0, accept_unknown_sources=True), spool, book)
        started = time.perf_counter()
        listener.start()
        seconds.append(time.perf_counter() - started)
        listener.stop()
        held = book.held_instances([Path(path).stem for path in spool.stored()])
        book.close()
    return Outcome(len(held), files - len(held), *seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=10_000)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="recover-") as folder:
        outcome = run(Path(folder), options.files)
    print(
        f"{options.files} files: {outcome.first_start_s:.1f} s to a listening port where none had a row "
        f"({outcome.recorded} recorded, {outcome.missing} missing), {outcome.second_start_s:.1f} s where all had"
    )


if __name__ == "__main__":
    main()
