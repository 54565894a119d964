"""Store which e-mails about cases are due, claimed, sent or bounced. A case has at most one e-mail of each kind in a round."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.emails import EmailKind
from domain.messages import CaseEmailsDue
from domain.support_clocks import PROMISES_OF_MONEY
from domain.support_tasks import SupportTaskKind
from records.leased_queue import LeasedQueue
from records.support_tasks import NewSupportTask, SupportTasks
from records.transaction import Transaction

_STATUS_CODE = re.compile(r"(?<![\d.])[45]\.\d{1,3}\.\d{1,3}(?!\.?\d)")

_INSERT = """
insert into case_emails (case_id, kind, decided_seq)
select * from unnest(cast(:case_ids as uuid[]), cast(:kinds as text[]), cast(:decided_seqs as int[])) on conflict do nothing
"""

_JOINED_CASE = """
(select cast(h.evidence ->> 'joins' as uuid) from transitions h where h.case_id = t.case_id and h.event = 'found_open_case')
"""
"""If the case of the e-mail is a duplicate: the id of the earlier case about the same purchase. Otherwise null."""

_QUEUE = LeasedQueue(
    table="case_emails",
    key={"case_id": "uuid", "kind": "text", "decided_seq": "int"},
    done_at="sent_at",
    queue=CaseEmailsDue.queue,
    message_id="case_id",
)

_CLAIM = _QUEUE.claim(
    "case_id = any(:ids)",
    f"""t.case_id, t.kind, t.decided_seq,
       (select d.decision ->> 'message' from support_decisions d
         where (d.case_id, d.applied_seq) = (t.case_id, t.decided_seq)) as message,
       array(select e.kind || coalesce('.' || nullif(e.decided_seq, 0), '') from case_emails e
              where e.case_id = t.case_id and e.sent_at is not null and not e.omitted order by e.sent_at) as earlier,
       (select max(o.refund_id) from refund_operations o
         where o.case_id in (t.case_id, {_JOINED_CASE}) and o.status = 'paid') as refund_id,
       {_JOINED_CASE} as joined_case_id""",
)

_MARK_SENT = _QUEUE.done()

_MARK_OMITTED = """
update case_emails t set sent_at = now(), omitted = true
  from unnest(cast(:case_ids as uuid[]), cast(:kinds as text[]), cast(:decided_seqs as int[])) as i(case_id, kind, decided_seq)
 where t.case_id = i.case_id and t.kind = i.kind and t.decided_seq = i.decided_seq
"""
"""An omitted e-mail is done, as a sent e-mail is."""

_RELEASE = _QUEUE.release()

_MARK_BOUNCED = """
update case_emails e set bounced_at = now() from cases c
 where c.id = e.case_id and e.case_id = :case_id and e.kind = :kind and e.decided_seq = :decided_seq
   and e.bounced_at is null and e.claimed_until > 'epoch'
returning c.seller_id
"""
"""Only an e-mail that a worker has claimed is marked as bounced. An unclaimed e-mail was never sent, so it cannot bounce."""

_DELETE_UNSENT = """
delete from case_emails where case_id = any(:case_ids) and sent_at is null and claimed_until = 'epoch'
"""
"""An e-mail that a worker has claimed is kept, because the worker may have sent it."""

_COUNT_BY_PURCHASE = """
select c.purchase_id, count(*) as emails from cases c join case_emails e on e.case_id = c.id and e.kind = :kind
 where c.purchase_id = any(:purchase_ids) and c.state = 'duplicate'
   and e.created_at > now() - make_interval(secs => :seconds)
 group by c.purchase_id
"""

_COUNT_BY_ADDRESS = """
select i.id, i.email_key,
       (select count(*) from cases c join case_emails e on e.case_id = c.id and e.kind = :kind
         where c.email_key = i.email_key and c.state = 'unmatched'
           and e.created_at > now() - make_interval(secs => :seconds)) as emails
  from cases i where i.id = any(:case_ids)
"""

_SELECT_OVERDUE = f"""
with overdue as ({_QUEUE.overdue()})
select id, c.bulk, coalesce(c.seller_id, '') as seller_id from overdue join cases c using (id)
"""


@dataclass(frozen=True, slots=True)
class DueEmail:
    """One e-mail to send. ``earlier`` are the names of the e-mails that were already sent about the same case."""

    case_id: UUID
    kind: EmailKind
    earlier: tuple[str, ...] = ()
    refund: str | None = None
    """The id of the paid refund at the payment provider. None if no refund is paid."""
    joined: UUID | None = None
    """If this case is a duplicate: the id of the earlier case about the same purchase. The e-mail is about that case."""
    decided_seq: int = 0
    """The round: the number of the transition that began it; 0 for an e-mail that is sent once for a case."""
    message: str = ""
    """What the person of support wrote to the customer."""

    @property
    def name(self) -> str:
        """The kind, and the round if there is one, such as ``question.7``. Each e-mail about a case has another name."""
        return f"{self.kind}.{self.decided_seq}" if self.decided_seq else self.kind


class CaseEmails:
    """The table ``case_emails``. It does not contain the texts of e-mails, because the texts contain secret links to cases."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def enqueue(self, emails: Sequence[tuple[UUID, str, int]]) -> None:
        """Store that e-mails are due. Each item is (case id, kind, round). An item that is enqueued again changes nothing."""
        if emails:
            cases, kinds, rounds = map(list, zip(*emails, strict=True))
            self._work.run(_INSERT, case_ids=cases, kinds=kinds, decided_seqs=rounds)

    def delete_unsent(self, cases: Sequence[UUID]) -> None:
        """Delete the e-mails about these cases that no worker has claimed, because the next e-mail replaces them."""
        if cases:
            self._work.run(_DELETE_UNSENT, case_ids=list(cases))

    def claim(self, cases: Sequence[UUID], *, seconds: float) -> list[DueEmail]:
        """Claim the unsent e-mails of these cases for ``seconds``."""
        rows = self._work.run(_CLAIM, ids=list(cases), seconds=seconds)
        return [
            DueEmail(
                case_id=row.case_id,
                kind=EmailKind(row.kind),
                earlier=tuple(row.earlier),
                refund=row.refund_id,
                joined=row.joined_case_id,
                decided_seq=row.decided_seq,
                message=row.message or "",
            )
            for row in rows
        ]

    def mark_sent(self, emails: Sequence[DueEmail]) -> None:
        """Store that these e-mails were sent. An e-mail that promises the money starts a clock of the case's support task."""
        if emails:
            self._work.run(_MARK_SENT, **_keys(emails))
            promised = [email.case_id for email in emails if email.kind in PROMISES_OF_MONEY]
            SupportTasks(self._work).announce_cases(promised)

    def mark_omitted(self, emails: Sequence[DueEmail]) -> None:
        """Store that these e-mails are done, but were not sent, because their texts are no longer true."""
        if emails:
            self._work.run(_MARK_OMITTED, **_keys(emails))

    def release(self, emails: Sequence[DueEmail], *, seconds: float) -> None:
        """Let a worker claim these e-mails again after ``seconds``. They were certainly not sent."""
        if emails:
            self._work.run(_RELEASE, **_keys(emails), seconds=seconds)

    def count_by_purchase(self, purchases: Sequence[UUID], *, seconds: float) -> Counter[UUID]:
        """For each purchase, count the "already requested" e-mails that were created in the last ``seconds``."""
        rows = self._work.run(
            _COUNT_BY_PURCHASE, purchase_ids=list(purchases), kind=EmailKind.ALREADY_REQUESTED, seconds=seconds
        )
        return Counter({row.purchase_id: row.emails for row in rows})

    def count_by_address(self, cases: Sequence[UUID], *, seconds: float) -> tuple[dict[UUID, str], Counter[str]]:
        """Return the e-mail key of each case, and the number of "not found" e-mails for each key.

        The e-mail key is the customer's normalised address. Only e-mails that were created in the last ``seconds`` are counted.
        """
        rows = list(self._work.run(_COUNT_BY_ADDRESS, case_ids=list(cases), kind=EmailKind.NOT_FOUND, seconds=seconds))
        return {row.id: row.email_key for row in rows}, Counter({row.email_key: row.emails for row in rows})

    def mark_bounced(self, case: UUID, name: str, why: str) -> bool:
        """Store that the e-mail with this ``name`` bounced, and create a support task.

        Return False, and store nothing, if the bounce was stored before or if no worker has claimed the e-mail.

        ``why`` is the mail server's text. The text can contain an e-mail address, so only its status code is stored, such as
        5.1.1 (RFC 3463).
        """
        kind, _, decided_seq = name.partition(".")
        row = self._work.run(_MARK_BOUNCED, case_id=case, kind=kind, decided_seq=int(decided_seq or 0)).one_or_none()
        if row is None:
            return False
        status = _STATUS_CODE.search(why)
        task = NewSupportTask(
            kind=SupportTaskKind.EMAIL_BOUNCED,
            subject=f"{case} {name}",
            case_id=case,
            seller_id=row.seller_id,
            evidence={"email_kind": kind, "status": status[0] if status else None},
        )
        SupportTasks(self._work).create([task])
        return True

    def overdue(self, *, seconds: float, limit: int) -> list[tuple[bool, str, UUID]]:
        """Find at most ``limit`` cases with an e-mail that has been unsent for ``seconds``. Return (bulk, seller id, case id)."""
        rows = self._work.run(_SELECT_OVERDUE, seconds=seconds, limit=limit)
        return [(row.bulk, row.seller_id, row.id) for row in rows]

    def count_unsent(self) -> int:
        """Return the number of e-mails that are not sent yet."""
        return int(self._work.run(_QUEUE.waiting()).scalar_one())

    def count_sent(self) -> int:
        """Return the number of e-mails that were sent."""
        return int(self._work.run(_QUEUE.finished()).scalar_one())


def _keys(emails: Sequence[DueEmail]) -> dict[str, list[UUID] | list[str] | list[int]]:
    return {
        "case_ids": [email.case_id for email in emails],
        "kinds": [str(email.kind) for email in emails],
        "decided_seqs": [email.decided_seq for email in emails],
    }
