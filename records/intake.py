"""Store new requests. One SQL statement inserts the case, the first row of the case's history, and a message about the case."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID, uuid5

from domain import case_numbers
from domain.cases import GENESIS, chain_hash
from domain.messages import RefundRequested
from domain.purchases import email_key, reference_key
from domain.requests import Channel, RefundRequest
from domain.states import INITIAL, State
from records.cases import Fork
from records.outbox import Outbox
from records.transaction import Transaction

_EVENT, _STATE = INITIAL

_INSERT = """
with created as (
  insert into cases (id, seller_id, channel, intake_source, intake_key, intake_digest, email, email_key, reference,
                     reference_key, reason, refund_scope, comment, answers, locale, thread, trusted, bulk, for_any_seller,
                     received_at, state, seq, head_hash, next_action_at)
  select id, seller_id, channel, source, key, digest, email, email_key, reference, reference_key, reason, refund_scope, comment,
         answers::jsonb, locale, thread, trusted, bulk, seller_id is null, :now, :state, 1, hash,
         :now + make_interval(secs => :resend_after)
    from unnest(cast(:ids as uuid[]), cast(:seller_ids as text[]), cast(:channels as text[]), cast(:sources as text[]),
                cast(:keys as text[]), cast(:digests as bytea[]), cast(:emails as text[]), cast(:email_keys as text[]),
                cast(:references as text[]), cast(:reference_keys as text[]), cast(:reasons as text[]),
                cast(:refund_scopes as text[]), cast(:comments as text[]), cast(:answers as text[]), cast(:locales as text[]),
                cast(:threads as text[]), cast(:trusteds as bool[]), cast(:bulks as bool[]), cast(:hashes as bytea[]))
      as i(id, seller_id, channel, source, key, digest, email, email_key, reference, reference_key, reason, refund_scope, comment,
           answers, locale, thread, trusted, bulk, hash)
  on conflict (intake_source, intake_key) do nothing
  returning id, number, channel, head_hash, bulk, seller_id
), recorded as (
  insert into transitions (case_id, seq, created_at, from_state, event, to_state, actor, why, evidence, hash)
  select id, 1, :now, '', :event, :state, channel, '', '{}', head_hash from created
), enqueued as (
  insert into outbox (queue, bulk, seller_id, item_id)
  select :queue, bulk, coalesce(seller_id, ''), id from created
)
select id, number from created
"""

_FORK = """
with fork as (
  select * from unnest(cast(:case_ids as uuid[]), cast(:ids as uuid[]), cast(:sellers as text[]), cast(:hashes as bytea[]))
    as i(case_id, id, seller_id, hash)
), created as (
  insert into cases (id, seller_id, channel, intake_source, intake_key, intake_digest, email, email_key, reference,
                     reference_key, reason, refund_scope, comment, answers, locale, thread, trusted, bulk, received_at,
                     state, seq, head_hash, next_action_at)
  select f.id, f.seller_id, c.channel, 'fork:' || f.seller_id, c.id::text, c.intake_digest, c.email, c.email_key, c.reference,
         c.reference_key, c.reason, c.refund_scope, c.comment, c.answers, c.locale, c.thread, c.trusted, c.bulk, c.received_at,
         :state, 1, f.hash, :now + make_interval(secs => :resend_after)
    from fork f join cases c on c.id = f.case_id
  on conflict (intake_source, intake_key) do nothing
  returning id, channel, head_hash, bulk, seller_id
), recorded as (
  insert into transitions (case_id, seq, created_at, from_state, event, to_state, actor, why, evidence, hash)
  select id, 1, :now, '', :event, :state, channel, '', '{}', head_hash from created
)
insert into outbox (queue, bulk, seller_id, item_id) select :queue, bulk, seller_id, id from created
"""
"""Copy a case for another seller. The copy is evaluated on its own. A second copy of the case for this seller is not made."""

_SELECT_EXISTING = """
select c.id, c.number, c.intake_source, c.intake_key, c.intake_digest, c.state
  from cases c join unnest(cast(:sources as text[]), cast(:keys as text[])) as i(source, key)
    on c.intake_source = i.source and c.intake_key = i.key
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A request that is not yet stored as a case. Submissions with the same ``source`` and ``key`` create only one case."""

    id: UUID
    request: RefundRequest
    channel: Channel
    source: str
    key: str
    seller_id: str | None = None
    thread: str | None = None
    """The Message-ID of the mail that contained the request. The case's e-mails reply to that mail."""
    trusted: bool = False
    bulk: bool = False

    @property
    def digest(self) -> bytes:
        """A hash of the seller and the request. If a key is used again, the hash shows whether the request is the same."""
        return hashlib.sha256(f"{self.seller_id}\n{self.request.model_dump_json()}".encode()).digest()


@dataclass(frozen=True, slots=True)
class Accepted:
    """The case of a submission: a new case, or the existing case of a repeated request."""

    id: UUID
    serial: int
    state: State
    created: bool
    identical: bool
    """False if the case existed before, and was created from a request with a different content."""

    @property
    def number(self) -> str:
        """The case number for people."""
        return case_numbers.encode(self.serial)


class Intake:
    """The creation of cases from requests."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def accept(self, submissions: Sequence[Submission]) -> list[Accepted]:
        """Create a case for each submission, and return the cases in the same order.

        If there is already a case with a submission's source and key, no case is created, and the existing case is returned.
        """
        created = self._insert(submissions)
        if created:
            Outbox(self._work).wake()
        existing = {} if len(created) == len(submissions) else self._existing(submissions)
        return [
            Accepted(submission.id, created[submission.id], State.RECEIVED, created=True, identical=True)
            if submission.id in created
            else existing[submission.source, submission.key, submission.digest]
            for submission in submissions
        ]

    def fork(self, forks: Sequence[Fork]) -> None:
        """Create a copy of each case for another seller, unless the other seller already has the copy."""
        if not forks:
            return
        now = self._work.now
        ids = [uuid5(fork.case_id, fork.seller_id) for fork in forks]
        self._work.run(
            _FORK,
            now=now,
            event=_EVENT,
            state=_STATE,
            resend_after=self._work.timers.resend_after_seconds,
            queue=RefundRequested.queue,
            case_ids=[fork.case_id for fork in forks],
            ids=ids,
            sellers=[fork.seller_id for fork in forks],
            hashes=[
                chain_hash(GENESIS, id_, 1, now, "", _EVENT, _STATE, fork.channel, "", {})
                for id_, fork in zip(ids, forks, strict=True)
            ],
        )
        Outbox(self._work).wake()

    def _insert(self, submissions: Sequence[Submission]) -> dict[UUID, int]:
        now = self._work.now
        requests = [submission.request for submission in submissions]
        rows = self._work.run(
            _INSERT,
            now=now,
            event=_EVENT,
            state=_STATE,
            resend_after=self._work.timers.resend_after_seconds,
            queue=RefundRequested.queue,
            ids=[submission.id for submission in submissions],
            seller_ids=[submission.seller_id for submission in submissions],
            channels=[submission.channel for submission in submissions],
            sources=[submission.source for submission in submissions],
            keys=[submission.key for submission in submissions],
            digests=[submission.digest for submission in submissions],
            emails=[request.email for request in requests],
            email_keys=[email_key(request.email) for request in requests],
            references=[request.reference for request in requests],
            reference_keys=[reference_key(request.reference) for request in requests],
            reasons=[request.reason for request in requests],
            refund_scopes=[request.refund_scope for request in requests],
            comments=[request.comment for request in requests],
            answers=[request.answers.model_dump_json(exclude_defaults=True) for request in requests],
            locales=[request.locale for request in requests],
            threads=[submission.thread for submission in submissions],
            trusteds=[submission.trusted for submission in submissions],
            bulks=[submission.bulk for submission in submissions],
            hashes=[
                chain_hash(GENESIS, submission.id, 1, now, "", _EVENT, _STATE, submission.channel, "", {})
                for submission in submissions
            ],
        )
        return {row.id: row.number for row in rows}

    def _existing(self, submissions: Sequence[Submission]) -> dict[tuple[str, str, bytes], Accepted]:
        digests: dict[tuple[str, str], list[bytes]] = {}
        for submission in submissions:
            digests.setdefault((submission.source, submission.key), []).append(submission.digest)
        rows = self._work.run(
            _SELECT_EXISTING, sources=[source for source, _ in digests], keys=[key for _, key in digests]
        )
        return {
            (row.intake_source, row.intake_key, digest): Accepted(
                row.id, row.number, State(row.state), created=False, identical=digest == row.intake_digest
            )
            for row in rows
            for digest in digests[row.intake_source, row.intake_key]
        }
