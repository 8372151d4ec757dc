"""What `bt-node check` says of certificates: whether each can be used, and for how many more days."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from bt_node.config import Config, PeerTls


def tls_checks(config: Config) -> Iterator[tuple[str, Callable[[], str]]]:
    """Name and check of each place where TLS is configured; the TLS library is loaded only when there is one."""
    if config.listener.tls.certificate:
        yield "listener TLS", lambda: _listener(config)
    for target in config.destinations:
        if target.tls:
            yield f"TLS to {target.name}", lambda tls=target.tls: _peer(tls)  # type: ignore[misc]
    for source in config.sources:
        if source.query_tls:
            yield f"TLS to {source.ae_title}", lambda tls=source.query_tls: _peer(tls)  # type: ignore[misc]


def _listener(config: Config) -> str:
    from bt_node.runtime.tls import in_words, listener_context  # noqa: PLC0415 - half of `check` without it

    tls = config.listener.tls
    listener_context(tls)
    said = [in_words("certificate", Path(tls.certificate))]
    if tls.client_ca:
        said.append(in_words("client CA", Path(tls.client_ca)))
    if not tls.require_client_certificate:
        said.append("clients need no certificate")
    return "; ".join(said)


def _peer(tls: PeerTls) -> str:
    from bt_node.runtime.tls import in_words, peer_context  # noqa: PLC0415

    peer_context(tls)
    said = [in_words("CA", Path(tls.ca))]
    if tls.certificate:
        said.append(in_words("our certificate", Path(tls.certificate)))
    return "; ".join(said)
