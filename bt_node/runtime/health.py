"""Is this node fit to work? The checks behind `bt-node check`; none of them loads torch."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from bt_node.config import Config, Destination
from bt_node.deliver.outlet import DimseOutlet, Outlet
from bt_node.domain.errors import BookUnavailableError, BtNodeError, SchemaError
from bt_node.domain.proof import Proof
from bt_node.infer.release import read_release, verify_weights
from bt_node.jobs import open_book, schema_revision
from bt_node.runtime.outlets import build_outlet
from bt_node.runtime.own_spool import require_own_spool
from bt_node.runtime.permissions import check_private_files
from bt_node.runtime.site_key import check_key
from bt_node.runtime.sources import sources_to_ask
from bt_node.runtime.tls_checks import tls_checks

_MIB = 1024 * 1024


@dataclass(frozen=True)
class CheckResult:
    """One thing that was tried, whether it held, and what was seen."""

    name: str
    ok: bool
    detail: str


def run_checks(config: Config, config_file: Path | None = None) -> Iterator[CheckResult]:
    """Try database, spool, permissions, certificates, releases, site key, every destination, every asked source."""
    yield _try("database", lambda: _database(config))
    yield _try("spool", lambda: _spool(config))
    yield _try("permissions", lambda: check_private_files(config, config_file))
    for what, check in tls_checks(config):
        yield _try(what, check)
    for kind in ("segmenter", "classifier", "brain"):
        name = getattr(config.models, kind)
        if name:
            yield _try(kind, lambda name=name: _release(config.models.folder / name))  # type: ignore[misc]
    if config.follow_up.enabled:
        yield _try("follow-up key", lambda: check_key(config.follow_up.key_file))
    for target in config.destinations:
        asked = _asked(f"destination {target.name}", lambda target=target: build_outlet(config, target))  # type: ignore[misc]
        yield _with_proof(asked, config, target)
    for title, peer in sources_to_ask(config).items():
        outlet = DimseOutlet(peer, config.listener.ae_title, config.delivery.timeout_seconds)
        yield _asked(f"source {title}", lambda outlet=outlet: outlet)  # type: ignore[misc]


def _try(name: str, action: Callable[[], str]) -> CheckResult:
    """A check that raises is a check that failed; the message is the detail."""
    try:
        return CheckResult(name, ok=True, detail=action())
    except BtNodeError as error:
        return CheckResult(name, ok=False, detail=str(error))
    except Exception as error:  # noqa: BLE001 - edge: one failed check never hides the next
        return CheckResult(name, ok=False, detail=f"{type(error).__name__}: {str(error).splitlines()[0]}")


def _database(config: Config) -> str:
    open_book(config.database.url).close()
    return f"schema {schema_revision(config.database.url)[0]} at {config.database.safe_url}"


def _spool(config: Config) -> str:
    folder = config.storage.spool
    home = _nearest_existing(folder)
    if not os.access(home, os.W_OK | os.X_OK):
        raise PermissionError(f"{home} is not writable")
    free = shutil.disk_usage(home).free // _MIB
    if free < config.storage.min_free_mib:
        raise OSError(f"{free} MiB free at {folder}, less than min_free_mib = {config.storage.min_free_mib}")
    with suppress(SchemaError, BookUnavailableError):  # the database's own line says so
        book = open_book(config.database.url)
        try:
            require_own_spool(config, book)
        finally:
            book.close()
    return f"{free} MiB free at {folder}"


def _nearest_existing(folder: Path) -> Path:
    return next(path for path in (folder, *folder.parents) if path.exists())


def _release(folder: Path) -> str:
    release = read_release(folder)
    verify_weights(release)
    return f"{release.identity.name} {release.identity.version}, weights {release.identity.weights_sha256[:12]}"


def _asked(name: str, outlet: Callable[[], Outlet]) -> CheckResult:
    """Does it answer us? By C-ECHO, or by an empty search where it is a DICOMweb service."""
    try:
        asked = outlet()
    except BtNodeError as error:
        return CheckResult(name, ok=False, detail=str(error))
    outcome = asked.check()
    return CheckResult(name, outcome.ok, f"{asked.address}: {outcome.detail}")


def _with_proof(asked: CheckResult, config: Config, target: Destination) -> CheckResult:
    """Whether a destination that answers can show that it keeps what it takes, where that is asked of it."""
    if not asked.ok or target.proof == "none":
        return asked
    offers = build_outlet(config, target).offers()
    if target.proof == "auto":
        words = f"proof by {offers[0].value}" if offers else "it offers no proof, results will be unproven"
        return replace(asked, detail=f"{asked.detail}; {words}")
    ok = Proof(target.proof) in offers
    words = f"proof by {target.proof}" if ok else f'but proof = "{target.proof}" is not offered'
    return replace(asked, ok=ok, detail=f"{asked.detail}; {words}")
