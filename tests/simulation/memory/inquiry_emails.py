"""Answers the SQL statements about inquiry e-mails. No simulated customer causes an inquiry e-mail, so the table is empty."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from records import inquiry_emails
from tests.simulation.memory.work import MemoryWork, answers


@answers(inquiry_emails._CLAIM)
def claim(_: MemoryWork, ids: Sequence[UUID], seconds: float) -> Iterable[None]:  # noqa: ARG001  # no inquiry e-mail exists
    return []


@answers(inquiry_emails._SELECT_OVERDUE)
def overdue(_: MemoryWork, seconds: float, limit: int) -> Iterable[None]:  # noqa: ARG001  # as above
    return []
