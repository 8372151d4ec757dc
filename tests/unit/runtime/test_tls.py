"""TLS contexts over real sockets: who gets in, which versions, and what is said about files that cannot be used."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Authority, Pair
from cryptography.hazmat.primitives import serialization

from bt_node.config import ListenerTls, PeerTls
from bt_node.domain.errors import TlsError
from bt_node.runtime.tls import days_left, in_words, listener_context, peer_context
from bt_node.runtime.tls_checks import check_listener_tls, check_peer_tls


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def node(hospital: Authority) -> Pair:
    return hospital.issue("node")


def listening(hospital: Authority, node: Pair, *, require: bool = True) -> ssl.SSLContext:
    settings = ListenerTls(
        certificate=str(node.certificate),
        private_key=str(node.key),
        client_ca=str(hospital.ca),
        require_client_certificate=require,
    )
    context = listener_context(settings)
    assert context is not None
    return context


def sending(hospital: Authority, own: Pair | None, **more: object) -> ssl.SSLContext:
    shown = {"certificate": str(own.certificate), "private_key": str(own.key)} if own else {}
    context = peer_context(PeerTls(ca=str(hospital.ca), **shown, **more))
    assert context is not None
    return context


def talk(server: ssl.SSLContext, client: ssl.SSLContext, host: str = "127.0.0.1") -> str:
    """One word over TLS: the version that was agreed, or the listener's trouble, or else the client's."""
    ours, theirs = socket.socketpair()
    refused: list[str] = []
    trouble: list[str] = []

    def serve() -> None:
        try:
            with server.wrap_socket(theirs, server_side=True) as connection:
                connection.sendall(connection.recv(4))
        except OSError as error:
            refused.append(getattr(error, "reason", None) or type(error).__name__)
            theirs.close()

    thread = threading.Thread(target=serve)
    thread.start()
    version = "nothing"
    try:
        ours.settimeout(10)
        with client.wrap_socket(ours, server_hostname=host) as connection:
            connection.sendall(b"ping")
            if connection.recv(4) == b"ping":
                version = str(connection.version())
    except OSError as error:
        trouble.append(getattr(error, "reason", None) or type(error).__name__)
        ours.close()
    thread.join()
    return (refused + trouble or [version])[0]


def test_both_sides_show_a_certificate_and_agree_on_the_newest_version(hospital: Authority, node: Pair):
    client = sending(hospital, hospital.issue("scanner"))
    assert talk(listening(hospital, node), client) == "TLSv1.3"


def test_tls_1_2_goes_with_an_aead_cipher_only(hospital: Authority, node: Pair):
    client = sending(hospital, hospital.issue("scanner"))
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    assert talk(listening(hospital, node), client) == "TLSv1.2"
    ciphers = [each["name"] for each in listening(hospital, node).get_ciphers()]
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in ciphers)
    assert all(("GCM" in name) or ("CHACHA20" in name) for name in ciphers)


def test_an_older_version_is_refused(hospital: Authority, node: Pair):
    client = sending(hospital, hospital.issue("scanner"))
    client.minimum_version = client.maximum_version = ssl.TLSVersion.TLSv1_1
    client.set_ciphers("DEFAULT:@SECLEVEL=0")
    assert talk(listening(hospital, node), client) in {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION"}


def test_a_client_without_certificate_is_refused_unless_the_site_says_otherwise(hospital: Authority, node: Pair):
    assert talk(listening(hospital, node), sending(hospital, None)) == "PEER_DID_NOT_RETURN_A_CERTIFICATE"
    assert talk(listening(hospital, node, require=False), sending(hospital, None)) == "TLSv1.3"


def test_a_certificate_of_somebody_else_is_refused(hospital: Authority, node: Pair, tmp_path: Path):
    stranger = Authority(tmp_path / "other", "Other CA").issue("stranger")
    assert talk(listening(hospital, node), sending(hospital, stranger)) == "CERTIFICATE_VERIFY_FAILED"


def test_a_server_of_somebody_else_or_of_another_name_is_refused(hospital: Authority, node: Pair, tmp_path: Path):
    other = Authority(tmp_path / "other", "Other CA")
    server = listening(other, other.issue("node"))
    assert talk(server, sending(hospital, hospital.issue("scanner"))) != "TLSv1.3"
    scanner = hospital.issue("scanner")
    named = hospital.issue("elsewhere", host="")
    assert talk(listening(hospital, named), sending(hospital, scanner)) != "TLSv1.3"
    assert talk(listening(hospital, named), sending(hospital, scanner, check_host_name=False)) == "TLSv1.3"


def test_without_a_certificate_there_is_no_tls():
    assert listener_context(ListenerTls()) is None
    assert peer_context(None) is None


# ---------------------------------------------------------------- files that cannot be used


def _missing(hospital: Authority, node: Pair, folder: Path) -> Pair:
    return Pair(folder / "none.pem", node.key)


def _expired(hospital: Authority, node: Pair, folder: Path) -> Pair:
    return hospital.issue("late", days=-0.5, began=30)


def _future(hospital: Authority, node: Pair, folder: Path) -> Pair:
    return hospital.issue("early", began=-2)


def _no_certificate(hospital: Authority, node: Pair, folder: Path) -> Pair:
    (folder / "text.pem").write_text("hello")
    return Pair(folder / "text.pem", node.key)


def _wrong_key(hospital: Authority, node: Pair, folder: Path) -> Pair:
    return Pair(node.certificate, hospital.issue("another").key)


def _open_key(hospital: Authority, node: Pair, folder: Path) -> Pair:
    pair = hospital.issue("open")
    pair.key.chmod(0o644)
    return pair


def _short_key(hospital: Authority, node: Pair, folder: Path) -> Pair:
    return hospital.issue("short", rsa_bits=1024)


def _encrypted_key(hospital: Authority, node: Pair, folder: Path) -> Pair:
    key = serialization.load_pem_private_key(node.key.read_bytes(), None)
    locked = folder / "locked.key"
    locked.touch(mode=0o600)
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"geheim"),
        )
    )
    return Pair(node.certificate, locked)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (_missing, r"none\.pem cannot be read: no such file"),
        (_expired, r"late\.pem expired on \d{4}-\d\d-\d\d\. Renew it"),
        (_future, r"early\.pem is valid from \d{4}.*clock"),
        (_no_certificate, r"text\.pem holds no certificate in PEM"),
        (_wrong_key, r"another\.key is not the key of .*node\.pem"),
        (_open_key, r"open\.key is a private key with mode 0644.*chmod o= "),
        (_short_key, r"RSA key of 1024 bits"),
        (_encrypted_key, r"locked\.key is no private key in PEM, or is encrypted"),
    ],
)
def test_each_trouble_is_named_with_its_file(
    hospital: Authority, node: Pair, tmp_path: Path, make: Callable[[Authority, Pair, Path], Pair], said: str
):
    with pytest.raises(TlsError, match=said):
        listening(hospital, make(hospital, node, tmp_path))


def test_an_authority_that_is_no_certificate_is_named(node: Pair, tmp_path: Path):
    with pytest.raises(TlsError, match=r"ca\.pem cannot be read"):
        peer_context(PeerTls(ca=str(tmp_path / "ca.pem")))


def test_the_days_until_expiry_are_counted(hospital: Authority, node: Pair):
    assert days_left(node.certificate) == 89
    assert in_words("certificate", node.certificate).endswith("89 days left")
    assert in_words("certificate", hospital.issue("soon", days=10.5).certificate).endswith(
        "10 days left, renew it soon"
    )


def test_openssl_speaks_to_the_listener_by_the_same_rules(
    hospital: Authority, node: Pair, peer: Callable[[str], str]
):
    scanner, server = hospital.issue("scanner"), listening(hospital, node)
    said = {}
    for version in ("-tls1_3", "-tls1_2", "-tls1_1"):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=_greet, args=(listener, server))
            thread.start()
            done = subprocess.run(
                [
                    *(peer("openssl"), "s_client", version, "-connect", f"127.0.0.1:{listener.getsockname()[1]}"),
                    *("-CAfile", hospital.ca, "-cert", scanner.certificate, "-key", scanner.key, "-cipher"),
                    *("DEFAULT:@SECLEVEL=0", "-verify_return_error", "-ign_eof"),
                ],
                stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False,
            )  # fmt: skip
            thread.join()
            said[version] = "hello" in done.stdout
    assert said == {"-tls1_3": True, "-tls1_2": True, "-tls1_1": False}


def _greet(listener: socket.socket, context: ssl.SSLContext) -> None:
    connection, _ = listener.accept()
    try:
        with context.wrap_socket(connection, server_side=True) as greeted:
            greeted.sendall(b"hello")
    except OSError:
        connection.close()


def test_check_says_how_many_days_each_certificate_has(hospital: Authority, node: Pair):
    tls = ListenerTls(certificate=str(node.certificate), private_key=str(node.key), client_ca=str(hospital.ca))
    assert "node.pem: 89 days left; client CA" in check_listener_tls(tls)
    assert "364 days left" in check_peer_tls(PeerTls(ca=str(hospital.ca)))
    with pytest.raises(TlsError, match="cannot be read"):
        check_peer_tls(PeerTls(ca="/nowhere/ca.pem"))
