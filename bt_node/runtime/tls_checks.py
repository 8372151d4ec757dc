"""What `bt-node check` says of certificates: whether each can be used, and for how many more days.

The TLS library is loaded only where TLS is configured.
"""

from __future__ import annotations

from pathlib import Path

from bt_node.config import ListenerTls, PeerTls


def check_listener_tls(tls: ListenerTls) -> str:
    """The certificates of [listener.tls], in words.

    Raises:
        TlsError: one of the files cannot be used.
    """
    from bt_node.runtime.tls import in_words, listener_context  # noqa: PLC0415

    listener_context(tls)
    said = [in_words("certificate", Path(tls.certificate))]
    if tls.client_ca:
        said.append(in_words("client CA", Path(tls.client_ca)))
    if not tls.require_client_certificate:
        said.append("clients need no certificate")
    return "; ".join(said)


def check_peer_tls(tls: PeerTls) -> str:
    """The certificates for one peer, in words; raises as `check_listener_tls` does."""
    from bt_node.runtime.tls import in_words, peer_context  # noqa: PLC0415

    peer_context(tls)
    said = [in_words("CA", Path(tls.ca))]
    if tls.certificate:
        said.append(in_words("our certificate", Path(tls.certificate)))
    return "; ".join(said)
