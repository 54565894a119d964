"""Answer the statements about inquiry e-mails. There are none: simulated customers ask for refunds, not for purchases."""

from collections.abc import Iterable, Sequence
from uuid import UUID

from records import inquiry_emails
from tests.simulation.memory.work import MemoryWork, does


@does(inquiry_emails._CLAIM)
def claim(_: MemoryWork, ids: Sequence[UUID], seconds: float) -> Iterable[None]:  # noqa: ARG001  # there is none to claim
    return []


@does(inquiry_emails._SELECT_OVERDUE)
def overdue(_: MemoryWork, seconds: float, limit: int) -> Iterable[None]:  # noqa: ARG001  # as above
    return []
