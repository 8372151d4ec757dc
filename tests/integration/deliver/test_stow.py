"""STOW-RS and QIDO-RS: Orthanc's DICOMweb plug-in, and a small service that refuses, stalls and asks for secrets."""

from __future__ import annotations

import base64
import json
import logging
import socket
import ssl
import subprocess
import sys
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from certificates import Authority
from held import is_held
from orthanc import OrthancServer
from pydicom import dcmread
from pydicom.uid import Comprehensive3DSRStorage, SegmentationStorage

from bt_node.config import PeerTls
from bt_node.deliver.peer import EchoOutcome
from bt_node.deliver.prove import CommitmentDesk
from bt_node.deliver.send import OutgoingFile
from bt_node.deliver.stow import StowOutlet
from bt_node.deliver.web_access import WebAccess
from bt_node.domain.errors import OutletError
from bt_node.domain.proof import Answer, Proof, Reference
from bt_node.domain.result import SendOutcome
from bt_node.runtime.tls import peer_context

MakeFile = Callable[..., OutgoingFile]
NO_DESK = CommitmentDesk(lambda uid: None, lambda uid: None, lambda report: None)
NOWHERE = Reference(SegmentationStorage, "2.25.404", "2.25.71", "2.25.72")


def reference(file: OutgoingFile) -> Reference:
    return Reference(file.sop_class_uid, file.sop_instance_uid, "2.25.71", "2.25.72")


@pytest.mark.e2e
def test_orthanc_stores_by_stow_and_is_asked_by_qido(orthanc: OrthancServer, make_file: MakeFile) -> None:
    orthanc.clear()
    outlet = StowOutlet(orthanc.dicomweb_url.rstrip("/"), WebAccess(), 20)
    assert outlet.check().ok
    files = [make_file(1, SegmentationStorage), make_file(2, Comprehensive3DSRStorage)]
    assert [(o.status, o.delivered, o.detail) for o in outlet.send(files)] == [(0, True, "stored")] * 2
    assert all(outcome.delivered for outcome in outlet.send(files))  # again: no second object
    assert orthanc.sop_instance_uids() == {file.sop_instance_uid for file in files}
    assert len(orthanc.get_json("instances")) == 2
    assert orthanc.dataset(files[0].sop_instance_uid) == dcmread(files[0].path)
    outcomes, _ = outlet.prove([*map(reference, files), NOWHERE], outlet.ways, NO_DESK)
    assert [(o.answer, o.proof) for o in outcomes] == [
        (Answer.KEPT, Proof.QUERY),
        (Answer.KEPT, Proof.QUERY),
        (Answer.MISSING, Proof.QUERY),
    ]


# ---------------------------------------------------------------- a service that misbehaves


class Service(ThreadingHTTPServer):
    """Answers what it is told to; remembers the headers of each request."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status, self.body, self.kind, self.delay = 200, b"", "application/dicom+json", 0.0
        self.endless: tuple[bytes, float] | None = None  # instead of the body, again and again after so many seconds
        self.seen: list[dict[str, str]] = []
        self.bodies: list[bytes] = []
        self.released = threading.Event()

    def say(self, status: int, content: object = None, delay: float = 0.0) -> None:
        self.status, self.delay = status, delay
        self.body = b"" if content is None else json.dumps(content).encode()

    def outlet(self, access: WebAccess | None = None, timeout_s: float = 5.0, scheme: str = "http") -> StowOutlet:
        return StowOutlet(
            f"{scheme}://localhost:{self.server_address[1]}/dicom-web", access or WebAccess(), timeout_s
        )


class _Handler(BaseHTTPRequestHandler):
    server: Service
    protocol_version = "HTTP/1.1"

    def _answer(self) -> None:
        service = self.server
        service.seen.append(dict(self.headers))
        service.bodies.append(self._body())
        service.released.wait(service.delay)
        self.send_response(service.status)
        self.send_header("Content-Type", service.kind)
        if service.endless:
            self._never_end(*service.endless)
            return
        self.send_header("Content-Length", str(len(service.body)))
        self.end_headers()
        self.wfile.write(service.body)

    def _never_end(self, part: bytes, pause_s: float) -> None:
        self.end_headers()
        self.close_connection = True
        with suppress(OSError):
            while not self.server.released.wait(pause_s):
                self.wfile.write(part)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    do_GET = do_POST = _answer  # noqa: N815 - the library's names

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[Service]:
    running = Service()
    threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
    yield running
    running.released.set()
    running.shutdown()
    running.server_close()


def sequence(tag: str, uid: str, **more: tuple[str, int]) -> dict[str, object]:
    item = {"00081155": {"vr": "UI", "Value": [uid]}} | {
        name.removeprefix("t"): {"vr": vr, "Value": [value]} for name, (vr, value) in more.items()
    }
    return {tag: {"vr": "SQ", "Value": [item]}}


FAILED, STORED = "00081198", "00081199"


@pytest.mark.parametrize(
    ("status", "content", "delivered", "permanent", "detail"),
    [
        (200, sequence(STORED, "2.25.70001"), True, False, "stored"),
        (
            202,
            sequence(STORED, "2.25.70001", t00081196=("US", 0xB000)),
            True,
            False,
            "stored; the destination changed",
        ),
        (202, sequence(FAILED, "2.25.70001", t00081197=("US", 0xA700)), False, False, "out of resources (0xA700)"),
        (409, sequence(FAILED, "2.25.70001", t00081197=("US", 0xA900)), False, True, "does not match SOP class"),
        (409, sequence(FAILED, "2.25.70001", t00081197=("US", 0x0122)), False, True, "SOP class not supported"),
        (409, "not DICOM JSON", False, True, "HTTP 409"),
        (413, None, False, True, "HTTP 413"),
        (429, None, False, False, "HTTP 429"),
        (507, None, False, False, "out of storage"),
        (200, None, True, False, "named no object"),
        (200, [], False, False, "cannot be read"),
    ],
)
def test_the_answer_to_one_object_decides(
    service: Service, make_file: MakeFile, status: int, content: object, delivered: bool, permanent: bool, detail: str
) -> None:
    service.say(status, content)
    (outcome,) = service.outlet().send([make_file(1)])
    assert (outcome.delivered, outcome.permanent, outcome.unreachable) == (delivered, permanent, False)
    assert detail in outcome.detail


@pytest.mark.parametrize(("status", "detail"), [(401, "token_file or login_file"), (403, "HTTP 403"), (503, "503")])
def test_a_service_that_lets_nobody_in_is_out_of_reach_for_all_objects(
    service: Service, make_file: MakeFile, status: int, detail: str
) -> None:
    service.say(status)
    outcomes = service.outlet().send([make_file(1), make_file(2)])
    assert all(outcome.unreachable and detail in outcome.detail for outcome in outcomes)
    assert len(service.seen) == 1  # nothing is gained by trying the second
    assert detail in service.outlet().check().detail


def test_an_object_that_may_not_leave_any_more_is_withdrawn(service: Service, make_file: MakeFile) -> None:
    service.say(200, [])
    first, second = make_file(1), make_file(2)
    outcomes = service.outlet().send([first, second], 1.0, lambda file: file is first)
    assert [outcome.withdrawn for outcome in outcomes] == [False, True]
    assert len(service.seen) == 1


def test_a_large_object_arrives_whole_and_without_retries_of_the_library(
    service: Service, make_file: MakeFile
) -> None:
    service.say(500)
    file = make_file(1, side=1024)
    assert service.outlet().send([file])[0].unreachable
    (body,) = service.bodies
    assert file.path.read_bytes()[132:] in body


def test_a_service_that_stalls_or_is_gone_is_said_in_words(service: Service, make_file: MakeFile) -> None:
    service.say(200, delay=30.0)
    started = time.monotonic()
    stalled, after = service.outlet(timeout_s=0.3).send([make_file(1), make_file(2)])
    assert time.monotonic() - started < 10
    assert (stalled.unreachable, after.unreachable) == (False, False)
    assert stalled.detail.startswith("no answer within")
    gone = StowOutlet("http://127.0.0.1:1/dicom-web", WebAccess(), 5)
    (outcome,) = gone.send([make_file(1)])
    assert outcome.unreachable
    assert outcome.detail == "no connection: connection refused"
    ((asked,), _) = gone.prove([NOWHERE], gone.ways, NO_DESK)
    assert (asked.answer, asked.detail) == (Answer.UNREACHABLE, "no connection: connection refused")


def test_an_answer_that_drips_is_given_up_like_none(service: Service, make_file: MakeFile) -> None:
    service.endless = b" ", 0.1
    started = time.monotonic()
    threading.Timer(8.0, service.released.set).start()
    (outcome,) = service.outlet(timeout_s=0.5).send([make_file(1)])
    assert time.monotonic() - started < 5
    assert outcome.detail.startswith("no answer within")
    ((asked,), _) = service.outlet(timeout_s=0.5).prove([NOWHERE], service.outlet().ways, NO_DESK)
    assert (asked.answer, asked.detail) == (Answer.UNCLEAR, "QIDO-RS: no answer in time")


Drip = Callable[[], Iterator[bytes]]


def _status_line() -> Iterator[bytes]:
    yield from (b"H", b"T", b"T", b"P", *[b"/"] * 1000)


def _headers() -> Iterator[bytes]:
    yield from (b"HTTP/1.1 200 OK\r\n", b"X-Slow: ", *[b"x"] * 1000)


def _one_interim_answer_after_the_other() -> Iterator[bytes]:
    yield from [b"HTTP/1.1 100 Continue\r\n\r\n"] * 1000


def _chunk_length() -> Iterator[bytes]:
    yield from (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", *[b"0"] * 1000)


def _compressed_to_nothing() -> Iterator[bytes]:
    """A gzip header whose file name does not end: each byte of it decodes to none."""
    yield from (b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n", bytes.fromhex("1f8b0808000000000003"))
    yield from [b"x"] * 1000


@pytest.mark.parametrize("secure", [False, True], ids=["http", "https"])
@pytest.mark.parametrize(
    "drip", [_status_line, _headers, _one_interim_answer_after_the_other, _chunk_length, _compressed_to_nothing]
)
def test_no_part_of_an_answer_can_hold_its_courier(
    make_file: MakeFile, tmp_path: Path, drip: Drip, secure: bool
) -> None:
    """Each silence is short, so the library's own timeout never comes."""
    over, access = threading.Event(), WebAccess()
    listening = socket.create_server(("127.0.0.1", 0))
    if secure:
        authority = Authority(tmp_path / "ca")
        access = WebAccess(tls=peer_context(PeerTls(ca=str(authority.ca))))

    def serve() -> None:
        with suppress(OSError), listening.accept()[0] as plain:
            connection = server_context(authority).wrap_socket(plain, server_side=True) if secure else plain
            connection.recv(65536)
            for part in drip():
                connection.sendall(part)
                if over.wait(0.1):
                    return

    def deliver() -> None:
        outlet = StowOutlet(f"http{'s' * secure}://localhost:{listening.getsockname()[1]}", access, 0.5)
        outcomes.extend(outlet.send([file]))

    outcomes: list[SendOutcome] = []
    file = make_file(1)
    with listening:
        assert not is_held(serve, deliver, over, 12)
    assert (outcomes[0].delivered, outcomes[0].unreachable) == (False, False)
    assert outcomes[0].detail.startswith("no answer within")


def test_an_answer_without_end_does_not_fill_the_memory(service: Service, make_file: MakeFile) -> None:
    service.endless = b" " * 1024 * 1024, 0.0
    threading.Timer(4.0, service.released.set).start()
    file = make_file(1)
    tracemalloc.start()
    try:
        (outcome,) = service.outlet(timeout_s=30).send([file])
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 64 * 1024**2
    assert (outcome.delivered, outcome.detail) == (False, "the service's answer cannot be read")


def test_the_environment_does_not_come_between_us_and_the_service(
    service: Service, make_file: MakeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine localhost login somebody password else\n")
    monkeypatch.setenv("NETRC", str(netrc))
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.delenv("no_proxy", raising=False)
    service.say(200, sequence(STORED, "2.25.70001"))
    assert service.outlet().send([make_file(1)])[0].delivered
    assert "Authorization" not in service.seen[0]


@pytest.mark.parametrize(
    ("status", "content", "answer"),
    [
        (204, None, Answer.MISSING),
        (404, None, Answer.MISSING),
        (200, [], Answer.MISSING),
        (200, [{"00080018": {"vr": "UI", "Value": ["2.25.1"]}}], Answer.MISSING),
        (200, [{"00080018": {"vr": "UI", "Value": ["2.25.404"]}}], Answer.KEPT),
        (200, 7, Answer.UNCLEAR),
        (400, None, Answer.UNCLEAR),
    ],
)
def test_only_the_object_itself_is_proof(service: Service, status: int, content: object, answer: Answer) -> None:
    service.say(status, content)
    ((outcome,), _) = service.outlet().prove([NOWHERE], (Proof.QUERY,), NO_DESK)
    assert outcome.answer is answer


def test_secrets_come_from_files_and_go_nowhere_else(
    service: Service, make_file: MakeFile, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    token, login = tmp_path / "token", tmp_path / "login"
    token.write_text("geheim-1\n")
    login.write_text("ann:geheim-2")
    service.say(200, sequence(STORED, "2.25.70001"))
    for access in (WebAccess(token_file=token), WebAccess(login_file=login)):
        outlet = service.outlet(access)
        assert outlet.send([make_file(1)])[0].delivered
        assert "geheim" not in repr(access) + outlet.address
    basic = base64.b64encode(b"ann:geheim-2").decode()
    assert [headers["Authorization"] for headers in service.seen] == ["Bearer geheim-1", f"Basic {basic}"]
    token.write_text("geheim-3")  # a new token needs no restart
    service.outlet(WebAccess(token_file=token)).send([make_file(1)])
    assert service.seen[-1]["Authorization"] == "Bearer geheim-3"
    service.say(401)
    assert "geheim" not in service.outlet(WebAccess(token_file=token)).check().detail
    assert "geheim" not in caplog.text
    assert basic not in caplog.text
    assert "Doe" not in caplog.text


@pytest.mark.parametrize(("text", "why"), [("", "one line"), ("a\nb\n", "one line"), (None, "No such file")])
def test_a_file_without_a_secret_is_said_by_name(
    service: Service, make_file: MakeFile, tmp_path: Path, text: str | None, why: str
) -> None:
    file = tmp_path / "token"
    if text is not None:
        file.write_text(text)
    outlet = service.outlet(WebAccess(token_file=file))
    assert why in outlet.check().detail
    (outcome,) = outlet.send([make_file(1)])
    assert outcome.unreachable
    assert str(file) in outcome.detail
    assert service.seen == []
    with pytest.raises(OutletError):
        WebAccess(token_file=file).session()


def test_a_node_without_such_a_destination_does_not_load_the_client() -> None:
    code = (
        "import sys, bt_node.runtime.courier, bt_node.runtime.outlets, bt_node.runtime.health\n"
        "print([name for name in ('dicomweb_client', 'bt_node.deliver.stow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# ---------------------------------------------------------------- TLS


@pytest.fixture
def secure(service: Service, tmp_path: Path) -> tuple[Service, Authority]:
    """The service over TLS; it wants a certificate of the same authority from us."""
    authority = Authority(tmp_path / "ca")
    secure_as(service, authority, "localhost")
    return service, authority


def server_context(authority: Authority) -> ssl.SSLContext:
    pair = authority.issue("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context


def secure_as(service: Service, authority: Authority, name: str) -> None:
    pair = authority.issue(name, host="")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    context.load_verify_locations(authority.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    service.socket = context.wrap_socket(service.socket, server_side=True, do_handshake_on_connect=False)
    service.say(200, [])


def test_https_with_the_hospitals_own_authority_and_our_certificate(
    secure: tuple[Service, Authority], make_file: MakeFile
) -> None:
    service, authority = secure
    ours = authority.issue("node")
    tls = peer_context(PeerTls(ca=str(authority.ca), certificate=str(ours.certificate), private_key=str(ours.key)))
    outlet = service.outlet(WebAccess(tls=tls), scheme="https")
    assert outlet.check() == EchoOutcome(ok=True, detail="answered")
    service.say(200, sequence(STORED, "2.25.70001"))
    assert outlet.send([make_file(1)])[0].delivered


def test_https_whose_certificate_is_not_trusted_gets_nothing(
    secure: tuple[Service, Authority], make_file: MakeFile, tmp_path: Path
) -> None:
    service, authority = secure
    other = Authority(tmp_path / "other")
    ours = authority.issue("node")
    for access in (
        WebAccess(),  # the usual authorities
        WebAccess(
            tls=peer_context(PeerTls(ca=str(other.ca), certificate=str(ours.certificate), private_key=str(ours.key)))
        ),
    ):
        (outcome,) = service.outlet(access, scheme="https").send([make_file(1)])
        assert (outcome.unreachable, outcome.detail) == (
            True,
            "TLS: the certificate is not trusted: look at ca of its tls",
        )
    assert service.seen == []


def test_https_that_asks_for_our_certificate_and_gets_none(secure: tuple[Service, Authority]) -> None:
    service, authority = secure
    outlet = service.outlet(WebAccess(tls=peer_context(PeerTls(ca=str(authority.ca)))), scheme="https")
    assert not outlet.check().ok
    assert service.seen == []


def test_the_name_in_the_certificate_counts_unless_the_site_says_no(service: Service, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca")
    secure_as(service, authority, "elsewhere")
    ours = authority.issue("node")
    for check, ok in ((True, False), (False, True)):
        tls = PeerTls(
            ca=str(authority.ca), certificate=str(ours.certificate), private_key=str(ours.key), check_host_name=check
        )
        assert service.outlet(WebAccess(tls=peer_context(tls)), scheme="https").check().ok is ok
