"""Contexts of a collector and of the node that know one another."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from certificates import Authority

from bt_node.config import ListenerTls, PeerTls
from bt_node.runtime.tls import listener_context, peer_context


@pytest.fixture
def tls_pair(tmp_path: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    hospital = Authority(tmp_path)
    collector, node = hospital.issue("collector"), hospital.issue("node")
    server_side = listener_context(
        ListenerTls(
            certificate=str(collector.certificate), private_key=str(collector.key), client_ca=str(hospital.ca)
        )
    )
    client_side = peer_context(
        PeerTls(ca=str(hospital.ca), certificate=str(node.certificate), private_key=str(node.key))
    )
    assert server_side is not None
    assert client_side is not None
    return server_side, client_side
