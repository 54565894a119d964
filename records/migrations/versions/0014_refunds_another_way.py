"""Store the deadline of a dispute, and what support refunded another way.

Revision ID: 0014
Revises: 0013
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the columns. The default lets the previous version create purchases, and adds the column without writing all rows."""
    op.add_column("payments", sa.Column("dispute_respond_by", postgresql.TIMESTAMP(timezone=True)))
    another_way = sa.Column("refunded_another_way", sa.BigInteger(), server_default=sa.text("0"), nullable=False)
    op.add_column("purchases", another_way)


def downgrade() -> None:
    """Refuse, because refunds would not count any more."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
