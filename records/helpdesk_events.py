"""Store each webhook of a helpdesk once, with its unchanged body."""

from uuid import UUID

from records.transaction import Transaction

_INSERT = """
insert into helpdesk_events as e (id, target, delivery_id, body) values (gen_random_uuid(), :target, :delivery_id, :body)
on conflict (target, delivery_id) do update set deliveries = e.deliveries + 1
returning id, outcome
"""

_RESOLVE = "update helpdesk_events set outcome = :outcome where id = :id"


class HelpdeskEvents:
    """The table ``helpdesk_events``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def keep(self, target: str, delivery_id: str, body: bytes) -> tuple[UUID, str | None]:
        """Store a webhook. Return its id, and its outcome if it was received and processed before."""
        row = self._work.run(_INSERT, target=target, delivery_id=delivery_id, body=body).one()
        return row.id, row.outcome

    def resolve(self, event_id: UUID, outcome: str) -> None:
        """Store what the webhook led to."""
        self._work.run(_RESOLVE, id=event_id, outcome=outcome)
