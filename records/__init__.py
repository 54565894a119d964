"""Store all data in PostgreSQL. Only this package contains SQL.

Read ``unit_of_work.py`` first. A block ``with records.work() as work: …`` is one transaction.
"""

from records.unit_of_work import DatabaseDownError, Records, UnitOfWork

__all__ = ["DatabaseDownError", "Records", "UnitOfWork"]
