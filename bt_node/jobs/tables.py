"""The tables of the job book. UIDs, numbers and our own words only: no patient name, ID or birth date has a column.

SQLAlchemy's Core is used without its ORM: every write is one guarded UPDATE, so there is no unit of work to keep, and
`bt-node jobs list` starts 70 ms sooner. Times are seconds since 1970 (UTC) by the database's clock.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Double,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    false,
    text,
)

from bt_node.domain.states import DeliveryState, JobState

# The newest file in alembic/versions; a test compares them.
SCHEMA_REVISION = "0008"

_UID = String(64)  # PS3.5 9.1: at most 64 characters
_AE_TITLE = String(16)
_WORD = String(64)
_ZERO = text("0")
_EMPTY = text("''")

metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "uq": "uq_%(table_name)s_%(column_0_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)


def _one_of(column: str, words: type[JobState | DeliveryState]) -> CheckConstraint:
    listed = ", ".join(f"'{word}'" for word in words)
    return CheckConstraint(f"{column} IN ({listed})", name=column)


# One job for each study. `images` counts image instances ever received, `images_taken` how many of them the present
# inputs hold: more images than taken means that the study has changed.
jobs = Table(
    "jobs",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("study_instance_uid", _UID, nullable=False, unique=True),
    Column("state", _WORD, nullable=False),
    Column("code", _WORD, nullable=False, server_default=_EMPTY),
    Column("reason", Text, nullable=False, server_default=_EMPTY),
    Column("priority", Integer, nullable=False, server_default=_ZERO),
    Column("created_at", Double, nullable=False),
    Column("state_since", Double, nullable=False),
    Column("last_received_at", Double, nullable=False),
    Column("instances", Integer, nullable=False, server_default=_ZERO),
    Column("images", Integer, nullable=False, server_default=_ZERO),
    Column("images_taken", Integer, nullable=False, server_default=_ZERO),
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("not_before", Double),
    Column("analysed_at", Double),
    Column("lease_token", Integer, nullable=False, server_default=_ZERO),
    Column("lease_worker", String(128)),
    Column("lease_until", Double),
    Column("stage", _WORD, nullable=False, server_default=_EMPTY),
    Column("roles", JSON, nullable=False),
    Column("set_aside", JSON, nullable=False),
    Column("findings", JSON, nullable=False),
    Column("timings_s", JSON, nullable=False),
    # {"T1C": {"series_instance_uid": "…", "by": "cli:ann"}}; NULL where nobody assigned anything.
    Column("assigned", JSON),
    Column("send_again", Boolean, nullable=False, server_default=false()),
    Column("purged_at", Double),
    _one_of("state", JobState),
    Index("ix_jobs_claim", "state", "priority", "state_since"),
)


def _job_id() -> Column[int]:
    return Column("job_id", Integer, ForeignKey("jobs.id"), nullable=False, index=True)


instances = Table(
    "instances",
    metadata,
    Column("id", Integer, primary_key=True),
    _job_id(),
    Column("sop_instance_uid", _UID, nullable=False, unique=True),
    Column("sop_class_uid", _UID, nullable=False),
    Column("series_instance_uid", _UID, nullable=False),
    Column("transfer_syntax_uid", _UID, nullable=False),
    Column("path", Text, nullable=False),
    Column("size_bytes", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("calling_ae_title", _AE_TITLE, nullable=False),
    Column("is_image", Boolean, nullable=False),
    Column("received_at", Double, nullable=False),
)

# A study that an association has open is not complete yet. `seen_at` is the last instance on that association.
open_associations = Table(
    "open_associations",
    metadata,
    Column("association", String(128), primary_key=True),
    Column("job_id", Integer, ForeignKey("jobs.id"), primary_key=True, index=True),
    Column("seen_at", Double, nullable=False),
    # For the audit trail, which tells what the association brought when it ends.
    Column("calling_ae_title", _AE_TITLE, nullable=False, server_default=_EMPTY),
    Column("instances", Integer, nullable=False, server_default=_ZERO),
)

refusals = Table(
    "refusals",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("at", Double, nullable=False, index=True),
    Column("status", Integer, nullable=False),
    Column("reason", Text, nullable=False),
    Column("calling_ae_title", _AE_TITLE, nullable=False),
    Column("sop_instance_uid", _UID, nullable=False),
    Column("study_instance_uid", _UID, nullable=False, index=True),
)

history = Table(
    "history",
    metadata,
    Column("id", Integer, primary_key=True),
    _job_id(),
    Column("at", Double, nullable=False),
    Column("from_state", _WORD),
    Column("to_state", _WORD, nullable=False),
    Column("actor", String(128), nullable=False),
    Column("code", _WORD, nullable=False),
    Column("reason", Text, nullable=False),
)

# Why a study waited or went on: one row for each number of images, with the evidence (UIDs, numbers, our own words).
completeness = Table(
    "completeness",
    metadata,
    Column("id", Integer, primary_key=True),
    _job_id(),
    Column("begun_at", Double, nullable=False),
    Column("at", Double, nullable=False),
    Column("images", Integer, nullable=False),
    Column("complete", Boolean, nullable=False),
    Column("reason", Text, nullable=False),
    Column("evidence", JSON, nullable=False),
)

# A result that a later run replaced keeps its row, with `superseded_at`, and is never sent again.
results = Table(
    "results",
    metadata,
    Column("id", Integer, primary_key=True),
    _job_id(),
    Column("kind", _WORD, nullable=False),
    Column("sop_class_uid", _UID, nullable=False),
    Column("sop_instance_uid", _UID, nullable=False, unique=True),
    Column("series_instance_uid", _UID, nullable=False),
    Column("series_number", Integer, nullable=False),
    Column("path", Text, nullable=False),
    Column("sha256", String(64), nullable=False),
    Column("created_at", Double, nullable=False),
    Column("superseded_at", Double),
)

deliveries = Table(
    "deliveries",
    metadata,
    Column("result_id", Integer, ForeignKey("results.id"), primary_key=True),
    Column("destination", String(64), primary_key=True),
    Column("state", _WORD, nullable=False),
    Column("attempts", Integer, nullable=False, server_default=_ZERO),
    Column("queued_at", Double, nullable=False),
    Column("next_attempt_at", Double, nullable=False),
    Column("sent_at", Double),
    Column("status", Integer),
    Column("detail", Text, nullable=False, server_default=_EMPTY),
    # How it is known that the destination keeps the object, how often that was asked since it was sent, and how often
    # it turned out not to have an object that it had acknowledged.
    Column("proof", _WORD, nullable=False, server_default=_EMPTY),
    Column("proof_attempts", Integer, nullable=False, server_default=_ZERO),
    Column("times_lost", Integer, nullable=False, server_default=_ZERO),
    _one_of("state", DeliveryState),
    Index("ix_deliveries_due", "destination", "state", "next_attempt_at"),
)

# One row for each destination that a courier was at work on. One that cannot be reached is tried again as a whole, so
# that the oldest object goes first when it is back.
destinations = Table(
    "destinations",
    metadata,
    Column("destination", String(64), primary_key=True),
    Column("failures", Integer, nullable=False, server_default=_ZERO),
    Column("next_attempt_at", Double, nullable=False),
    Column("detail", Text, nullable=False, server_default=_EMPTY),
    Column("courier", String(128)),
    Column("courier_until", Double),
)

# Storage commitment that was asked for: which objects a TransactionUID stands for, until the report names them.
commitments = Table(
    "commitments",
    metadata,
    Column("transaction_uid", _UID, primary_key=True),
    Column("result_id", Integer, ForeignKey("results.id"), primary_key=True, index=True),
    Column("destination", String(64), nullable=False),
    Column("asked_at", Double, nullable=False),
    Column("pause_s", Double, nullable=False),  # before an object that is reported missing is sent again
)

# What is kept of a study's report for the next study of the same patient: a keyed hash, a day, and numbers (never the
# PatientID). The row stays when the study's files are deleted.
remembered = Table(
    "remembered",
    metadata,
    Column("result_id", Integer, ForeignKey("results.id"), primary_key=True),
    Column("subject_hash", String(64), nullable=False),
    Column("study_day", String(10), nullable=False),  # 2026-01-05: hours are not kept
    Column("facts", JSON, nullable=False),
    Index("ix_remembered_subject", "subject_hash", "study_day"),
)

# Who did what (PS3.15 A.5). Triggers of the database refuse UPDATE and DELETE; `hash` covers the row and `previous`,
# which is the hash of the row before. `entry` is JSON text as it was hashed.
audit_trail = Table(
    "audit_trail",
    metadata,
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("event", _WORD, nullable=False),
    Column("entry", Text, nullable=False),
    Column("previous", String(64), nullable=False, unique=True),
    Column("hash", String(64), nullable=False),
)

# How far the trail was handed to each receiver.
audit_exports = Table(
    "audit_exports",
    metadata,
    Column("receiver", String(255), primary_key=True),
    Column("number", BigInteger, nullable=False),
)

# Which older programs may work on a newer schema: one row for each migration that only added something.
schema_compatibility = Table(
    "schema_compatibility",
    metadata,
    Column("revision", String(32), primary_key=True),
    Column("oldest_program", String(32), nullable=False),
)
