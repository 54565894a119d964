"""Let a purchase contain its items.

Revision ID: 0004
Revises: 0003
"""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the items. The default lets the previous version create purchases, and adds the column without writing all rows."""
    items = sa.Column("items", postgresql.JSONB(), server_default=sa.text("'[]'"), nullable=False)
    op.add_column("purchases", items)


def downgrade() -> None:
    """Refuse, because the items would be lost."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
