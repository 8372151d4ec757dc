"""Which processor computes, with how many threads and in which precision."""

from __future__ import annotations

import os
import sys

import torch

from bt_node.domain.errors import Alarm

# The configuration's own variable: it also reaches what reads no configuration, like training, tests and children.
PRECISION_VARIABLE = "BT_NODE_DEVICE__PRECISION"
_FLOAT32 = "float32"


class DeviceUnavailableError(Alarm):
    """The configured device does not exist on this machine."""

    code = "device-unavailable"

    def __init__(self, wanted: str, detail: str) -> None:
        super().__init__(f"Device {wanted!r}: {detail}", remedy='Set [device] name to "auto" or "cpu".')


def choose_device(name: str = "auto") -> torch.device:
    """Turn a configured name into a device.

    Args:
        name: "auto" (the first GPU, else the processor), "cpu", "cuda" or "cuda:N".

    Raises:
        DeviceUnavailableError: the name is not one of these, or there is no such GPU.
    """
    if name == "cpu" or (name == "auto" and not torch.cuda.is_available()):
        return torch.device("cpu")
    if name in {"auto", "cuda"}:
        name = "cuda:0"
    kind, _, index = name.partition(":")
    if kind != "cuda" or not index.isdecimal():
        raise DeviceUnavailableError(name, "is not auto, cpu, cuda or cuda:N.")
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if int(index) >= found:
        raise DeviceUnavailableError(name, f"torch sees {found} GPU(s).")
    return torch.device(name)


def use_threads(count: int) -> None:
    """Let torch compute with `count` threads; 0 leaves its own choice (all cores)."""
    if count > 0:
        torch.set_num_threads(count)


def use_precision(name: str) -> None:
    """Compute in "float32" alone in this process and its children; "auto" leaves what the environment says."""
    if name == _FLOAT32:
        os.environ[PRECISION_VARIABLE] = name


def float32_only() -> bool:
    """Whether bfloat16 is switched off."""
    return os.environ.get(PRECISION_VARIABLE) == _FLOAT32


def has_fast_bfloat16(device: torch.device) -> bool:
    """Whether bfloat16 is used there: not switched off, and computed in hardware (elsewhere it only costs time)."""
    if float32_only():
        return False
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    # torch names no public query for the processor's bfloat16 instructions.
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())  # noqa: SLF001


if __name__ == "__main__":  # asked before a worker starts: `python -m bt_node.infer.device cuda:1`
    try:
        choose_device(sys.argv[1])
    except DeviceUnavailableError as unavailable:
        sys.exit(str(unavailable))
