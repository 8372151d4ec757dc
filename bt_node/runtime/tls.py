"""TLS contexts for DICOM (PS3.15 B.12, BCP 195: RFC 9325) and what is wrong with a certificate, in words.

TLS 1.2 with ECDHE and an AEAD cipher, or TLS 1.3; nothing older, and never plain text on a port of TLS.
Both ends show a certificate: the listener takes only clients whose certificate one of `client_ca` signed, and a peer
must show one that its `ca` signed and that names the host we connect to.
"""

from __future__ import annotations

import ssl
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa

from bt_node.config import ListenerTls, PeerTls
from bt_node.domain.errors import TlsError
from bt_node.runtime.clock import utc_now

# RFC 9325 4.2: ECDHE with AES-GCM, which PS3.15 B.12 and B.13 ask for. TLS 1.3 brings its own three suites.
_TLS_1_2_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_SHORTEST_RSA_BITS = 2048  # RFC 9325 4.5
_OTHERS = stat.S_IRWXO
_EXPIRES_SOON_DAYS = 30


def listener_context(tls: ListenerTls) -> ssl.SSLContext | None:
    """The listener's context; None where [listener.tls] names no certificate.

    Raises:
        TlsError: a file is missing, unreadable, expired, not what it should be, or a key that others can read.
    """
    if not tls.certificate:
        return None
    context = _restricted(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
    context.options |= ssl.OP_CIPHER_SERVER_PREFERENCE | ssl.OP_NO_RENEGOTIATION
    _show(context, Path(tls.certificate), Path(tls.private_key))
    if tls.client_ca:
        _trust(context, Path(tls.client_ca))
        context.verify_mode = ssl.CERT_REQUIRED if tls.require_client_certificate else ssl.CERT_OPTIONAL
    return context


def peer_context(tls: PeerTls | None) -> ssl.SSLContext | None:
    """The context for a peer that we connect to; None for a peer without TLS.

    Raises:
        TlsError: as for the listener.
    """
    if tls is None:
        return None
    context = _restricted(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))  # checks certificate and host name
    context.check_hostname = tls.check_host_name
    _trust(context, Path(tls.ca))
    if tls.certificate:
        _show(context, Path(tls.certificate), Path(tls.private_key))
    return context


def days_left(certificate: Path) -> int:
    """Whole days until the first of the file's certificates expires.

    Raises:
        TlsError: it cannot be read, is expired, or is not valid yet.
    """
    now = utc_now()
    chain = _certificates(certificate)
    for each in chain:
        _check_dates(certificate, each, now)
    return (min(each.not_valid_after_utc for each in chain) - now).days


def in_words(what: str, certificate: Path) -> str:
    """`what: 12 days left`, for `bt-node check`; raises as days_left does."""
    days = days_left(certificate)
    warning = ", renew it soon" if days < _EXPIRES_SOON_DAYS else ""
    return f"{what} {certificate}: {days} days left{warning}"


def _restricted(context: ssl.SSLContext) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_TLS_1_2_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_SINGLE_ECDH_USE
    return context


def _show(context: ssl.SSLContext, certificate: Path, private_key: Path) -> None:
    """Load what we show to the other side, after it was looked at: OpenSSL's own words say little."""
    days_left(certificate)
    _check_strength(certificate, _certificates(certificate)[0])
    _check_key_file(private_key)
    try:
        context.load_cert_chain(certificate, private_key, password=_no_password)
    except ssl.SSLError as failure:
        if failure.reason == "KEY_VALUES_MISMATCH":
            raise TlsError(private_key, f"is not the key of {certificate}") from failure
        raise TlsError(
            private_key, "is no private key in PEM, or is encrypted: the node has no password"
        ) from failure
    except OSError as failure:
        raise TlsError(private_key, f"cannot be read: {failure.strerror}") from failure


def _no_password() -> str:
    return ""  # otherwise OpenSSL asks on the terminal, and a service waits for ever


def _trust(context: ssl.SSLContext, authorities: Path) -> None:
    days_left(authorities)
    context.load_verify_locations(cafile=authorities)


def _certificates(path: Path) -> list[x509.Certificate]:
    content = _read(path, Path.read_bytes)
    try:
        return x509.load_pem_x509_certificates(content)
    except ValueError:
        raise TlsError(path, "holds no certificate in PEM") from None


def _read(path: Path, how: Callable[[Path], bytes]) -> bytes:
    try:
        return how(path)
    except OSError as failure:
        raise TlsError(path, f"cannot be read: {(failure.strerror or '').lower()}") from failure


def _check_dates(path: Path, certificate: x509.Certificate, now: datetime) -> None:
    end, begin = certificate.not_valid_after_utc, certificate.not_valid_before_utc
    if now > end:
        raise TlsError(path, f"expired on {end:%Y-%m-%d}", "Renew it.")
    if now < begin:
        raise TlsError(path, f"is valid from {begin:%Y-%m-%d} on", "Is the machine's clock right?")


def _check_strength(path: Path, certificate: x509.Certificate) -> None:
    key = certificate.public_key()
    if isinstance(key, rsa.RSAPublicKey) and key.key_size < _SHORTEST_RSA_BITS:
        raise TlsError(path, f"has an RSA key of {key.key_size} bits, fewer than {_SHORTEST_RSA_BITS}")


def _check_key_file(path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError as failure:
        raise TlsError(path, f"cannot be read: {(failure.strerror or '').lower()}") from failure
    if mode & _OTHERS:
        raise TlsError(path, f"is a private key with mode {mode:04o}, so that others may read it", f"chmod o= {path}")
