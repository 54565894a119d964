"""Store how far the synchronisation of purchases with each provider has progressed."""

from dataclasses import dataclass
from datetime import datetime

from records.transaction import Transaction

_SELECT = "select since, started_at, cursor, updated_at, complete_until from purchase_syncs where provider = :provider"

_UPSERT = """
insert into purchase_syncs values (:provider, :since, :started_at, :cursor, now(), :complete_until)
on conflict (provider) do update set
  since = excluded.since, started_at = excluded.started_at, cursor = excluded.cursor, updated_at = excluded.updated_at,
  complete_until = excluded.complete_until
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyncProgress:
    """The progress of the newest synchronisation with a provider."""

    since: datetime
    """The synchronisation reads the payments that were made since this instant."""
    started_at: datetime
    cursor: str | None = None
    """The next page of the provider's list. None if no page was read yet, or if the list was read to its end."""
    updated_at: datetime | None = None
    complete_until: datetime | None = None
    """All payments until this instant have been read. None if no synchronisation has read its list to the end."""


class PurchaseSyncs:
    """The table ``purchase_syncs``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def get(self, provider: str) -> SyncProgress | None:
        """Return the progress of the newest synchronisation with this provider, or None if there was no synchronisation."""
        row = self._work.run(_SELECT, provider=provider).mappings().one_or_none()
        return None if row is None else SyncProgress(**row)

    def put(self, provider: str, progress: SyncProgress) -> None:
        """Store the progress. It replaces the progress that is stored for this provider."""
        self._work.run(
            _UPSERT,
            provider=provider,
            since=progress.since,
            started_at=progress.started_at,
            cursor=progress.cursor,
            complete_until=progress.complete_until,
        )
