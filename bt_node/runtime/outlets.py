"""Which way results go to each configured destination."""

from __future__ import annotations

from bt_node.config import Config, Destination
from bt_node.deliver.outlet import DimseOutlet, Outlet
from bt_node.deliver.peer import Peer
from bt_node.runtime.tls import peer_context


def build_outlet(config: Config, target: Destination) -> Outlet:
    """The way to one destination.

    Raises:
        TlsError: a certificate or key of its `tls` cannot be used.
    """
    tls = peer_context(target.tls)
    timeout_s = config.delivery.timeout_seconds
    if target.url:
        # With it comes an HTTP library, which a node without such a destination need not load.
        from bt_node.deliver.stow import StowOutlet  # noqa: PLC0415
        from bt_node.deliver.web_access import WebAccess  # noqa: PLC0415

        return StowOutlet(target.url, WebAccess(target.token_file, target.login_file, tls), timeout_s)
    return DimseOutlet(Peer(target.ae_title, target.host, target.port, tls), config.listener.ae_title, timeout_s)
