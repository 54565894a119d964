"""Requests coming in: the case, its first row of history and its message, in one commit."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.cases import GENESIS, chain_hash
from domain.messages import RefundRequested
from domain.purchases import email_key, reference_key
from domain.requests import Channel, RefundRequest
from domain.states import INITIAL, State
from records.outbox import Outbox
from records.transaction import Transaction

_EVENT, _THERE = INITIAL
_LANE = RefundRequested.queue

_INSERT = """
with fresh as (
  insert into cases (id, seller, channel, intake_source, intake_key, intake_digest, email, email_key, reference,
                     reference_key, reason, refund_scope, comment, answers, locale, thread, trusted, bulk, received_at, state, seq,
                     head, next_action_at)
  select id, seller, channel, source, key, digest, email, email_key, reference, reference_key, reason, refund_scope, comment,
         answers::jsonb, locale, thread, trusted, bulk, :now, :there, 1, hash, :now + make_interval(secs => :lane)
    from unnest(cast(:ids as uuid[]), cast(:sellers as text[]), cast(:channels as text[]), cast(:sources as text[]),
                cast(:keys as text[]), cast(:digests as bytea[]), cast(:emails as text[]), cast(:email_keys as text[]),
                cast(:references as text[]), cast(:reference_keys as text[]), cast(:reasons as text[]),
                cast(:refund_scopes as text[]), cast(:comments as text[]), cast(:answers as text[]), cast(:locales as text[]),
                cast(:threads as text[]), cast(:trusteds as bool[]), cast(:bulks as bool[]), cast(:hashes as bytea[]))
      as i(id, seller, channel, source, key, digest, email, email_key, reference, reference_key, reason, refund_scope, comment,
           answers, locale, thread, trusted, bulk, hash)
  on conflict (intake_source, intake_key) do nothing
  returning id, channel, head, bulk, seller
), told as (
  insert into transitions (case_id, seq, at, here, event, there, actor, why, evidence, hash)
  select id, 1, :now, '', :event, :there, channel, '', '{}', head from fresh
), sent as (
  insert into outbox (lane, bulk, seller, case_id)
  select :lane_name, bulk, coalesce(seller, ''), id from fresh
)
select id from fresh
"""

_EARLIER = """
select c.id, c.intake_source, c.intake_key, c.intake_digest, c.state
  from cases c join unnest(cast(:sources as text[]), cast(:keys as text[])) as i(source, key)
    on c.intake_source = i.source and c.intake_key = i.key
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request at the door. ``source`` and ``key`` name it: the same pair again is the same request."""

    id: UUID
    request: RefundRequest
    channel: Channel
    source: str
    key: str
    seller: str | None = None
    thread: str | None = None
    """The Message-ID of the mail that it came in: our letters answer it."""
    trusted: bool = False
    bulk: bool = False

    @property
    def digest(self) -> bytes:
        """What tells a repeated request from another one with the same key."""
        return hashlib.sha256(f"{self.seller}\n{self.request.model_dump_json()}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The case of an arrival: a new one, or the one of the same request before."""

    id: UUID
    state: State
    created: bool
    identical: bool
    """Whether the earlier request said the same."""


class Intake:
    """Arrivals in, cases out."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def accept(self, submissions: Sequence[Submission]) -> list[Accepted]:
        """Makes a case of each arrival, in their order; an arrival known by its source and key gets the case it has."""
        now = self._work.now
        requests = [arrival.request for arrival in submissions]
        fresh = self._work.run(
            _INSERT,
            now=now,
            event=_EVENT,
            there=_THERE,
            lane=self._work.timers.resend_after_seconds,
            lane_name=_LANE,
            ids=[arrival.id for arrival in submissions],
            sellers=[arrival.seller for arrival in submissions],
            channels=[arrival.channel for arrival in submissions],
            sources=[arrival.source for arrival in submissions],
            keys=[arrival.key for arrival in submissions],
            digests=[arrival.digest for arrival in submissions],
            emails=[request.email for request in requests],
            email_keys=[email_key(request.email) for request in requests],
            references=[request.reference for request in requests],
            reference_keys=[reference_key(request.reference) for request in requests],
            reasons=[request.reason for request in requests],
            refund_scopes=[request.refund_scope for request in requests],
            comments=[request.comment for request in requests],
            answers=[request.answers.model_dump_json(exclude_defaults=True) for request in requests],
            locales=[request.locale for request in requests],
            threads=[arrival.thread for arrival in submissions],
            trusteds=[arrival.trusted for arrival in submissions],
            bulks=[arrival.bulk for arrival in submissions],
            hashes=[
                chain_hash(GENESIS, arrival.id, 1, now, "", _EVENT, _THERE, arrival.channel, "", {})
                for arrival in submissions
            ],
        )
        new = {row.id for row in fresh}
        if new:
            Outbox(self._work).wake()
        earlier = {} if len(new) == len(submissions) else self._earlier(submissions)
        return [
            Accepted(arrival.id, State.RECEIVED, created=True, identical=True)
            if arrival.id in new
            else earlier[arrival.source, arrival.key, arrival.digest]
            for arrival in submissions
        ]

    def _earlier(self, arrivals: Sequence[Submission]) -> dict[tuple[str, str, bytes], Accepted]:
        digests: dict[tuple[str, str], list[bytes]] = {}
        for arrival in arrivals:
            digests.setdefault((arrival.source, arrival.key), []).append(arrival.digest)
        rows = self._work.run(_EARLIER, sources=[source for source, _ in digests], keys=[key for _, key in digests])
        return {
            (row.intake_source, row.intake_key, digest): Accepted(
                row.id, State(row.state), created=False, identical=digest == row.intake_digest
            )
            for row in rows
            for digest in digests[row.intake_source, row.intake_key]
        }
