"""Notes that are owed, and those that were sent: each at most once. What is found is found out by the worker, not at the door."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID, uuid4

from sqlalchemy import Row

from domain.inquiry_emails import LINK_TTL, MAX_PER_DAY, MAX_REFERENCES, InquiryEmailKind
from domain.messages import InquiryEmailsDue
from domain.purchases import email_key, reference_key
from records.leased_queue import LeasedQueue
from records.outbox import Outbox
from records.purchase_details import AROUND, BOUGHT, PurchaseWithDetails, purchase_with_details
from records.transaction import Transaction

_OWE = """
with note as (
  insert into inquiry_emails (id, kind, email, email_key, reference_key, locale, thread)
  values (:id, :kind, :email, :email_key, :reference_key, :locale, :thread)
)
insert into outbox (lane, bulk, seller, case_id) values (:lane, false, '', :id)
"""

_QUEUE = LeasedQueue(
    table="notes", key={"id": "uuid"}, done_at="sent_at", queue=InquiryEmailsDue.queue, message_id="id"
)

_CLAIM = _QUEUE.claim("id = any(:ids)", "t.id, t.kind, t.email, t.email_key, t.locale, t.thread")

_LOOK_UP = f"""
select n.id as note, b.* from inquiry_emails n
 cross join lateral (
   select {BOUGHT} from purchases p {AROUND}
    where p.email_key = n.email_key and (n.kind = 'references' or p.reference_key = n.reference_key)
    order by p.purchased_at desc, p.id limit :most) b
 where n.id = any(:ids)
"""

_FOUND = """
update inquiry_emails n
   set kind = i.kind, ends_at = now() + make_interval(secs => :lasts),
       purchases = array(select o.purchase from unnest(cast(:of as uuid[]), cast(:purchases as uuid[])) as o(note, purchase)
                          where o.note = n.id)
  from unnest(cast(:ids as uuid[]), cast(:kinds as text[])) as i(id, kind)
 where n.id = i.id
"""

_TOLD = """
select n.id, n.email_key, n.kind,
       (select count(*) from inquiry_emails o where o.email_key = n.email_key and o.kind = n.kind
           and o.sent_at > now() - interval '1 day') as told
  from inquiry_emails n where n.id = any(:ids)
"""

_FORGET = "delete from inquiry_emails where id = any(:ids)"

_SENT = _QUEUE.done()

_GIVE_BACK = _QUEUE.release()

_OVERDUE = _QUEUE.overdue()

_OPENS = "n.kind = 'purchase' and n.opened_at is null and n.ends_at > now()"

_OPEN = f"update inquiry_emails n set opened_at = now() where n.id = :id and {_OPENS} returning n.purchases"

_ASKS = {InquiryEmailKind.PURCHASE, InquiryEmailKind.REFERENCES}


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryEmail:
    """One note to write."""

    id: UUID
    kind: InquiryEmailKind
    to: str
    """The purchases' own address, where there are any; else the one that somebody typed or wrote from."""
    locale: str
    thread: str | None
    """The Message-ID of the mail that it answers."""
    purchases: tuple[PurchaseWithDetails, ...]


class InquiryLink(NamedTuple):
    """How a note's link stands."""

    locale: str
    opens: bool


class InquiryEmails:
    """The notes table. No link of a note is kept here."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def enqueue(
        self,
        *,
        kind: InquiryEmailKind,
        email: str,
        locale: str,
        thread: str | None = None,
        reference: str | None = None,
    ) -> UUID:
        """Owes somebody a note, and returns its id. Nothing is looked up: known or unknown, it takes the same time.

        ``reference`` goes with the kind ``purchase`` alone.
        """
        note = uuid4()
        self._work.run(
            _OWE,
            id=note,
            kind=kind,
            email=email,
            email_key=email_key(email),
            reference_key=None if reference is None else reference_key(reference),
            locale=locale,
            thread=thread,
            lane=InquiryEmailsDue.queue,
        )
        Outbox(self._work).wake()
        return note

    def claim(self, notes: Sequence[UUID], *, seconds: float) -> list[InquiryEmail]:
        """Claims the unsent ones of these inquiry e-mails for ``seconds``, and looks up what they ask for.

        An e-mail above the daily limit of its address is deleted.
        """
        rows = list(self._work.run(_CLAIM, ids=list(notes), seconds=seconds))
        asking = [row.id for row in rows if row.kind in _ASKS]
        found: dict[UUID, list[PurchaseWithDetails]] = {note: [] for note in asking}
        if asking:
            for row in self._work.run(_LOOK_UP, ids=asking, most=MAX_REFERENCES):
                found[row.note].append(purchase_with_details(row))
        claimed = [_note(row, found.get(row.id, [])) for row in rows]
        self._keep([note for note in claimed if note.id in found])
        spared = self._spared(asking) if asking else set()
        return [note for note in claimed if note.id not in spared]

    def _spared(self, asking: Sequence[UUID]) -> set[UUID]:
        """Those that would be too many for an address today: they are forgotten, for there is nothing to send."""
        told: Counter[tuple[str, str]] = Counter()
        spared: set[UUID] = set()
        for row in self._work.run(_TOLD, ids=list(asking)):
            told[row.email_key, row.kind] += 1
            if row.told + told[row.email_key, row.kind] > MAX_PER_DAY[row.kind]:
                spared.add(row.id)
        if spared:
            self._work.run(_FORGET, ids=list(spared))
        return spared

    def _keep(self, notes: Sequence[InquiryEmail]) -> None:
        """What was found is what the link will show."""
        if notes:
            pairs = [(note.id, bought.id) for note in notes for bought in note.purchases]
            self._work.run(
                _FOUND,
                ids=[note.id for note in notes],
                kinds=[note.kind for note in notes],
                of=[note for note, _ in pairs],
                purchases=[purchase for _, purchase in pairs],
                lasts=LINK_TTL.total_seconds(),
            )

    def mark_sent(self, notes: Sequence[UUID]) -> None:
        """Stores that these inquiry e-mails were sent."""
        if notes:
            self._work.run(_SENT, ids=list(notes))

    def release(self, notes: Sequence[UUID], *, seconds: float) -> None:
        """Releases inquiry e-mails that were certainly not sent: they may be sent in ``seconds``."""
        if notes:
            self._work.run(_GIVE_BACK, ids=list(notes), seconds=seconds)

    def overdue(self, *, seconds: float, limit: int) -> list[UUID]:
        """Returns inquiry e-mails that are unsent for ``seconds``."""
        return [row.id for row in self._work.run(_OVERDUE, seconds=seconds, limit=limit)]

    def link(self, note: UUID) -> InquiryLink | None:
        """How a note's link stands; None where there is no such note. Looking changes nothing."""
        row = self._work.run(
            f"select n.locale, {_OPENS} as opens from inquiry_emails n where n.id = :id", id=note
        ).one_or_none()
        return None if row is None else InquiryLink(row.locale, bool(row.opens))

    def open_link(self, note: UUID) -> list[UUID] | None:
        """The purchases behind a note's link, once; None where it was opened before, is too old, or opens nothing."""
        row = self._work.run(_OPEN, id=note).one_or_none()
        return None if row is None else list(row.purchases)


def _note(row: Row[*tuple[Any, ...]], found: Sequence[PurchaseWithDetails]) -> InquiryEmail:
    kind = InquiryEmailKind(row.kind)
    mine = _of_one_mailbox(found, row.email)
    if kind in _ASKS and not mine:
        kind = InquiryEmailKind.NOTHING_FOUND
    return InquiryEmail(
        id=row.id,
        kind=kind,
        to=mine[0].email if mine else row.email,
        locale=row.locale,
        thread=row.thread,
        purchases=tuple(mine),
    )


def _of_one_mailbox(found: Sequence[PurchaseWithDetails], typed: str) -> list[PurchaseWithDetails]:
    """Addresses that are compared as one may be two mailboxes (``ß`` and ``ss``): a note tells one of them of its own only.

    It is the one that was typed, if it bought anything.
    """
    mailboxes = {bought.email.lower() for bought in found}
    mine = typed.lower() if typed.lower() in mailboxes else next((bought.email.lower() for bought in found), None)
    return [bought for bought in found if bought.email.lower() == mine]
