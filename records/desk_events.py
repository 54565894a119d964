"""Store what desk users did, and what was done to them. The table is append-only."""

import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from domain.desk_events import DeskEvent
from records.transaction import Transaction

_INSERT = """
insert into desk_events (event, actor_id, user_id, evidence)
values (:event, :actor_id, :user_id, cast(:evidence as jsonb))
"""

_SELECT = """
select e.id, e.created_at, e.event, a.email as actor, u.email as "user", e.evidence
  from desk_events e left join desk_users a on a.id = e.actor_id left join desk_users u on u.id = e.user_id
 where cast(:user_ids as uuid[]) is null or e.user_id = any(:user_ids)
 order by e.id desc limit :limit
"""

_KNOWS_NETWORK = """
select exists (
  select from desk_users u join desk_events e on e.user_id = u.id
   where u.email_key = :email_key and u.removed_at is null and e.event = 'signed_in'
     and e.evidence ->> 'network' = :network and e.created_at > now() - interval '90 days')
"""


@dataclass(frozen=True, slots=True)
class DeskEventRow:
    """One event. ``actor`` and ``user`` are e-mail addresses, or None for the command line or a stranger."""

    id: int
    created_at: datetime
    event: str
    actor: str | None
    user: str | None
    evidence: dict[str, object]


class DeskEvents:
    """The table ``desk_events``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def record(
        self, event: DeskEvent, *, actor: UUID | None, user: UUID | None, evidence: Mapping[str, object] | None = None
    ) -> None:
        """Record one event. ``actor`` acted, and ``user`` is the user whom the event is about."""
        self._work.run(_INSERT, event=event, actor_id=actor, user_id=user, evidence=json.dumps(evidence or {}))

    def newest(self, *, users: Collection[UUID] | None = None, limit: int = 200) -> list[DeskEventRow]:
        """Return the newest events about these users, the newest first. None means the events about every user."""
        user_ids = None if users is None else list(users)
        return [DeskEventRow(*row) for row in self._work.run(_SELECT, user_ids=user_ids, limit=limit)]

    def knows_network(self, email_key: str, network: str) -> bool:
        """Return whether the user with this address has signed in from this network in the last 90 days."""
        return bool(self._work.run(_KNOWS_NETWORK, email_key=email_key, network=network).scalar_one())
