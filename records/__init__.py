"""Store everything in PostgreSQL. Only this package contains SQL.

Start at ``unit_of_work.py``: ``with records.work() as work: …`` is one transaction.
"""

from records.unit_of_work import DatabaseDownError, Records, UnitOfWork

__all__ = ["DatabaseDownError", "Records", "UnitOfWork"]
