"""Accepts connections, each into a thread of its own, as many as the limits allow.

A thread and not a process for each: hashing, disk and network calls release the interpreter's lock, and what is left
of Python is small (`bench/ingest.py`). Where one process is not enough, two share the port.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import socket
import ssl
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

_log = logging.getLogger(__name__)

_BACKLOG = 1024  # with fewer, a burst of connections waits a second for its second SYN
# Out of descriptors or memory: what is open goes on, and the next is accepted when something has been given back.
_OUT_OF_RESOURCES = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
_BREATHER_S = 0.1


@dataclass(frozen=True)
class Address:
    """Where to listen.

    Attributes:
        share_port: let another process listen on the same port (SO_REUSEPORT); the kernel deals connections out.
    """

    host: str
    port: int
    share_port: bool = False


@dataclass(frozen=True)
class Connections:
    """Connections at once, in all and from one source; more are closed as soon as they are accepted.

    Attributes:
        counted_as: the source of an address: itself, or one that several share.
    """

    in_all: int
    per_source: int
    counted_as: Callable[[str], str] = str


Serve = Callable[[socket.socket, str, float], None]
# Told of each peer that is turned away: its AE title ("" where it had not said one), its address, and why.
Refused = Callable[[str, str, str], None]


class Server:
    """A listening socket and the threads of its connections.

    `serve` gets the connection (TLS done), the peer's address and the time it was accepted (monotonic clock); it
    closes the connection.
    """

    def __init__(
        self,
        address: Address,
        limits: Connections,
        serve: Serve,
        *,
        tls: ssl.SSLContext | None,
        hello_seconds: float,
        refused: Refused = lambda *_: None,
    ) -> None:
        """Bind and listen; nothing is accepted before `start`.

        Raises:
            OSError: the address cannot be had.
        """
        self._limits = limits
        self._serve = serve
        self._tls = tls
        self._hello_seconds = hello_seconds
        self._refused = refused
        self._socket = _listening(address)
        self._lock = threading.Lock()
        self._threads: dict[threading.Thread, tuple[str, socket.socket]] = {}
        self._by_source: Counter[str] = Counter()
        self._closing = threading.Event()
        self._accepting = threading.Thread(target=self._accept, name="accept", daemon=True)

    @property
    def port(self) -> int:
        """The bound port."""
        return int(self._socket.getsockname()[1])

    @property
    def is_accepting(self) -> bool:
        """Whether the thread that accepts connections lives."""
        return self._accepting.is_alive()

    def start(self) -> None:
        """Accept connections from now on."""
        self._accepting.start()

    def close(self) -> None:
        """Accept nothing more; connections go on."""
        self._closing.set()
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes the thread that waits in accept
        if self._accepting.is_alive():
            self._accepting.join()
        self._socket.close()

    def wait(self, seconds: float) -> None:
        """Wait for connections to end, at most so long."""
        deadline = time.monotonic() + seconds
        with self._lock:
            threads = list(self._threads)
        for thread in threads:
            thread.join(max(deadline - time.monotonic(), 0))

    def end_all(self) -> None:
        """Wake every connection that reads: it finds that its peer has hung up."""
        with self._lock:
            connections = [connection for _, connection in self._threads.values()]
        for connection in connections:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(connection, socket.SHUT_RD)

    def _accept(self) -> None:
        while not self._closing.is_set():
            try:
                connection, address = self._socket.accept()
            except OSError as error:
                if self._closing.is_set():
                    return
                if error.errno in _OUT_OF_RESOURCES:
                    _log.error("a connection could not be accepted: %s", errno.errorcode[error.errno or 0])
                    self._closing.wait(_BREATHER_S)
                continue
            self._take(connection, str(address[0]))

    def _take(self, connection: socket.socket, source: str) -> None:
        thread = threading.Thread(
            target=self._run, args=(connection, source, time.monotonic()), name=f"peer {source}", daemon=True
        )
        counted = self._limits.counted_as(source)
        with self._lock:
            full = len(self._threads) >= self._limits.in_all or self._by_source[counted] >= self._limits.per_source
            if not full:
                self._threads[thread] = counted, connection
                self._by_source[counted] += 1
        if full:
            connection.close()
            return
        try:
            thread.start()
        except RuntimeError:  # no thread could be had
            _log.error("no thread for one more connection")
            self._forget(thread)
            connection.close()

    def _run(self, connection: socket.socket, source: str, begun: float) -> None:
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                connection.settimeout(self._hello_seconds)
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._now_tls(connection)
            self._serve(connection, source, begun)
        except ssl.SSLError as error:
            # OpenSSL's word for it is one of a fixed list: nothing of the peer's stands in it.
            why = (error.reason or type(error).__name__).lower().replace("_", " ")
            _log.warning("TLS with %s did not come about: %s", source, why)
            connection.close()
            self._refused("", source, f"TLS: {why}")
        except OSError as error:
            _log.warning("a connection from %s ended before it began: %s", source, type(error).__name__)
            connection.close()
        finally:
            self._forget(threading.current_thread())

    def _now_tls(self, connection: ssl.SSLSocket) -> None:
        with self._lock:
            counted, _ = self._threads[threading.current_thread()]
            self._threads[threading.current_thread()] = counted, connection

    def _forget(self, thread: threading.Thread) -> None:
        with self._lock:
            known = self._threads.pop(thread, None)
            if known is not None:
                counted, _ = known
                self._by_source[counted] -= 1
                if not self._by_source[counted]:
                    del self._by_source[counted]


def try_address(address: Address) -> None:
    """Have the address for a moment, to see whether it can be had.

    Raises:
        OSError: it is taken, forbidden, or not ours.
    """
    _listening(address).close()


def _listening(address: Address) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if address.share_port:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((address.host, address.port))
        listening.listen(_BACKLOG)
    except OSError:
        listening.close()
        raise
    return listening
