"""Store inquiry e-mails: e-mails that belong to no case, such as an e-mail with a purchase lookup link.

A row records whether the e-mail was claimed and sent, and whether the customer opened its link. The worker,
and not the web server, looks up the purchases. Therefore the response time does not reveal whether an address has purchases.
"""

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
from records.purchase_details import (
    DETAILED_PURCHASE_COLUMNS,
    DETAILED_PURCHASE_JOINS,
    PurchaseWithDetails,
    purchase_with_details,
)
from records.transaction import Transaction

_INSERT = """
with email as (
  insert into inquiry_emails (id, kind, email, email_key, reference_key, locale, thread)
  values (:id, :kind, :email, :email_key, :reference_key, :locale, :thread)
)
insert into outbox (queue, bulk, seller_id, item_id) values (:queue, false, '', :id)
"""

_QUEUE = LeasedQueue(
    table="inquiry_emails", key={"id": "uuid"}, done_at="sent_at", queue=InquiryEmailsDue.queue, message_id="id"
)

_CLAIM = _QUEUE.claim("id = any(:ids)", "t.id, t.kind, t.email, t.email_key, t.locale, t.thread")

_SELECT_PURCHASES = f"""
select e.id as email_id, b.* from inquiry_emails e
 cross join lateral (
   select {DETAILED_PURCHASE_COLUMNS} from purchases p {DETAILED_PURCHASE_JOINS}
    where p.email_key = e.email_key and (e.kind = 'references' or p.reference_key = e.reference_key)
    order by p.purchased_at desc, p.id limit :limit) b
 where e.id = any(:ids)
"""

_STORE_PURCHASES = """
update inquiry_emails e
   set kind = i.kind, expires_at = now() + make_interval(secs => :link_ttl),
       purchase_ids = array(
         select pair.purchase_id
           from unnest(cast(:email_ids as uuid[]), cast(:purchase_ids as uuid[])) as pair(email_id, purchase_id)
          where pair.email_id = e.id)
  from unnest(cast(:ids as uuid[]), cast(:kinds as text[])) as i(id, kind)
 where e.id = i.id
"""

_COUNT_SENT_TODAY = """
select e.id, e.email_key, e.kind,
       (select count(*) from inquiry_emails sent where sent.email_key = e.email_key and sent.kind = e.kind
           and sent.sent_at > now() - interval '1 day') as sent_today
  from inquiry_emails e where e.id = any(:ids)
"""

_DELETE = "delete from inquiry_emails where id = any(:ids)"

_MARK_SENT = _QUEUE.done()

_RELEASE = _QUEUE.release()

_SELECT_OVERDUE = _QUEUE.overdue()

_CAN_OPEN = "e.kind = 'purchase' and e.opened_at is null and e.expires_at > now()"

_SELECT_LINK = f"select e.locale, {_CAN_OPEN} as can_open from inquiry_emails e where e.id = :id"

_OPEN_LINK = f"update inquiry_emails e set opened_at = now() where e.id = :id and {_CAN_OPEN} returning e.purchase_ids"

_KINDS_WITH_PURCHASES = {InquiryEmailKind.PURCHASE, InquiryEmailKind.REFERENCES}


@dataclass(frozen=True, slots=True, kw_only=True)
class InquiryEmail:
    """One inquiry e-mail to send."""

    id: UUID
    kind: InquiryEmailKind
    to: str
    """The e-mail address of the purchases. Without purchases: the address from the form, or the sender of the mail."""
    locale: str
    thread: str | None
    """The Message-ID of the customer's mail. None if the customer used a form."""
    purchases: tuple[PurchaseWithDetails, ...]


class InquiryLink(NamedTuple):
    """The language of an inquiry e-mail, and whether the customer can open its link now."""

    locale: str
    opens: bool


class InquiryEmails:
    """The table ``inquiry_emails``. The link in an e-mail is not stored, so that readers of the table cannot open it."""

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
        """Store that an e-mail is due, and return the e-mail's id. The call does not look the address up.

        Only an e-mail of the kind ``purchase`` has a ``reference``.
        """
        id_ = uuid4()
        self._work.run(
            _INSERT,
            id=id_,
            kind=kind,
            email=email,
            email_key=email_key(email),
            reference_key=None if reference is None else reference_key(reference),
            locale=locale,
            thread=thread,
            queue=InquiryEmailsDue.queue,
        )
        Outbox(self._work).wake()
        return id_

    def claim(self, ids: Sequence[UUID], *, seconds: float) -> list[InquiryEmail]:
        """Claim the unsent inquiry e-mails with these ids for ``seconds``. Look up the purchases for each e-mail.

        Delete an e-mail if its address already got the maximum number of e-mails of this kind in the last 24 hours.
        """
        rows = list(self._work.run(_CLAIM, ids=list(ids), seconds=seconds))
        to_look_up = [row.id for row in rows if row.kind in _KINDS_WITH_PURCHASES]
        purchases = self._look_up(to_look_up)
        emails = [_inquiry_email(row, purchases.get(row.id, [])) for row in rows]
        self._store_purchases([email for email in emails if email.id in purchases])
        deleted = self._delete_above_limit(to_look_up)
        return [email for email in emails if email.id not in deleted]

    def _look_up(self, ids: Sequence[UUID]) -> dict[UUID, list[PurchaseWithDetails]]:
        """Return the purchases for each of these e-mails."""
        purchases: dict[UUID, list[PurchaseWithDetails]] = {id_: [] for id_ in ids}
        if ids:
            for row in self._work.run(_SELECT_PURCHASES, ids=list(ids), limit=MAX_REFERENCES):
                purchases[row.email_id].append(purchase_with_details(row))
        return purchases

    def _delete_above_limit(self, ids: Sequence[UUID]) -> set[UUID]:
        """Delete the e-mails that exceed the daily limit of an address, and return the ids of the deleted e-mails."""
        if not ids:
            return set()
        due: Counter[tuple[str, str]] = Counter()
        above_limit: set[UUID] = set()
        for row in self._work.run(_COUNT_SENT_TODAY, ids=list(ids)):
            due[row.email_key, row.kind] += 1
            if row.sent_today + due[row.email_key, row.kind] > MAX_PER_DAY[row.kind]:
                above_limit.add(row.id)
        if above_limit:
            self._work.run(_DELETE, ids=list(above_limit))
        return above_limit

    def _store_purchases(self, emails: Sequence[InquiryEmail]) -> None:
        """Store which purchases were found. Later, the page behind the link shows these purchases."""
        if emails:
            pairs = [(email.id, purchase.id) for email in emails for purchase in email.purchases]
            self._work.run(
                _STORE_PURCHASES,
                ids=[email.id for email in emails],
                kinds=[email.kind for email in emails],
                email_ids=[email for email, _ in pairs],
                purchase_ids=[purchase for _, purchase in pairs],
                link_ttl=LINK_TTL.total_seconds(),
            )

    def mark_sent(self, ids: Sequence[UUID]) -> None:
        """Store that these inquiry e-mails were sent."""
        if ids:
            self._work.run(_MARK_SENT, ids=list(ids))

    def release(self, ids: Sequence[UUID], *, seconds: float) -> None:
        """End the claims on e-mails that were certainly not sent. After ``seconds``, a worker can claim these e-mails again."""
        if ids:
            self._work.run(_RELEASE, ids=list(ids), seconds=seconds)

    def overdue(self, *, seconds: float, limit: int) -> list[UUID]:
        """Return the ids of at most ``limit`` inquiry e-mails that have been unsent for ``seconds``."""
        return [row.id for row in self._work.run(_SELECT_OVERDUE, seconds=seconds, limit=limit)]

    def link(self, email: UUID) -> InquiryLink | None:
        """Return the e-mail's language, and whether its link can be opened now. Return None if no e-mail has this id."""
        row = self._work.run(_SELECT_LINK, id=email).one_or_none()
        return None if row is None else InquiryLink(row.locale, bool(row.can_open))

    def open_link(self, email: UUID) -> list[UUID] | None:
        """Mark the link of an e-mail as opened, and return the ids of its purchases.

        Return None if the link was opened before, has expired, or has no purchases.
        """
        row = self._work.run(_OPEN_LINK, id=email).one_or_none()
        return None if row is None else list(row.purchase_ids)


def _inquiry_email(row: Row[*tuple[Any, ...]], matches: Sequence[PurchaseWithDetails]) -> InquiryEmail:
    kind = InquiryEmailKind(row.kind)
    purchases = _purchases_of_one_mailbox(matches, row.email)
    if kind in _KINDS_WITH_PURCHASES and not purchases:
        kind = InquiryEmailKind.NOTHING_FOUND
    return InquiryEmail(
        id=row.id,
        kind=kind,
        to=purchases[0].email if purchases else row.email,
        locale=row.locale,
        thread=row.thread,
        purchases=tuple(purchases),
    )


def _purchases_of_one_mailbox(purchases: Sequence[PurchaseWithDetails], address: str) -> list[PurchaseWithDetails]:
    """Return the purchases with this address. If none has it, return the purchases that share the address of the first purchase.

    Two addresses have the same e-mail key if they differ only in ``ß`` and ``ss``. So ``purchases`` can contain both addresses,
    and these can belong to two customers. An e-mail shows only the purchases of one address.
    """
    mailboxes = {purchase.email.lower() for purchase in purchases}
    first_mailbox = next((purchase.email.lower() for purchase in purchases), None)
    mailbox = address.lower() if address.lower() in mailboxes else first_mailbox
    return [purchase for purchase in purchases if purchase.email.lower() == mailbox]
