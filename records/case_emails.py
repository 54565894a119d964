"""E-mails about cases: due, claimed, sent, bounced; at most one for each case and stage."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from domain.emails import EmailKind
from domain.messages import CaseEmailsDue
from domain.support_tasks import SupportTaskKind
from records.leased_queue import LeasedQueue
from records.support_tasks import NewSupportTask, SupportTasks
from records.transaction import Transaction

_STATUS = re.compile(r"(?<![\d.])[45]\.\d{1,3}\.\d{1,3}(?!\.?\d)")

_DUE = """
insert into case_emails (case_id, stage)
select * from unnest(cast(:cases as uuid[]), cast(:stages as text[])) on conflict do nothing
"""

_JOINED = """
(select cast(h.evidence ->> 'joins' as uuid) from transitions h where h.case_id = t.case_id and h.event = 'found_open_case')
"""
"""The case that a request joined, because it was there first."""

_QUEUE = LeasedQueue(
    table="letters",
    key={"case_id": "uuid", "stage": "text"},
    done_at="sent_at",
    queue=CaseEmailsDue.queue,
    message_id="case_id",
)

_CLAIM = _QUEUE.claim(
    "case_id = any(:cases)",
    f"""t.case_id, t.stage,
       array(select e.stage from case_emails e where e.case_id = t.case_id and e.sent_at is not null order by e.sent_at) as earlier,
       (select max(o.refund_id) from refund_operations o where o.case_id in (t.case_id, {_JOINED}) and o.status = 'paid') as refund,
       {_JOINED} as joined""",
)

_SENT = _QUEUE.done()

_GIVE_BACK = _QUEUE.release()

_BOUNCED = """
update case_emails l set bounced_at = now() from cases c
 where c.id = l.case_id and l.case_id = :case and l.stage = :stage and l.bounced_at is null and l.claimed_until > 'epoch'
returning c.seller
"""
"""A letter that nobody ever took to send cannot come back."""

_OF_PURCHASES = """
select c.purchase as about, count(*) as letters from cases c join case_emails l on l.case_id = c.id and l.stage = :stage
 where c.purchase = any(:purchases) and c.state = 'duplicate' and l.created_at > now() - make_interval(secs => :seconds)
 group by c.purchase
"""

_OF_ADDRESSES = """
select i.id, i.email_key as about,
       (select count(*) from cases c join case_emails l on l.case_id = c.id and l.stage = :stage
         where c.email_key = i.email_key and c.state = 'unmatched'
           and l.created_at > now() - make_interval(secs => :seconds)) as letters
  from cases i where i.id = any(:cases)
"""

_OVERDUE = f"""
with owed as ({_QUEUE.overdue()})
select id, c.bulk, coalesce(c.seller, '') as seller from owed join cases c using (id)
"""


@dataclass(frozen=True, slots=True)
class DueEmail:
    """One letter to write, and those of its case that went out before it."""

    case: UUID
    kind: EmailKind
    earlier: tuple[EmailKind, ...] = ()
    refund: str | None = None
    """What the payment provider calls the refund that it made."""
    joined: UUID | None = None
    """The case that this one joined: what its letter tells is how that one stands."""


class CaseEmails:
    """The letters table. What a letter says is made when it is sent: no link of one is kept here."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def enqueue(self, letters: Sequence[tuple[UUID, str]]) -> None:
        """Stores that these e-mails are to be sent; an e-mail that is due already stays one e-mail."""
        if letters:
            self._work.run(_DUE, cases=[case for case, _ in letters], stages=[stage for _, stage in letters])

    def claim(self, cases: Sequence[UUID], *, seconds: float) -> list[DueEmail]:
        """Claims the unsent e-mails of these cases for ``seconds``."""
        rows = self._work.run(_CLAIM, cases=list(cases), seconds=seconds)
        return [
            DueEmail(row.case_id, EmailKind(row.stage), tuple(map(EmailKind, row.earlier)), row.refund, row.joined)
            for row in rows
        ]

    def mark_sent(self, letters: Sequence[DueEmail]) -> None:
        """Stores that these e-mails were sent."""
        if letters:
            cases, stages = [letter.case for letter in letters], [str(letter.kind) for letter in letters]
            self._work.run(_SENT, ids=cases, stages=stages)

    def release(self, letters: Sequence[DueEmail], *, seconds: float) -> None:
        """Releases e-mails that were certainly not sent: they may be sent in ``seconds``."""
        if letters:
            cases, stages = [letter.case for letter in letters], [str(letter.kind) for letter in letters]
            self._work.run(_GIVE_BACK, ids=cases, stages=stages, seconds=seconds)

    def count_by_purchase(self, purchases: Sequence[UUID], *, seconds: float) -> Counter[UUID]:
        """How often customers were told in the last seconds that they had asked already, by purchase."""
        rows = self._work.run(
            _OF_PURCHASES, purchases=list(purchases), stage=EmailKind.ALREADY_REQUESTED, seconds=seconds
        )
        return Counter({row.about: row.letters for row in rows})

    def count_by_address(self, cases: Sequence[UUID], *, seconds: float) -> tuple[dict[UUID, str], Counter[str]]:
        """Each case's address, and how often it was told in the last seconds that nothing was found."""
        rows = list(self._work.run(_OF_ADDRESSES, cases=list(cases), stage=EmailKind.NOT_FOUND, seconds=seconds))
        return {row.id: row.about for row in rows}, Counter({row.about: row.letters for row in rows})

    def mark_bounced(self, case: UUID, stage: str, why: str) -> bool:
        """This letter came back: a person is told, once. False where it did before, or never left.

        Of ``why`` only a status code like 5.1.1 (RFC 3463) is kept: what mail servers say beside it quotes addresses.
        """
        row = self._work.run(_BOUNCED, case=case, stage=stage).one_or_none()
        if row is None:
            return False
        found = _STATUS.search(why)
        evidence = {"letter": stage, "status": found[0] if found else None}
        report = NewSupportTask(
            kind=SupportTaskKind.EMAIL_BOUNCED,
            subject=f"{case} {stage}",
            case=case,
            seller=row.seller,
            evidence=evidence,
        )
        SupportTasks(self._work).create([report])
        return True

    def overdue(self, *, seconds: float, limit: int) -> list[tuple[bool, str, UUID]]:
        """Returns cases with an e-mail that is unsent for ``seconds``: (bulk, seller, case)."""
        return [(row.bulk, row.seller, row.id) for row in self._work.run(_OVERDUE, seconds=seconds, limit=limit)]

    def count_unsent(self) -> int:
        """How many letters are still to be sent."""
        return int(self._work.run(_QUEUE.waiting()).scalar_one())

    def count_sent(self) -> int:
        """How many letters went out."""
        return int(self._work.run(_QUEUE.finished()).scalar_one())
