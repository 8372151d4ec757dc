"""Values of a delivery: where to, and what."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from bt_node.domain.result import SendOutcome

SLOWEST_BYTES_PER_SECOND = 125_000  # 1 Mbit/s: a large object may take this much longer than the timeout

_LONGEST_AE_TITLE = 16  # PS3.8 Table 9-11
_HIGHEST_PORT = 65535


def check_ae_title(title: str) -> str:
    """Return the title, or refuse one that the protocol cannot carry.

    Raises:
        ValueError: empty, longer than 16 characters, or with characters outside printable ASCII or a backslash
            (PS3.5 6.2, value representation AE).
    """
    fits = bool(title.strip()) and len(title) <= _LONGEST_AE_TITLE
    if not fits or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError(f"an AE title is 1 to 16 printable ASCII characters without a backslash, not {title!r}")
    return title


@dataclass(frozen=True)
class Peer:
    """An application entity that we send to; with `tls`, over TLS."""

    ae_title: str
    host: str
    port: int
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        check_ae_title(self.ae_title)
        if not self.host:
            raise ValueError("a peer needs a host")
        if not 0 < self.port <= _HIGHEST_PORT:
            raise ValueError(f"a port is 1 to 65535, not {self.port}")


@dataclass(frozen=True)
class OutgoingFile:
    """One DICOM Part 10 file to send, and what the sender knows to be in it."""

    path: Path
    sop_class_uid: str
    sop_instance_uid: str


MayGo = Callable[[OutgoingFile], bool]  # asked right before a file leaves: may it still?


def always(_: OutgoingFile) -> bool:
    """Nobody withdraws anything."""
    return True


def withdrawn(file: OutgoingFile) -> SendOutcome:
    """The outcome of a file that may not leave any more."""
    detail = "withdrawn before it was sent"
    return SendOutcome(file.sop_instance_uid, None, delivered=False, detail=detail, withdrawn=True)


@dataclass(frozen=True)
class EchoOutcome:
    """Whether a peer answered C-ECHO with success, and if not, why."""

    ok: bool
    detail: str
