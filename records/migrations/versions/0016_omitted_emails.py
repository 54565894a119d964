"""Store which e-mails were not sent, because their text was no longer true when their turn came.

Revision ID: 0016
Revises: 0015
"""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column. The e-mails so far count as sent, because nobody knows which of them were omitted."""
    op.add_column("case_emails", sa.Column("omitted", sa.Boolean(), server_default=sa.text("false"), nullable=False))


def downgrade() -> None:
    """Drop the column."""
    op.drop_column("case_emails", "omitted")
