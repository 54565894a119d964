"""Paying, with the real database and the sandbox provider over real HTTP: once, in full, or to a person."""

import json
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from config.settings import Settings
from domain.money import Money
from domain.policies import SerialLimit
from domain.providers import Capabilities, NotFound, Paid, RefundResult, Unknown
from domain.purchases import Purchase
from domain.refund_operations import RefundOperation
from domain.requests import RefundScope
from domain.states import State
from domain.support_tasks import SupportTaskKind
from producers.intake import accept, accept_one, confirm
from records import Records
from records.case_views import CaseView
from tests.integration import _provider_fixtures
from tests.sample_data import a_recent_purchase, a_seller, a_submission, ids_of, store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext, create_context
from worker.providers import call_pool
from worker.refunds.evaluation import evaluate
from worker.refunds.execution import execute, prepare
from worker.refunds.outcomes import Sent
from worker.refunds.recording import record
from worker.refunds.resolution import resolve
from worker.sweep import Sweep

context = _provider_fixtures.short_timeout_context


def evaluated(context: WorkerContext, *purchases: Purchase, trusted: bool = True, **changes: Any) -> list[UUID]:
    """These customers ask; their cases are judged."""
    found = ids_of(accept(context.records, [a_submission(one, trusted=trusted, **changes) for one in purchases]))
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock(found, state=State.RECEIVED))
    return found


def view(records: Records, case: UUID) -> CaseView:
    with records.work() as work:
        found = work.case_views.get(case)
    assert found
    return found


def states(context: WorkerContext, cases: list[UUID]) -> list[str]:
    return [view(context.records, case).state for case in cases]


def codes(context: WorkerContext, case: UUID) -> list[str]:
    return [reason["code"] for reason in view(context.records, case).reasons]


def at_the_provider(context: WorkerContext, purchase: Purchase) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{context.settings.sandbox_url}/v1/refunds?charge={purchase.charge}") as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]
        return found


def charged(behaviour: str, **changes: Any) -> Purchase:
    bought = a_recent_purchase(**changes)
    return a_recent_purchase(**changes, charge=bought.charge.replace("ok_", f"{behaviour}_"))


def let_go(records: Records) -> None:
    """As if every lease were over and every pause had passed."""
    with records.work() as work:
        work.run(
            "update cases set lease_until = 'epoch', not_before = 'epoch', next_action_at = now()"
            " where next_action_at is not null"
        )


def settled(context: WorkerContext, case: UUID) -> State:
    """Settles until the case leaves the states that the provider must end."""

    def once() -> bool:
        let_go(context.records)
        resolve(context, [case])
        return view(context.records, case).state not in {State.REFUNDING, State.REFUND_PENDING}

    eventually(once)
    return view(context.records, case).state


def test_an_eligible_request_is_refunded_once_in_full(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought)
    execute(context, [case])
    assert states(context, [case]) == ["refunded"]
    (refund,) = at_the_provider(context, bought)
    assert (refund["amount"], refund["currency"]) == (bought.amount, bought.currency)
    with context.records.work() as work:
        kept = work.purchases.get(bought.id)
    assert kept
    assert kept.refunded == bought.amount


def test_a_message_delivered_ten_times_pays_once(context: WorkerContext) -> None:
    bought = [a_recent_purchase() for _ in range(5)]
    store_seller_and_purchases(context.records, *bought)
    cases = evaluated(context, *bought)
    with ThreadPoolExecutor(10) as workers:
        list(workers.map(lambda _: execute(context, cases), range(10)))
    assert states(context, cases) == ["refunded"] * 5
    assert [len(at_the_provider(context, one)) for one in bought] == [1] * 5


def test_two_requests_for_one_purchase_are_one_case_and_one_that_joins_it(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    cases = ids_of(accept(context.records, [a_submission(bought), a_submission(bought)]))
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock(cases, state=State.RECEIVED))
    assert sorted(states(context, cases)) == ["approved", "duplicate"]
    (third,) = evaluated(context, bought)
    assert states(context, [third]) == ["duplicate"]


def test_a_purchase_requested_by_many_at_once_is_judged_by_one_worker_at_a_time(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    with ThreadPoolExecutor(8) as people:
        found = [case for cases in people.map(lambda _: evaluated(context, bought), range(24)) for case in cases]
        list(people.map(lambda case: execute(context, [case]), found))
    assert sorted(states(context, found)) == ["duplicate"] * 23 + ["refunded"]
    assert len(at_the_provider(context, bought)) == 1


def declared(context: WorkerContext, bought: Purchase) -> UUID:
    """Somebody withdraws from this purchase by law."""
    case = accept_one(context.records, a_submission(bought, trusted=False)).id
    with context.records.work() as work:
        work.statutory_withdrawals.insert(case, "Ada Lovelace", "I withdraw.")
    return case


def for_people(context: WorkerContext, trouble: SupportTaskKind) -> list[UUID | None]:
    with context.records.work() as work:
        return [row.case_id for row in work.run("select case_id from support_tasks where kind = :kind", kind=trouble)]


def test_a_withdrawal_by_law_that_matches_no_purchase_is_for_a_person(context: WorkerContext) -> None:
    store_seller_and_purchases(context.records, a_recent_purchase())
    asked = accept_one(context.records, a_submission(a_recent_purchase(), trusted=False)).id
    case = declared(context, a_recent_purchase())
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock([asked, case], state=State.RECEIVED))
    assert states(context, [asked, case]) == ["unmatched"] * 2
    assert for_people(context, SupportTaskKind.STATUTORY_WITHDRAWAL_UNMATCHED) == [case]


def test_a_withdrawal_by_law_that_joins_a_case_of_supports_or_becomes_one_is_told_as_what_it_is(
    context: WorkerContext,
) -> None:
    """Support has a request for a part of the amount, or one that the policy refuses; neither says that days are counted."""
    partial, old = a_recent_purchase(), a_recent_purchase(method="cash")
    store_seller_and_purchases(context.records, partial, old)
    first = accept_one(context.records, a_submission(partial, trusted=False, refund_scope=RefundScope.PARTIAL)).id
    joins, refused = declared(context, partial), declared(context, old)
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock([first, joins, refused], state=State.RECEIVED))
    assert states(context, [first, joins, refused]) == ["with_support", "duplicate", "with_support"]
    assert set(for_people(context, SupportTaskKind.STATUTORY_WITHDRAWAL)) == {joins, refused}


def test_a_withdrawal_by_law_that_joined_a_request_that_ran_out_is_for_a_person_and_once(
    context: WorkerContext,
) -> None:
    """Somebody asked, never opened the link, and declared meanwhile: the declaration counts."""
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    first = accept_one(context.records, a_submission(bought, trusted=False)).id
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock([first], state=State.RECEIVED))
    case = declared(context, bought)
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock([case], state=State.RECEIVED))
        work.run("update cases set next_action_at = now() - interval '1 minute' where id = :id", id=first)
    assert states(context, [first, case]) == ["awaiting_confirmation", "duplicate"]
    for _ in range(2):
        Sweep(context.records).run_once()
    assert states(context, [first]) == ["expired"]
    assert for_people(context, SupportTaskKind.STATUTORY_WITHDRAWAL_UNPAID) == [first]


def test_a_customer_confirms_before_anything_is_paid(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought, trusted=False)
    assert states(context, [case]) == ["awaiting_confirmation"]
    execute(context, [case])
    assert at_the_provider(context, bought) == []
    assert confirm(context.records, case) is State.APPROVED
    assert confirm(context.records, case) is State.APPROVED
    execute(context, [case])
    assert confirm(context.records, case) is State.REFUNDED
    assert len(at_the_provider(context, bought)) == 1


@pytest.mark.parametrize(
    ("behaviour", "state", "reasons"),
    [
        ("declined", "with_support", ["provider_declined"]),
        ("disputed", "with_support", ["dispute_open"]),
        ("closed", "with_support", ["provider_window_closed"]),
        ("pending", "refund_pending", []),
        ("hang", "refunding", []),
        ("fail500", "refunding", []),
        ("lost500", "refunding", []),
        ("busy", "refunding", []),
    ],
)
def test_what_the_provider_says_is_what_is_recorded(
    context: WorkerContext, behaviour: str, state: str, reasons: list[str]
) -> None:
    """A timeout, a 500 and a 429 are unknown, never a failure."""
    bought = charged(behaviour)
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought)
    execute(context, [case])
    assert states(context, [case]) == [state]
    assert codes(context, case) == reasons


@pytest.mark.parametrize(
    ("behaviour", "state"),
    [
        ("hang", State.REFUNDED),
        ("fail500", State.REFUNDED),
        ("lost500", State.REFUNDED),
        ("busy", State.REFUNDED),
        ("pending", State.REFUNDED),
        ("pendingfail", State.WITH_SUPPORT),
    ],
)
def test_what_was_unknown_is_found_out_and_paid_once(context: WorkerContext, behaviour: str, state: State) -> None:
    bought = charged(behaviour)
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought)
    execute(context, [case])
    assert settled(context, case) is state
    assert len(at_the_provider(context, bought)) == 1


def test_one_slow_call_does_not_hold_up_the_record_of_the_others(context: WorkerContext) -> None:
    hanging, *quick = charged("hang"), a_recent_purchase(), a_recent_purchase()
    store_seller_and_purchases(context.records, hanging, *quick)
    cases = evaluated(context, hanging, *quick)
    with ThreadPoolExecutor(1) as worker:
        paying = worker.submit(execute, context, cases)
        eventually(lambda: states(context, cases[1:]) == ["refunded"] * 2)
        assert not paying.done()


def test_a_call_that_hangs_gives_its_batch_back_and_is_recorded_when_it_ends(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(call_pool, "MAX_WAIT_SECONDS", 0.1)
    hanging, *quick = charged("hang"), a_recent_purchase(), a_recent_purchase()
    store_seller_and_purchases(context.records, hanging, *quick)
    cases = evaluated(context, hanging, *quick)
    execute(context, cases)
    assert states(context, cases) == ["refunding", "refunded", "refunded"]
    assert operation(context, cases[0]).status == "sent"
    eventually(lambda: operation(context, cases[0]).status == "unknown")
    assert len(at_the_provider(context, hanging)) == 1


def operation(context: WorkerContext, case: UUID) -> RefundOperation:
    with context.records.work() as work:
        return work.refund_operations.for_cases([case])[case]


def test_a_worker_that_dies_after_the_intent_is_followed_by_one_that_looks_first(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought)
    with context.records.work() as work:
        (call,) = prepare(work, context, work.cases.lock([case], state=State.APPROVED))
    resolve(context, [case])
    assert at_the_provider(context, bought) == []  # the dead worker's lease still holds
    assert settled(context, case) is State.REFUNDED
    (refund,) = at_the_provider(context, bought)
    assert refund["key"] == call.operation.key


def test_a_worker_that_wakes_up_too_late_changes_nothing(context: WorkerContext) -> None:
    """It was stopped in mid call, another settled the case: its record is void, and its key pays nobody twice."""
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought)
    with context.records.work() as work:
        (late,) = prepare(work, context, work.cases.lock([case], state=State.APPROVED))
    assert settled(context, case) is State.REFUNDED
    adapter = context.providers["sandbox"]
    answer = adapter.refund(late.operation.charge, late.operation.amount, key=late.operation.key)
    with context.records.work() as work:
        before = len(work.history.for_case(case))
        record(work, context, [(late, Sent(answer))])
        assert len(work.history.for_case(case)) == before
    assert len(at_the_provider(context, bought)) == 1


def test_a_refund_made_elsewhere_is_for_a_person(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    assert bought.amount
    assert bought.currency
    context.providers["sandbox"].refund(bought.charge, Money(bought.amount, bought.currency), key="somebody else's")
    (case,) = evaluated(context, bought)
    execute(context, [case])
    assert settled(context, case) is State.WITH_SUPPORT
    assert codes(context, case) == ["refunded_elsewhere"]
    assert len(at_the_provider(context, bought)) == 1


def test_what_changed_since_it_was_judged_is_seen_before_paying(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought)
    with context.records.work() as work:
        work.run("update purchases set dispute = 'open', refunded = 5")
    execute(context, [case])
    assert (states(context, [case]), codes(context, case)) == (["with_support"], ["already_refunded", "dispute_open"])
    assert at_the_provider(context, bought) == []


def test_two_purchases_of_one_payment_are_not_both_paid(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    twin = a_recent_purchase(charge=bought.charge)
    store_seller_and_purchases(context.records, bought, twin)
    cases = evaluated(context, bought, twin)
    execute(context, cases)
    assert sorted(states(context, cases)) == ["refunded", "with_support"]
    assert len(at_the_provider(context, bought)) == 1


def test_a_payment_of_a_provider_that_is_not_connected_is_for_a_person(context: WorkerContext) -> None:
    bought = a_recent_purchase(provider="stripe")
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought)
    execute(context, [case])
    assert codes(context, case) == ["provider_not_connected"]


def test_the_refund_after_the_last_one_allowed_is_for_a_person(context: WorkerContext) -> None:
    mine = [a_recent_purchase(email="ada@example.com") for _ in range(3)]
    seller = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
    store_seller_and_purchases(context.records, *mine, seller=seller)
    outcomes = []
    for bought in mine:
        (case,) = evaluated(context, bought)
        execute(context, [case])
        outcomes += states(context, [case])
    assert outcomes == ["refunded", "refunded", "with_support"]


def test_a_batch_of_one_customers_refunds_stops_at_the_last_one_allowed(context: WorkerContext) -> None:
    mine = [a_recent_purchase(email=f"customer{n}@example.com", instrument="card 1") for n in range(4)]
    seller = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
    store_seller_and_purchases(context.records, *mine, seller=seller)
    cases = evaluated(context, *mine)
    assert states(context, cases) == ["approved"] * 4
    with ThreadPoolExecutor(2) as workers:
        list(workers.map(lambda half: execute(context, half), (cases[:2], cases[2:])))
    assert sorted(states(context, cases)) == ["refunded", "refunded", "with_support", "with_support"]


def test_clicking_twice_at_once_is_one_yes(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought, trusted=False)
    with ThreadPoolExecutor(8) as clicks:
        assert set(clicks.map(lambda _: confirm(context.records, case), range(16))) == {State.APPROVED}


class Broken:
    """An adapter with a bug; its provider refuses to pay a payment twice, and so is asked without a look before."""

    capabilities = Capabilities(idempotency_key_ttl=timedelta(hours=24), rejects_over_refund=True)

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        raise RuntimeError(f"{charge} {amount} {key}")

    def look_up(self, charge: str, *, key: str) -> RefundResult | NotFound:
        return Paid(f"found {charge} {key}", Money(1, "EUR"))


class Mute(Broken):
    """A provider that never says anything again."""

    def look_up(self, charge: str, *, key: str) -> RefundResult | NotFound:
        return Unknown(f"{charge} {key}")


class Forgetful(Broken):
    """A provider that knows of nothing, and counts how often it is asked to pay."""

    calls = 0

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        type(self).calls += 1
        return Unknown(f"{charge} {amount} {key}")

    def look_up(self, charge: str, *, key: str) -> RefundResult | NotFound:  # noqa: ARG002
        return NotFound()


@pytest.fixture
def with_adapter(settings: Settings) -> Iterator[Callable[[Any], WorkerContext]]:
    made: list[WorkerContext] = []

    def with_(adapter: Any) -> WorkerContext:
        made.append(replace(create_context(settings), providers={"sandbox": adapter}))
        return made[-1]

    yield with_
    for context in made:
        context.call_pool.close()
        context.records.engine.dispose()


def refunding(context: WorkerContext) -> UUID:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    (case,) = evaluated(context, bought)
    execute(context, [case])
    return case


def test_an_adapter_that_breaks_leaves_the_outcome_unknown(with_adapter: Callable[[Any], WorkerContext]) -> None:
    context = with_adapter(Broken())
    assert states(context, [refunding(context)]) == ["refunding"]


def test_a_provider_that_stays_silent_ends_with_a_person_as_money_in_unknown_state(
    with_adapter: Callable[[Any], WorkerContext],
) -> None:
    context = with_adapter(Mute())
    case = refunding(context)
    let_go(context.records)
    resolve(context, [case])
    assert states(context, [case]) == ["refunding"]
    with context.records.work() as work:
        work.run("update refund_operations set first_sent_at = first_sent_at - interval '49 hours'")
    assert settled(context, case) is State.WITH_SUPPORT
    assert codes(context, case) == ["outcome_unknown"]


def test_nothing_is_sent_again_once_the_provider_may_have_forgotten_the_key(
    with_adapter: Callable[[Any], WorkerContext],
) -> None:
    context = with_adapter(Forgetful())
    case = refunding(context)
    let_go(context.records)
    resolve(context, [case])
    assert Forgetful.calls == 2
    with context.records.work() as work:
        work.run("update refund_operations set first_sent_at = first_sent_at - interval '20 hours'")
    let_go(context.records)
    resolve(context, [case])
    assert Forgetful.calls == 2
    assert states(context, [case]) == ["refunding"]


def test_a_case_is_accepted_at_the_clock_of_the_database(context: WorkerContext) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(context.records, bought)
    before = datetime.now(UTC)
    case = accept_one(context.records, a_submission(bought)).id
    assert abs(view(context.records, case).received_at - before) < timedelta(seconds=30)
