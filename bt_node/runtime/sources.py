"""Which sources are asked about their studies, and where."""

from __future__ import annotations

from bt_node.config import Config
from bt_node.deliver.peer import Peer
from bt_node.runtime.tls import peer_context


def sources_to_ask(config: Config) -> dict[str, Peer]:
    """Where to ask about a study, by the AE title that sent it.

    Raises:
        TlsError: a certificate or key of a `query_tls` cannot be used.
    """
    return {
        source.ae_title: Peer(
            source.query_ae_title or source.ae_title,
            source.query_host or source.host,
            source.query_port,
            peer_context(source.query_tls),
        )
        for source in config.sources
        if source.query_port
    }
