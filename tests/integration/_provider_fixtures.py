"""Fixtures for tests of refunds: cases, signed webhook events, and a worker context that uses the sandbox provider."""

import json
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from config.settings import Settings
from console.sandbox.events import Event
from console.sandbox.webhooks import Webhooks
from domain.messages import WebhookEventsReceived
from domain.money import Money
from domain.providers import Paid
from domain.purchases import Purchase
from domain.states import State
from producers.intake import accept
from records import Records
from records.audit import audit
from tests.sample_data import a_recent_purchase, a_submission, charge_of, ids_of, store_seller_and_purchases
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.refunds.evaluation import evaluate
from worker.refunds.execution import execute

SECRET = "sandbox"
EXPIRED_AGE = 301  # seconds; a signature is valid for at most 300 seconds


def with_long_timeouts(settings: Settings) -> Settings:
    """Return the settings with long timeouts, so that a slow provider is not mistaken for a hanging provider."""
    longer = {
        "provider_timeout_seconds": 4.0,
        "task_soft_time_limit_seconds": 12.0,
        "task_time_limit_seconds": 13.0,
        "lease_seconds": 14.0,
    }
    return settings.model_copy(update={"timers": settings.timers.model_copy(update=longer)})


@pytest.fixture
def context(sandbox_settings: Settings) -> Iterator[WorkerContext]:
    """Yield a worker context that uses the sandbox provider, with long timeouts."""
    yield from open_context(with_long_timeouts(sandbox_settings))


@pytest.fixture
def short_timeout_context(sandbox_settings: Settings) -> Iterator[WorkerContext]:
    """Yield a worker context that uses the sandbox provider, with the short timeouts from ``sandbox_settings``."""
    yield from open_context(sandbox_settings)


def open_context(settings: Settings) -> Iterator[WorkerContext]:
    """Yield a worker context, and close it afterwards."""
    context = create_context(settings)
    yield context
    close_context(context)


def close_context(context: WorkerContext) -> None:
    """Close the context's threads and database connections."""
    context.call_pool.close()
    context.records.engine.dispose()


def with_adapter(context: WorkerContext, adapter: Any) -> WorkerContext:
    """Return the context with `adapter` instead of the sandbox's adapter."""
    return replace(context, providers={"sandbox": adapter})


def a_charged_purchase(behaviour: str, **changes: Any) -> Purchase:
    """Return a purchase. The prefix of its charge id selects the behaviour of the sandbox, such as `ok` or `declined`."""
    return a_recent_purchase(**{"charge": f"{behaviour}_{uuid4().hex}"} | changes)


def create_approved_cases(context: WorkerContext, *purchases: Purchase) -> list[UUID]:
    """Store and evaluate a request for each purchase. A case is approved if the rules allow the refund."""
    store_seller_and_purchases(context.records, *purchases)
    cases = ids_of(accept(context.records, [a_submission(purchase) for purchase in purchases]))
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock(cases, state=State.RECEIVED))
    return cases


def create_executed_cases(context: WorkerContext, *purchases: Purchase) -> list[UUID]:
    """Store and evaluate a request for each purchase, and send the refunds to the provider."""
    cases = create_approved_cases(context, *purchases)
    execute(context, cases)
    return cases


def state_of(records: Records, case: UUID) -> State:
    """Return the case's state."""
    with records.work() as work:
        view = work.case_views.get(case)
    assert view
    return view.state


def reason_codes_of(records: Records, case: UUID) -> list[str]:
    """Return the codes of the reasons why the case is with support."""
    with records.work() as work:
        view = work.case_views.get(case)
    assert view
    return [reason["code"] for reason in view.reasons]


def email_kinds_of(records: Records, case: UUID) -> list[str]:
    """Return the kinds of the case's e-mails, oldest first."""
    with records.work() as work:
        return [
            row.kind
            for row in work.run("select kind from case_emails where case_id = :case order by created_at", case=case)
        ]


def task_evidence(records: Records, kind: str) -> list[dict[str, Any]]:
    """Return the evidence of each support task of this kind."""
    with records.work() as work:
        return [row.evidence for row in work.run("select evidence from support_tasks where kind = :kind", kind=kind)]


def refunded_amount(records: Records, purchase: Purchase) -> int:
    """Return the stored refunded amount of the purchase, in minor units."""
    with records.work() as work:
        stored = work.purchases.get(purchase.id)
    assert stored
    return stored.refunded


def expire_leases(records: Records) -> None:
    """End all leases, claims and delays, so that every waiting case and webhook event is due now."""
    with records.work() as work:
        work.run(
            "update cases set lease_until = 'epoch', not_before = 'epoch', next_action_at = now()"
            " where next_action_at is not null"
        )
        work.run(
            "update webhook_events set claimed_until = least(claimed_until, now()), next_action_at = now()"
            " where next_action_at is not null"
        )


def unprocessed_event_ids(records: Records) -> list[str]:
    """Return the ids of the provider's unprocessed webhook events, without the events that Moneyback itself created."""
    with records.work() as work:
        rows = work.run(
            "select event_id from webhook_events where next_action_at is not null and event_id not like 'ours: %'"
        )
        return [row.event_id for row in rows]


def process_all_events(context: WorkerContext) -> None:
    """Process every webhook event that is not processed yet."""
    with context.records.work() as work:
        event_ids = [
            row.id
            for row in work.run("select id from webhook_events where next_action_at is not null order by received_at")
        ]
    if event_ids:
        handle(context, WebhookEventsReceived, event_ids)


def crash_workers(records: Records, times: int) -> None:
    """Claim every webhook event as often as if so many workers had crashed with it."""
    for _ in range(times):
        with records.work() as work:
            ids = [row.id for row in work.run("select id from webhook_events")]
            work.webhook_events.claim(ids, seconds=-1.0, include_crashed=True)


def assert_audit_is_clean(records: Records) -> None:
    with records.work() as work:
        assert audit(work).faults == []


def refunds_at_provider(context: WorkerContext, purchase: Purchase) -> list[dict[str, Any]]:
    """Return all refunds that the sandbox lists for the purchase's charge."""
    with urllib.request.urlopen(f"{context.settings.sandbox_url}/v1/refunds?charge={charge_of(purchase)}") as response:
        refunds: list[dict[str, Any]] = json.load(response)["data"]
        return refunds


def refund_manually(context: WorkerContext, purchase: Purchase) -> dict[str, Any]:
    """Refund the purchase directly at the provider, without Moneyback, and return the refund."""
    result = context.providers["sandbox"].refund(
        charge_of(purchase), Money(4900, "EUR"), key=f"by hand {charge_of(purchase)}"
    )
    assert isinstance(result, Paid), result
    (refund,) = refunds_at_provider(context, purchase)
    return refund


def set_dispute(context: WorkerContext, charge: str, status: str, dispute: str = "") -> dict[str, Any]:
    """Open a dispute at the sandbox. If the id `dispute` is given, change the status of that dispute instead."""
    body = {"status": status} if dispute else {"status": status, "charge": charge}
    response = httpx.post(f"{context.settings.sandbox_url}/v1/disputes{'/' if dispute else ''}{dispute}", json=body)
    assert response.status_code == 200, response.text
    return dict(response.json())


def an_event(kind: str, data: dict[str, Any]) -> Event:
    return Event(time.time(), f"ev_{uuid4().hex[:24]}", kind, data["charge"], data)


def a_refund(charge: str, status: str = "succeeded", **changes: Any) -> dict[str, Any]:
    """Return a refund as JSON, in the sandbox's format."""
    refund = {"id": f"re_{uuid4().hex[:12]}", "charge": charge, "amount": 4900, "currency": "EUR", "status": status}
    return {**refund, "key": "k", "created": int(time.time()), **changes}


def send_event(web: httpx.Client, event: Event, *, secret: str = SECRET, age: int = 0) -> httpx.Response:
    """Send a signed event as the sandbox does. The signature is `age` seconds old."""
    request = Webhooks("", secret).signed(event, int(time.time()) - age)
    return post_webhook(web, request.body, request.signature)


def post_webhook(web: httpx.Client, body: bytes, signature: str | None = None) -> httpx.Response:
    """Send a body to Moneyback's webhook endpoint for the sandbox, with or without a signature."""
    headers = {"content-type": "application/json"} | ({"sandbox-signature": signature} if signature else {})
    return web.post("/v1/webhooks/sandbox", content=body, headers=headers)
