"""Store the rate limits of each helpdesk, its pauses, and why it refuses our calls. All processes share them.

A transaction that locks the row of a helpdesk decides alone which calls are made next.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from records.transaction import Transaction

_INSERT = "insert into helpdesk_targets (target) values (:target) on conflict do nothing"

_LOCK = "select buckets, paused_until, is_slow, refusals from helpdesk_targets where target = :target for update"

_STORE_BUCKETS = "update helpdesk_targets set buckets = cast(:buckets as jsonb) where target = :target"

_PAUSE = """
update helpdesk_targets set paused_until = greatest(paused_until, cast(:until as timestamptz)) where target = :target
"""

_RESUME = "update helpdesk_targets set paused_until = 'epoch', is_slow = false where target = :target"

_MARK_SLOW = "update helpdesk_targets set is_slow = true where target = :target"

_ADD_REFUSAL = """
update helpdesk_targets set refusals = jsonb_build_object(cast(:cause as text), cast(:since as text)) || refusals
 where target = :target returning refusals ->> cast(:cause as text) as since
"""
"""The first refusal for a cause keeps its instant, so that one cause has one support task."""

_REMOVE_REFUSALS = """
with known as (select target, refusals from helpdesk_targets where target = :target for update)
update helpdesk_targets t set refusals = t.refusals - cast(:causes as text[]) from known k where t.target = k.target
returning k.refusals
"""

_SELECT_ALL = "select target, buckets, paused_until, is_slow, refusals from helpdesk_targets order by target"


@dataclass(frozen=True, slots=True)
class HelpdeskTarget:
    """The state of one helpdesk."""

    buckets: Mapping[str, Sequence[float]]
    paused_until: datetime
    is_slow: bool
    """True if the last answer did not come in time. Then only one call is made at a time, so that workers do not wait for it."""
    refusals: Mapping[str, str]
    """The causes for which the helpdesk refuses our calls, each with the instant of the first refusal."""


class HelpdeskTargets:
    """The table ``helpdesk_targets``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def lock(self, target: str) -> HelpdeskTarget:
        """Lock and return the state of a helpdesk until the end of the transaction."""
        self._work.run(_INSERT, target=target)
        return HelpdeskTarget(*self._work.run(_LOCK, target=target).one())

    def store_buckets(self, target: str, buckets: Mapping[str, Sequence[float]]) -> None:
        """Store the token buckets of a locked helpdesk."""
        self._work.run(_STORE_BUCKETS, target=target, buckets=json.dumps(buckets))

    def pause(self, target: str, until: datetime) -> None:
        """Allow no call before ``until``."""
        self._work.run(_PAUSE, target=target, until=until)

    def resume(self, target: str) -> None:
        """Allow calls at once, because the helpdesk accepts our calls again."""
        self._work.run(_RESUME, target=target)

    def mark_slow(self, target: str) -> None:
        """Store that an answer did not come in time."""
        self._work.run(_MARK_SLOW, target=target)

    def add_refusal(self, target: str, cause: str, at: datetime) -> str:
        """Store that the helpdesk refuses our calls, and return since when it does so for this cause."""
        since: str = self._work.run(_ADD_REFUSAL, target=target, cause=cause, since=at.isoformat()).scalar_one()
        return since

    def remove_refusals(self, target: str, causes: Sequence[str]) -> dict[str, str]:
        """Forget these causes, because a call succeeded. Return those that were stored, each with its first instant."""
        known = self._work.run(_REMOVE_REFUSALS, target=target, causes=list(causes)).scalar_one_or_none() or {}
        return {cause: since for cause, since in known.items() if cause in causes}

    def list_all(self) -> dict[str, HelpdeskTarget]:
        """Return the state of every helpdesk that was ever called."""
        return {row.target: HelpdeskTarget(*row[1:]) for row in self._work.run(_SELECT_ALL)}
