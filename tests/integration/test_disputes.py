"""Disputes, with the real sandbox and database: a disputed payment is not refunded, and a dispute after a refund is reported."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest

import worker.refunds.disputes
from config.broker import QUEUES, connect
from config.settings import Settings
from domain.messages import ContactSupport, SupportNeeded
from domain.providers import (
    Capabilities,
    DisputePage,
    DisputeStatus,
    ListedDispute,
    Lookup,
    LookupResult,
    Unknown,
)
from domain.purchases import Dispute, Purchase
from domain.states import State
from domain.webhook_events import Subject, WebhookEvent
from producers.web.app import app
from records import Records
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    an_event,
    assert_audit_is_clean,
    crash_workers,
    create_approved_cases,
    create_executed_cases,
    expire_leases,
    process_all_events,
    reason_codes_of,
    refunded_amount,
    refunds_at_provider,
    send_event,
    set_dispute,
    state_of,
    task_evidence,
    unprocessed_event_ids,
    with_adapter,
)
from tests.integration._web_fixtures import serve
from tests.sample_data import charge_of, store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext
from worker.dispatch import evaluate_and_execute, handle
from worker.providers import create_webhook_parsers
from worker.providers.capability_defaults import CapabilityDefaults
from worker.reconciliation.disputes import compare_disputes
from worker.refunds.disputes import poll_open_disputes
from worker.refunds.execution import execute
from worker.refunds.resolution import lease


@pytest.fixture
def web(sandbox_settings: Settings) -> Iterator[httpx.Client]:
    with serve(app(sandbox_settings, readers=create_webhook_parsers(sandbox_settings))) as web:
        yield web


def report_dispute(web: httpx.Client, context: WorkerContext, dispute: dict[str, Any]) -> None:
    """Send a webhook event with the dispute's status, and process it."""
    kind = "opened" if dispute["status"] == "open" else dispute["status"]
    assert send_event(web, an_event(f"dispute.{kind}", dispute)).status_code == 200
    process_all_events(context)


def stored_dispute(records: Records, purchase: Purchase) -> Dispute:
    with records.work() as work:
        stored = work.purchases.get(purchase.id)
    assert stored
    return stored.dispute


def published_tasks(context: WorkerContext) -> list[ContactSupport]:
    """Publish every support task, and return the tasks from the queue that a helpdesk reads."""
    with context.records.work() as work:
        unpublished = [row.id for row in work.run("select id from support_tasks where published_at is null")]
    if unpublished:
        handle(context, SupportNeeded, unpublished)
    tasks = []
    with connect(context.settings) as connection:
        queue = QUEUES[ContactSupport.queue](connection.channel())
        while message := queue.get(no_ack=True):
            tasks.append(ContactSupport.read(message.payload))
    return tasks


def refund_and_dispute_tasks(context: WorkerContext) -> list[ContactSupport]:
    return [
        task
        for task in published_tasks(context)
        if [reason.code for reason in task.data.reasons] == ["refund_and_dispute"]
    ]


def test_a_disputed_payment_goes_to_support_and_is_not_refunded(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    (case,) = create_approved_cases(context, purchase)
    report_dispute(web, context, set_dispute(context, charge_of(purchase), "open"))
    execute(context, [case])
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["dispute_open"],
    )
    assert refunds_at_provider(context, purchase) == []
    assert task_evidence(context.records, "refund_and_dispute") == []


def test_the_sellers_data_does_not_overwrite_the_providers_dispute(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    report_dispute(web, context, set_dispute(context, charge_of(purchase), "open"))
    store_seller_and_purchases(context.records, replace(purchase, reported_dispute=Dispute.NONE))
    (case,) = create_executed_cases(context, purchase)
    assert reason_codes_of(context.records, case) == ["dispute_open"]


def test_a_dispute_that_opens_after_the_refund_creates_one_task_with_the_evidence(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, purchase)
    (refund,) = refunds_at_provider(context, purchase)
    opened = set_dispute(context, charge_of(purchase), "open")
    for _ in range(3):
        report_dispute(web, context, opened)
    (task,) = refund_and_dispute_tasks(context)
    assert (task.data.case_id, task.data.seller) == (case, purchase.seller_id)
    evidence = task.data.evidence
    assert {
        name: evidence[name] for name in ("provider", "charge", "dispute", "dispute_is", "refund", "refund_is")
    } == {
        "provider": "sandbox",
        "charge": charge_of(purchase),
        "dispute": opened["id"],
        "dispute_is": "open",
        "refund": refund["id"],
        "refund_is": "paid",
    }
    assert (evidence["amount"], evidence["currency"], evidence["key"]) == (4900, "EUR", refund["key"])
    assert evidence["first_sent_at"]
    assert state_of(context.records, case) is State.REFUNDED
    report_dispute(web, context, set_dispute(context, charge_of(purchase), "lost", opened["id"]))
    assert refund_and_dispute_tasks(context) == []  # support got a task when the dispute opened
    assert stored_dispute(context.records, purchase) is Dispute.LOST
    assert_audit_is_clean(context.records)


def test_a_dispute_during_a_refund_is_reported(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("hang")
    (case,) = create_executed_cases(context, purchase)
    assert state_of(context.records, case) is State.REFUNDING
    report_dispute(web, context, set_dispute(context, charge_of(purchase), "open"))
    (task,) = refund_and_dispute_tasks(context)
    assert task.data.case_id == case
    # The sandbox does not answer the refund call, so the call may still be running.
    assert task.data.evidence["refund_is"] in {"sent", "unknown"}


def test_the_next_dispute_about_the_same_payment_creates_another_task(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("ok")
    create_executed_cases(context, purchase)
    first = set_dispute(context, charge_of(purchase), "open")
    report_dispute(web, context, first)
    report_dispute(web, context, set_dispute(context, charge_of(purchase), "won", first["id"]))
    second = set_dispute(context, charge_of(purchase), "open")
    report_dispute(web, context, second)
    assert {task.data.evidence["dispute"] for task in refund_and_dispute_tasks(context)} == {first["id"], second["id"]}


def provider_disputes(context: WorkerContext, purchase: Purchase) -> list[dict[str, Any]]:
    """Return the sandbox's disputes about the purchase."""
    response = httpx.get(f"{context.settings.sandbox_url}/v1/disputes", params={"charge": charge_of(purchase)})
    return list(response.json()["data"])


def provider_dispute(context: WorkerContext, purchase: Purchase) -> dict[str, Any]:
    (dispute,) = provider_disputes(context, purchase)
    return dispute


def test_a_case_that_waits_only_for_a_dispute_is_refunded_after_the_dispute_is_won(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, purchase)
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["dispute_open"],
    )
    report_dispute(
        web, context, won := set_dispute(context, charge_of(purchase), "won", provider_dispute(context, purchase)["id"])
    )
    assert state_of(context.records, case) is State.RECEIVED
    evaluate_and_execute(context, [case])
    assert state_of(context.records, case) is State.REFUNDED
    assert len(refunds_at_provider(context, purchase)) == 1
    assert refunded_amount(context.records, purchase) == 4900
    report_dispute(web, context, won)  # the repeated event must not change the state of the case
    assert state_of(context.records, case) is State.REFUNDED
    assert task_evidence(context.records, "refund_and_dispute") == []
    assert_audit_is_clean(context.records)


def test_a_case_with_another_reason_stays_with_support_after_a_won_dispute(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("ok", method="cash")
    opened = set_dispute(context, charge_of(purchase), "open")
    store_seller_and_purchases(context.records, purchase)
    report_dispute(web, context, opened)
    (case,) = create_approved_cases(context, purchase)
    assert sorted(reason_codes_of(context.records, case)) == ["dispute_open", "method_not_automatic"]
    report_dispute(web, context, set_dispute(context, charge_of(purchase), "won", opened["id"]))
    assert state_of(context.records, case) is State.WITH_SUPPORT


def test_a_won_dispute_of_a_leased_case_is_processed_after_the_lease_ends(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, purchase)
    with context.records.work() as work:
        assert lease(work, context, [case], states=[State.WITH_SUPPORT])
    report_dispute(
        web, context, set_dispute(context, charge_of(purchase), "won", provider_dispute(context, purchase)["id"])
    )
    assert (state_of(context.records, case), len(unprocessed_event_ids(context.records))) == (State.WITH_SUPPORT, 1)
    with context.records.work() as work:
        work.run("update cases set lease_until = 'epoch'")
    expire_leases(context.records)
    process_all_events(context)
    assert (state_of(context.records, case), unprocessed_event_ids(context.records)) == (State.RECEIVED, [])


def test_a_lost_dispute_leaves_the_case_with_support(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, purchase)
    report_dispute(
        web, context, set_dispute(context, charge_of(purchase), "lost", provider_dispute(context, purchase)["id"])
    )
    assert state_of(context.records, case) is State.WITH_SUPPORT
    assert stored_dispute(context.records, purchase) is Dispute.LOST


def test_an_opened_event_that_arrives_after_the_won_event_changes_nothing(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, purchase)
    opened = provider_dispute(context, purchase)
    report_dispute(web, context, set_dispute(context, charge_of(purchase), "won", opened["id"]))
    report_dispute(web, context, opened)
    assert (state_of(context.records, case), stored_dispute(context.records, purchase)) == (State.RECEIVED, Dispute.WON)
    assert unprocessed_event_ids(context.records) == []


class StaleDisputeProvider:
    """A provider whose API does not show the new status of a dispute yet. It returns the given status instead."""

    def __init__(self, adapter: Any, status: DisputeStatus | Unknown) -> None:
        self.capabilities = adapter.capabilities
        self._status = status

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        assert charge
        return self._status


@pytest.mark.parametrize("status", ["open", "none", "unknown"])
def test_an_event_that_the_provider_does_not_confirm_yet_stays_unprocessed(
    web: httpx.Client, context: WorkerContext, status: str
) -> None:
    purchase = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, purchase)
    opened = provider_dispute(context, purchase)
    statuses: dict[str, DisputeStatus | Unknown] = {
        "open": DisputeStatus(Dispute.OPEN, opened["id"]),
        "none": DisputeStatus(Dispute.NONE),
        "unknown": Unknown("The provider does not answer."),
    }
    report_dispute(
        web,
        with_adapter(context, StaleDisputeProvider(context.providers["sandbox"], statuses[status])),
        opened | {"status": "won"},
    )
    assert state_of(context.records, case) is State.WITH_SUPPORT
    assert len(unprocessed_event_ids(context.records)) == 1
    set_dispute(context, charge_of(purchase), "won", opened["id"])
    expire_leases(context.records)
    process_all_events(context)
    assert state_of(context.records, case) is State.RECEIVED
    assert unprocessed_event_ids(context.records) == []


class WebhookOnlyProvider:
    """A provider without lookups, such as Adyen: only its signed webhook events report a status."""

    capabilities = Capabilities(idempotency_key_ttl=timedelta(days=7), lookup=Lookup.NEVER)

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        raise AssertionError(charge)

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        raise AssertionError(charge + key)


def test_without_lookups_the_status_in_the_signed_event_is_stored(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, purchase)
    webhook_only = with_adapter(context, WebhookOnlyProvider())
    report_dispute(web, webhook_only, provider_dispute(context, purchase) | {"status": "won"})
    assert (state_of(context.records, case), stored_dispute(context.records, purchase)) == (State.RECEIVED, Dispute.WON)


def report_states(context: WorkerContext, charge: str | None, *statuses: DisputeStatus) -> None:
    """For each status, store a signed webhook event and process this event. Then continue with the next status."""
    for status in statuses:
        with context.records.work() as work:
            name = f"{status.dispute_id} {status.dispute} {status.stage}"
            work.webhook_events.keep("sandbox", [WebhookEvent(name, Subject.DISPUTE, charge, reported=status)], b"")
        process_all_events(context)


OPENED, LOST, WON = (
    DisputeStatus(kind, "dp_1", stage) for stage, kind in enumerate((Dispute.OPEN, Dispute.LOST, Dispute.WON))
)
SECOND_OPENED = DisputeStatus(Dispute.OPEN, "dp_2", 0)


@pytest.mark.parametrize(
    ("statuses", "result"),
    [
        ((OPENED, WON), Dispute.WON),
        ((WON, OPENED), Dispute.WON),
        ((WON, LOST), Dispute.WON),
        ((SECOND_OPENED, WON), Dispute.OPEN),
        ((WON, SECOND_OPENED), Dispute.OPEN),
        ((OPENED, SECOND_OPENED, WON, replace(SECOND_OPENED, dispute=Dispute.WON, stage=2)), Dispute.WON),
        ((WON, replace(SECOND_OPENED, dispute=Dispute.LOST, stage=1)), Dispute.LOST),
    ],
)
def test_without_lookups_the_order_of_signed_events_does_not_change_the_result(
    context: WorkerContext, statuses: tuple[DisputeStatus, ...], result: Dispute
) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    report_states(with_adapter(context, WebhookOnlyProvider()), charge_of(purchase), *statuses)
    assert stored_dispute(context.records, purchase) is result


def test_after_a_won_dispute_no_refund_is_sent_while_another_dispute_is_open(context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    report_states(with_adapter(context, WebhookOnlyProvider()), charge_of(purchase), OPENED, SECOND_OPENED, WON)
    (case,) = create_executed_cases(context, purchase)
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["dispute_open"],
    )
    assert refunds_at_provider(context, purchase) == []


# Disputes that only signed events report


NOT_SHOWN = DisputeStatus(Dispute.NONE)


class EarlyDisputeProvider:
    """A provider such as Mollie: signed events report a dispute, and the API shows it only after the bank took the money."""

    def __init__(self, adapter: Any, shown: DisputeStatus = NOT_SHOWN, **charges: str) -> None:
        self.capabilities = replace(adapter.capabilities, reports_disputes_by_webhook=True, finds_charges=True)
        self._shown, self._charges = shown, charges

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        assert charge
        return self._shown

    def disputed_charge(self, dispute_id: str) -> str | Unknown:
        return self._charges.get(dispute_id, Unknown("No dispute has this id."))


REVERSED = DisputeStatus(Dispute.WON, "chb_1")
UPDATED = replace(OPENED, stage=1)
SECOND_WON = replace(SECOND_OPENED, dispute=Dispute.WON, stage=2)


@pytest.mark.parametrize(
    ("shown", "reported", "result"),
    [
        (REVERSED, (SECOND_OPENED,), Dispute.OPEN),
        (REVERSED, (OPENED, UPDATED), Dispute.OPEN),
        (REVERSED, (SECOND_OPENED, SECOND_WON), Dispute.WON),
        (REVERSED, (SECOND_WON, SECOND_OPENED), Dispute.WON),
        (replace(REVERSED, dispute=Dispute.LOST), (OPENED, WON), Dispute.LOST),
        (replace(REVERSED, dispute=Dispute.LOST), (SECOND_OPENED,), Dispute.OPEN),
        (NOT_SHOWN, (WON, OPENED), Dispute.WON),
        (NOT_SHOWN, (WON, OPENED, UPDATED), Dispute.WON),
        (NOT_SHOWN, (OPENED, WON, SECOND_OPENED), Dispute.OPEN),
        (NOT_SHOWN, (SECOND_OPENED, WON, OPENED), Dispute.OPEN),
        (NOT_SHOWN, (replace(WON, dispute=Dispute.LOST), OPENED), Dispute.LOST),
    ],
)
def test_what_the_provider_shows_and_what_its_events_report_decide_in_any_order(
    context: WorkerContext, shown: DisputeStatus, reported: tuple[DisputeStatus, ...], result: Dispute
) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    early = EarlyDisputeProvider(context.providers["sandbox"], shown)
    report_states(with_adapter(context, early), charge_of(purchase), *reported)
    assert stored_dispute(context.records, purchase) is result
    assert unprocessed_event_ids(context.records) == []


@pytest.mark.parametrize("shown", [REVERSED, NOT_SHOWN], ids=["reversed", "none"])
def test_no_refund_is_sent_while_an_event_reports_an_open_dispute(context: WorkerContext, shown: DisputeStatus) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    early = EarlyDisputeProvider(context.providers["sandbox"], shown)
    report_states(with_adapter(context, early), charge_of(purchase), SECOND_OPENED)
    (case,) = create_executed_cases(context, purchase)
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["dispute_open"],
    )
    assert refunds_at_provider(context, purchase) == []


@pytest.mark.parametrize("reported", [(SECOND_OPENED, OPENED), (OPENED, SECOND_OPENED)])
def test_a_dispute_that_only_an_event_reports_after_the_refund_is_a_task(
    context: WorkerContext, reported: tuple[DisputeStatus, ...]
) -> None:
    purchase = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, purchase)
    early = with_adapter(context, EarlyDisputeProvider(context.providers["sandbox"], REVERSED))
    report_states(early, charge_of(purchase), *reported, WON)
    tasks = task_evidence(context.records, "refund_and_dispute")
    assert {(task["dispute"], task["dispute_is"]) for task in tasks} >= {("dp_2", "open")}
    assert "chb_1" not in {task["dispute"] for task in tasks}
    assert state_of(context.records, case) is State.REFUNDED


@pytest.mark.parametrize(
    ("shown", "reported"),
    [
        (NOT_SHOWN, (OPENED,)),
        (NOT_SHOWN, (OPENED, UPDATED)),
        (NOT_SHOWN, (WON, SECOND_OPENED)),
        (REVERSED, (OPENED,)),
    ],
)
def test_the_daily_poll_of_a_dispute_that_only_events_report_changes_nothing(
    context: WorkerContext, shown: DisputeStatus, reported: tuple[DisputeStatus, ...]
) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    early = with_adapter(context, EarlyDisputeProvider(context.providers["sandbox"], shown))
    report_states(early, charge_of(purchase), *reported)
    assert poll_open_disputes(early, "sandbox") == 1
    process_all_events(early)
    with context.records.work() as work:
        outcomes = work.run("select outcome from webhook_events where event_id like 'ours: %'").scalars().all()
    assert (outcomes, stored_dispute(context.records, purchase)) == (["dispute_open"], Dispute.OPEN)
    assert task_evidence(context.records, "webhook_event_unresolved") == []


def report_dispute_event(context: WorkerContext, status: DisputeStatus, charge: str | None) -> None:
    """Store a signed event that names its dispute by id, and perhaps the charge. Process all events that are due."""
    name = f"{status.dispute_id} {status.dispute} {status.stage}"
    event = WebhookEvent(name, Subject.DISPUTE, charge, dispute_id=status.dispute_id, reported=status)
    with context.records.work() as work:
        work.webhook_events.keep("sandbox", [event], b"")
    process_all_events(context)


@pytest.mark.parametrize("provider", ["webhooks only", "webhooks and lookups"])
@pytest.mark.parametrize(
    ("named", "nameless", "result"),
    [(OPENED, WON, Dispute.WON), (OPENED, LOST, Dispute.LOST), (LOST, WON, Dispute.WON), (WON, OPENED, Dispute.WON)],
)
@pytest.mark.parametrize("first", ["named", "nameless"])
def test_an_event_without_a_charge_counts_for_the_charge_of_its_dispute(
    context: WorkerContext, provider: str, named: DisputeStatus, nameless: DisputeStatus, result: Dispute, first: str
) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    adapter = (
        WebhookOnlyProvider() if provider == "webhooks only" else EarlyDisputeProvider(context.providers["sandbox"])
    )
    context = with_adapter(context, adapter)
    reports = [(named, charge_of(purchase)), (nameless, None)]
    for status, charge in reports if first == "named" else reversed(reports):
        report_dispute_event(context, status, charge)
    process_all_events(context)
    assert (stored_dispute(context.records, purchase), unprocessed_event_ids(context.records)) == (result, [])


def test_an_event_without_a_charge_may_name_its_dispute_only_in_its_report(context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    context = with_adapter(context, WebhookOnlyProvider())
    report_states(context, charge_of(purchase), OPENED)
    report_states(context, None, WON)
    assert stored_dispute(context.records, purchase) is Dispute.WON


def test_an_event_without_a_charge_counts_even_if_it_was_given_up_before(context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    context = with_adapter(context, WebhookOnlyProvider())
    report_dispute_event(context, WON, None)
    with context.records.work() as work:
        work.run("update webhook_events set next_action_at = null, outcome = 'unknown_payment'")
    report_dispute_event(context, OPENED, charge_of(purchase))
    assert stored_dispute(context.records, purchase) is Dispute.WON


def test_an_event_without_a_charge_does_not_count_for_another_dispute(context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    context = with_adapter(context, WebhookOnlyProvider())
    report_dispute_event(context, OPENED, charge_of(purchase))
    report_dispute_event(context, SECOND_WON, None)
    assert stored_dispute(context.records, purchase) is Dispute.OPEN
    assert unprocessed_event_ids(context.records) == ["dp_2 won 2"]


@pytest.mark.parametrize("reported", [(OPENED, WON), (WON, OPENED), (OPENED, UPDATED, WON)])
def test_events_whose_charge_the_provider_finds_decide_in_any_order(
    context: WorkerContext, reported: tuple[DisputeStatus, ...]
) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    early = EarlyDisputeProvider(context.providers["sandbox"], dp_1=charge_of(purchase))
    for status in reported:
        report_dispute_event(with_adapter(context, early), status, None)
    assert (stored_dispute(context.records, purchase), unprocessed_event_ids(context.records)) == (Dispute.WON, [])


# Lookups of disputes


def test_if_a_refund_is_declined_because_of_a_dispute_the_dispute_is_looked_up(context: WorkerContext) -> None:
    purchase = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, purchase)
    assert (state_of(context.records, case), stored_dispute(context.records, purchase)) == (
        State.WITH_SUPPORT,
        Dispute.NONE,
    )
    process_all_events(context)
    assert stored_dispute(context.records, purchase) is Dispute.OPEN


def test_an_open_dispute_is_polled_and_a_won_dispute_is_not(context: WorkerContext) -> None:
    purchase = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, purchase)
    process_all_events(context)
    set_dispute(context, charge_of(purchase), "won", provider_dispute(context, purchase)["id"])
    assert poll_open_disputes(context, "sandbox") == 1
    process_all_events(context)
    assert (state_of(context.records, case), stored_dispute(context.records, purchase)) == (State.RECEIVED, Dispute.WON)
    assert poll_open_disputes(context, "sandbox") == 0


def test_open_disputes_are_polled_in_batches(context: WorkerContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker.refunds.disputes, "BATCH_SIZE", 2)
    purchases = [a_charged_purchase("ok") for _ in range(5)]
    store_seller_and_purchases(context.records, *purchases)
    with context.records.work() as work:
        for purchase in purchases:
            work.purchases.set_dispute("sandbox", charge_of(purchase), Dispute.OPEN)
    assert poll_open_disputes(context, "sandbox") == 5
    assert poll_open_disputes(context, "sandbox") == 5  # a second poll on the same day creates no new event
    with context.records.work() as work:
        assert work.run("select count(*) from webhook_events").scalar_one() == 5


def test_a_dispute_event_that_arrives_before_its_purchase_is_processed_later(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("ok")
    report_dispute(web, context, set_dispute(context, charge_of(purchase), "open"))
    assert len(unprocessed_event_ids(context.records)) == 1
    store_seller_and_purchases(context.records, purchase)
    process_all_events(context)
    assert (unprocessed_event_ids(context.records), stored_dispute(context.records, purchase)) == ([], Dispute.OPEN)


def test_a_dispute_that_the_sandbox_opens_after_the_refund_is_reported(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("crossing")
    (case,) = create_executed_cases(context, purchase)
    eventually(lambda: provider_disputes(context, purchase))
    report_dispute(web, context, provider_dispute(context, purchase))
    assert [task.data.case_id for task in refund_and_dispute_tasks(context)] == [case]


@pytest.mark.parametrize("crashes", [3, 5])
@pytest.mark.parametrize("dispute", [Dispute.OPEN, Dispute.LOST, Dispute.INQUIRY])
def test_a_listed_dispute_whose_lookup_crashed_workers_is_looked_up_again_the_next_day(
    context: WorkerContext, dispute: Dispute, crashes: int
) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    listing = with_adapter(context, ListsDispute(charge_of(purchase), dispute))
    since = datetime.now(UTC) - timedelta(days=8)
    assert compare_disputes(listing, "sandbox", since) == 1
    crash_workers(context.records, crashes)
    process_all_events(listing)
    assert stored_dispute(context.records, purchase) is Dispute.NONE
    assert compare_disputes(listing, "sandbox", since) == 1
    process_all_events(listing)
    assert stored_dispute(context.records, purchase) is dispute
    assert compare_disputes(listing, "sandbox", since) == 0


class ListsDispute(CapabilityDefaults):
    """A provider that lists one dispute, and shows it."""

    capabilities = Capabilities(idempotency_key_ttl=timedelta(days=1), lists_disputes=True)

    def __init__(self, charge: str, dispute: Dispute) -> None:
        self._charge = charge
        self._status = DisputeStatus(dispute, "dp_1")

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage:  # noqa: ARG002  # an adapter's signature
        return DisputePage([ListedDispute(self._charge, self._status)])

    def dispute(self, charge: str) -> DisputeStatus:
        return self._status if charge == self._charge else DisputeStatus(Dispute.NONE)
