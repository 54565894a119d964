"""How every table, key and index is named, and what an instant is."""

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


def words(states: frozenset[str]) -> str:
    """These words in a list of SQL."""
    return ", ".join(f"'{state}'" for state in sorted(states))
