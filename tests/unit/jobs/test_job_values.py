"""What can be said of the job book without a database."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from bt_node.domain.errors import IllegalMoveError
from bt_node.domain.states import JobState, is_legal
from bt_node.jobs import JobSummary
from bt_node.jobs.database import Transaction, normalised
from bt_node.jobs.moves import move

_HEAVY = ("alembic", "numpy", "torch", "pydicom", "sqlalchemy.orm", "psycopg", "pydantic")


@pytest.mark.parametrize(
    ("url", "driver"),
    [
        ("postgresql://node@db/book", "postgresql+psycopg"),
        ("postgres://node@db/book", "postgresql+psycopg"),
        ("postgresql+psycopg://node@db/book", "postgresql+psycopg"),
        ("sqlite:////srv/book.db", "sqlite"),
    ],
)
def test_a_plain_postgresql_url_means_psycopg_3(url: str, driver: str):
    assert normalised(url).drivername == driver


def test_an_illegal_move_is_refused_before_the_database_is_asked():
    nowhere = Transaction(connection=None, now=0.0)
    for source in JobState:
        for target in JobState:
            if not is_legal(source, target):
                with pytest.raises(IllegalMoveError, match=f"Job 7 is {source} and cannot become {target}"):
                    move(nowhere, 7, source, target, actor="test")


def test_a_summary_is_json_with_its_times_as_text():
    time = datetime(2026, 1, 2, 3, 4, 5, 678900, tzinfo=UTC)
    summary = JobSummary(1, "1.2.3", JobState.READY, "", "", "", 0, 2, 2, time, time)
    assert json.loads(json.dumps(summary.as_dict()))["updated_at"] == "2026-01-02T03:04:05.678+00:00"


def test_opening_the_job_book_loads_nothing_heavy():
    code = f"import sys, bt_node.jobs; print([name for name in {_HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
