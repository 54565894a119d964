"""Store inbound mails of every kind, and the ids of the cases and the inquiry e-mail that each mail led to."""

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from domain.purchases import email_key
from domain.states import State
from domain.support_tasks import SupportTaskKind
from records.support_tasks import NewSupportTask, SupportTasks
from records.transaction import Transaction

_INSERT = """
insert into inbound_mails (id, message_id, thread, sender_key, kind, evidence)
select gen_random_uuid(), message_id, thread, sender_key, kind, evidence::jsonb
  from unnest(cast(:message_ids as text[]), cast(:threads as text[]), cast(:sender_keys as text[]),
              cast(:kinds as text[]), cast(:evidences as text[]))
    as i(message_id, thread, sender_key, kind, evidence)
 order by message_id
on conflict (message_id) do nothing
returning message_id
"""

_SELECT_DIGESTS = """
select message_id, evidence->>'digest' as digest from inbound_mails where message_id = any(:message_ids)
"""

_LINK = """
update inbound_mails m set case_ids = i.case_ids, inquiry_email_id = i.inquiry_email_id
  from jsonb_to_recordset(cast(:links as jsonb)) as i(message_id text, case_ids uuid[], inquiry_email_id uuid)
 where m.message_id = i.message_id
"""

_SELECT_THREAD_CASES = """
select distinct m.thread, m.sender_key, c.reference_key, c.id
  from inbound_mails m join cases c on c.id = any(m.case_ids)
 where m.thread = any(:threads) and c.state <> all(:closed_states)
"""

_SELECT_REPLIED_CASES = """
select c.id, c.reference_key, c.state, coalesce(p.email_key, c.email_key) as customer_key,
       p.reference_key as purchase_reference_key
  from cases c left join purchases p on p.id = c.purchase_id where c.id = any(:ids) and c.state <> all(:closed_states)
"""

_SELECT_INQUIRIES = """
select distinct thread, sender_key from inbound_mails where thread = any(:threads) and inquiry_email_id is not null
"""

_COUNT_REPLIES = """
select sender_key, count(*) as replies from inbound_mails
 where sender_key = any(:sender_keys) and received_at > now() - interval '1 day'
   and (inquiry_email_id is not null or case_ids <> '{}')
 group by sender_key
"""

_SELECT_NAMED_PURCHASES = """
select distinct p.email_key, p.reference_key from purchases p
 where (p.reference_key, p.email_key) in (select * from unnest(cast(:reference_keys as text[]), cast(:email_keys as text[])))
"""

_SELECT_NAMED_CASES = """
select c.email_key, c.number, c.id
  from cases c join unnest(cast(:email_keys as text[]), cast(:numbers as bigint[])) as i(email_key, number)
    using (email_key, number)
"""

_FLAG = """
update inbound_mails m set flagged_at = now(), subject = i.subject, text = i.text
  from jsonb_to_recordset(cast(:mails as jsonb)) as i(message_id text, subject text, text text)
 where m.message_id = i.message_id
returning m.id, m.kind, m.case_ids, concat_ws(' ', m.subject, m.text) as words
"""

_SELECT_FLAGGED = """
select id, kind, sender_key, coalesce(subject, ''), coalesce(text, ''), case_ids, flagged_at from inbound_mails m
 where id = any(:ids) and flagged_at is not null
"""

_CLOSED_STATES = sorted({State.UNMATCHED, State.EXPIRED, State.CANCELLED})
"""States in which a case ended without a decision about the money. A later mail in the thread of such a case is a new request."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReceivedMail:
    """One mail as it was received."""

    message_id: str
    thread: str
    sender: str
    """The address in the From field, which anyone can forge. It is empty if the mail has no From address."""
    kind: str
    evidence: Mapping[str, Any]

    @property
    def sender_key(self) -> str:
        return email_key(self.sender) if self.sender else ""


@dataclass(frozen=True, slots=True)
class CaseWithSupport:
    """A case with support to whose e-mails a new mail replies."""

    customer_key: str
    """The key of the address to which the e-mails about the case go."""
    reference_keys: frozenset[str | None]
    """The keys of the reference in the request, and of the reference of the purchase."""


@dataclass(frozen=True, slots=True)
class PreviousMail:
    """What was stored about the threads and senders of new mails before these mails arrived."""

    cases: dict[tuple[str, str, str], UUID] = field(default_factory=dict)
    """The cases that earlier mails led to, by (thread, sender key, reference key)."""
    replied_cases: dict[UUID, str] = field(default_factory=dict)
    """Open cases to whose e-mails the new mails reply, or whose case numbers they name.

    The key is the case id, and the value is the reference key of the case.
    """
    with_support: dict[UUID, CaseWithSupport] = field(default_factory=dict)
    """Those of the ``replied_cases`` that are with support, so that a customer can answer."""
    inquiries: set[tuple[str, str]] = field(default_factory=set)
    """Each (thread, sender key) for which there is already an inquiry e-mail."""
    replies: dict[str, int] = field(default_factory=dict)
    """For each sender key, the number of mails in the last 24 hours that led to a case or an inquiry e-mail."""


@dataclass(frozen=True, slots=True)
class FlaggedMail:
    """A mail that support must read."""

    id: UUID
    kind: str
    sender: str
    subject: str
    text: str
    case_ids: list[UUID]
    flagged_at: datetime


class InboundMails:
    """The table ``inbound_mails``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def keep(self, mails: Sequence[ReceivedMail]) -> set[str]:
        """Store these mails. Return the Message-IDs that are new.

        If another process is storing one of these mails, wait until that process commits.
        """
        rows = self._work.run(
            _INSERT,
            message_ids=[mail.message_id for mail in mails],
            threads=[mail.thread for mail in mails],
            sender_keys=[mail.sender_key for mail in mails],
            kinds=[mail.kind for mail in mails],
            evidences=[json.dumps(dict(mail.evidence)) for mail in mails],
        )
        return {row.message_id for row in rows}

    def digests(self, message_ids: Collection[str]) -> dict[str, str | None]:
        """Return the digest of the text of each mail, by Message-ID."""
        rows = self._work.run(_SELECT_DIGESTS, message_ids=list(message_ids))
        return {row.message_id: row.digest for row in rows}

    def named_purchases(self, keys: Collection[tuple[str, str]]) -> set[tuple[str, str]]:
        """Return those of these pairs (e-mail key, reference key) that belong to a purchase."""
        if not keys:
            return set()
        email_keys, reference_keys = map(list, zip(*keys, strict=True))
        rows = self._work.run(_SELECT_NAMED_PURCHASES, email_keys=email_keys, reference_keys=reference_keys)
        return {(row.email_key, row.reference_key) for row in rows}

    def named_cases(self, keys: Collection[tuple[str, int]]) -> dict[tuple[str, int], UUID]:
        """Return the ids of the cases with these pairs (e-mail key, serial number)."""
        if not keys:
            return {}
        email_keys, numbers = map(list, zip(*keys, strict=True))
        rows = self._work.run(_SELECT_NAMED_CASES, email_keys=email_keys, numbers=numbers)
        return {(row.email_key, row.number): row.id for row in rows}

    def previous(self, mails: Sequence[ReceivedMail], replied_cases: Collection[UUID]) -> PreviousMail:
        """Return what was stored about the threads and senders of these mails before the mails arrived.

        ``replied_cases`` contains the cases whose e-mails these mails answer, or whose case numbers they name.
        """
        threads, senders = [mail.thread for mail in mails], [mail.sender_key for mail in mails]
        in_threads = self._work.run(_SELECT_THREAD_CASES, threads=threads, closed_states=_CLOSED_STATES)
        replied = self._work.run(_SELECT_REPLIED_CASES, ids=list(replied_cases), closed_states=_CLOSED_STATES).all()
        inquiries = self._work.run(_SELECT_INQUIRIES, threads=threads)
        replies = self._work.run(_COUNT_REPLIES, sender_keys=senders)
        return PreviousMail(
            cases={(row.thread, row.sender_key, row.reference_key): row.id for row in in_threads},
            replied_cases={row.id: row.reference_key for row in replied},
            with_support={
                row.id: CaseWithSupport(row.customer_key, frozenset({row.reference_key, row.purchase_reference_key}))
                for row in replied
                if row.state == State.WITH_SUPPORT
            },
            inquiries={(row.thread, row.sender_key) for row in inquiries},
            replies={row.sender_key: row.replies for row in replies},
        )

    def flag(self, mails: Mapping[str, tuple[str, str]]) -> None:
        """Flag mails for support, and create a support task for each mail.

        The keys of ``mails`` are Message-IDs, and the values are subjects and texts. A support task contains neither of them,
        because other systems read it.
        """
        flagged = [
            {"message_id": message_id, "subject": subject, "text": text}
            for message_id, (subject, text) in mails.items()
        ]
        rows = self._work.run(_FLAG, mails=json.dumps(flagged)) if flagged else ()
        tasks, words = [], {}
        for row in rows:
            task = NewSupportTask(
                kind=SupportTaskKind.FLAGGED_MAIL,
                subject=str(row.id),
                case_id=next(iter(row.case_ids), None),
                evidence={"mail_id": str(row.id), "mail_kind": row.kind},
            )
            tasks.append(task)
            words[task.id] = row.words
        SupportTasks(self._work).create(tasks)
        SupportTasks(self._work).add_words(words)

    def flagged(self, mails: Sequence[UUID]) -> dict[UUID, FlaggedMail]:
        """Return those of these mails that are flagged, by id."""
        rows = self._work.run(_SELECT_FLAGGED, ids=list(mails)) if mails else ()
        return {row.id: FlaggedMail(*row) for row in rows}

    def link_replies(self, mails: Mapping[str, tuple[Sequence[UUID], UUID | None]]) -> None:
        """Store the ids of the cases and of the inquiry e-mail that each mail led to.

        The keys of ``mails`` are Message-IDs. If a mail led to no inquiry e-mail, the id of the inquiry e-mail is None.
        """
        links = [
            {
                "message_id": message_id,
                "case_ids": [str(case) for case in cases],
                "inquiry_email_id": inquiry_email and str(inquiry_email),
            }
            for message_id, (cases, inquiry_email) in mails.items()
        ]
        if links:
            self._work.run(_LINK, links=json.dumps(links))
