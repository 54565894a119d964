"""Store until when a provider expects an answer about a dispute of a payment.

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
    """Add the column. The next report about a dispute fills it in."""
    op.add_column("payments", sa.Column("dispute_respond_by", postgresql.TIMESTAMP(timezone=True)))


def downgrade() -> None:
    """Remove the column. Providers report the deadlines again."""
    op.drop_column("payments", "dispute_respond_by")
