"""How long `bt-node jobs list` takes to start, beside an empty Python, on a job book with 200 studies.

python -m bench.startup
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench.machine import describe_machine
from bt_node.domain.receipt import ReceivedInstance
from bt_node.jobs import open_book, upgrade_schema

ROUNDS = 11
STUDIES = 200


def fill(url: str) -> None:
    upgrade_schema(url)
    book = open_book(url)
    for number in range(STUDIES):
        book.record_instance(
            ReceivedInstance(
                f"1.2.{number}.1.1", "1.2.840.10008.5.1.4.1.1.4", f"1.2.{number}", f"1.2.{number}.1",
                "1.2.840.10008.1.2.1", f"instances/{number}.dcm", 1, f"{number}", "BENCH",
            ),
            "",
        )  # fmt: skip
    book.close()


def seconds(command: list[str]) -> list[float]:
    times = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times.append(time.perf_counter() - started)
    return times


def main() -> None:
    print(describe_machine())
    with tempfile.TemporaryDirectory() as scratch:
        config = Path(scratch) / "config.toml"
        config.write_text('[database]\nurl = "sqlite:///jobs.sqlite"\n')
        fill(f"sqlite:///{scratch}/jobs.sqlite")
        script = Path(sys.executable).with_name("bt-node")
        for name, command in {
            "empty Python": [sys.executable, "-c", "pass"],
            "bt-node jobs list": [str(script), "--config", str(config), "jobs", "list"],
        }.items():
            times = seconds(command)
            print(
                f"{name:20} median {statistics.median(times):.3f} s,"
                f" {min(times):.3f} to {max(times):.3f}, {ROUNDS} runs"
            )


if __name__ == "__main__":
    main()
