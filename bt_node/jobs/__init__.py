"""The job book: tables, guarded moves, claims, leases, history, outbox. SQLAlchemy lives here."""

from bt_node.jobs.book import JobBook, open_book
from bt_node.jobs.completeness import ArrivedSeries, Completeness, QuietStudy
from bt_node.jobs.schema import downgrade_schema, schema_revision, upgrade_schema
from bt_node.jobs.values import (
    ClaimedJob,
    DueDelivery,
    HeldLease,
    JobSummary,
    RecordedFile,
    RunRecord,
    StoredResult,
    UnansweredReport,
)
from bt_node.jobs.waiting import Patience, not_configured
from bt_node.jobs.wakeup import Ear

__all__ = [
    "ArrivedSeries",
    "ClaimedJob",
    "Completeness",
    "DueDelivery",
    "Ear",
    "HeldLease",
    "JobBook",
    "JobSummary",
    "Patience",
    "QuietStudy",
    "RecordedFile",
    "RunRecord",
    "StoredResult",
    "UnansweredReport",
    "downgrade_schema",
    "not_configured",
    "open_book",
    "schema_revision",
    "upgrade_schema",
]
