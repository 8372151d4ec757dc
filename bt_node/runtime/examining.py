"""Builds what decides whether a quiet study is complete, from the configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bt_node.assemble.completeness import Rules
from bt_node.config import Config
from bt_node.domain.study import Role
from bt_node.jobs import JobBook
from bt_node.pipeline.completeness import Asking, Examiner
from bt_node.receive.spool import Spool
from bt_node.runtime.sources import sources_to_ask

_SECONDS_PER_MINUTE = 60.0


def build_examiner(config: Config, book: JobBook, spool: Spool, needed: Sequence[Role] = tuple(Role)) -> Examiner:
    """The examiner of this node; `needed` are the sequences that its segmenter reads."""

    def paths(job_id: int) -> Mapping[str, Path]:
        return {uid: spool.absolute(path) for uid, path in book.instance_paths(job_id).items()}

    rules = config.completeness
    return Examiner(
        paths,
        Rules(rules.wait_minutes * _SECONDS_PER_MINUTE, rules.expect_whole_study),
        Asking(
            sources=sources_to_ask(config),
            calling_ae_title=config.listener.ae_title,
            attempts=rules.ask_attempts,
            pause_s=rules.ask_pause_seconds,
            timeout_s=rules.ask_timeout_seconds,
        ),
        config.roles,
        needed,
    )
