"""The listener over TLS with dcmtk as the peer: who is let in, and that others go on when somebody is not."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from certificates import Authority, Pair
from receive_cases import mr_slice, save, wait_until

from bt_node.config import load_config
from bt_node.domain.audit import AuditEvent
from bt_node.jobs import JobBook, open_book, upgrade_schema
from bt_node.receive.listener import Listener
from bt_node.receive.spool import Spool
from bt_node.runtime.alerts import RefusalAlerts
from bt_node.runtime.listener import listener_settings

pytestmark = [pytest.mark.integration, pytest.mark.peer("storescu")]


@dataclass(frozen=True)
class TlsNode:
    """A node whose configuration has TLS, as `serve listener` builds it."""

    port: int
    book: JobBook
    hospital: Authority
    scanner: Pair


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TlsNode]:
    folder = tmp_path_factory.mktemp("node")
    hospital = Authority(folder / "ca")
    hospital.issue("node")
    (folder / "config.toml").write_text("""
[listener]
host = "127.0.0.1"
port = 0
association_timeout_seconds = 5
[listener.tls]
certificate = "ca/node.pem"
private_key = "ca/node.key"
client_ca = "ca/ca.pem"
[[sources]]
ae_title = "SCANNER"
[storage]
spool = "spool"
min_free_mib = 0
[database]
url = "sqlite:///jobs.sqlite"
""")
    config = load_config(folder / "config.toml", {})
    upgrade_schema(config.database.url)
    book = open_book(config.database.url)
    settings = listener_settings(config)
    alerts = RefusalAlerts(book, settings.name)
    listener = Listener(settings, Spool(config.storage.spool), book, alerts.refused)
    listener.start()
    yield TlsNode(listener.port, book, hospital, hospital.issue("scanner"))
    listener.stop()
    book.close()


@pytest.fixture
def send(
    node: TlsNode, peer: Callable[[str], str], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """dcmtk's storescu with one image and these options."""
    image = save(mr_slice(1), tmp_path / "1.dcm")

    def call(*options: object) -> subprocess.CompletedProcess[str]:
        command = [peer("storescu"), "-aet", "SCANNER", "-aec", "BT_NODE", *options, "127.0.0.1", node.port, image]
        return subprocess.run(
            [str(part) for part in command], capture_output=True, text=True, timeout=60, check=False
        )

    return call


def shown(pair: Pair, authority: Authority) -> tuple[object, ...]:
    return ("+tls", pair.key, pair.certificate, "+cf", authority.ca)


def alerts_of(node: TlsNode) -> list[str]:
    records = [entry.record for entry in node.book.audit_entries()]
    return [record.detail for record in records if record.event == AuditEvent.REFUSED]


def test_a_scanner_with_a_certificate_stores_over_tls(node: TlsNode, send):
    done = send(*shown(node.scanner, node.hospital))
    assert done.returncode == 0, done.stderr
    assert [job.instances for job in node.book.summaries()] == [1]


@pytest.mark.parametrize("profile", ["+py", "+px", "+pz"])
def test_the_standard_s_profiles_of_dcmtk_get_in(node: TlsNode, send, profile: str, peer):
    if (
        profile
        not in subprocess.run([peer("storescu"), "--help"], capture_output=True, text=True, check=False).stdout
    ):
        pytest.skip(f"this dcmtk has no {profile}")
    assert send(*shown(node.scanner, node.hospital), profile).returncode == 0


def test_a_certificate_of_another_authority_is_refused_and_told(node: TlsNode, send, tmp_path: Path):
    other = Authority(tmp_path / "other", "Other CA")
    assert send(*shown(other.issue("stranger"), node.hospital)).returncode != 0
    wait_until(lambda: "TLS: certificate verify failed" in alerts_of(node))
    assert send(*shown(node.scanner, node.hospital)).returncode == 0


def test_no_certificate_is_refused(node: TlsNode, send):
    assert send("+tla", "+cf", node.hospital.ca).returncode != 0
    wait_until(lambda: "TLS: peer did not return a certificate" in alerts_of(node))


def test_plain_dicom_on_a_tls_port_is_refused_and_others_go_on(node: TlsNode, send):
    known = set(alerts_of(node))
    assert send().returncode != 0
    wait_until(lambda: any(detail.startswith("TLS: ") for detail in set(alerts_of(node)) - known))
    assert send(*shown(node.scanner, node.hospital)).returncode == 0


def test_somebody_who_never_says_hello_holds_up_nobody(node: TlsNode, send):
    silent = [socket.create_connection(("127.0.0.1", node.port)) for _ in range(5)]
    try:
        assert send(*shown(node.scanner, node.hospital)).returncode == 0
    finally:
        for each in silent:
            each.close()
