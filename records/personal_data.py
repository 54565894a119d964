"""Remove the personal data of customers whose cases have ended, and keep what proves the refunds.

Amounts, dates, ids of payments and refunds, references of purchases, products, reasons and decisions stay. The history stays
provable: the hash of each row stays, and the function ``redact_cases`` of migration 0013 stores a hash of what is left of it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from domain import case_numbers
from domain.errors import NotPossibleError
from domain.purchases import email_key
from domain.states import FINAL_STATES, State
from domain.support_tasks import SupportTaskKind
from records.tables.cases import FINAL_STATE_NAMES, UNRESOLVED_STATUS_NAMES
from records.transaction import Rows, Transaction

_HAS_UNRESOLVED_REFUND = f"""
exists (select from refund_operations o where o.case_id = c.id and o.status in ({UNRESOLVED_STATUS_NAMES}))
"""
_HAS_OPEN_TASK = "exists (select from support_tasks t where t.case_id = c.id and t.closed_at is null)"
_HAS_UNSENT_EMAIL = "exists (select from case_emails e where e.case_id = c.id and e.sent_at is null)"

_SELECT_CASES = f"""
select c.id, c.number, c.state, {_HAS_UNRESOLVED_REFUND} as has_unresolved_refund, {_HAS_OPEN_TASK} as has_open_task,
       {_HAS_UNSENT_EMAIL} as has_unsent_email
  from cases c
 where c.id in (select id from cases where email_key = :email_key
                union all
                select o.id from purchases p join cases o on o.purchase_id = p.id where p.email_key = :email_key)
 order by c.id
"""
"""The cases of the customer's requests, and the cases about the customer's purchases."""

_LOCK_CASES = f"{_SELECT_CASES} for no key update of c"

_SELECT_PURCHASES = "select id from purchases where email_key = :email_key order by id"

_LOCK_PURCHASES = f"{_SELECT_PURCHASES} for no key update"

_SELECT_MAILS = f"""
select m.id, exists (
         select from support_tasks t
          where t.kind = '{SupportTaskKind.FLAGGED_MAIL}' and t.subject = m.id::text and t.closed_at is null) as has_open_task
  from inbound_mails m
 where m.id in (select id from inbound_mails where sender_key = :email_key
                union all
                select id from inbound_mails where case_ids && cast(:case_ids as uuid[]))
 order by m.id
"""

_LOCK_EXPIRED_CASES = f"""
select c.id from cases c
 where c.forgotten_at is null and c.state in ({FINAL_STATE_NAMES})
   and c.received_at < now() - make_interval(days => :days) and c.lease_until <= now()
   and not exists (select from transitions t where t.case_id = c.id and t.created_at >= now() - make_interval(days => :days))
   and not {_HAS_UNRESOLVED_REFUND} and not {_HAS_OPEN_TASK} and not {_HAS_UNSENT_EMAIL}
 order by c.received_at limit :limit for no key update of c skip locked
"""

_SELECT_ENDED_PURCHASES = """
select p.id from purchases p
 where p.id in (select purchase_id from cases where id = any(:case_ids)) and p.forgotten_at is null
   and not exists (select from cases o where o.purchase_id = p.id and o.forgotten_at is null)
 order by p.id for no key update
"""
"""The purchases of these cases, without purchases that another case is about whose personal data is still there."""

_SELECT_EXPIRED_MAILS = """
select m.id from inbound_mails m
 where m.forgotten_at is null and m.received_at < now() - make_interval(days => :days)
   and not exists (select from cases c where c.id = any(m.case_ids) and c.forgotten_at is null)
 order by m.received_at limit :limit for no key update skip locked
"""

_REDACT_CASES = "select redact_cases(:ids, :who)"

_FORGET_CASES = """
update cases c
   set email = '', email_key = '', comment = '', answers = '{}', thread = null, intake_digest = '', forgotten_at = now(),
       reference = coalesce(p.reference, ''), reference_key = coalesce(p.reference_key, ''),
       intake_key = case when c.intake_source like 'fork:%' then c.intake_key else 'forgotten:' || c.id end
  from cases o left join purchases p on p.id = o.purchase_id
 where c.id = any(:ids) and o.id = c.id
"""
"""The key of a copy for another seller is the id of the first case. It stays, so that the copy is not made again."""

_FORGET_WITHDRAWALS = "update statutory_withdrawals set name = '', statement = '' where case_id = any(:ids)"

_FORGET_DECISIONS = """
update support_decisions
   set decision = decision || case when decision ? 'message' then '{"message": ""}' else '{}' end::jsonb
                           || case when decision ? 'reason' then '{"reason": ""}' else '{}' end::jsonb,
       key = id::text, digest = ''
 where case_id = any(:ids)
"""

_DELETE_DRAFTS = "delete from decision_drafts where case_id = any(:ids)"

_FORGET_TASKS = """
with locked as (
  select id from support_tasks where case_id = any(:ids) order by id for no key update
), task as (
  update support_tasks t
     set comment = null, words = '', reasons = redacted_evidence(jsonb_build_object('reasons', t.reasons)) -> 'reasons'
    from locked where t.id = locked.id returning t.id
)
update helpdesk_tickets set why = null where task_id in (select id from task) and why is not null
"""

_FORGET_PURCHASES = """
update purchases
   set email = '', email_key = key_of_forgotten(id, email_key), forgotten_at = now(),
       items = coalesce((select jsonb_agg(item || '{"name": ""}' order by position)
                           from jsonb_array_elements(items) with ordinality as i(item, position)), '[]')
 where id = any(:ids) and forgotten_at is null
"""
"""A later request with the same address and reference is still compared with the hash (records/decision_inputs.py)."""

_DELETE_DETAILS = "delete from purchase_details where purchase_id = any(:ids)"

_FORGET_INSTRUMENTS = "update purchase_payments set instrument = null where purchase_id = any(:ids)"

_FORGET_COMMENTS_ON_PAYMENTS = """
update support_tasks set comment = null
 where id in (select t.id from purchase_payments b join support_tasks t on t.evidence ->> 'charge' = b.charge
               where b.purchase_id = any(:ids) and t.comment is not null order by t.id for no key update of t)
"""

_FORGET_WEBHOOK_BODIES = """
update webhook_events e set body = ''
  from (select b.provider, b.charge from purchase_payments b where b.purchase_id = any(:ids)
        union
        select b.provider, d.id from purchase_payments b join payment_ids d using (provider, charge)
         where b.purchase_id = any(:ids)) i
 where e.provider = i.provider and e.charge = i.charge and e.body <> ''
"""

_FORGET_MAILS = f"""
with task as (
  update support_tasks set comment = null, words = ''
   where kind = '{SupportTaskKind.FLAGGED_MAIL}' and subject in (select unnest(cast(:ids as uuid[]))::text)
)
update inbound_mails
   set message_id = 'forgotten:' || id, thread = 'forgotten:' || id, sender_key = '', evidence = '{{}}', subject = null,
       text = null, flagged_at = null, forgotten_at = now()
 where id = any(:ids) and forgotten_at is null
"""

_COUNT_INQUIRIES = "select count(*) from inquiry_emails where email_key = :email_key"

_DELETE_INQUIRIES = "delete from inquiry_emails where email_key = :email_key"

_DELETE_EXPIRED_INQUIRIES = """
delete from inquiry_emails where id in (
  select id from inquiry_emails where created_at < now() - make_interval(days => :days) and sent_at is not null
   order by created_at limit :limit)
"""

_DELETE_EXPIRED_DEAD_LETTERS = """
delete from dead_letters where id in (
  select id from dead_letters where created_at < now() - make_interval(days => :days) order by created_at limit :limit)
"""

_FORGET_EXPIRED_HELPDESK_EVENTS = """
update helpdesk_events set body = '' where id in (
  select id from helpdesk_events where body <> ''::bytea and received_at < now() - make_interval(days => :days)
   order by received_at limit :limit)
"""

_NAMES_CUSTOMER = """
exists (select from unnest(cast(:spellings as text[])) s
         where position(encode(convert_to(s, 'UTF8'), 'escape') in lower(encode({table}.body, 'escape'))) > 0)
"""
"""The spellings are lower-case. A body need not be valid UTF-8, so both texts are compared in PostgreSQL's escape format."""

_IS_OF_TICKET = """
exists (select from helpdesk_tickets t join support_tasks k on k.id = t.task_id
         where k.case_id = any(cast(:case_ids as uuid[])) and t.target = helpdesk_events.target
           and (position(convert_to(t.task_id::text, 'UTF8') in helpdesk_events.body) > 0
                or position(convert_to(t.ref, 'UTF8') in helpdesk_events.body) > 0))
"""
"""An id of a ticket may be part of another number. The body of an event is never read again, so it may go as well."""

_NAMING_MESSAGES = {
    "webhook_events": f"body <> '' and {_NAMES_CUSTOMER.format(table='webhook_events')}",
    "helpdesk_events": f"body <> '' and ({_NAMES_CUSTOMER.format(table='helpdesk_events')} or {_IS_OF_TICKET})",
    "dead_letters": _NAMES_CUSTOMER.format(table="dead_letters"),
}
"""The stored messages that name a customer: the table, and the condition."""

_COUNT_MESSAGES = {
    table: f"select count(*) from {table} where {condition}" for table, condition in _NAMING_MESSAGES.items()
}
_FORGET_MESSAGES = {
    "webhook_events": f"update webhook_events set body = '' where {_NAMING_MESSAGES['webhook_events']}",
    "helpdesk_events": f"update helpdesk_events set body = '' where {_NAMING_MESSAGES['helpdesk_events']}",
    "dead_letters": f"delete from dead_letters where {_NAMING_MESSAGES['dead_letters']}",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class PersonalDataOfCustomer:
    """What is stored about a customer, and what prevents that it is removed."""

    case_ids: tuple[UUID, ...]
    case_numbers: tuple[str, ...]
    purchases: int
    mails: int
    inquiry_emails: int
    obstacles: tuple[str, ...]
    """Why the personal data cannot be removed now: one sentence for each open thing, with what to do."""

    @property
    def is_empty(self) -> bool:
        """True if no case, no purchase and no e-mail of the customer is stored."""
        return not (self.case_ids or self.purchases or self.mails or self.inquiry_emails)


class PersonalData:
    """The tables that contain personal data of customers."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def find(self, email: str) -> PersonalDataOfCustomer:
        """Return what is stored about the customer with this e-mail address."""
        return self._found(email, _SELECT_CASES)

    def forget(self, email: str, *, who: str) -> PersonalDataOfCustomer:
        """Remove the personal data of a customer, except from stored messages, and return what was found.

        ``who`` is stored with the redacted history. Raise NotPossibleError, and remove nothing, if something about the customer
        is still open.
        """
        key = email_key(email)
        found = self._found(email, _LOCK_CASES)
        if found.obstacles:
            raise NotPossibleError(" ".join(found.obstacles))
        purchases = [row.id for row in self._work.run(_LOCK_PURCHASES, email_key=key)]
        mails = [row.id for row in self._work.run(_SELECT_MAILS, email_key=key, case_ids=list(found.case_ids))]
        self._forget_cases(found.case_ids, who)
        self._forget_purchases(purchases)
        self._work.run(_FORGET_MAILS, ids=mails)
        self._work.run(_DELETE_INQUIRIES, email_key=key)
        return found

    def _found(self, email: str, statement: str) -> PersonalDataOfCustomer:
        key = email_key(email)
        cases = self._work.run(statement, email_key=key).all()
        case_ids = [row.id for row in cases]
        mails = self._work.run(_SELECT_MAILS, email_key=key, case_ids=case_ids).all()
        obstacles = [sentence for row in cases for sentence in _obstacles(row)]
        if any(row.has_open_task for row in mails):
            obstacles.append("An e-mail of this customer waits for support. Close its task on the desk.")
        return PersonalDataOfCustomer(
            case_ids=tuple(case_ids),
            case_numbers=tuple(case_numbers.encode(row.number) for row in cases),
            purchases=len(self._work.run(_SELECT_PURCHASES, email_key=key).all()),
            mails=len(mails),
            inquiry_emails=int(self._work.run(_COUNT_INQUIRIES, email_key=key).scalar_one()),
            obstacles=tuple(obstacles),
        )

    def count_messages(self, email: str, cases: Sequence[UUID]) -> int:
        """Return the number of webhook events, helpdesk events and dead letters that name the customer or these cases."""
        return sum(int(rows.scalar_one()) for rows in self._run_on_messages(_COUNT_MESSAGES, email, cases))

    def forget_messages(self, email: str, cases: Sequence[UUID]) -> int:
        """Remove the bodies of these webhook events and helpdesk events, and these dead letters. Return their number."""
        return sum(rows.rowcount for rows in self._run_on_messages(_FORGET_MESSAGES, email, cases))

    def forget_expired(self, *, days: int, limit: int) -> int:
        """Remove the personal data of up to ``limit`` cases that ended ``days`` ago, and of mails and messages of this age.

        A case with an open support task, an unsent e-mail or a refund of unknown outcome waits. Return the number of cases,
        mails and messages.
        """
        cases = [row.id for row in self._work.run(_LOCK_EXPIRED_CASES, days=days, limit=limit)]
        self._forget_cases(cases, "retention")
        self._forget_purchases([row.id for row in self._work.run(_SELECT_ENDED_PURCHASES, case_ids=cases)])
        mails = [row.id for row in self._work.run(_SELECT_EXPIRED_MAILS, days=days, limit=limit)]
        self._work.run(_FORGET_MAILS, ids=mails)
        others = (_DELETE_EXPIRED_INQUIRIES, _DELETE_EXPIRED_DEAD_LETTERS, _FORGET_EXPIRED_HELPDESK_EVENTS)
        removed = sum(self._work.run(statement, days=days, limit=limit).rowcount for statement in others)
        return len(cases) + len(mails) + removed

    def _forget_cases(self, cases: Sequence[UUID], who: str) -> None:
        ids = list(cases)
        if not ids:
            return
        self._work.run(_REDACT_CASES, ids=ids, who=who)
        for statement in (_FORGET_CASES, _FORGET_WITHDRAWALS, _FORGET_DECISIONS, _DELETE_DRAFTS, _FORGET_TASKS):
            self._work.run(statement, ids=ids)

    def _forget_purchases(self, ids: Sequence[UUID]) -> None:
        if not ids:
            return
        for statement in (
            _FORGET_PURCHASES,
            _DELETE_DETAILS,
            _FORGET_INSTRUMENTS,
            _FORGET_COMMENTS_ON_PAYMENTS,
            _FORGET_WEBHOOK_BODIES,
        ):
            self._work.run(statement, ids=list(ids))

    def _run_on_messages(self, statements: Mapping[str, str], email: str, cases: Sequence[UUID]) -> Iterator[Rows]:
        """Run a statement on each table with stored messages. Each reads a whole table, which may take minutes."""
        self._work.run("set local statement_timeout = 0")
        addresses = {email.lower(), email_key(email)}  # forms and URLs write the address with %40
        spellings = [text for address in addresses for text in (address, address.replace("@", "%40"))]
        for table, statement in statements.items():
            values = {"case_ids": list(cases)} if table == "helpdesk_events" else {}
            yield self._work.run(statement, spellings=spellings, **values)


def _obstacles(row: Any) -> list[str]:  # noqa: ANN401  # a row of _SELECT_CASES
    """Return why the personal data of a case cannot be removed now."""
    number, state = case_numbers.encode(row.number), State(row.state)
    if state not in FINAL_STATES:
        return [f"The case {number} is still open: {_OPEN_REMEDIES.get(state, _WAIT)}"]
    sentences = {
        "has_unresolved_refund": f"The outcome of a refund of the case {number} is not known yet. Wait until it is known.",
        "has_open_task": f"A support task about the case {number} is open. Close it on the desk.",
        "has_unsent_email": f"An e-mail about the case {number} is not sent yet. Wait until it is sent.",
    }
    return [sentence for name, sentence in sentences.items() if getattr(row, name)]


_WAIT = "it is being processed. Wait until it has ended."
_OPEN_REMEDIES = {
    State.WITH_SUPPORT: "it is with support. Decide it on the desk, or close it.",
    State.AWAITING_CONFIRMATION: "it waits for the customer’s confirmation. Wait until the customer confirms or cancels it, or "
    "until its link expires.",
}
