"""C-STORE and C-ECHO over TLS: dcmtk's storescp with certificates made here, and what is said where it fails."""

from __future__ import annotations

import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from certificates import Authority

from bt_node.config import PeerTls
from bt_node.deliver.send import OutgoingFile, Peer, echo, send
from bt_node.runtime.tls import peer_context
from bt_node.simulate.fake_pacs import FakePacs
from bt_node.simulate.node_process import end_process, free_port

MakeFile = Callable[..., OutgoingFile]


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("hospital"))


def context(hospital: Authority, authority: Authority | None = None, *, show: bool = True) -> ssl.SSLContext:
    """Ours: trusts `authority` (the hospital's by default), and shows a certificate of the hospital's."""
    ours = hospital.issue("node")
    shown = {"certificate": str(ours.certificate), "private_key": str(ours.key)} if show else {}
    made = peer_context(PeerTls(ca=str((authority or hospital).ca), **shown))
    assert made is not None
    return made


@pytest.fixture(scope="module")
def storescp(
    peer: Callable[[str], str], hospital: Authority, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Peer, Path]]:
    """dcmtk's storescp with TLS; it wants our certificate."""
    # dcmtk 3.6.7 wants an RSA key.
    pair = hospital.issue("archive", rsa_bits=2048)
    port, folder = free_port(), tmp_path_factory.mktemp("stored")
    options = ["+tls", str(pair.key), str(pair.certificate), "+cf", str(hospital.ca), "-rc"]
    process = subprocess.Popen([peer("storescp"), *options, "-od", str(folder), "-aet", "DCMTK", str(port)])
    try:
        secured = Peer("DCMTK", "127.0.0.1", port, context(hospital))
        for _ in range(100):
            if echo(secured, "BT_NODE", 5.0).ok:
                break
            time.sleep(0.05)
        yield secured, folder
    finally:
        end_process(process, 10.0)


@pytest.mark.e2e
def test_dcmtk_stores_over_tls(storescp: tuple[Peer, Path], make_file: MakeFile) -> None:
    peer, folder = storescp
    outcomes = send(peer, "BT_NODE", [make_file(1), make_file(2, side=512)], 20)
    assert [outcome.detail for outcome in outcomes] == ["stored"] * 2
    assert len(list(folder.iterdir())) == 2


@pytest.mark.e2e
def test_an_archive_signed_by_somebody_else_gets_nothing(
    storescp: tuple[Peer, Path], hospital: Authority, make_file: MakeFile, tmp_path: Path
) -> None:
    doubted = replace(storescp[0], tls=context(hospital, Authority(tmp_path)))
    (outcome,) = send(doubted, "BT_NODE", [make_file(3)], 20)
    assert outcome.unreachable
    assert outcome.detail.startswith("no association: TLS: the certificate is not trusted")


@pytest.mark.e2e
def test_without_our_certificate_or_without_tls_there_is_no_association(
    storescp: tuple[Peer, Path], hospital: Authority
) -> None:
    peer, _ = storescp
    assert not echo(replace(peer, tls=context(hospital, show=False)), "BT_NODE", 5.0).ok
    assert not echo(replace(peer, tls=None), "BT_NODE", 2.0).ok


def test_an_archive_without_tls_is_said_so(pacs: FakePacs, fake_peer: Peer, hospital: Authority) -> None:
    outcome = echo(replace(fake_peer, tls=context(hospital)), "BT_NODE", 2.0)
    assert not outcome.ok
    assert "TLS" in outcome.detail


def test_one_that_never_says_hello_is_left_after_the_timeout(hospital: Authority) -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as silent:
        peer = Peer("SILENT", "127.0.0.1", silent.getsockname()[1], context(hospital))
        asked: list[object] = []
        thread = threading.Thread(target=lambda: asked.append(echo(peer, "BT_NODE", 0.5)), daemon=True)
        thread.start()
        thread.join(30)
        assert [outcome.ok for outcome in asked] == [False]
