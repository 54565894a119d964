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
from domain.findings import SupportTaskKind
from domain.money import Money
from domain.policies import SerialLimit
from domain.providers import NotFound, RefundResult, Capabilities, Paid, Unknown
from domain.purchases import Purchase
from domain.refund_operations import RefundOperation
from domain.requests import RefundScope
from domain.states import State
from producers.intake import accept, accept_one, confirm
from records import Records
from records.views import CaseView
from tests.cast import a_recent_purchase, a_seller, an_arrival, ids, settle_in
from tests.integration import _provider_fixtures
from tests.services import eventually
from worker import hands
from worker.judging import evaluate
from worker.paying import execute, prepare
from worker.refunds.outcomes import Sent
from worker.refunds.recording import record
from worker.settling import resolve
from worker.sweep import Sweep
from worker.tools import WorkerContext, create_context

tools = _provider_fixtures.hasty_tools


def evaluate(tools: WorkerContext, *purchases: Purchase, trusted: bool = True, **changes: Any) -> list[UUID]:
    """These customers ask; their cases are judged."""
    found = ids(accept(tools.records, [an_arrival(one, trusted=trusted, **changes) for one in purchases]))
    with tools.records.work() as work:
        evaluate(work, tools, work.cases.lock(found, state=State.RECEIVED))
    return found


def view(records: Records, case: UUID) -> CaseView:
    with records.work() as work:
        found = work.case_views.get(case)
    assert found
    return found


def states(tools: WorkerContext, cases: list[UUID]) -> list[str]:
    return [view(tools.records, case).state for case in cases]


def codes(tools: WorkerContext, case: UUID) -> list[str]:
    return [reason["code"] for reason in view(tools.records, case).reasons]


def at_the_provider(tools: WorkerContext, purchase: Purchase) -> list[dict[str, Any]]:
    with urllib.request.urlopen(f"{tools.settings.sandbox_url}/v1/refunds?charge={purchase.charge}") as answer:
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


def settled(tools: WorkerContext, case: UUID) -> State:
    """Settles until the case leaves the states that the provider must end."""

    def once() -> bool:
        let_go(tools.records)
        resolve(tools, [case])
        return view(tools.records, case).state not in {State.REFUNDING, State.REFUND_PENDING}

    eventually(once)
    return view(tools.records, case).state


def test_an_eligible_request_is_refunded_once_in_full(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought)
    execute(tools, [case])
    assert states(tools, [case]) == ["refunded"]
    (refund,) = at_the_provider(tools, bought)
    assert (refund["amount"], refund["currency"]) == (bought.amount, bought.currency)
    with tools.records.work() as work:
        kept = work.purchases.get(bought.id)
    assert kept
    assert kept.refunded == bought.amount


def test_a_message_delivered_ten_times_pays_once(tools: WorkerContext) -> None:
    bought = [a_recent_purchase() for _ in range(5)]
    settle_in(tools.records, *bought)
    cases = evaluate(tools, *bought)
    with ThreadPoolExecutor(10) as workers:
        list(workers.map(lambda _: execute(tools, cases), range(10)))
    assert states(tools, cases) == ["refunded"] * 5
    assert [len(at_the_provider(tools, one)) for one in bought] == [1] * 5


def test_two_requests_for_one_purchase_are_one_case_and_one_that_joins_it(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    cases = ids(accept(tools.records, [an_arrival(bought), an_arrival(bought)]))
    with tools.records.work() as work:
        evaluate(work, tools, work.cases.lock(cases, state=State.RECEIVED))
    assert sorted(states(tools, cases)) == ["approved", "duplicate"]
    (third,) = evaluate(tools, bought)
    assert states(tools, [third]) == ["duplicate"]


def test_a_purchase_requested_by_many_at_once_is_judged_by_one_worker_at_a_time(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    with ThreadPoolExecutor(8) as people:
        found = [case for cases in people.map(lambda _: evaluate(tools, bought), range(24)) for case in cases]
        list(people.map(lambda case: execute(tools, [case]), found))
    assert sorted(states(tools, found)) == ["duplicate"] * 23 + ["refunded"]
    assert len(at_the_provider(tools, bought)) == 1


def declared(tools: WorkerContext, bought: Purchase) -> UUID:
    """Somebody withdraws from this purchase by law."""
    case = accept_one(tools.records, an_arrival(bought, trusted=False)).id
    with tools.records.work() as work:
        work.statutory_withdrawals.insert(case, "Ada Lovelace", "I withdraw.")
    return case


def for_people(tools: WorkerContext, trouble: SupportTaskKind) -> list[UUID | None]:
    with tools.records.work() as work:
        return [row.case_id for row in work.run("select case_id from support_tasks where kind = :kind", kind=trouble)]


def test_a_withdrawal_by_law_that_matches_no_purchase_is_for_a_person(tools: WorkerContext) -> None:
    settle_in(tools.records, a_recent_purchase())
    asked = accept_one(tools.records, an_arrival(a_recent_purchase(), trusted=False)).id
    case = declared(tools, a_recent_purchase())
    with tools.records.work() as work:
        evaluate(work, tools, work.cases.lock([asked, case], state=State.RECEIVED))
    assert states(tools, [asked, case]) == ["unmatched"] * 2
    assert for_people(tools, SupportTaskKind.STATUTORY_WITHDRAWAL_UNMATCHED) == [case]


def test_a_withdrawal_by_law_that_joins_a_case_of_supports_or_becomes_one_is_told_as_what_it_is(tools: WorkerContext) -> None:
    """Support has a request for a part of the amount, or one that the policy refuses; neither says that days are counted."""
    partial, old = a_recent_purchase(), a_recent_purchase(method="cash")
    settle_in(tools.records, partial, old)
    first = accept_one(tools.records, an_arrival(partial, trusted=False, wish=RefundScope.PARTIAL)).id
    joins, refused = declared(tools, partial), declared(tools, old)
    with tools.records.work() as work:
        evaluate(work, tools, work.cases.lock([first, joins, refused], state=State.RECEIVED))
    assert states(tools, [first, joins, refused]) == ["with_support", "duplicate", "with_support"]
    assert set(for_people(tools, SupportTaskKind.STATUTORY_WITHDRAWAL)) == {joins, refused}


def test_a_withdrawal_by_law_that_joined_a_request_that_ran_out_is_for_a_person_and_once(tools: WorkerContext) -> None:
    """Somebody asked, never opened the link, and declared meanwhile: the declaration counts."""
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    first = accept_one(tools.records, an_arrival(bought, trusted=False)).id
    with tools.records.work() as work:
        evaluate(work, tools, work.cases.lock([first], state=State.RECEIVED))
    case = declared(tools, bought)
    with tools.records.work() as work:
        evaluate(work, tools, work.cases.lock([case], state=State.RECEIVED))
        work.run("update cases set next_action_at = now() - interval '1 minute' where id = :id", id=first)
    assert states(tools, [first, case]) == ["awaiting_confirmation", "duplicate"]
    for _ in range(2):
        Sweep(tools.records).run_once()
    assert states(tools, [first]) == ["expired"]
    assert for_people(tools, SupportTaskKind.STATUTORY_WITHDRAWAL_UNPAID) == [first]


def test_a_customer_confirms_before_anything_is_paid(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought, trusted=False)
    assert states(tools, [case]) == ["awaiting_confirmation"]
    execute(tools, [case])
    assert at_the_provider(tools, bought) == []
    assert confirm(tools.records, case) is State.APPROVED
    assert confirm(tools.records, case) is State.APPROVED
    execute(tools, [case])
    assert confirm(tools.records, case) is State.REFUNDED
    assert len(at_the_provider(tools, bought)) == 1


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
    tools: WorkerContext, behaviour: str, state: str, reasons: list[str]
) -> None:
    """A timeout, a 500 and a 429 are unknown, never a failure."""
    bought = charged(behaviour)
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought)
    execute(tools, [case])
    assert states(tools, [case]) == [state]
    assert codes(tools, case) == reasons


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
def test_what_was_unknown_is_found_out_and_paid_once(tools: WorkerContext, behaviour: str, state: State) -> None:
    bought = charged(behaviour)
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought)
    execute(tools, [case])
    assert settled(tools, case) is state
    assert len(at_the_provider(tools, bought)) == 1


def test_one_slow_call_does_not_hold_up_the_record_of_the_others(tools: WorkerContext) -> None:
    hanging, *quick = charged("hang"), a_recent_purchase(), a_recent_purchase()
    settle_in(tools.records, hanging, *quick)
    cases = evaluate(tools, hanging, *quick)
    with ThreadPoolExecutor(1) as worker:
        paying = worker.submit(execute, tools, cases)
        eventually(lambda: states(tools, cases[1:]) == ["refunded"] * 2)
        assert not paying.done()


def test_a_call_that_hangs_gives_its_batch_back_and_is_recorded_when_it_ends(
    tools: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hands, "SLOW", 0.1)
    hanging, *quick = charged("hang"), a_recent_purchase(), a_recent_purchase()
    settle_in(tools.records, hanging, *quick)
    cases = evaluate(tools, hanging, *quick)
    execute(tools, cases)
    assert states(tools, cases) == ["refunding", "refunded", "refunded"]
    assert operation(tools, cases[0]).status == "sent"
    eventually(lambda: operation(tools, cases[0]).status == "unknown")
    assert len(at_the_provider(tools, hanging)) == 1


def operation(tools: WorkerContext, case: UUID) -> RefundOperation:
    with tools.records.work() as work:
        return work.refund_operations.for_cases([case])[case]


def test_a_worker_that_dies_after_the_intent_is_followed_by_one_that_looks_first(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought)
    with tools.records.work() as work:
        (call,) = prepare(work, tools, work.cases.lock([case], state=State.APPROVED))
    resolve(tools, [case])
    assert at_the_provider(tools, bought) == []  # the dead worker's lease still holds
    assert settled(tools, case) is State.REFUNDED
    (refund,) = at_the_provider(tools, bought)
    assert refund["key"] == call.operation.key


def test_a_worker_that_wakes_up_too_late_changes_nothing(tools: WorkerContext) -> None:
    """It was stopped in mid call, another settled the case: its record is void, and its key pays nobody twice."""
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought)
    with tools.records.work() as work:
        (late,) = prepare(work, tools, work.cases.lock([case], state=State.APPROVED))
    assert settled(tools, case) is State.REFUNDED
    adapter = tools.providers["sandbox"]
    answer = adapter.refund(late.operation.charge, late.operation.amount, key=late.operation.key)
    with tools.records.work() as work:
        before = len(work.history.for_case(case))
        record(work, tools, [(late, Sent(answer))])
        assert len(work.history.for_case(case)) == before
    assert len(at_the_provider(tools, bought)) == 1


def test_a_refund_made_elsewhere_is_for_a_person(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    assert bought.amount
    assert bought.currency
    tools.providers["sandbox"].refund(bought.charge, Money(bought.amount, bought.currency), key="somebody else's")
    (case,) = evaluate(tools, bought)
    execute(tools, [case])
    assert settled(tools, case) is State.WITH_SUPPORT
    assert codes(tools, case) == ["refunded_elsewhere"]
    assert len(at_the_provider(tools, bought)) == 1


def test_what_changed_since_it_was_judged_is_seen_before_paying(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought)
    with tools.records.work() as work:
        work.run("update purchases set dispute = 'open', refunded = 5")
    execute(tools, [case])
    assert (states(tools, [case]), codes(tools, case)) == (["with_support"], ["already_refunded", "dispute_open"])
    assert at_the_provider(tools, bought) == []


def test_two_purchases_of_one_payment_are_not_both_paid(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    twin = a_recent_purchase(charge=bought.charge)
    settle_in(tools.records, bought, twin)
    cases = evaluate(tools, bought, twin)
    execute(tools, cases)
    assert sorted(states(tools, cases)) == ["refunded", "with_support"]
    assert len(at_the_provider(tools, bought)) == 1


def test_a_payment_of_a_provider_that_is_not_connected_is_for_a_person(tools: WorkerContext) -> None:
    bought = a_recent_purchase(provider="stripe")
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought)
    execute(tools, [case])
    assert codes(tools, case) == ["provider_not_connected"]


def test_the_refund_after_the_last_one_allowed_is_for_a_person(tools: WorkerContext) -> None:
    mine = [a_recent_purchase(email="ada@example.com") for _ in range(3)]
    seller = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
    settle_in(tools.records, *mine, seller=seller)
    outcomes = []
    for bought in mine:
        (case,) = evaluate(tools, bought)
        execute(tools, [case])
        outcomes += states(tools, [case])
    assert outcomes == ["refunded", "refunded", "with_support"]


def test_a_batch_of_one_customers_refunds_stops_at_the_last_one_allowed(tools: WorkerContext) -> None:
    mine = [a_recent_purchase(email=f"customer{n}@example.com", instrument="card 1") for n in range(4)]
    seller = a_seller(serial_limit=SerialLimit(count=2, within=timedelta(days=30)))
    settle_in(tools.records, *mine, seller=seller)
    cases = evaluate(tools, *mine)
    assert states(tools, cases) == ["approved"] * 4
    with ThreadPoolExecutor(2) as workers:
        list(workers.map(lambda half: execute(tools, half), (cases[:2], cases[2:])))
    assert sorted(states(tools, cases)) == ["refunded", "refunded", "with_support", "with_support"]


def test_clicking_twice_at_once_is_one_yes(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought, trusted=False)
    with ThreadPoolExecutor(8) as clicks:
        assert set(clicks.map(lambda _: confirm(tools.records, case), range(16))) == {State.APPROVED}


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
    for tools in made:
        tools.call_pool.close()
        tools.records.engine.dispose()


def refunding(tools: WorkerContext) -> UUID:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    (case,) = evaluate(tools, bought)
    execute(tools, [case])
    return case


def test_an_adapter_that_breaks_leaves_the_outcome_unknown(with_adapter: Callable[[Any], WorkerContext]) -> None:
    tools = with_adapter(Broken())
    assert states(tools, [refunding(tools)]) == ["refunding"]


def test_a_provider_that_stays_silent_ends_with_a_person_as_money_in_unknown_state(
    with_adapter: Callable[[Any], WorkerContext],
) -> None:
    tools = with_adapter(Mute())
    case = refunding(tools)
    let_go(tools.records)
    resolve(tools, [case])
    assert states(tools, [case]) == ["refunding"]
    with tools.records.work() as work:
        work.run("update operations set first_sent_at = first_sent_at - interval '49 hours'")
    assert settled(tools, case) is State.WITH_SUPPORT
    assert codes(tools, case) == ["outcome_unknown"]


def test_nothing_is_sent_again_once_the_provider_may_have_forgotten_the_key(
    with_adapter: Callable[[Any], WorkerContext],
) -> None:
    tools = with_adapter(Forgetful())
    case = refunding(tools)
    let_go(tools.records)
    resolve(tools, [case])
    assert Forgetful.calls == 2
    with tools.records.work() as work:
        work.run("update operations set first_sent_at = first_sent_at - interval '20 hours'")
    let_go(tools.records)
    resolve(tools, [case])
    assert Forgetful.calls == 2
    assert states(tools, [case]) == ["refunding"]


def test_a_case_is_accepted_at_the_clock_of_the_database(tools: WorkerContext) -> None:
    bought = a_recent_purchase()
    settle_in(tools.records, bought)
    before = datetime.now(UTC)
    case = accept_one(tools.records, an_arrival(bought)).id
    assert abs(view(tools.records, case).received_at - before) < timedelta(seconds=30)
