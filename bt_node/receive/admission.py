"""Who may open an association, and the A-ASSOCIATE-RJ that everyone else gets (PS3.8 Table 9-21)."""

from __future__ import annotations

import ipaddress
import re
import socket
from dataclasses import dataclass

from bt_node.receive.settings import ANY_HOST, ListenerSettings


@dataclass(frozen=True)
class Rejection:
    """Result, source and reason of an A-ASSOCIATE-RJ, and words for the log."""

    result: int
    source: int
    reason: int
    detail: str


_PERMANENT, _SERVICE_USER = 1, 1
_CALLING_AE_NOT_RECOGNISED, _CALLED_AE_NOT_RECOGNISED = 3, 7
_STRANGERS = "strangers"
_AE_TITLE = re.compile(r"[ -\[\]-~]*[!-\[\]-~][ -\[\]-~]*")  # PS3.5 6.2, AE: printable ASCII, no backslash, not blank


def admit(settings: ListenerSettings, calling: str, called: str, peer_address: str) -> Rejection | None:
    """None when the peer may come in, else the rejection it gets.

    A known AE title that calls from the wrong address gets the answer of an unknown one: a stranger learns nothing.
    """
    if not _AE_TITLE.fullmatch(calling):
        detail = "what stands for the calling AE title is none"
        return Rejection(_PERMANENT, _SERVICE_USER, _CALLING_AE_NOT_RECOGNISED, detail)
    if called.strip() != settings.ae_title.strip():
        return Rejection(_PERMANENT, _SERVICE_USER, _CALLED_AE_NOT_RECOGNISED, "called AE title is not ours")
    if settings.accept_unknown_sources:
        return None
    hosts = [source.host for source in settings.sources if source.ae_title.strip() == calling.strip()]
    if not hosts:
        detail = "calling AE title is not in [[sources]]"
    elif any(_covers(host, peer_address) for host in hosts):
        return None
    else:
        detail = "calling AE title is known, but not from this address"
    return Rejection(_PERMANENT, _SERVICE_USER, _CALLING_AE_NOT_RECOGNISED, detail)


def counted_as(settings: ListenerSettings, address: str) -> str:
    """As whose connection one from this address counts before it has said a word.

    Addresses that no source can have count as one, however many a stranger has. Names are not looked up for this:
    where a source has one, or any address, every address may be its own.
    """
    hosts = [source.host for source in settings.sources]
    if settings.accept_unknown_sources or ANY_HOST in hosts:
        return address
    peer = _unmapped(address)
    try:
        known = any(peer in ipaddress.ip_network(host, strict=False) for host in hosts)
    except ValueError:
        return address
    return address if known else _STRANGERS


def _covers(host: str, peer_address: str) -> bool:
    if host == ANY_HOST:
        return True
    peer = _unmapped(peer_address)
    try:
        return peer in ipaddress.ip_network(host, strict=False)
    except ValueError:
        return peer in _resolve(host)


def _unmapped(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """An IPv4 peer of a dual-stack socket calls from ::ffff:a.b.c.d."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _resolve(name: str) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Addresses of a host name now; an unknown name covers nobody."""
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except OSError:
        return set()
    return {_unmapped(str(entry[4][0])) for entry in found}
