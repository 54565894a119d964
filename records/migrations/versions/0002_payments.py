"""Give refunds that wait for an approval their own state, and policies a rule about inquiries.

Revision ID: 0002
Revises: 0001
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

_OPEN_STATES = (
    "state in ('approved', 'awaiting_confirmation', 'refund_pending', 'refunded', 'refunding', 'waiting_for_approval', "
    "'with_support')"
)
_WORKER_STATES = "state not in ('approved', 'received', 'refund_pending', 'refunding', 'waiting_for_approval')"
_OPEN_STATUSES = "status in ('paid', 'pending', 'sent', 'unknown', 'waiting_for_approval')"


def upgrade() -> None:
    """Add the state ``waiting_for_approval`` to the rules of the database, and the rule about inquiries to policies."""
    op.drop_constraint("cases_scheduled_check", "cases")
    op.create_check_constraint(op.f("cases_scheduled_check"), "cases", f"{_WORKER_STATES} or next_action_at is not null")
    op.drop_index("cases_one_open_case_per_purchase", "cases")
    op.create_index(
        "cases_one_open_case_per_purchase", "cases", ["purchase_id"], unique=True, postgresql_where=sa.text(_OPEN_STATES)
    )
    op.drop_index("refund_operations_one_open_per_payment", "refund_operations")
    op.create_index(
        "refund_operations_one_open_per_payment",
        "refund_operations",
        ["provider", "charge"],
        unique=True,
        postgresql_where=sa.text(_OPEN_STATUSES),
    )
    op.add_column(
        "policies", sa.Column("refunds_inquiries", sa.Boolean(), server_default=sa.text("false"), nullable=False)
    )


def downgrade() -> None:
    """Refuse, because a case may wait for an approval."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
