"""Read the reports about cases, refunds and decisions. One statement reads a report, and changes nothing.

A case belongs to the month in which it was received, and a refund to the month in which it was paid. Months begin in the
time zone of the seller. Amounts of different currencies are never added.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal

from domain.support_decisions import DecisionAction, DecisionStatus
from records.tables.cases import UNRESOLVED_STATUS_NAMES
from records.transaction import Rows, Transaction

TOP_PRODUCTS = 20
"""The number of products of a seller that the report names. The other products are added up."""

_SELLERS = """
seller as (
  select s.id, s.time_zone, cast(:first as timestamp) at time zone s.time_zone as since,
         cast(:end as timestamp) at time zone s.time_zone as until
    from sellers s where cast(:sellers as text[]) is null or s.id = any(:sellers)
)
"""
"""The sellers of a report, each with the instants at which the period begins and ends."""

_RECEIVED = "c.seller_id = s.id and c.received_at >= s.since and c.received_at < s.until"

_MONTH_RECEIVED = "date_trunc('month', c.received_at at time zone s.time_zone)"

_PAID = """
paid as (
  select case_id, max(paid_at) as paid_at from refund_operations
   where status = 'paid' and paid_at >= cast(:first as timestamp) at time zone 'UTC' - interval '1 day' group by case_id
)
"""
"""The cases with a paid refund. No refund is paid before its case is received. A join with all of them is much faster than one
lookup for each case.
"""

_AUTOMATIC_SHARE = f"""
with {_SELLERS}, {_PAID}, ended as (
  select s.id as seller, {_MONTH_RECEIVED} as month, c.state,
         c.decided_seq = 0 and p.case_id is not null as is_automatic
    from seller s join cases c on {_RECEIVED} left join paid p on p.case_id = c.id
), counted as (
  select seller, month,
         count(*) filter (where state = 'refunded' and is_automatic) as automatic,
         count(*) filter (where state = 'refunded' and not is_automatic) as by_support,
         count(*) filter (where state in ('declined', 'closed')) as not_refunded,
         count(*) filter (where state in ('expired', 'cancelled')) as given_up,
         count(*) filter (where state in ('duplicate', 'unmatched')) as without_decision,
         count(*) filter (where state not in (
           'refunded', 'declined', 'closed', 'expired', 'cancelled', 'duplicate', 'unmatched')) as open
    from ended group by seller, month
)
select seller, to_char(month, 'YYYY-MM'), round(100.0 * automatic / nullif(automatic + by_support + not_refunded, 0), 1),
       automatic, by_support, not_refunded, given_up, without_decision, open
  from counted order by seller, month
"""

_TIME_TO_MONEY = f"""
with {_SELLERS}, {_PAID}, refunded as (
  select s.id as seller, {_MONTH_RECEIVED} as month, c.decided_seq = 0 as is_automatic,
         cast(extract(epoch from p.paid_at - c.received_at) as float8) / 3600 as hours
    from seller s join cases c on {_RECEIVED} and c.state = 'refunded' join paid p on p.case_id = c.id
), grouped as (
  select seller, month, is_automatic, count(*) as refunds,
         percentile_cont(array[0.5, 0.9, 0.95]) within group (order by hours) as hours
    from refunded group by seller, month, is_automatic
)
select seller, to_char(month, 'YYYY-MM'), case when is_automatic then 'rules' else 'support' end as decided_by, refunds,
       round(hours[1]::numeric, 1) as p50_hours, round(hours[2]::numeric, 1) as p90_hours,
       round(hours[3]::numeric, 1) as p95_hours
  from grouped order by seller, month, is_automatic desc
"""

_REASONS_BY_PRODUCT = f"""
with {_SELLERS}, counted as (
  select s.id as seller, coalesce(p.product, '') as product, c.reason, count(*) as cases,
         count(*) filter (where c.state = 'refunded') as refunded
    from seller s join cases c on {_RECEIVED} and c.state <> 'duplicate' left join purchases p on p.id = c.purchase_id
   group by s.id, coalesce(p.product, ''), c.reason
), product as (
  select seller, product, sum(cases) as cases,
         row_number() over (partition by seller order by sum(cases) desc, product) <= :top as is_named
    from counted where product <> '' group by seller, product
)
select c.seller,
       case when c.product = '' then 'no purchase found' when p.is_named then c.product else 'other products' end as product,
       c.reason, sum(c.cases)::bigint as cases, sum(c.refunded)::bigint as refunded
  from counted c left join product p using (seller, product)
 group by c.seller, 2, c.reason, p.is_named, c.product = '', case when p.is_named then p.cases end
 order by c.seller, c.product = '', p.is_named desc, case when p.is_named then p.cases end desc, 2, 4 desc, c.reason
"""

_ESCALATION_REASONS = f"""
with {_SELLERS}, escalated as (
  select distinct s.id as seller, c.id as case_id, r.reason ->> 'code' as code
    from seller s join cases c on {_RECEIVED}
    join support_tasks t on t.case_id = c.id and t.kind = 'case'
   cross join lateral jsonb_array_elements(t.reasons) as r(reason)
)
select e.seller, e.code, count(*) as cases,
       count(*) filter (where exists (
         select from support_decisions d
          where d.case_id = e.case_id and d.status = '{DecisionStatus.APPLIED}'
            and d.decision ->> 'action' = '{DecisionAction.APPROVE}')) as approved,
       count(*) filter (where o.was_right) as right_opinions, count(*) filter (where not o.was_right) as wrong_opinions
  from escalated e left join rule_opinions o on o.case_id = e.case_id and o.code = e.code
 group by e.seller, e.code order by e.seller, cases desc, e.code
"""

_REFUNDED_MONEY = f"""
with {_SELLERS}, paid as (
  select s.id as seller, date_trunc('month', o.paid_at at time zone s.time_zone) as month, o.currency, count(*) as refunds,
         sum(o.paid_amount)::bigint as amount_minor
    from refund_operations o join cases c on c.id = o.case_id join seller s on s.id = c.seller_id
   where o.status = 'paid' and o.paid_at >= s.since and o.paid_at < s.until
     and o.paid_at >= cast(:first as timestamp) at time zone 'UTC' - interval '1 day'
     and o.paid_at < cast(:end as timestamp) at time zone 'UTC' + interval '1 day'
   group by s.id, month, o.currency
)
select seller, to_char(month, 'YYYY-MM'), currency, refunds, amount_minor from paid order by seller, month, currency
"""

"""The last two conditions hold in every time zone, and let PostgreSQL read only the refunds of the period."""

_OPEN_MONEY = f"""
select c.seller_id as seller, o.currency, count(*) as refunds, sum(o.amount)::bigint as reserved_minor,
       count(*) filter (where o.status = 'unknown') as unknown_refunds,
       coalesce(sum(o.amount) filter (where o.status = 'unknown'), 0)::bigint as unknown_minor, min(o.first_sent_at) as oldest
  from refund_operations o join cases c on c.id = o.case_id
 where o.status in ({UNRESOLVED_STATUS_NAMES}) and c.seller_id is not null
   and (cast(:sellers as text[]) is null or c.seller_id = any(:sellers))
 group by c.seller_id, o.currency order by c.seller_id, o.currency
"""


_PREPARE = "select set_config('work_mem', '64MB', true), set_config('statement_timeout', '60s', true)"
"""With more memory, a million rows are joined and sorted without files. A report may take longer than other statements may."""


@dataclass(frozen=True, slots=True)
class ReportFilter:
    """Which sellers and months a report is about."""

    sellers: Collection[str] | None
    """The ids of the sellers; None means every seller."""
    first: date
    """The first day of the first month."""
    end: date
    """The first day after the last month."""


@dataclass(frozen=True, slots=True)
class AutomaticShare:
    """How the cases of a seller that were received in a month have ended so far."""

    seller: str
    month: str
    share: Decimal | None
    automatic: int
    by_support: int
    not_refunded: int
    given_up: int
    without_decision: int
    open: int


@dataclass(frozen=True, slots=True)
class TimeToMoney:
    """The time from the receipt of a request until its refund was paid."""

    seller: str
    month: str
    decided_by: str
    refunds: int
    p50_hours: Decimal
    p90_hours: Decimal
    p95_hours: Decimal


@dataclass(frozen=True, slots=True)
class ReasonOfProduct:
    """How many customers wanted a refund of a product for a reason."""

    seller: str
    product: str
    reason: str
    cases: int
    refunded: int


@dataclass(frozen=True, slots=True)
class EscalationReason:
    """How many cases went to support for a reason, and what support thinks of the rule."""

    seller: str
    code: str
    cases: int
    approved: int
    right_opinions: int
    wrong_opinions: int


@dataclass(frozen=True, slots=True)
class RefundedMoney:
    """What was refunded in a month, in minor units of the currency."""

    seller: str
    month: str
    currency: str
    refunds: int
    amount_minor: int


@dataclass(frozen=True, slots=True)
class OpenMoney:
    """What is reserved for refunds whose outcome is open now, in minor units of the currency."""

    seller: str
    currency: str
    refunds: int
    reserved_minor: int
    unknown_refunds: int
    unknown_minor: int
    oldest: datetime


class Reports:
    """The tables that reports are about. No report locks a row."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def automatic_share(self, filters: ReportFilter) -> list[AutomaticShare]:
        """Return how the received cases have ended, by seller and month."""
        return [AutomaticShare(*row) for row in self._run(_AUTOMATIC_SHARE, **_values(filters))]

    def time_to_money(self, filters: ReportFilter) -> list[TimeToMoney]:
        """Return the time from receipt to payment, by seller and month, for the rules and for support."""
        return [TimeToMoney(*row) for row in self._run(_TIME_TO_MONEY, **_values(filters))]

    def reasons_by_product(self, filters: ReportFilter) -> list[ReasonOfProduct]:
        """Return the customers' reasons by seller and product. Only the products with the most cases are named."""
        rows = self._run(_REASONS_BY_PRODUCT, **_values(filters), top=TOP_PRODUCTS)
        return [ReasonOfProduct(*row) for row in rows]

    def escalation_reasons(self, filters: ReportFilter) -> list[EscalationReason]:
        """Return the reasons why cases went to support, by seller, with the opinions of agents."""
        return [EscalationReason(*row) for row in self._run(_ESCALATION_REASONS, **_values(filters))]

    def refunded_money(self, filters: ReportFilter) -> list[RefundedMoney]:
        """Return what was refunded, by seller, month and currency."""
        return [RefundedMoney(*row) for row in self._run(_REFUNDED_MONEY, **_values(filters))]

    def open_money(self, filters: ReportFilter) -> list[OpenMoney]:
        """Return what is reserved now, by seller and currency. The months of the filter do not matter."""
        return [OpenMoney(*row) for row in self._run(_OPEN_MONEY, sellers=_values(filters)["sellers"])]

    def _run(self, statement: str, **values: object) -> Rows:
        self._work.run(_PREPARE)
        return self._work.run(statement, **values)


def _values(filters: ReportFilter) -> dict[str, object]:
    sellers = None if filters.sellers is None else sorted(filters.sellers)
    return {"sellers": sellers, "first": filters.first, "end": filters.end}
