"""What the listener must be told. The configuration is turned into these values by whoever starts it."""

from __future__ import annotations

import ssl
from dataclasses import dataclass

_MAX_AE_TITLE = 16  # PS3.5 Table 6.2-1, VR AE
_MAX_PORT = 65535
_SMALLEST_PDU, _LARGEST_PDU = 4096, 4 * 1024 * 1024
ANY_HOST = "*"


def _check_ae_title(title: str) -> None:
    if not 0 < len(title.strip()) <= _MAX_AE_TITLE or not title.isascii() or not title.isprintable() or "\\" in title:
        raise ValueError(f"an AE title has 1 to 16 printable ASCII characters and no backslash, not {title!r}")


@dataclass(frozen=True)
class ReportTo:
    """Where a source listens for reports of storage commitment."""

    host: str
    port: int
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True)
class AllowedSource:
    """A peer that may send: its AE title, and the address, network (CIDR) or name it calls from; "*" is any.

    Attributes:
        report_to: where reports of storage commitment go that it did not take on the association it asked on.
    """

    ae_title: str
    host: str = ANY_HOST
    report_to: ReportTo | None = None

    def __post_init__(self) -> None:
        _check_ae_title(self.ae_title)


@dataclass(frozen=True)
class ListenerSettings:
    """Settings of one listener.

    Attributes:
        name: prefix of association ids; listeners that share a job book need different names.
        port: 0 lets the system choose one; `Listener.port` tells which.
        sources: who may send; everyone else is refused unless `accept_unknown_sources`.
        acse_timeout_seconds: seconds a connected peer may take to request an association.
        dimse_timeout_seconds: seconds a started DIMSE exchange may stand still.
        network_timeout_seconds: seconds an association may be silent, and the deadline of each single PDU.
        max_associations: at the same time, in all and from one address; more are rejected for the moment.
        max_pdu_bytes: largest P-DATA-TF PDU we advertise (PS3.8 D.1) and accept.
        max_instance_bytes: a larger data set is not taken: its association is aborted.
        share_port: several listener processes, of different names, may have the port at once.
        tls: None for plain TCP.
    """

    ae_title: str = "BT_NODE"
    host: str = "0.0.0.0"  # noqa: S104 - a listener that hears only itself is of no use in a hospital
    port: int = 11112
    name: str = "listener"
    sources: tuple[AllowedSource, ...] = ()
    accept_unknown_sources: bool = False
    max_associations: int = 20
    max_associations_per_source: int = 10
    acse_timeout_seconds: float = 30.0
    dimse_timeout_seconds: float = 60.0
    network_timeout_seconds: float = 60.0
    max_pdu_bytes: int = 128 * 1024
    max_instance_bytes: int = 2 * 1024**3
    share_port: bool = False
    tls: ssl.SSLContext | None = None

    def __post_init__(self) -> None:
        _check_ae_title(self.ae_title)
        if not 0 <= self.port <= _MAX_PORT:
            raise ValueError(f"port must be 0 to {_MAX_PORT}, not {self.port}")
        if not self.name or "/" in self.name:
            raise ValueError(f"name must be a word without '/', not {self.name!r}")
        if min(self.max_associations, self.max_associations_per_source) < 1:
            raise ValueError("max_associations and max_associations_per_source must be 1 or more")
        if min(self.acse_timeout_seconds, self.dimse_timeout_seconds, self.network_timeout_seconds) <= 0:
            raise ValueError("timeouts must be positive seconds: an endless wait blocks the listener")
        if not _SMALLEST_PDU <= self.max_pdu_bytes <= _LARGEST_PDU:
            raise ValueError(f"max_pdu_bytes must be {_SMALLEST_PDU} to {_LARGEST_PDU}, not {self.max_pdu_bytes}")
