"""Whoever asks a hundred times fills nobody's mailbox, and whoever takes money back again and again meets a person."""

from collections import Counter
from datetime import timedelta
from typing import NamedTuple
from uuid import UUID

import pytest

from domain.policies import SerialLimit
from domain.purchases import Purchase
from domain.requests import Channel
from domain.states import State
from producers.intake import DECLARATIONS_A_DAY, accept, declare, submission
from records.audit import audit
from tests.integration import _provider_fixtures
from tests.integration._provider_fixtures import codes, letters, state
from tests.sample_data import a_recent_purchase, a_request, a_seller, an_arrival, ids, settle_in
from worker.context import WorkerContext
from worker.refunds.evaluation import MAX_EMAILS_PER_DAY, evaluate
from worker.refunds.execution import execute

MANY = 20


def ask(context: WorkerContext, purchase: Purchase, *, times: int = 1, at_once: bool = True) -> list[UUID]:
    """A stranger who knows a purchase's address and reference asks again and again by the form; the cases are judged."""
    cases = ids(accept(context.records, [submission(a_request(purchase), Channel.WEB) for _ in range(times)]))
    for batch in [cases] if at_once else [[case] for case in cases]:
        with context.records.work() as work:
            evaluate(work, context, work.cases.lock(batch, state=State.RECEIVED))
    return cases


def stages(context: WorkerContext, cases: list[UUID]) -> Counter[str]:
    return Counter(stage for case in cases for stage in letters(context.records, case))


def a_day_passes(context: WorkerContext) -> None:
    with context.records.work() as work:
        work.run("update case_emails set created_at = created_at - interval '25 hours'")


@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
def test_a_purchase_that_is_asked_for_again_and_again_is_one_letter_a_day(
    context: WorkerContext, at_once: bool
) -> None:
    bought = a_recent_purchase()
    settle_in(context.records, bought)
    cases = ask(context, bought, times=MANY, at_once=at_once)
    states = Counter(state(context.records, case) for case in cases)
    assert states == {State.AWAITING_CONFIRMATION: 1, State.DUPLICATE: MANY - 1}
    assert stages(context, cases) == {"start_refund": 1, "already_requested": 1}
    a_day_passes(context)
    assert stages(context, ask(context, bought, times=MANY)) == {"already_requested": 1}
    with context.records.work() as work:
        assert not audit(work).faults
        owed = work.run("select count(*) from outbox where queue = 'email.cases'").scalar_one()
        assert owed == 3  # nor does a message go out for a letter that does not


def test_history_says_why_a_duplicate_was_told_nothing(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(context.records, bought)
    last = ask(context, bought, times=3, at_once=False)[-1]
    with context.records.work() as work:
        assert work.history.for_case(last)[-1].evidence["email"] == "daily limit reached"


def test_two_purchases_of_one_customer_are_two_letters(context: WorkerContext) -> None:
    mine = [a_recent_purchase(email="ada@example.com") for _ in range(2)]
    settle_in(context.records, *mine)
    cases = [case for bought in mine for case in ask(context, bought, times=5)]
    assert stages(context, cases) == {"start_refund": 2, "already_requested": 2}


@pytest.mark.parametrize("at_once", [True, False], ids=["in one batch", "one by one"])
def test_an_address_that_bought_nothing_is_told_so_a_few_times_a_day(context: WorkerContext, at_once: bool) -> None:
    settle_in(context.records)
    cases = ask(context, a_recent_purchase(email="stranger@example.com"), times=MANY, at_once=at_once)
    others = ask(context, a_recent_purchase(email="somebody@example.com"))
    most = MAX_EMAILS_PER_DAY[State.UNMATCHED]
    assert stages(context, cases) == {"not_found": most}
    assert stages(context, others) == {"not_found": 1}
    a_day_passes(context)
    assert stages(context, ask(context, a_recent_purchase(email="Stranger@example.com"))) == {"not_found": 1}


def test_a_declaration_by_law_is_never_refused_but_the_eleventh_letter_of_a_day_waits(context: WorkerContext) -> None:
    settle_in(context.records)
    stranger = a_recent_purchase(email="stranger@example.com")

    def declared() -> UUID:
        return declare(
            context.records, submission(a_request(stranger), Channel.WEB), name="Ada", statement="I withdraw."
        )[0]

    cases = [declared() for _ in range(DECLARATIONS_A_DAY + 2)]
    assert stages(context, cases) == {"withdrawal_received": len(cases)}
    with context.records.work() as work:
        waits = [
            round(row.hours)
            for row in work.run(
                "select greatest(extract(epoch from claimed_until - now()), 0) / 3600 as hours"
                " from case_emails order by created_at"
            )
        ]
        assert waits == [0] * DECLARATIONS_A_DAY + [1, 2]
        assert len(work.case_emails.claim(cases, seconds=1)) == DECLARATIONS_A_DAY


class Asked(NamedTuple):
    """One line of the labelled trace: who asks with which card, how the provider behaves, and what has to come of it."""

    who: str
    card: str
    behaviour: str
    label: str


TRACE = (
    Asked("ada@example.com", "card-1", "ok", "refunded"),
    Asked("grace@example.com", "card-2", "ok", "refunded"),  # somebody else
    Asked("ada@example.com", "card-3", "pending", "refund_pending"),  # Ada's second; it is not paid yet
    Asked("ada@example.com", "card-4", "ok", "with_support"),  # her third, with another card; the pending one counts
    Asked("ADA@Example.com", "card-5", "ok", "with_support"),  # however she spells it
    Asked("eve@example.com", "card-1", "ok", "refunded"),  # another address: the second refund to that card
    Asked("mallory@example.com", "card-1", "ok", "with_support"),  # a third address, and the third to that card
    Asked("frank@example.com", "card-3", "ok", "refunded"),
    Asked("gina@example.com", "card-3", "ok", "with_support"),  # Ada's pending one and Frank's went to that card
    Asked("grace@example.com", "card-2", "ok", "refunded"),
    Asked("grace@example.com", "card-6", "ok", "with_support"),
    Asked("mallory@example.com", "card-7", "ok", "refunded"),  # what a person looks at is no refund
)
"""A seller that allows two automatic refunds in thirty days."""


def test_a_labelled_trace_of_refunds_meets_a_person_where_its_labels_say_so(context: WorkerContext) -> None:
    seller = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
    came_of = []
    for line in TRACE:
        bought = _provider_fixtures.charged(line.behaviour, email=line.who, instrument=line.card)
        settle_in(context.records, bought, seller=seller)
        (case,) = ids(accept(context.records, [an_arrival(bought)]))
        with context.records.work() as work:
            evaluate(work, context, work.cases.lock([case], state=State.RECEIVED))
        execute(context, [case])
        came_of.append(str(state(context.records, case)))
        assert (codes(context.records, case) == ["serial_refunds"]) == (line.label == "with_support")
    assert came_of == [line.label for line in TRACE]
