"""What a DICOMweb service asks for before it lets us in: a token or login from a file, certificates."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import requests
from requests.adapters import HTTPAdapter
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, ReadTimeoutError

from bt_node.deliver.cut import cut
from bt_node.deliver.peer import SLOWEST_BYTES_PER_SECOND
from bt_node.domain.errors import OutletError

_LONGEST_ANSWER = 16 * 1024 * 1024  # to one object, or one search for it
_AT_ONCE = 64 * 1024
_TOO_LATE = "the answer does not come to its end"


@dataclass(frozen=True)
class WebAccess:
    """Files that hold what a service asks for; they are read at each use, so that a new token needs no restart.

    Attributes:
        token_file: a bearer token (RFC 6750).
        login_file: `user:password` for basic authentication.
        tls: our certificate, and whose signature on the service's own counts; None for the usual authorities.
    """

    token_file: Path | None = None
    login_file: Path | None = None
    tls: ssl.SSLContext | None = field(default=None, repr=False, compare=False)

    def session(self) -> requests.Session:
        """An HTTP session that shows what the files hold.

        Raises:
            OutletError: a file cannot be read, or does not hold what it should.
        """
        session = requests.Session()
        # A proxy, a .netrc or certificates from the environment must not come between us and the destination.
        session.trust_env = False
        session.max_redirects = 0
        session.mount("http://", _Bounded())
        session.mount("https://", _Bounded())
        if self.token_file:
            session.headers["Authorization"] = f"Bearer {_one_line(self.token_file)}"
        if self.login_file:
            user, colon, password = _one_line(self.login_file).partition(":")
            if not colon:
                raise OutletError(self.login_file, "it holds no user:password")
            session.auth = (user, password)
        if self.tls is not None:
            session.mount("https://", _OwnTls(self.tls))
        return session


class _Bounded(HTTPAdapter):
    """Gives each request a time in all, and reads no answer that is too large.

    The library's own timeout is for each silence: a service that sends a byte now and then, of its status line, a
    header or a chunk's length, would hold its courier for ever, and one that never stops would fill the memory.
    """

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = {"http": _Pool, "https": _TlsPool}

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        # Once for the connection, once for the answer; and for the object, as much as a C-STORE has.
        with _Deadline(2 * timeout) as deadline:
            request.body = deadline.extended_by(request.body)
            try:
                response = super().send(request, True, timeout, verify, cert, proxies)
                if not stream:
                    # What `Response.content` would read without a limit.
                    response._content = _read(response)  # noqa: SLF001
                    response._content_consumed = True  # noqa: SLF001
            except (requests.RequestException, OSError) as error:
                if deadline.has_cut:
                    raise requests.ReadTimeout(_TOO_LATE) from error
                raise
        if deadline.has_cut:  # headers, or a body without a length, may look whole where they were cut
            raise requests.ReadTimeout(_TOO_LATE)
        return response


def _read(response: requests.Response) -> bytes:
    """The whole body.

    Raises:
        requests.RequestException: it broke off.
        ValueError: it is too long.
    """
    try:
        return b"".join(_parts(response))
    except ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except HTTPError as error:
        raise requests.ConnectionError(error) from error
    finally:
        response.close()


def _parts(response: requests.Response) -> Iterator[bytes]:
    length = 0
    while part := response.raw.read1(_AT_ONCE, decode_content=True):
        length += len(part)
        if length > _LONGEST_ANSWER:
            raise ValueError("an answer beyond the limit")
        yield part


class _Deadline:
    """Cuts the connection of one request when its time is over, whatever it is at: the other side then has ended it.

    For a `with` block; the connections that are made or used in it follow by themselves.
    """

    def __init__(self, seconds: float) -> None:
        self.has_cut = False
        self._at, self._is_over = time.monotonic() + seconds, False
        self._lock, self._done = threading.Lock(), threading.Event()
        self._socket: socket.socket | None = None

    def extended_by(self, body: Any) -> Any:
        """The body of the request, with the time that its bytes may take."""
        if isinstance(body, Iterator):
            return self._parts(body)
        self._at += len(body or b"") / SLOWEST_BYTES_PER_SECOND
        return body

    def _parts(self, body: Iterator[bytes]) -> Iterator[bytes]:
        for part in body:
            self._at += len(part) / SLOWEST_BYTES_PER_SECOND
            yield part

    def follow(self, connection: socket.socket) -> None:
        """This is the connection of the request."""
        with self._lock:
            self._socket = connection
            if self._is_over:
                self._cut(connection)

    def __enter__(self) -> Self:
        self._token = _of_this_request.set(self)
        threading.Thread(target=self._watch, name="request deadline", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:  # the connection may be the next request's from here on
            self._done.set()
        _of_this_request.reset(self._token)

    def _watch(self) -> None:
        while (left := self._at - time.monotonic()) > 0:
            if self._done.wait(left):
                return
        with self._lock:
            self._is_over = True
            if self._socket is not None and not self._done.is_set():
                self._cut(self._socket)

    def _cut(self, connection: socket.socket) -> None:
        self.has_cut = True
        cut(connection)


_of_this_request: ContextVar[_Deadline] = ContextVar("_of_this_request")


class _Followed(HTTPConnection):
    """A connection that its request's deadline can cut; connecting, TLS included, has the library's timeout."""

    def connect(self) -> None:
        super().connect()
        _of_this_request.get().follow(self.sock)

    def request(self, *arguments: Any, **options: Any) -> None:
        if self.sock is not None:  # of the request before
            _of_this_request.get().follow(self.sock)
        super().request(*arguments, **options)


class _FollowedTls(_Followed, HTTPSConnection):
    """The same over TLS."""


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Followed


class _TlsPool(HTTPSConnectionPool):
    ConnectionCls = _FollowedTls


class _OwnTls(_Bounded):
    """HTTPS with our own context alone: the library would add the usual authorities to it."""

    def __init__(self, context: ssl.SSLContext) -> None:
        self._context = context
        super().__init__()

    def init_poolmanager(self, *arguments: Any, **options: Any) -> None:
        # The library would compare the host's name by itself, also where the context says not to.
        names = None if self._context.check_hostname else False
        super().init_poolmanager(*arguments, **options, ssl_context=self._context, assert_hostname=names)

    def cert_verify(self, conn: Any, url: Any, verify: Any, cert: Any) -> None:
        """Leave it to the context."""


def _one_line(file: Path) -> str:
    try:
        lines = file.read_text(encoding="ascii").split("\n")
    except (OSError, UnicodeDecodeError) as trouble:
        reason = trouble.strerror if isinstance(trouble, OSError) else "not ASCII"
        raise OutletError(file, reason or "cannot be read") from None
    text = lines[0].strip()
    if not text or any(line.strip() for line in lines[1:]):
        raise OutletError(file, "it should hold one line")
    return text
