"""Who may read what: secrets and patient data belong to the node's account alone.

A secret that every account of the machine may read is no secret: `serve` refuses to start with one, `check` names it.
What the group may read is the administrator's choice (a backup group, Debian's ssl-cert, Kubernetes' fsGroup). Spool
and database are made for the node's account alone; where an administrator opened them, `check` says so.
"""

from __future__ import annotations

import os
import re
import resource
import stat
import tomllib
from collections.abc import Iterator
from pathlib import Path

from bt_node.config import Config, PeerTls
from bt_node.domain.errors import OpenToOthersError

_OTHERS = stat.S_IRWXO
_PASSWORD = re.compile(r"://[^/@]*:[^@]+@|[?&]password=")
_SQLITE = "sqlite:///"


def private_umask() -> None:
    """Whatever this process makes from now on, others cannot read."""
    os.umask(0o077)


def no_core_dumps() -> None:
    """A crash, of a library in the trip's process perhaps, writes no memory to a disk: it holds patient data."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def refuse_open_secrets(config: Config, config_file: Path | None) -> None:
    """Stop where a secret may be read by others.

    Raises:
        OpenToOthersError: with the file and the command that mends it.
    """
    for what, path in _secrets(config, config_file):
        _require_private(what, path)


def check_private_files(config: Config) -> str:
    """What `bt-node check` says of spool and database.

    Raises:
        OpenToOthersError: the first of them that others may read.
    """
    _require_private("The spool", config.storage.spool)
    if config.database.url.startswith(_SQLITE):
        _require_private("The database", Path(config.database.url.removeprefix(_SQLITE)))
    return "spool and database are for the node's account alone"


def _secrets(config: Config, config_file: Path | None) -> Iterator[tuple[str, Path]]:
    if config_file is not None and _holds_password(config_file):
        yield "The configuration holds a password, and", config_file
    named = [
        ("The database's password file", config.database.password_file),
        ("The listener's private key", config.listener.tls.private_key),
    ]
    named += [(f"The private key for {each.name}", _key_of(each.tls)) for each in config.destinations]
    named += [(f"The private key for {each.ae_title}", _key_of(each.query_tls)) for each in config.sources]
    named += [
        (f"The login for {each.name}", str(each.token_file or each.login_file or "")) for each in config.destinations
    ]
    yield from ((what, Path(file)) for what, file in named if file)


def _key_of(tls: PeerTls | None) -> str:
    return tls.private_key if tls else ""


def _holds_password(config_file: Path) -> bool:
    try:
        database = tomllib.loads(config_file.read_text(encoding="utf-8")).get("database", {})
    except (OSError, ValueError):
        return False  # what cannot be read was said when it was loaded
    return bool(_PASSWORD.search(str(database.get("url", ""))))


def _require_private(what: str, path: Path) -> None:
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return  # not there yet, or named by whoever needs it
    if mode & _OTHERS:
        raise OpenToOthersError(what, path, mode)
