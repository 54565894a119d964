"""Let a payment have several refunds over time, and let the database keep their sum within what was captured.

Revision ID: 0003
Revises: 0002
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_UNRESOLVED_STATUSES = "status in ('pending', 'sent', 'unknown', 'waiting_for_approval')"
_OPEN_STATUSES = "status in ('paid', 'pending', 'sent', 'unknown', 'waiting_for_approval')"


def upgrade() -> None:
    """Add the captured and the reserved amount to payments. A paid refund does not exclude another refund any more."""
    op.drop_index("refund_operations_one_open_per_payment", "refund_operations")
    op.create_index(
        "refund_operations_one_unresolved_per_payment",
        "refund_operations",
        ["provider", "charge"],
        unique=True,
        postgresql_where=sa.text(_UNRESOLVED_STATUSES),
    )
    op.add_column("refund_operations", sa.Column("decision_id", sa.UUID()))
    op.add_column("payments", sa.Column("captured", sa.BigInteger()))
    op.add_column("payments", sa.Column("reserved", sa.BigInteger(), server_default=sa.text("0"), nullable=False))
    op.execute(f"""
        update payments y
           set captured = p.captured, reserved = least(o.reserved, coalesce(p.captured, 0))
          from (select provider, charge, sum(amount) as reserved from refund_operations where {_OPEN_STATUSES} group by 1, 2) o
          left join (select provider, charge, sum(amount) as captured from purchase_payments group by 1, 2) p
            using (provider, charge)
         where y.provider = o.provider and y.charge = o.charge
        """)
    op.create_check_constraint(
        op.f("payments_reserved_within_captured_check"), "payments", "reserved between 0 and coalesce(captured, 0)"
    )


def downgrade() -> None:
    """Refuse, because a payment may have several refunds."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
