"""Define the naming convention of keys and indexes, and the column type for a point in time."""

from collections.abc import Collection

from sqlalchemy import MetaData
from sqlalchemy.dialects.postgresql import TIMESTAMP

metadata = MetaData(
    naming_convention={
        "pk": "%(table_name)s_pkey",
        "uq": "%(table_name)s_%(column_0_N_name)s_key",
        "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
        "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        "ck": "%(table_name)s_%(constraint_name)s_check",
    },
)

INSTANT = TIMESTAMP(timezone=True)


def quoted_list(values: Collection[str]) -> str:
    """Return these values as a list for SQL's ``in``. The values are quoted, sorted and separated by commas."""
    return ", ".join(f"'{value}'" for value in sorted(values))
