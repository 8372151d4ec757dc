"""The job book: jobs, what came in, what goes out, and every move.

Revision ID: 0001
Revises: nothing
"""

import sqlalchemy as sa

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


# The lengths of this revision, written out: later ones may differ.
WORD_OR_UID, AE_TITLE, NAME = sa.String(64), sa.String(16), sa.String(128)
EMPTY, ZERO = sa.text("''"), sa.text("0")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("study_instance_uid", WORD_OR_UID, nullable=False),
        sa.Column("state", WORD_OR_UID, nullable=False),
        sa.Column("code", WORD_OR_UID, server_default=EMPTY, nullable=False),
        sa.Column("reason", sa.Text(), server_default=EMPTY, nullable=False),
        sa.Column("priority", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("state_since", sa.Double(), nullable=False),
        sa.Column("last_received_at", sa.Double(), nullable=False),
        sa.Column("instances", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("images", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("images_taken", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("not_before", sa.Double(), nullable=True),
        sa.Column("analysed_at", sa.Double(), nullable=True),
        sa.Column("lease_token", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("lease_worker", NAME, nullable=True),
        sa.Column("lease_until", sa.Double(), nullable=True),
        sa.Column("stage", WORD_OR_UID, server_default=EMPTY, nullable=False),
        sa.Column("roles", sa.JSON(), nullable=False),
        sa.Column("set_aside", sa.JSON(), nullable=False),
        sa.Column("findings", sa.JSON(), nullable=False),
        sa.Column("timings_s", sa.JSON(), nullable=False),
        sa.Column("send_again", sa.Boolean(), server_default=sa.false(), nullable=False),
        sa.Column("purged_at", sa.Double(), nullable=True),
        sa.CheckConstraint(
            "state IN ('RECEIVING', 'READY', 'RUNNING', 'DELIVERING', "
            "'DONE', 'HELD', 'REJECTED', 'FAILED', 'CANCELLED')",
            name="ck_jobs_state",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_jobs"),
        sa.UniqueConstraint("study_instance_uid", name="uq_jobs_study_instance_uid"),
    )
    op.create_index("ix_jobs_claim", "jobs", ["state", "priority", "state_since"])

    op.create_table(
        "refusals",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("status", sa.Integer(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("calling_ae_title", AE_TITLE, nullable=False),
        sa.Column("sop_instance_uid", WORD_OR_UID, nullable=False),
        sa.Column("study_instance_uid", WORD_OR_UID, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_refusals"),
    )
    op.create_index("ix_refusals_at", "refusals", ["at"])
    op.create_index("ix_refusals_study_instance_uid", "refusals", ["study_instance_uid"])

    op.create_table(
        "history",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("from_state", WORD_OR_UID, nullable=True),
        sa.Column("to_state", WORD_OR_UID, nullable=False),
        sa.Column("actor", NAME, nullable=False),
        sa.Column("code", WORD_OR_UID, nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_history_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_history"),
    )
    op.create_index("ix_history_job_id", "history", ["job_id"])

    op.create_table(
        "instances",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("sop_instance_uid", WORD_OR_UID, nullable=False),
        sa.Column("sop_class_uid", WORD_OR_UID, nullable=False),
        sa.Column("series_instance_uid", WORD_OR_UID, nullable=False),
        sa.Column("transfer_syntax_uid", WORD_OR_UID, nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("size_bytes", sa.BigInteger(), nullable=False),
        sa.Column("digest", WORD_OR_UID, nullable=False),
        sa.Column("calling_ae_title", AE_TITLE, nullable=False),
        sa.Column("is_image", sa.Boolean(), nullable=False),
        sa.Column("received_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_instances_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_instances"),
        sa.UniqueConstraint("sop_instance_uid", name="uq_instances_sop_instance_uid"),
    )
    op.create_index("ix_instances_job_id", "instances", ["job_id"])

    op.create_table(
        "open_associations",
        sa.Column("association", NAME, nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("seen_at", sa.Double(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_open_associations_job_id"),
        sa.PrimaryKeyConstraint("association", "job_id", name="pk_open_associations"),
    )
    op.create_index("ix_open_associations_job_id", "open_associations", ["job_id"])

    op.create_table(
        "results",
        sa.Column("id", sa.Integer(), nullable=False),
        sa.Column("job_id", sa.Integer(), nullable=False),
        sa.Column("kind", WORD_OR_UID, nullable=False),
        sa.Column("sop_class_uid", WORD_OR_UID, nullable=False),
        sa.Column("sop_instance_uid", WORD_OR_UID, nullable=False),
        sa.Column("series_instance_uid", WORD_OR_UID, nullable=False),
        sa.Column("series_number", sa.Integer(), nullable=False),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", WORD_OR_UID, nullable=False),
        sa.Column("created_at", sa.Double(), nullable=False),
        sa.Column("superseded_at", sa.Double(), nullable=True),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name="fk_results_job_id"),
        sa.PrimaryKeyConstraint("id", name="pk_results"),
        sa.UniqueConstraint("sop_instance_uid", name="uq_results_sop_instance_uid"),
    )
    op.create_index("ix_results_job_id", "results", ["job_id"])

    op.create_table(
        "deliveries",
        sa.Column("result_id", sa.Integer(), nullable=False),
        sa.Column("destination", WORD_OR_UID, nullable=False),
        sa.Column("state", WORD_OR_UID, nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=ZERO, nullable=False),
        sa.Column("queued_at", sa.Double(), nullable=False),
        sa.Column("next_attempt_at", sa.Double(), nullable=False),
        sa.Column("sent_at", sa.Double(), nullable=True),
        sa.Column("status", sa.Integer(), nullable=True),
        sa.Column("detail", sa.Text(), server_default=EMPTY, nullable=False),
        sa.CheckConstraint("state IN ('PENDING', 'SENT', 'FAILED')", name="ck_deliveries_state"),
        sa.ForeignKeyConstraint(["result_id"], ["results.id"], name="fk_deliveries_result_id"),
        sa.PrimaryKeyConstraint("result_id", "destination", name="pk_deliveries"),
    )
    op.create_index("ix_deliveries_due", "deliveries", ["destination", "state", "next_attempt_at"])


def downgrade() -> None:
    for table in ("deliveries", "results", "open_associations", "instances", "history", "refusals", "jobs"):
        op.drop_table(table)
