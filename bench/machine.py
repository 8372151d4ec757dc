"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def describe_machine() -> str:
    """Cores, memory and processor, for the head of a table."""
    memory = Path("/proc/meminfo").read_text().split()[1]
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    cpu = next((line.split(":")[1].strip() for line in lines if "model name" in line), "unknown processor")
    return f"{os.cpu_count()} cores, {int(memory) / 2**20:.0f} GiB, {cpu}, Python {platform.python_version()}"
