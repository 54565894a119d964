"""Find all cases of a customer, and all cases of a purchase, by an index.

Revision ID: 0020
Revises: 0011
"""

from alembic import op

revision = "0020"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Create the indexes."""
    op.create_index(op.f("cases_email_key_received_at_idx"), "cases", ["email_key", "received_at"])
    op.create_index(op.f("cases_purchase_id_idx"), "cases", ["purchase_id"])


def downgrade() -> None:
    """Drop the indexes."""
    op.drop_index(op.f("cases_purchase_id_idx"), "cases")
    op.drop_index(op.f("cases_email_key_received_at_idx"), "cases")
