"""What is remembered. Start at `work.py`: ``with records.work() as work: …`` is one transaction."""

from records.unit_of_work import DatabaseDownError, Records, UnitOfWork

__all__ = ["DatabaseDownError", "Records", "UnitOfWork"]
