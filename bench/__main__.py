"""All figures that bench/README.md reports, one after another: `python -m bench`."""

from __future__ import annotations

import subprocess
import sys

PARTS = (
    "bench.startup",
    "bench.ingest",
    "bench.roles",
    "bench.convert",
    "bench.registration",
    "bench.brainmask",
    "bench.inference",
    "bench.trip",
)


def main() -> None:
    for part in PARTS:
        print(f"\n=== {part}", flush=True)
        subprocess.run([sys.executable, "-m", part], check=True)


if __name__ == "__main__":
    main()
