"""Give each case a serial number, from which its case number is made.

Revision ID: 0005
Revises: 0004
"""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

_MAX_SERIAL = 500_246_412_960  # the largest number that eight characters of a case number can express


def upgrade() -> None:
    """Add the serial number to cases. PostgreSQL numbers the existing cases when it adds the column."""
    identity = sa.Identity(always=True, maxvalue=_MAX_SERIAL)
    op.add_column("cases", sa.Column("number", sa.BigInteger(), identity, nullable=False))
    op.create_unique_constraint(op.f("cases_number_key"), "cases", ["number"])


def downgrade() -> None:
    """Refuse, because customers know the case numbers of their cases."""
    raise NotImplementedError("Restore the backup that was made before the migration.")
