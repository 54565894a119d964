"""Read what was written about a case: by the customer, by our e-mails and in e-mails that arrived, in the order of time."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from uuid import UUID

from records.transaction import Transaction

_SELECT = """
select 'answer' as kind, a.created_at as at, a.channel as label, 0 as round, '' as who, '' as subject, a.text,
       true as is_sent, false as is_bounced
  from customer_answers a where a.case_id = :case_id
union all
select 'email', coalesce(e.sent_at, e.created_at), e.kind, e.decided_seq, coalesce(d.decided_by_name, ''), '',
       coalesce(d.decision ->> 'message', ''), e.sent_at is not null, e.bounced_at is not null
  from case_emails e left join support_decisions d on d.case_id = e.case_id and d.applied_seq = e.decided_seq
 where e.case_id = :case_id and not e.omitted
union all
select 'mail', m.received_at, m.kind, 0, m.sender_key, coalesce(m.subject, ''), coalesce(m.text, ''), true, false
  from inbound_mails m
 where m.id in (select id from inbound_mails where sender_key = any(:senders)
                union select id from inbound_mails where thread = :thread
                union select cast(t.evidence ->> 'mail_id' as uuid) from support_tasks t
                       where t.case_id = :case_id and t.kind = 'flagged_mail')
   and :case_id = any(m.case_ids) and m.message_id is distinct from :thread
   and not exists (select from customer_answers a
                    where a.source = 'email' and a.key = m.message_id and a.case_id = :case_id)
union all
select 'note', n.created_at, '', 0, n.agent_name, '', n.text, true, false from case_notes n where n.case_id = :case_id
 order by at, kind
"""
"""A mail whose text is an answer, and the mail that made the request, are left out, because their texts are shown already.

A mail is found by an index: by its sender, its thread, or the support task about it, because a forwarded reply has another
sender.
"""


class EntryKind(StrEnum):
    """What kind of text an entry is."""

    ANSWER = "answer"
    EMAIL = "email"
    MAIL = "mail"
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class ThreadEntry:
    """A text about a case."""

    kind: EntryKind
    at: datetime
    label: str
    """The channel of an answer, the kind of our e-mail, or the kind of a mail."""
    round: int
    """The round of our e-mail, as in ``DueEmail.decided_seq``."""
    who: str
    """The name of the agent, or the sender of a mail; empty for the customer and for an e-mail that no agent caused."""
    subject: str
    text: str
    """For our e-mail, only what the agent wrote, because the e-mail contains secret links and is not stored."""
    is_sent: bool
    is_bounced: bool


class CaseThreads:
    """Reads the tables of e-mails, answers and notes."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def of_case(self, case: UUID, *, senders: Collection[str], thread: str | None) -> list[ThreadEntry]:
        """Return the entries about a case, the oldest first.

        ``senders`` are the customer's e-mail keys, and ``thread`` is the Message-ID of the mail that made the request.
        """
        rows = self._work.run(_SELECT, case_id=case, senders=sorted(senders), thread=thread)
        return [ThreadEntry(EntryKind(row.kind), *row[1:]) for row in rows]
