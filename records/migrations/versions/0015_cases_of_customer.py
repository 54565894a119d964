"""Find all cases of a customer by an index.

Revision ID: 0015
Revises: 0014
"""

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the index."""
    op.create_index(op.f("cases_email_key_received_at_idx"), "cases", ["email_key", "received_at"])


def downgrade() -> None:
    """Drop the index."""
    op.drop_index(op.f("cases_email_key_received_at_idx"), "cases")
