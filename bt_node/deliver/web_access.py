"""What a DICOMweb service asks for before it lets us in: a token or login from a file, certificates."""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ReadTimeoutError

from bt_node.domain.errors import OutletError

_LONGEST_ANSWER = 16 * 1024 * 1024  # to one object, or one search for it
_AT_ONCE = 64 * 1024


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
    """Reads no answer for longer than the timeout, and none that is too large.

    The library's own timeout is for each silence: a service that sends a byte now and then would hold its courier for
    ever, and one that never stops would fill the memory.
    """

    def send(
        self,
        request: Any,
        stream: bool = False,
        timeout: Any = None,
        verify: Any = True,
        cert: Any = None,
        proxies: Any = None,
    ) -> requests.Response:
        response = super().send(request, True, timeout, verify, cert, proxies)
        if not stream:
            # What `Response.content` would read without a limit.
            response._content = _read(response, timeout)  # noqa: SLF001
            response._content_consumed = True  # noqa: SLF001
        return response


def _read(response: requests.Response, timeout_s: float | None) -> bytes:
    """The whole body.

    Raises:
        requests.RequestException: it broke off, or did not come to its end in time.
        ValueError: it is too long.
    """
    try:
        return b"".join(_parts(response, timeout_s))
    except ReadTimeoutError as error:
        raise requests.ReadTimeout(error) from error
    except HTTPError as error:
        raise requests.ConnectionError(error) from error
    finally:
        response.close()


def _parts(response: requests.Response, timeout_s: float | None) -> Iterator[bytes]:
    deadline, length = None if timeout_s is None else time.monotonic() + timeout_s, 0
    while part := response.raw.read1(_AT_ONCE, decode_content=True):
        length += len(part)
        if length > _LONGEST_ANSWER:
            raise ValueError("an answer beyond the limit")
        if deadline is not None and time.monotonic() > deadline:
            raise requests.ReadTimeout("the answer does not come to its end")
        yield part


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
