"""Is this node fit to work? The checks behind `bt-node check`; none of them loads torch.

First what must hold before listener and worker start (`runtime.startup`), then what they would wait out: rights that
are too wide, a disk that is nearly full, destinations and sources that do not answer.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from bt_node.config import Config, Destination
from bt_node.deliver.outlet import DimseOutlet, Outlet
from bt_node.domain.errors import BtNodeError
from bt_node.domain.proof import Proof
from bt_node.receive.errors import SpoolFullError
from bt_node.runtime.outlets import build_outlet
from bt_node.runtime.permissions import check_private_files
from bt_node.runtime.sources import sources_to_ask
from bt_node.runtime.startup import CheckResult, Condition, tried, try_conditions
from bt_node.runtime.writable import nearest_existing

_MIB = 1024 * 1024


def run_checks(config: Config, config_file: Path | None = None) -> Iterator[CheckResult]:
    """Try the start-up conditions, then permissions, free space, every destination, every asked source."""
    yield from try_conditions(config, config_file)
    for name, check in (("permissions", check_private_files), ("free space", _free_space)):
        yield replace(tried(Condition(name, frozenset(), partial(check, config))), stops=False)
    for target in config.destinations:
        asked = _asked(f"destination {target.name}", partial(build_outlet, config, target))
        yield _with_proof(asked, config, target)
    try:
        peers = sources_to_ask(config)
    except BtNodeError:
        return  # a condition above has said which file it is
    for title, peer in peers.items():
        outlet = DimseOutlet(peer, config.listener.ae_title, config.delivery.timeout_seconds)
        yield _asked(f"source {title}", lambda outlet=outlet: outlet)  # type: ignore[misc]


def _free_space(config: Config) -> str:
    folder = config.storage.spool
    free = shutil.disk_usage(nearest_existing(folder)).free / _MIB
    if free < config.storage.min_free_mib:
        raise SpoolFullError(free, config.storage.min_free_mib)
    return f"{free:.0f} MiB at {folder}"


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
