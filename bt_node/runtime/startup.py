"""What must hold before listener and worker start: one list, for `bt-node check` and for `bt-node serve`.

A condition fails in one of two ways. By an Alarm: only the administrator can mend it, and `serve` ends with exit code
78. By a Retry: it may hold later by itself (the database is away for a moment), and a service manager starts the
process again. What a running node waits out is no condition and is asked by `bt-node check` alone: peers that are
down, a disk that is nearly full. Nothing here loads torch into this process, and nothing is left behind.
"""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bt_node.config import Config
from bt_node.domain.errors import (
    Alarm,
    BookUnavailableError,
    BtNodeError,
    NotStartedError,
    NotStartedNowError,
    NotWritableError,
    PeersMissingError,
    ReleaseError,
    Retry,
    SchemaError,
)
from bt_node.infer.brain_weights import verify_brain_weights
from bt_node.infer.release import read_release, verify_weights
from bt_node.jobs import open_book, schema_revision
from bt_node.receive.errors import ListenError
from bt_node.receive.server import Address, try_address
from bt_node.receive.spool import FOLDERS
from bt_node.runtime.own_spool import require_own_spool
from bt_node.runtime.permissions import refuse_open_secrets
from bt_node.runtime.process import Part
from bt_node.runtime.pulse import ask
from bt_node.runtime.site_key import check_key
from bt_node.runtime.tls_checks import check_listener_tls, check_peer_tls
from bt_node.runtime.writable import is_there, require_folder

_BOTH = frozenset(Part)
_LISTENER, _WORKER = frozenset({Part.LISTENER}), frozenset({Part.WORKER})
_SQLITE = "sqlite:///"
_SQLITE_MAGIC = b"SQLite format 3\0"
_DEVICE_WITHIN_SECONDS = 120.0

_SPOOL_REMEDY = "Give it to the account that runs bt-node, or change [storage] spool."
_BOOK_REMEDY = "Give the file and its folder to the account that runs bt-node, or change [database] url."
_RELEASE_REMEDY = "`bt-node models list` shows which releases there are, `bt-node models install` adds one."
_TLS_REMEDY = "Put the right file there, or change the `tls` that names it."


class DeviceError(Alarm):
    """The configured device cannot be used on this machine."""

    code = "device"


@dataclass(frozen=True)
class CheckResult:
    """One thing that was tried, whether it held, and what was seen.

    Attributes:
        name: a few words.
        ok: whether it held.
        detail: what was seen; where it failed, a sentence and what to do.
        stops: `serve` does not start because of it, and ends with exit code 78.
    """

    name: str
    ok: bool
    detail: str
    stops: bool = False


@dataclass(frozen=True)
class Condition:
    """One condition: which processes need it, and what says whether it holds.

    Attributes:
        check: gives what was seen, in words; raises a BtNodeError where the condition does not hold.
        remedy: for errors that name none.
    """

    name: str
    parts: frozenset[Part]
    check: Callable[[], str]
    remedy: str = ""


def start_conditions(config: Config, config_file: Path | None) -> Iterator[Condition]:
    """All of them, those first that explain others."""
    yield Condition("database", _BOTH, partial(_database, config))
    yield Condition("spool", _BOTH, partial(_spool, config))
    yield Condition("secrets", _BOTH, partial(_secrets, config, config_file))
    yield Condition("sources", _LISTENER, partial(_sources, config))
    yield Condition("port", _LISTENER, partial(_port, config))
    yield from _tls_conditions(config)
    yield Condition("destinations", _WORKER, partial(_destinations, config))
    for kind in ("segmenter", "classifier"):
        name = getattr(config.models, kind)
        if name:
            check = partial(_release, kind, config.models.folder / name)
            yield Condition(kind, _WORKER, check, _RELEASE_REMEDY)
    if config.models.brain:
        yield Condition("brain", _WORKER, verify_brain_weights)
    yield Condition("device", _WORKER, partial(_device, config.device.name))
    if config.follow_up.enabled:
        yield Condition("follow-up key", _WORKER, partial(check_key, config.follow_up.key_file))


def _tls_conditions(config: Config) -> Iterator[Condition]:
    if config.listener.tls.certificate:
        check = partial(check_listener_tls, config.listener.tls)
        yield Condition("listener TLS", _LISTENER, check, _TLS_REMEDY)
    for target in config.destinations:
        if target.tls:
            yield Condition(f"TLS to {target.name}", _WORKER, partial(check_peer_tls, target.tls), _TLS_REMEDY)
    for source in config.sources:
        if source.query_tls:  # the worker asks there, the listener reports there
            check = partial(check_peer_tls, source.query_tls)
            yield Condition(f"TLS to {source.ae_title}", _BOTH, check, _TLS_REMEDY)


def try_conditions(
    config: Config, config_file: Path | None, parts: Collection[Part] = _BOTH
) -> Iterator[CheckResult]:
    """Try the conditions of these processes, one after the other; a failed one never hides the next."""
    for condition in start_conditions(config, config_file):
        if condition.parts & set(parts):
            yield tried(condition)


def require_conditions(config: Config, config_file: Path | None, parts: Collection[Part]) -> None:
    """Make sure that these processes can start.

    Raises:
        NotStartedError: a condition failed that only the administrator can mend; the message has all that failed.
        NotStartedNowError: what failed may hold later.
    """
    failed = [result for result in try_conditions(config, config_file, parts) if not result.ok]
    sentences = [(result.name, result.detail) for result in failed]
    if any(result.stops for result in failed):
        raise NotStartedError(sentences)
    if failed:
        raise NotStartedNowError(sentences)


def tried(condition: Condition) -> CheckResult:
    """A check that raises is a check that failed; the message is the detail."""
    try:
        return CheckResult(condition.name, ok=True, detail=condition.check())
    except BtNodeError as error:
        remedy = "" if error.remedy else condition.remedy
        detail = " ".join(f"{error} {remedy}".split())  # a library's message may have lines
        return CheckResult(condition.name, ok=False, detail=detail, stops=not isinstance(error, Retry))
    except Exception as error:  # noqa: BLE001 - edge: one failed check never hides the next
        detail = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
        return CheckResult(condition.name, ok=False, detail=detail, stops=True)


# ---------------------------------------------------------------- the conditions


def _database(config: Config) -> str:
    if config.database.url.startswith(_SQLITE):
        _sqlite_file(Path(config.database.url.removeprefix(_SQLITE)))
    open_book(config.database.url).close()
    return f"schema {schema_revision(config.database.url)[0]} at {config.database.safe_url}"


def _sqlite_file(file: Path) -> None:
    """SQLite itself calls all of this "unable to open" or "readonly", and only when it writes."""
    what = "The database"
    if not is_there(what, file, _BOOK_REMEDY):
        return  # `open_book` names `bt-node db upgrade`
    if not file.is_file():
        raise NotWritableError(what, file, "is no file", _BOOK_REMEDY)
    if not os.access(file, os.R_OK | os.W_OK):
        raise NotWritableError(what, file, "may not be read and written", _BOOK_REMEDY)
    with file.open("rb") as opened:
        if opened.read(len(_SQLITE_MAGIC)) not in (b"", _SQLITE_MAGIC):
            raise NotWritableError(what, file, "is no SQLite database", _BOOK_REMEDY)
    require_folder(what, file.parent, _BOOK_REMEDY)  # for its journal


def _spool(config: Config) -> str:
    spool = config.storage.spool
    for folder in (spool, *(spool / name for name in FOLDERS)):
        require_folder("The spool", folder, _SPOOL_REMEDY)
    # What is wrong with the database, its own condition says.
    with suppress(SchemaError, BookUnavailableError), closing(open_book(config.database.url)) as book:
        require_own_spool(config, book)
    return f"{spool} can be written" if spool.exists() else f"{spool} will be made at first use"


def _secrets(config: Config, config_file: Path | None) -> str:
    refuse_open_secrets(config, config_file)
    return "no other account may read a key, a password or a token"


def _sources(config: Config) -> str:
    if config.listener.accept_unknown_sources:
        return "anybody may send (accept_unknown_sources)"
    if not config.sources and "sources" not in config.model_fields_set:
        raise PeersMissingError("sources", "every association would be refused")
    names = ", ".join(sorted({source.ae_title for source in config.sources}))
    return f"{names} may send" if names else "nobody may send: every association is refused"


def _destinations(config: Config) -> str:
    if not config.destinations and "destinations" not in config.model_fields_set:
        raise PeersMissingError("destinations", "no result would leave the spool")
    names = ", ".join(target.name for target in config.destinations)
    return f"results go to {names}" if names else "results stay in the spool"


def _port(config: Config) -> str:
    host, port = config.listener.host, config.listener.port
    try:
        try_address(Address(host, port))
    except OSError as error:
        if error.errno == errno.EADDRINUSE and ask(config.storage.spool, Part.LISTENER) is not None:
            return f"{port} on {host} is held by this node's own listener"
        raise ListenError(host, port, error) from error
    return f"{port} on {host} is free" if port else "any free one"


def _release(kind: str, folder: Path) -> str:
    release = read_release(folder)
    if release.kind != kind:
        raise ReleaseError(folder.name, f"it is a {release.kind}, but [models] names it as {kind}.")
    verify_weights(release)
    return f"{release.identity.name} {release.identity.version}, weights {release.identity.weights_sha256[:12]}"


def _device(name: str) -> str:
    if name in {"auto", "cpu"}:
        return name
    # A process of its own: torch and what it takes of a GPU are gone again when it ends.
    command = [sys.executable, "-m", "bt_node.infer.device", name]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=_DEVICE_WITHIN_SECONDS, check=False)
    if asked.returncode:
        raise DeviceError(asked.stderr.strip().rpartition("\n")[2])
    return name
