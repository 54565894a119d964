"""What tests of payments start from: tools wired to the sandbox, cases that were paid, and webhooks as the sandbox signs them."""

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
from tests.sample_data import a_recent_purchase, an_arrival, ids, settle_in
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.refunds.evaluation import evaluate
from worker.refunds.execution import execute

SECRET = "sandbox"
OLD = 301  # seconds; a signature may be 300 old


def patient(settings: Settings) -> Settings:
    """These settings, for tests in which a provider that is only slow must not look like one that hangs."""
    longer = {
        "provider_timeout_seconds": 4.0,
        "task_soft_time_limit_seconds": 12.0,
        "task_time_limit_seconds": 13.0,
        "lease_seconds": 14.0,
    }
    return settings.model_copy(update={"timers": settings.timers.model_copy(update=longer)})


@pytest.fixture
def context(sandbox: Settings) -> Iterator[WorkerContext]:
    """A worker's tools, wired to the sandbox with the patience of `patient()`."""
    yield from opened(patient(sandbox))


@pytest.fixture
def hasty_tools(sandbox: Settings) -> Iterator[WorkerContext]:
    """A worker's tools, wired to the sandbox with the short timers of all tests."""
    yield from opened(sandbox)


def opened(settings: Settings) -> Iterator[WorkerContext]:
    context = create_context(settings)
    yield context
    closed(context)


def closed(context: WorkerContext) -> None:
    context.call_pool.close()
    context.records.engine.dispose()


def with_adapter(context: WorkerContext, adapter: Any) -> WorkerContext:
    """The same tools, with another provider in the sandbox's place."""
    return replace(context, providers={"sandbox": adapter})


def charged(behaviour: str, **changes: Any) -> Purchase:
    """A purchase whose refund goes as the sandbox's table says."""
    return a_recent_purchase(**{"charge": f"{behaviour}_{uuid4().hex}"} | changes)


def approved(context: WorkerContext, *purchases: Purchase) -> list[UUID]:
    """These customers ask, and may be paid."""
    settle_in(context.records, *purchases)
    cases = ids(accept(context.records, [an_arrival(one) for one in purchases]))
    with context.records.work() as work:
        evaluate(work, context, work.cases.lock(cases, state=State.RECEIVED))
    return cases


def paid(context: WorkerContext, *purchases: Purchase) -> list[UUID]:
    """These customers ask, and the provider is asked."""
    cases = approved(context, *purchases)
    execute(context, cases)
    return cases


def state(records: Records, case: UUID) -> State:
    with records.work() as work:
        view = work.case_views.get(case)
    assert view
    return view.state


def codes(records: Records, case: UUID) -> list[str]:
    with records.work() as work:
        view = work.case_views.get(case)
    assert view
    return [reason["code"] for reason in view.reasons]


def letters(records: Records, case: UUID) -> list[str]:
    with records.work() as work:
        return [
            row.kind
            for row in work.run("select kind from case_emails where case_id = :case order by created_at", case=case)
        ]


def tasks(records: Records, kind: str) -> list[dict[str, Any]]:
    """The evidence of each task of this kind."""
    with records.work() as work:
        return [row.evidence for row in work.run("select evidence from support_tasks where kind = :kind", kind=kind)]


def refunded(records: Records, purchase: Purchase) -> int:
    with records.work() as work:
        kept = work.purchases.get(purchase.id)
    assert kept
    return kept.refunded


def let_go(records: Records) -> None:
    """As if every lease were over and every pause had passed, of cases as of notices."""
    with records.work() as work:
        work.run(
            "update cases set lease_until = 'epoch', not_before = 'epoch', next_action_at = now()"
            " where next_action_at is not null"
        )
        work.run(
            "update webhook_events set claimed_until = least(claimed_until, now()), next_action_at = now()"
            " where next_action_at is not null"
        )


def owed(records: Records) -> list[str]:
    """The events of webhooks that are still owed a look; notices of our own are not among them."""
    with records.work() as work:
        rows = work.run(
            "select event_id from webhook_events where next_action_at is not null and event_id not like 'ours: %'"
        )
        return [row.event_id for row in rows]


def hear_all(context: WorkerContext) -> None:
    """A worker gets every notice that is owed a look."""
    with context.records.work() as work:
        found = [
            row.id
            for row in work.run("select id from webhook_events where next_action_at is not null order by received_at")
        ]
    if found:
        handle(context, WebhookEventsReceived, found)


def assert_audit_is_clean(records: Records) -> None:
    with records.work() as work:
        assert audit(work).faults == []


def at_the_provider(context: WorkerContext, purchase: Purchase) -> list[dict[str, Any]]:
    """The refunds of this purchase's payment, as the sandbox shows them."""
    with urllib.request.urlopen(f"{context.settings.sandbox_url}/v1/refunds?charge={purchase.charge}") as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]
        return found


def made_by_hand(context: WorkerContext, purchase: Purchase) -> dict[str, Any]:
    """Somebody refunds this purchase at the provider's own desk."""
    said = context.providers["sandbox"].refund(purchase.charge, Money(4900, "EUR"), key=f"by hand {purchase.charge}")
    assert isinstance(said, Paid), said
    (made,) = at_the_provider(context, purchase)
    return made


def dispute_at(context: WorkerContext, charge: str, status: str, dispute: str = "") -> dict[str, Any]:
    """Opens a dispute at the sandbox, or ends one."""
    body = {"status": status} if dispute else {"status": status, "charge": charge}
    answer = httpx.post(f"{context.settings.sandbox_url}/v1/disputes{'/' if dispute else ''}{dispute}", json=body)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def an_event(kind: str, data: dict[str, Any]) -> Event:
    return Event(time.time(), f"ev_{uuid4().hex[:24]}", kind, data["charge"], data)


def a_refund(charge: str, status: str = "succeeded", **changes: Any) -> dict[str, Any]:
    """A refund as the sandbox tells of it."""
    told = {"id": f"re_{uuid4().hex[:12]}", "charge": charge, "amount": 4900, "currency": "EUR", "status": status}
    return {**told, "key": "k", "created": int(time.time()), **changes}


def tell(web: httpx.Client, event: Event, *, secret: str = SECRET, ago: int = 0) -> httpx.Response:
    """Sends an event as the sandbox does."""
    letter = Webhooks("", secret).signed(event, int(time.time()) - ago)
    return post(web, letter.body, letter.signature)


def post(web: httpx.Client, body: bytes, signature: str | None = None) -> httpx.Response:
    headers = {"content-type": "application/json"} | ({"sandbox-signature": signature} if signature else {})
    return web.post("/v1/webhooks/sandbox", content=body, headers=headers)
