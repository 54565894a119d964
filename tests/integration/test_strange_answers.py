"""What providers and strangers send that nobody expects: other amounts, rows that cannot be read, notices without end."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import httpx
import pytest
from pydantic import SecretStr

from config.provider_accounts import MollieAccount
from config.signed_links import Purpose
from console.sandbox.events import Event
from domain.messages import WebhookEventsReceived
from domain.money import Money
from domain.providers import Declined, DeclineReason, ListedRefund, Paid, Pending, Unknown
from domain.states import Event as DomainEvent
from domain.states import State
from producers.web.app import app
from tests.doubles.scripted_provider import ScriptedProvider
from tests.integration._provider_fixtures import (
    a_refund,
    an_event,
    send_event,
    task_evidence,
    unprocessed_event_ids,
    with_adapter,
)
from tests.integration._shop_fixtures import Shop, a_charge
from tests.integration._web_fixtures import serve
from tests.services import eventually
from worker.dispatch import handle
from worker.providers.mollie.webhooks import create_webhook_parser
from worker.providers.sandbox.adapter import SandboxAdapter
from worker.reconciliation.run import reconcile, reconcile_all

PERIOD = timedelta(days=8)

PRICE = Money(4900, "EUR")

# Another amount than requested


@pytest.mark.parametrize("amount", [Money(4500, "EUR"), Money(1, "EUR"), Money(4900, "USD"), Money(9900, "EUR")])
@pytest.mark.parametrize("result", [Paid, Pending])
def test_a_refund_of_another_amount_is_told_at_once_with_its_id(
    shop: Shop, result: type[Paid | Pending], amount: Money
) -> None:
    provider = ScriptedProvider([result("re_4711", amount)], [result("re_4711", amount)])
    shop = replace(shop, context=with_adapter(shop.context, provider))
    shop.tell("MB-2026-0417")
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["refund_differs"])
    assert shop.details(case) == f"re_4711, {amount}"
    with shop.records.work() as work:
        (operation,) = work.refund_operations.for_cases([case])[case]
    assert (operation.refund_id, operation.is_open) == ("re_4711", True)
    for _ in range(3):
        shop.process_again()
    assert (len(provider.keys), shop.state(case)) == (1, "with_support")


@pytest.mark.parametrize("amount", [Money(4500, "EUR"), Money(4900, "USD"), Money(4901, "EUR")])
def test_a_refund_of_another_amount_that_only_a_lookup_shows_is_told_with_its_id(shop: Shop, amount: Money) -> None:
    provider = ScriptedProvider([Unknown("The connection was lost.")], [Paid("re_4711", amount)])
    shop = replace(shop, context=with_adapter(shop.context, provider))
    shop.tell("MB-2026-0417")
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == "refunding"
    shop.process_again()
    assert (shop.state(case), shop.details(case)) == ("with_support", f"re_4711, {amount}")


# Refunds that are made, cancelled or waited for after an answer that said otherwise


@pytest.mark.parametrize("decided_by_support", [False, True])
@pytest.mark.parametrize("shown", [Paid("re_4711", PRICE), Pending("re_4711", PRICE)])
@pytest.mark.parametrize("reason", [DeclineReason.PERMANENT, DeclineReason.REFUND_WINDOW_EXPIRED])
def test_a_refund_that_the_provider_shows_under_our_key_counts_after_a_decline(
    shop: Shop, reason: DeclineReason, shown: Paid | Pending, decided_by_support: bool
) -> None:
    provider = ScriptedProvider([Declined(reason, "do_not_honor")], [shown])
    shop = replace(shop, context=with_adapter(shop.context, provider))
    charge = shop.tell("MB-2026-0417")
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == "with_support"
    if decided_by_support:
        with shop.records.work() as work:
            (locked,) = work.cases.lock([case], state=State.WITH_SUPPORT)
            work.history.record([locked.after(DomainEvent.SUPPORT_DECLINED, actor="support")])
    shop.notify("refund.updated", a_refund(charge, id="re_4711"))
    assert shop.state(case) == ("refunded" if isinstance(shown, Paid) else "refund_pending")
    assert len(provider.keys) == 1


def test_a_refund_that_the_seller_cancels_is_not_called_returned_by_the_bank(shop: Shop) -> None:
    charge = shop.tell("MB-2026-0417", charge=a_charge("canceled"))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == "refund_pending"
    eventually(lambda: shop.refunds(charge) == [(4900, "canceled")])
    shop.process_again()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["refund_cancelled"])
    assert "returned" not in shop.page(Purpose.STATUS, case)
    assert shop.purchase("MB-2026-0417").refunded == 0


def test_a_customer_who_must_name_an_account_is_told_to_look_for_the_providers_email(shop: Shop) -> None:
    charge = shop.tell("MB-2026-0417", charge=a_charge("action"))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refund_pending", [(4900, "requires_action")])
    (mail,) = [mail for mail in shop.mails() if "email" in mail.partition("\n")[2]]
    assert "payment provider" in mail


# Rows and webhooks that cannot be read


@pytest.mark.parametrize("behaviour", ["nullcharge", "nullstatus", "oldcurrency"])
@pytest.mark.parametrize("count", [1, 3])
def test_a_row_of_others_that_cannot_be_read_stops_nothing(shop: Shop, behaviour: str, count: int) -> None:
    charge = shop.register(a_charge(), 7800)
    shop.tell("MB-2026-0417", charge=charge, amount=7800)
    for number in range(count):
        strange = {"charge": a_charge(behaviour), "amount": 100 + number, "currency": "EUR"}
        shop.post_to_sandbox("/v1/dashboard/refunds", strange)
    shop.post_to_sandbox("/v1/dashboard/refunds", {"charge": charge, "amount": 2900, "currency": "EUR"})
    result = reconcile(shop.context, "sandbox", datetime.now(UTC) - PERIOD)
    assert (result.incomplete, result.skipped >= count) == ("", True)
    assert shop.purchase("MB-2026-0417").refunded == 2900
    reconcile_all(shop.context, PERIOD)
    shop.process()
    assert task_evidence(shop.records, "refund_list_incomplete") == []


@pytest.mark.parametrize(
    "changes", [{"charge": None}, {"status": None}, {"currency": "bgn"}, {"amount": "49.00"}, {"id": 7}]
)
def test_a_signed_webhook_that_cannot_be_read_is_refused_only_if_it_is_ours(
    shop: Shop, changes: dict[str, object]
) -> None:
    foreign = an_event("refund.updated", a_refund(a_charge()))
    assert send_event(shop.web, replace_data(foreign, changes)).status_code == 200
    case = shop.refunded_case("MB-2026-0417")
    with shop.records.work() as work:
        (operation,) = work.refund_operations.for_cases([case])[case]
    ours = a_refund(operation.charge, key=operation.key, id=operation.refund_id)
    assert send_event(shop.web, replace_data(an_event("refund.updated", ours), changes)).status_code == 400


def replace_data(event: Event, changes: dict[str, object]) -> Event:
    return event._replace(data=event.data | changes)


# Notices that anybody can send


class CountingAdapter(SandboxAdapter):
    """The sandbox under the name of a provider whose notices are not signed. It counts the calls about payments."""

    calls = 0
    failure: str | None = None
    during_call: Callable[[], None] = staticmethod(lambda: None)

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        kind = type(self)
        kind.calls += 1
        kind.during_call()
        if kind.failure == "exception":
            raise RuntimeError(charge)
        return Unknown(kind.failure) if kind.failure else super().refunds(charge)


@pytest.fixture
def notices(shop: Shop) -> Iterator[httpx.Client]:
    """Yield a client of a web server that accepts Mollie's classic notices, which are not signed."""
    parser = create_webhook_parser(MollieAccount(api_key=SecretStr("test_key")), provider_timeout_seconds=1)
    with serve(app(shop.settings, readers={"mollie": parser})) as web:
        yield web


def events(shop: Shop) -> list[str]:
    with shop.records.work() as work:
        return [row.event_id for row in work.run("select event_id from webhook_events order by event_id")]


def post(web: httpx.Client, payment: str) -> None:
    assert web.post("/v1/webhooks/mollie", data={"id": payment}).status_code == 200


@pytest.mark.parametrize("payments", [["tr_7UhSN1zuXS"], ["tr_a", "tr_b", "tr_c"], ["tr_x" * 10]])
def test_notices_about_unknown_payments_leave_no_rows(shop: Shop, notices: httpx.Client, payments: list[str]) -> None:
    for _ in range(50 // len(payments)):
        for payment in payments:
            post(notices, payment)
    assert events(shop) == []


@pytest.mark.parametrize("rounds", [1, 3])
def test_fifty_notices_about_a_payment_cause_one_lookup_a_minute(
    shop: Shop, notices: httpx.Client, rounds: int
) -> None:
    shop = with_notices(shop)
    payment = f"tr_{uuid4().hex}"
    shop.tell("MB-2026-0417", provider="mollie", charge=payment)
    for number in range(1, rounds + 1):
        for _ in range(50):
            post(notices, payment)
            handle_due_events(shop)
        assert (CountingAdapter.calls, events(shop)) == (number, [payment])
        a_minute_passes(shop)
        handle_due_events(shop)


@pytest.mark.parametrize("failure", ["unavailable", "rate limit", "exception"])
@pytest.mark.parametrize("together", [True, False], ids=["before the worker", "one by one"])
def test_fifty_notices_cause_one_lookup_a_minute_also_while_the_lookup_fails(
    shop: Shop, notices: httpx.Client, failure: str, together: bool
) -> None:
    shop = with_notices(shop, failure)
    payment = f"tr_{uuid4().hex}"
    shop.tell("MB-2026-0417", provider="mollie", charge=payment)
    for number in range(1, 4):
        for _ in range(50):
            post(notices, payment)
            if not together:
                handle_due_events(shop)
        for _ in range(3):
            handle_due_events(shop)
        assert (CountingAdapter.calls, events(shop)) == (number, [payment])
        a_minute_passes(shop)
    CountingAdapter.failure = None
    handle_due_events(shop)
    assert (CountingAdapter.calls, unprocessed_event_ids(shop.records)) == (4, [])


def test_fifty_notices_cause_one_lookup_a_minute_while_another_worker_has_the_case(
    shop: Shop, notices: httpx.Client
) -> None:
    shop = with_notices(shop)
    payment = f"tr_{uuid4().hex}"
    shop.tell("MB-2026-0417", provider="mollie", charge=payment)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    with shop.records.work() as work:
        work.cases.lease([case], states=[State.REFUNDED], seconds=600.0, early=True)
    for number in (1, 2):
        for _ in range(50):
            post(notices, payment)
            handle_due_events(shop)
        assert CountingAdapter.calls == number
        a_minute_passes(shop)


def test_notices_during_a_lookup_cause_one_lookup_a_minute_later(shop: Shop, notices: httpx.Client) -> None:
    shop = with_notices(shop)
    payment = f"tr_{uuid4().hex}"
    shop.tell("MB-2026-0417", provider="mollie", charge=payment)
    CountingAdapter.during_call = lambda: post(notices, payment)
    for number in (1, 2, 3):
        for _ in range(10):
            post(notices, payment)
            handle_due_events(shop)
        assert CountingAdapter.calls == number
        a_minute_passes(shop)


@pytest.mark.parametrize("status", ["open", "lost"])
def test_a_notice_about_a_chargeback_after_our_refund_is_a_task(shop: Shop, notices: httpx.Client, status: str) -> None:
    shop = with_notices(shop)
    payment = f"tr_{uuid4().hex}"
    shop.tell("MB-2026-0417", provider="mollie", charge=payment)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == "refunded"
    dispute = shop.set_dispute(payment, "open")
    if status == "lost":
        shop.set_dispute(payment, "lost", dispute["id"])
    post(notices, payment)
    handle_due_events(shop)
    (task,) = shop.tasks("refund_and_dispute")
    assert (task["charge"], task["dispute"], task["dispute_is"]) == (payment, dispute["id"], status)


@pytest.mark.parametrize("amount", [4900, 1000])
def test_a_notice_about_a_refund_by_hand_records_the_refund(shop: Shop, notices: httpx.Client, amount: int) -> None:
    shop = with_notices(shop)
    payment = shop.register(f"tr_{uuid4().hex}")
    shop.tell("MB-2026-0417", provider="mollie", charge=payment)
    shop.post_to_sandbox("/v1/dashboard/refunds", {"charge": payment, "amount": amount, "currency": "EUR"})
    post(notices, payment)
    handle_due_events(shop)
    assert shop.purchase("MB-2026-0417").refunded == amount
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["already_refunded"])


@pytest.mark.parametrize("is_noticed", [True, False])
def test_a_chargeback_before_the_order_is_seen_with_and_without_a_notice(
    shop: Shop, notices: httpx.Client, is_noticed: bool
) -> None:
    shop = with_notices(shop)
    payment = f"tr_{uuid4().hex}"
    shop.tell("MB-2026-0417", provider="mollie", charge=payment)
    shop.set_dispute(payment, "open")
    if is_noticed:
        post(notices, payment)
        handle_due_events(shop)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case), shop.refunds(payment)) == ("with_support", ["dispute_open"], [])


def with_notices(shop: Shop, failure: str | None = None) -> Shop:
    """Return the shop with the sandbox under Mollie's name, and count the calls from now on. With ``failure``, they fail."""
    sandbox = shop.context.providers["sandbox"]
    assert isinstance(sandbox, SandboxAdapter)
    CountingAdapter.calls, CountingAdapter.failure = 0, failure
    CountingAdapter.during_call = staticmethod(lambda: None)
    counting = CountingAdapter(sandbox._client, provider_timeout_seconds=10)
    return replace(shop, context=replace(shop.context, providers={"mollie": counting}))


def handle_due_events(shop: Shop) -> None:
    """Process the events that are due, as a sweep and a worker do."""
    shop.process()
    with shop.records.work() as work:
        due = work.webhook_events.overdue(100)
    handle(shop.context, WebhookEventsReceived, due)


def a_minute_passes(shop: Shop) -> None:
    with shop.records.work() as work:
        work.run(
            "update webhook_events set processed_at = processed_at - interval '61 s',"
            " next_action_at = next_action_at - interval '61 s'"
        )
