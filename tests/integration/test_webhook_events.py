"""Tests of webhook events, from the HTTP endpoint to their processing by a worker, with the sandbox provider."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import httpx
import pytest
from pydantic import SecretStr
from structlog.testing import capture_logs

from config.settings import Settings
from console.sandbox.webhooks import Webhooks
from console.stack import free_port
from domain.messages import WebhookEventsReceived
from domain.money import Money
from domain.providers import (
    Declined,
    DeclineReason,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedRefund,
    LookupResult,
    NotFound,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from domain.states import State
from domain.support_tasks import SupportTaskKind
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent
from producers.intake import accept
from producers.web import middleware
from producers.web.app import app
from producers.web.problems import ProblemCode
from producers.web.webhooks import MAX_CONCURRENT_WEBHOOKS
from records import Records
from tests.doubles.sandbox import sandbox_in
from tests.integration._provider_fixtures import (
    EXPIRED_AGE,
    SECRET,
    a_charged_purchase,
    a_refund,
    an_event,
    assert_audit_is_clean,
    crash_workers,
    create_approved_cases,
    create_executed_cases,
    email_kinds_of,
    expire_leases,
    post_webhook,
    process_all_events,
    reason_codes_of,
    refund_manually,
    refunded_amount,
    refunds_at_provider,
    send_event,
    state_of,
    task_evidence,
    unprocessed_event_ids,
    with_adapter,
)
from tests.integration._web_fixtures import serve
from tests.sample_data import a_recent_purchase, a_submission, charge_of, ids_of, store_seller_and_purchases
from tests.services import ChildProcess, eventually
from worker.context import WorkerContext
from worker.dispatch import handle
from worker.providers import create_webhook_parsers
from worker.providers.capability_defaults import CapabilityDefaults
from worker.refunds.execution import execute, prepare
from worker.refunds.resolution import resolve
from worker.webhook_events.outcomes import OutcomeCode
from worker.webhook_events.processing import MAX_ATTEMPTS, UNKNOWN_PAYMENT_ATTEMPTS


@pytest.fixture
def web(sandbox_settings: Settings) -> Iterator[httpx.Client]:
    """Yield a client of a web server that accepts the webhooks of the sandbox."""
    with serve(app(sandbox_settings, readers=create_webhook_parsers(sandbox_settings))) as web:
        yield web


def has_problem(response: httpx.Response, kind: ProblemCode) -> bool:
    return (response.status_code, response.json()["type"]) == (kind.status, f"http://testserver/problems/{kind}")


def stored_events(records: Records) -> list[Any]:
    with records.work() as work:
        return list(
            work.run("select event_id, deliveries, attempts, outcome, body from webhook_events order by received_at")
        )


def count_enqueued(records: Records) -> int:
    """Return the number of webhook events in the outbox."""
    with records.work() as work:
        return int(
            work.run("select count(*) from outbox where queue = :queue", queue=WebhookEventsReceived.queue).scalar_one()
        )


# The endpoint


def test_an_event_is_stored_unchanged_and_enqueued(web: httpx.Client, records: Records) -> None:
    event = an_event("refund.created", a_refund("ok_1"))
    response = send_event(web, event)
    assert (response.status_code, response.content) == (200, b"")
    ((name, deliveries, attempts, outcome, body),) = stored_events(records)
    assert (name, deliveries, attempts, outcome) == (event.id, 1, 0, None)
    assert json.loads(body) == event.document()
    assert count_enqueued(records) == 1


def test_a_repeated_event_is_stored_and_enqueued_once(web: httpx.Client, records: Records) -> None:
    event = an_event("refund.created", a_refund("ok_1"))
    with ThreadPoolExecutor(10) as senders:
        statuses = list(senders.map(lambda _: send_event(web, event).status_code, range(20)))
    assert statuses == [200] * 20
    ((_, deliveries, *_),) = stored_events(records)
    assert (deliveries, count_enqueued(records)) == (20, 1)


def signature_of(body: bytes) -> str:
    return Webhooks("", SECRET).signature(body, int(time.time()))


FALSE_EVENT = json.dumps(an_event("refund.updated", a_refund("ok_secret_charge", "failed")).document()).encode()
INVALID_WEBHOOKS: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "unsigned": lambda web: post_webhook(web, FALSE_EVENT),
    "signed with another secret": lambda web: post_webhook(
        web, FALSE_EVENT, Webhooks("", "another secret").signature(FALSE_EVENT, int(time.time()))
    ),
    "with the signature of another body": lambda web: post_webhook(web, FALSE_EVENT, signature_of(b"{}")),
    "changed by one bit": lambda web: post_webhook(web, FALSE_EVENT[:-1] + b"~", signature_of(FALSE_EVENT)),
    "out of date": lambda web: send_event(web, an_event("refund.created", a_refund("ok_1")), age=EXPIRED_AGE),
    "from the future": lambda web: send_event(
        web, an_event("refund.created", a_refund("ok_1")), age=-1_000 * EXPIRED_AGE
    ),
    "empty": lambda web: post_webhook(web, b""),
    "garbage, signed": lambda web: post_webhook(web, b'\xff{"id": ["<', signature_of(b'\xff{"id": ["<')),
    "too large for the sandbox": lambda web: post_webhook(web, b" " * 200_000, signature_of(b" " * 200_000)),
}


@pytest.mark.parametrize("kind", INVALID_WEBHOOKS)
def test_an_invalid_webhook_is_refused_without_details(web: httpx.Client, records: Records, kind: str) -> None:
    with capture_logs() as logs:
        response = INVALID_WEBHOOKS[kind](web)
    assert has_problem(response, ProblemCode.INVALID_SIGNATURE)
    assert response.json()["detail"] == ProblemCode.INVALID_SIGNATURE.detail
    assert (stored_events(records), count_enqueued(records)) == ([], 0)
    (log,) = logs
    assert (log["event"], log["provider"], bool(log["why"])) == ("webhook_rejected", "sandbox", True)
    assert "secret_charge" not in str(logs)


@pytest.mark.parametrize("with_length", [True, False])
def test_a_webhook_above_the_maximum_size_is_refused(web: httpx.Client, records: Records, with_length: bool) -> None:
    body = b" " * (middleware.MAX_WEBHOOK_BYTES + 1)
    chunks = (body[n : n + 50_000] for n in range(0, len(body), 50_000))
    headers = {"sandbox-signature": signature_of(body)}
    assert has_problem(
        web.post("/v1/webhooks/sandbox", content=body if with_length else chunks, headers=headers),
        ProblemCode.CONTENT_TOO_LARGE,
    )
    assert stored_events(records) == []


def test_an_event_of_an_unknown_type_is_accepted_and_not_stored(web: httpx.Client, records: Records) -> None:
    assert send_event(web, an_event("payout.sent", a_refund("ok_1"))).status_code == 200
    assert (stored_events(records), count_enqueued(records)) == ([], 0)


@pytest.mark.parametrize("name", ["stripe", "nobody", "sandbox/more", "SANDBOX", "%00"])
def test_an_unconnected_provider_has_no_webhook_endpoint(web: httpx.Client, name: str) -> None:
    assert has_problem(web.post(f"/v1/webhooks/{name}", content=FALSE_EVENT), ProblemCode.NOT_FOUND)


def test_without_parsers_no_provider_has_a_webhook_endpoint(settings: Settings) -> None:
    with serve(app(settings)) as web:
        assert has_problem(send_event(web, an_event("refund.created", a_refund("ok_1"))), ProblemCode.NOT_FOUND)


def test_a_webhook_endpoint_refuses_get_requests(web: httpx.Client) -> None:
    assert has_problem(web.get("/v1/webhooks/sandbox"), ProblemCode.METHOD_NOT_ALLOWED)


def test_without_the_database_the_provider_must_send_the_event_again(
    web: httpx.Client, records: Records, sandbox_settings: Settings
) -> None:
    unreachable = SecretStr("postgresql://moneyback:hunter2@127.0.0.1:1/nowhere")
    event = an_event("refund.created", a_refund("ok_1"))
    with serve(
        app(
            sandbox_settings.model_copy(update={"database_url": unreachable}),
            readers=create_webhook_parsers(sandbox_settings),
        )
    ) as web_without_database:
        response = send_event(web_without_database, event)
        assert has_problem(response, ProblemCode.SERVICE_UNAVAILABLE)
        assert int(response.headers["retry-after"]) > 0
        # An invalid signature is detected without the database.
        assert has_problem(post_webhook(web_without_database, FALSE_EVENT), ProblemCode.INVALID_SIGNATURE)
    assert send_event(web, event).status_code == 200
    assert [event.event_id for event in stored_events(records)] == [event.id]


class ScriptedParser:
    """A webhook parser that passes each request to a function of the test."""

    answer = b"[accepted]"

    def __init__(self, read: Callable[[Mapping[str, str], bytes], Sequence[WebhookEvent] | InvalidSignature]) -> None:
        self._read = read

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:
        assert abs((datetime.now(UTC) - at).total_seconds()) < 30
        return self._read(headers, body)


def raise_error(_: Mapping[str, str], body: bytes) -> Sequence[WebhookEvent]:
    raise RuntimeError(len(body))


def test_an_exception_of_the_parser_is_an_internal_error(settings: Settings, records: Records) -> None:
    with serve(app(settings, readers={"sandbox": ScriptedParser(raise_error)})) as web, capture_logs() as logs:
        assert has_problem(post_webhook(web, FALSE_EVENT), ProblemCode.INTERNAL_ERROR)
    assert stored_events(records) == []
    assert [log["event"] for log in logs] == ["unhandled_exception"]


def test_the_parser_gets_the_raw_request_and_determines_the_response(settings: Settings, records: Records) -> None:
    received: list[tuple[Mapping[str, str], bytes]] = []

    def parse(headers: Mapping[str, str], body: bytes) -> Sequence[WebhookEvent]:
        received.append((headers, body))
        return [WebhookEvent("ev_1", Subject.REFUND, "ok_1"), WebhookEvent("ev_2", Subject.DISPUTE, "ok_2")]

    body = b"\x00\xff id=tr_1 \r\n"
    with serve(app(settings, readers={"adyen": ScriptedParser(parse)})) as web:
        response = web.post("/v1/webhooks/adyen", content=body, headers={"X-Signature": "AbC"})
    assert (response.status_code, response.content) == (200, b"[accepted]")
    ((headers, received_body),) = received
    assert (headers["x-signature"], received_body) == ("AbC", body)
    assert all(name == name.lower() for name in headers)
    assert {event.event_id for event in stored_events(records)} == {"ev_1", "ev_2"}
    assert count_enqueued(records) == 2


def test_slow_webhooks_of_one_provider_delay_no_other_request(settings: Settings) -> None:
    parsing, continue_parsing = threading.Semaphore(0), threading.Event()

    def parse_slowly(_: Mapping[str, str], __: bytes) -> InvalidSignature:
        parsing.release()
        assert continue_parsing.wait(60)
        return InvalidSignature("The parser took too long.")

    parsers = {"paypal": ScriptedParser(parse_slowly), "mollie": ScriptedParser(lambda *_: [])}
    with serve(app(settings, readers=parsers)) as web, ThreadPoolExecutor(40) as senders:
        try:
            responses = [senders.submit(web.post, "/v1/webhooks/paypal", content=b"{}") for _ in range(40)]
            for _ in range(MAX_CONCURRENT_WEBHOOKS):
                assert parsing.acquire(timeout=30)
            with httpx.Client(base_url=web.base_url, timeout=10) as customer:
                assert customer.get("/readyz").status_code == 200
                assert customer.post("/v1/webhooks/mollie", content=b"id=tr_1").status_code == 200
            assert not any(response.done() for response in responses)
        finally:
            continue_parsing.set()
        assert {response.result().status_code for response in responses} == {400}


# Processing


def test_an_external_refund_is_recorded_and_reported_once(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    refund = refund_manually(context, purchase)
    for _ in range(2):  # two events about one refund, each sent twice
        event = an_event("refund.created", refund)
        send_event(web, event)
        send_event(web, event)
        process_all_events(context)
    (evidence,) = task_evidence(context.records, "unexpected_refund")
    assert (evidence["charge"], evidence["refund"], evidence["amount"]) == (charge_of(purchase), refund["id"], 4900)
    assert refunded_amount(context.records, purchase) == 4900
    assert unprocessed_event_ids(context.records) == []


def test_support_is_told_of_an_external_refund_after_our_refund(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    create_executed_cases(context, purchase)
    (own_refund,) = refunds_at_provider(context, purchase)
    send_event(web, an_event("refund.created", own_refund))
    process_all_events(context)
    assert task_evidence(context.records, "unexpected_refund") == []
    external_refund = a_refund(charge_of(purchase), id="by hand")
    send_event(web, an_event("refund.created", external_refund))
    process_all_events(with_adapter(context, OnlyExternalRefund(context.providers["sandbox"])))
    (evidence,) = task_evidence(context.records, "unexpected_refund")
    assert (evidence["charge"], evidence["refund"]) == (charge_of(purchase), external_refund["id"])
    assert unprocessed_event_ids(context.records) == []


def test_an_external_refund_is_recorded_for_every_purchase_of_its_payment(
    web: httpx.Client, context: WorkerContext
) -> None:
    first_purchase = a_charged_purchase("ok")
    second_purchase = a_charged_purchase("ok", charge=charge_of(first_purchase))
    store_seller_and_purchases(context.records, first_purchase, second_purchase)
    send_event(web, an_event("refund.created", refund_manually(context, first_purchase)))
    process_all_events(context)
    assert [refunded_amount(context.records, purchase) for purchase in (first_purchase, second_purchase)] == [
        4900,
        4900,
    ]
    assert len(task_evidence(context.records, "unexpected_refund")) == 1


def test_an_event_that_came_before_its_purchase_is_processed_when_the_purchase_is_reported(
    web: httpx.Client, context: WorkerContext
) -> None:
    refunded, disputed, other = a_charged_purchase("ok"), a_charged_purchase("ok"), a_charged_purchase("ok")
    send_event(web, an_event("refund.created", refund_manually(context, refunded)))
    send_event(web, an_event("dispute.opened", a_refund(charge_of(disputed), "open")))
    for _ in range(UNKNOWN_PAYMENT_ATTEMPTS):
        process_all_events(context)
    assert unprocessed_event_ids(context.records) == []
    store_seller_and_purchases(context.records, other)
    assert unprocessed_event_ids(context.records) == []
    store_seller_and_purchases(context.records, refunded, disputed)
    assert len(unprocessed_event_ids(context.records)) == 2
    process_all_events(context)
    assert refunded_amount(context.records, refunded) == 4900
    assert sorted((event.attempts, event.outcome) for event in stored_events(context.records)) == [
        (1, OutcomeCode.EXTERNAL_REFUND),
        (1, OutcomeCode.NOT_VISIBLE),
    ]


def test_processing_of_an_event_about_an_unknown_payment_ends(web: httpx.Client, context: WorkerContext) -> None:
    for kind in ("refund.created", "dispute.opened"):
        data = a_refund("ok_of_somebody_else", "succeeded" if kind == "refund.created" else "open")
        assert send_event(web, an_event(kind, data)).status_code == 200
    for _ in range(UNKNOWN_PAYMENT_ATTEMPTS):
        assert len(unprocessed_event_ids(context.records)) == 2
        process_all_events(context)
    assert unprocessed_event_ids(context.records) == []
    assert [event.attempts for event in stored_events(context.records)] == [
        UNKNOWN_PAYMENT_ATTEMPTS,
        UNKNOWN_PAYMENT_ATTEMPTS,
    ]
    with context.records.work() as work:
        assert work.support_tasks.list_open() == []


def progress_of(records: Records, event: str) -> tuple[bool, int]:
    """Return two values: True if the event is unprocessed, and the number of its attempts."""
    with records.work() as work:
        row = work.run("select next_action_at, attempts from webhook_events where event_id = :event", event=event).one()
    return row.next_action_at is not None, row.attempts


def wait_for_status(context: WorkerContext, purchase: Any, status: str) -> dict[str, Any]:
    """Wait until the sandbox's refund of the purchase has the given status, and return the refund."""
    return eventually(lambda: next((r for r in refunds_at_provider(context, purchase) if r["status"] == status), {}))


def test_a_late_failure_reopens_the_case_and_sends_one_email(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, purchase)
    assert state_of(context.records, case) is State.REFUNDED
    refund = wait_for_status(context, purchase, "failed")
    for event in (failed := an_event("refund.updated", refund), failed, an_event("refund.updated", refund)):
        assert send_event(web, event).status_code == 200
        process_all_events(context)
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["returned_by_bank"],
    )
    assert email_kinds_of(context.records, case) == ["refunded", "returned"]
    assert refunded_amount(context.records, purchase) == 0
    assert unprocessed_event_ids(context.records) == []
    with context.records.work() as work:
        assert [task.case_id for task in work.support_tasks.list_open()] == [case]
    assert_audit_is_clean(context.records)


def test_an_event_with_only_a_refund_id_reopens_the_case(context: WorkerContext) -> None:
    """Some events of Mollie and Braintree contain no payment id."""
    purchase = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, purchase)
    refund = wait_for_status(context, purchase, "failed")
    with context.records.work() as work:
        work.webhook_events.keep("sandbox", [WebhookEvent("ev_short", Subject.REFUND, None, refund["id"])], b"")
    process_all_events(context)
    assert (state_of(context.records, case), unprocessed_event_ids(context.records)) == (State.WITH_SUPPORT, [])


def test_an_event_with_an_unknown_refund_id_is_attempted_several_times(context: WorkerContext) -> None:
    """The event can arrive before the worker has recorded the refund."""
    with context.records.work() as work:
        work.webhook_events.keep("sandbox", [WebhookEvent("ev_early", Subject.REFUND, None, "re_early")], b"")
    for _ in range(UNKNOWN_PAYMENT_ATTEMPTS - 1):
        process_all_events(context)
        expire_leases(context.records)
    assert progress_of(context.records, "ev_early") == (True, UNKNOWN_PAYMENT_ATTEMPTS - 1)
    process_all_events(context)
    assert progress_of(context.records, "ev_early") == (False, UNKNOWN_PAYMENT_ATTEMPTS)


def test_events_in_the_wrong_order_do_not_change_the_final_state(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, purchase)
    refund = wait_for_status(context, purchase, "failed")
    send_event(web, an_event("refund.updated", refund))
    process_all_events(context)
    send_event(web, an_event("refund.created", refund | {"status": "succeeded"}))
    process_all_events(context)
    assert state_of(context.records, case) is State.WITH_SUPPORT
    assert (unprocessed_event_ids(context.records), email_kinds_of(context.records, case)) == (
        [],
        ["refunded", "returned"],
    )
    assert_audit_is_clean(context.records)


def test_a_signed_but_false_event_changes_nothing_and_stays_unprocessed(
    web: httpx.Client, context: WorkerContext
) -> None:
    """An attacker who knows the secret can only cause a lookup. The provider's answer decides the state of the case."""
    purchase = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, purchase)
    (refund,) = refunds_at_provider(context, purchase)
    send_event(web, false_event := an_event("refund.updated", refund | {"status": "failed"}))
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert refunded_amount(context.records, purchase) == 4900
    assert progress_of(context.records, false_event.id) == (True, 1)


def test_a_webhook_completes_a_pending_refund_before_the_next_poll(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("pending")
    (case,) = create_executed_cases(context, purchase)
    assert state_of(context.records, case) is State.REFUND_PENDING
    with context.records.work() as work:  # the next poll is in six hours
        work.run(
            "update cases set not_before = now() + interval '6 hours', next_action_at = now() + interval '6 hours'"
        )
    refund = wait_for_status(context, purchase, "succeeded")
    resolve(context, [case])
    assert state_of(context.records, case) is State.REFUND_PENDING
    send_event(web, event := an_event("refund.updated", refund))
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert progress_of(context.records, event.id) == (False, 1)


def test_an_event_about_a_leased_case_is_processed_later(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    (case,) = create_approved_cases(context, purchase)
    with context.records.work() as work:
        (call,) = prepare(work, context, work.cases.lock([case], state=State.APPROVED))
    context.providers["sandbox"].refund(charge_of(purchase), Money(4900, "EUR"), key=call.operation.key)
    (refund,) = refunds_at_provider(context, purchase)
    send_event(web, event := an_event("refund.created", refund))
    process_all_events(context)
    # The worker with the lease has not recorded the refund yet.
    assert state_of(context.records, case) is State.REFUNDING
    assert progress_of(context.records, event.id) == (True, 1)
    expire_leases(context.records)  # as if the worker with the lease had crashed
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert progress_of(context.records, event.id) == (False, 2)


@pytest.mark.parametrize(
    ("first", "second", "final"),
    [
        ("ok", "pending", State.REFUNDED),
        ("ok", "hang", State.REFUNDED),
        ("latefail", "pending", State.WITH_SUPPORT),
        ("latefail", "hang", State.WITH_SUPPORT),
    ],
)
def test_an_event_about_an_earlier_payment_waits_for_the_refund_of_the_next_payment(
    web: httpx.Client, context: WorkerContext, first: str, second: str, final: State
) -> None:
    parts = [a_charged_purchase(behaviour) for behaviour in (first, second)]
    order = a_recent_purchase(payments=tuple(payment for part in parts for payment in part.payments))
    (case,) = create_executed_cases(context, order)
    execute(context, [case])
    in_flight = state_of(context.records, case)
    assert in_flight in {State.REFUNDING, State.REFUND_PENDING}
    status = "failed" if first == "latefail" else "succeeded"
    send_event(web, event := an_event("refund.updated", wait_for_status(context, parts[0], status)))
    make_next_attempt_the_last(context.records)
    for _ in range(3):
        expire_leases(context.records)
        process_all_events(context)
        assert (state_of(context.records, case), unprocessed_event_ids(context.records)) == (in_flight, [event.id])
    wait_for_status(context, parts[1], "succeeded")
    expire_leases(context.records)
    resolve(context, [case])
    assert state_of(context.records, case) is State.REFUNDED
    process_all_events(context)
    assert (state_of(context.records, case), unprocessed_event_ids(context.records)) == (final, [])
    assert_audit_is_clean(context.records)


def test_events_about_two_payments_of_a_case_are_processed_together(web: httpx.Client, context: WorkerContext) -> None:
    parts = [a_charged_purchase("ok"), a_charged_purchase("pending")]
    order = a_recent_purchase(payments=tuple(payment for part in parts for payment in part.payments))
    (case,) = create_executed_cases(context, order)
    execute(context, [case])
    assert state_of(context.records, case) is State.REFUND_PENDING
    for part in reversed(parts):
        send_event(web, an_event("refund.updated", wait_for_status(context, part, "succeeded")))
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    process_all_events(context)
    assert unprocessed_event_ids(context.records) == []


class UnknownLookups(CapabilityDefaults):
    """An adapter whose lookups have unknown results."""

    def __init__(self, sandbox_adapter: Any) -> None:
        self.capabilities = replace(sandbox_adapter.capabilities, shows_payments=False)

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        return Unknown(f"No answer about {charge} {key}.")

    def dispute(self, charge: str) -> DisputeStatus:
        assert charge
        return DisputeStatus(Dispute.NONE)


def test_a_webhook_resolves_a_case_that_went_to_support_with_an_unknown_outcome(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("hang")
    (case,) = create_executed_cases(context, purchase)
    unknown_lookups = with_adapter(context, UnknownLookups(context.providers["sandbox"]))
    with context.records.work() as work:
        work.run("update refund_operations set first_sent_at = first_sent_at - interval '49 hours'")
    expire_leases(context.records)
    resolve(unknown_lookups, [case])
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["outcome_unknown"],
    )
    (refund,) = refunds_at_provider(context, purchase)
    send_event(web, an_event("refund.created", refund))
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert refunded_amount(context.records, purchase) == 4900
    assert unprocessed_event_ids(context.records) == []
    assert_audit_is_clean(context.records)


class LateLookups(UnknownLookups):
    """An adapter that finds the refund only if `shows_refund` is set."""

    def __init__(self, sandbox_adapter: Any) -> None:
        super().__init__(sandbox_adapter)
        self._sandbox_adapter = sandbox_adapter
        self.shows_refund = False

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        found: LookupResult = self._sandbox_adapter.look_up(charge, key=key) if self.shows_refund else NotFound()
        return found

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        found: Sequence[ListedRefund] | Unknown = self._sandbox_adapter.refunds(charge) if self.shows_refund else []
        return found


def test_an_event_is_attempted_until_its_refund_is_found(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, purchase)
    late_lookups = LateLookups(context.providers["sandbox"])
    send_event(web, event := an_event("refund.updated", wait_for_status(context, purchase, "failed")))
    for attempt in (1, 2, 3):
        process_all_events(with_adapter(context, late_lookups))
        assert progress_of(context.records, event.id) == (True, attempt)
        assert state_of(context.records, case) is State.REFUNDED
        expire_leases(context.records)
    late_lookups.shows_refund = True
    process_all_events(with_adapter(context, late_lookups))
    assert progress_of(context.records, event.id) == (False, 4)
    assert state_of(context.records, case) is State.WITH_SUPPORT


def test_an_event_is_attempted_until_its_external_refund_is_found(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    late_lookups = LateLookups(context.providers["sandbox"])
    send_event(web, event := an_event("refund.created", refund_manually(context, purchase)))
    process_all_events(with_adapter(context, late_lookups))
    assert (progress_of(context.records, event.id), task_evidence(context.records, "unexpected_refund")) == (
        (True, 1),
        [],
    )
    expire_leases(context.records)
    late_lookups.shows_refund = True
    process_all_events(with_adapter(context, late_lookups))
    assert progress_of(context.records, event.id) == (False, 2)
    assert len(task_evidence(context.records, "unexpected_refund")) == 1


def test_parallel_workers_process_an_event_once(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, purchase)
    send_event(web, event := an_event("refund.updated", wait_for_status(context, purchase, "failed")))
    with context.records.work() as work:
        (event_id,) = (row.id for row in work.run("select id from webhook_events"))
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda _: handle(context, WebhookEventsReceived, [event_id]), range(8)))
    assert progress_of(context.records, event.id) == (False, 1)
    assert email_kinds_of(context.records, case) == ["refunded", "returned"]


class DecliningAdapter(UnknownLookups):
    """An adapter that declines the refund, and finds an external refund."""

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        return Declined(DeclineReason.PERMANENT, f"no_{len(charge + key)}_{amount.minor}")

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        return ExternalRefund(f"by hand, not {key}"[:7], Money(4900, "EUR")) if charge else NotFound()

    def refunds(self, charge: str) -> Sequence[ListedRefund]:
        return [by_hand(charge)]


def by_hand(charge: str, minor: int = 4900, status: RefundStatus = RefundStatus.PAID) -> ListedRefund:
    """Return a refund that support made in the provider's dashboard."""
    return ListedRefund("by hand", charge, Money(minor, "EUR"), status, datetime.now(UTC))


def test_a_refund_by_hand_after_a_declined_refund_settles_the_case(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    declining = with_adapter(context, DecliningAdapter(context.providers["sandbox"]))
    (case,) = create_executed_cases(declining, purchase)
    assert (state_of(context.records, case), refunded_amount(context.records, purchase)) == (State.WITH_SUPPORT, 0)
    send_event(web, an_event("refund.created", a_refund(charge_of(purchase), id="by hand")))
    process_all_events(declining)
    process_all_events(declining)
    assert unprocessed_event_ids(context.records) == []
    assert refunded_amount(context.records, purchase) == 4900
    assert task_evidence(context.records, "unexpected_refund") == []
    assert state_of(context.records, case) is State.REFUNDED
    assert_audit_is_clean(context.records)


class RefundedAgain(DecliningAdapter):
    """An adapter that declines the refund, and shows the refund by hand, and later further refunds."""

    def __init__(self, sandbox_adapter: Any) -> None:
        super().__init__(sandbox_adapter)
        self.later: list[ListedRefund] = []

    def refunds(self, charge: str) -> Sequence[ListedRefund]:
        return [*super().refunds(charge), *self.later]


@pytest.mark.parametrize("amounts", [(1,), (4900,), (2000, 2900)])
def test_each_external_refund_after_a_settlement_is_reported(
    web: httpx.Client, context: WorkerContext, amounts: tuple[int, ...]
) -> None:
    purchase = a_charged_purchase("ok")
    charge, adapter = charge_of(purchase), RefundedAgain(context.providers["sandbox"])
    refunded_again = with_adapter(context, adapter)
    (case,) = create_executed_cases(refunded_again, purchase)
    send_event(web, an_event("refund.created", a_refund(charge, id="by hand")))
    process_all_events(refunded_again)
    assert state_of(context.records, case) is State.REFUNDED
    adapter.later = [replace(by_hand(charge, minor), refund_id=f"again {n}") for n, minor in enumerate(amounts)]
    for refund in adapter.later:
        send_event(web, an_event("refund.created", a_refund(charge, id=refund.refund_id)))
    process_all_events(refunded_again)
    reported = {evidence["refund"] for evidence in task_evidence(context.records, "unexpected_refund")}
    assert reported == {refund.refund_id for refund in adapter.later}


class ExternalRefundFirst(UnknownLookups):
    """An adapter whose lookup finds Moneyback's refund if it exists, and otherwise an external refund."""

    def __init__(self, sandbox_adapter: Any) -> None:
        super().__init__(sandbox_adapter)
        self._sandbox_adapter = sandbox_adapter

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        found: LookupResult = self._sandbox_adapter.look_up(charge, key=key)
        return ExternalRefund("by hand", Money(4900, "EUR")) if isinstance(found, NotFound) else found

    def refunds(self, charge: str) -> Sequence[ListedRefund]:
        return [by_hand(charge), *self._sandbox_adapter.refunds(charge)]


def test_support_is_told_of_an_external_refund_while_our_refund_is_sent(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("ok")
    (case,) = create_approved_cases(context, purchase)
    with context.records.work() as work:
        (call,) = prepare(work, context, work.cases.lock([case], state=State.APPROVED))
    expire_leases(context.records)
    external_first = with_adapter(context, ExternalRefundFirst(context.providers["sandbox"]))
    send_event(web, an_event("refund.created", a_refund(charge_of(purchase), id="by hand")))
    process_all_events(external_first)
    process_all_events(external_first)
    assert (state_of(context.records, case), unprocessed_event_ids(context.records)) == (State.REFUNDING, [])
    context.providers["sandbox"].refund(
        charge_of(purchase), Money(4900, "EUR"), key=call.operation.key
    )  # the provider receives the delayed call
    expire_leases(context.records)
    resolve(external_first, [case])
    assert state_of(context.records, case) is State.REFUNDED
    assert [evidence["refund"] for evidence in task_evidence(context.records, "unexpected_refund")] == ["by hand"]
    assert_audit_is_clean(context.records)


class OnlyExternalRefund(UnknownLookups):
    """An adapter that finds only an external refund."""

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        return ExternalRefund("by hand", Money(4900, "EUR")) if charge and key else NotFound()

    def refunds(self, charge: str) -> Sequence[ListedRefund]:
        return [by_hand(charge)]


def test_an_external_refund_does_not_confirm_the_failure_of_an_own_refund(
    web: httpx.Client, context: WorkerContext
) -> None:
    """Until the provider confirms the failure, the event stays unprocessed. After the last attempt, support gets a task."""
    purchase = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, purchase)
    with context.records.work() as work:
        own_refund = work.refund_operations.for_cases([case])[case][-1].refund_id
    send_event(web, event := an_event("refund.updated", a_refund(charge_of(purchase), "failed", id=own_refund)))
    expire_leases(context.records)
    process_all_events(with_adapter(context, OnlyExternalRefund(context.providers["sandbox"])))
    assert progress_of(context.records, event.id) == (True, 1)
    process_all_events(with_adapter(context, OnlyExternalRefund(context.providers["sandbox"])))
    assert [evidence["refund"] for evidence in task_evidence(context.records, "unexpected_refund")] == ["by hand"]
    make_next_attempt_the_last(context.records)
    process_all_events(with_adapter(context, OnlyExternalRefund(context.providers["sandbox"])))
    assert len(task_evidence(context.records, "webhook_event_unresolved")) == 1


class LateOwnRefund(OnlyExternalRefund):
    """An adapter whose lookup finds Moneyback's failed refund if `shows_refund` is set, and otherwise the external refund."""

    def __init__(self, sandbox_adapter: Any) -> None:
        super().__init__(sandbox_adapter)
        self.shows_refund = False

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        return Failed("ours", "came_back") if self.shows_refund else super().look_up(charge, key=key)


def test_an_event_without_a_refund_id_is_not_resolved_by_an_external_refund(context: WorkerContext) -> None:
    """Mollie's events contain neither a refund id nor a status. So the event may be about Moneyback's refund."""
    purchase = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, purchase)
    expire_leases(context.records)
    with context.records.work() as work:
        work.webhook_events.keep(
            "sandbox", [WebhookEvent("any", Subject.REFUND, charge_of(purchase), reuses_event_id=True)], b""
        )
    late_own_refund = LateOwnRefund(context.providers["sandbox"])
    process_all_events(with_adapter(context, late_own_refund))
    assert (state_of(context.records, case), progress_of(context.records, "any")) == (State.REFUNDED, (True, 1))
    process_all_events(with_adapter(context, late_own_refund))
    assert [evidence["refund"] for evidence in task_evidence(context.records, "unexpected_refund")] == ["by hand"]
    late_own_refund.shows_refund = True
    expire_leases(context.records)
    process_all_events(with_adapter(context, late_own_refund))
    assert progress_of(context.records, "any") == (False, 3)
    assert reason_codes_of(context.records, case) == ["returned_by_bank"]


# Web, worker and relay as processes


def test_all_cases_reach_the_state_that_the_sandbox_reports(
    records: Records, start: Callable[..., ChildProcess], tmp_path: Path
) -> None:
    """For some charges, the sandbox sends webhooks repeatedly, in the wrong order, or with an invalid signature.

    A worker can learn of a late failure only from a webhook.
    """
    port = free_port()
    with sandbox_in(
        tmp_path / "sandbox", webhooks=f"http://127.0.0.1:{port}/v1/webhooks/sandbox", secret="s3"
    ) as process:
        env = {"MONEYBACK_SANDBOX_URL": process.url, "MONEYBACK_SANDBOX_WEBHOOK_SECRET": "s3, of last week"}
        start("web", "web", "--port", str(port), **env)
        for service in ("worker", "relay"):
            start(service, service, **env)
        behaviours = ("ok", "pending", "pendingfail", "latefail", "dupes", "shuffle", "forge")
        purchases = [a_charged_purchase(kind) for kind in behaviours]
        store_seller_and_purchases(records, *purchases)
        cases = dict(
            zip(behaviours, ids_of(accept(records, [a_submission(purchase) for purchase in purchases])), strict=True)
        )
        expected_states = dict.fromkeys(behaviours, State.REFUNDED) | dict.fromkeys(
            ("pendingfail", "latefail"), State.WITH_SUPPORT
        )
        eventually(
            lambda: {kind: state_of(records, case) for kind, case in cases.items()} == expected_states, seconds=90
        )
        eventually(lambda: process.summary()["webhooks"]["waiting"] == 0)
        eventually(lambda: unprocessed_event_ids(records) == [])
        assert {
            email_kind for kind in ("pendingfail", "latefail") for email_kind in email_kinds_of(records, cases[kind])
        } >= {"returned"}
        assert max(event.deliveries for event in stored_events(records)) >= 3
        assert process.summary()["duplicates"] == 0
        assert_audit_is_clean(records)


def test_an_event_that_is_repeated_during_its_lookup_is_processed_again(
    settings: Settings, context: WorkerContext
) -> None:
    """Mollie uses one event id for all changes of a payment. A change during the lookup needs a second lookup."""
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    refund = refund_manually(context, purchase)

    def parse_body(_: Mapping[str, str], body: bytes) -> Sequence[WebhookEvent]:
        return [
            WebhookEvent(event_id=body.decode(), subject=Subject.REFUND, charge=body.decode(), reuses_event_id=True)
        ]

    with serve(app(settings, readers={"sandbox": ScriptedParser(parse_body)})) as web:

        class RepeatingAdapter(UnknownLookups):
            """An adapter whose lookup sends the event again."""

            def refunds(self, charge: str) -> Sequence[ListedRefund]:
                post_webhook(web, charge.encode())
                return [replace(by_hand(charge), refund_id=refund["id"])]

        post_webhook(web, charge_of(purchase).encode())
        process_all_events(with_adapter(context, RepeatingAdapter(context.providers["sandbox"])))
        assert progress_of(context.records, charge_of(purchase)) == (True, 0)
        process_all_events(context)
        assert progress_of(context.records, charge_of(purchase)) == (False, 1)
        post_webhook(web, charge_of(purchase).encode())
        assert progress_of(context.records, charge_of(purchase)) == (True, 0)
    assert len(task_evidence(context.records, "unexpected_refund")) == 1


# Unresolved events


def make_next_attempt_the_last(records: Records) -> None:
    """Set the number of attempts of all unprocessed events, so that the next attempt is the last."""
    with records.work() as work:
        work.run("update webhook_events set attempts = :many where next_action_at is not null", many=MAX_ATTEMPTS - 1)


def test_an_unresolved_event_becomes_a_support_task_after_many_attempts(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    send_event(web, event := an_event("refund.created", refund := a_refund(charge_of(purchase))))
    make_next_attempt_the_last(context.records)
    with capture_logs() as logs:
        process_all_events(context)
    assert progress_of(context.records, event.id) == (False, MAX_ATTEMPTS)
    assert "webhook_event_unresolved" in {log["event"] for log in logs}
    process_all_events(context)
    assert progress_of(context.records, event.id) == (False, MAX_ATTEMPTS)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert (evidence["charge"], evidence["refund"], evidence["reported"]) == (charge_of(purchase), refund["id"], "paid")
    assert (evidence["event"], evidence["last_outcome"]) == (event.id, OutcomeCode.NOT_VISIBLE.sentence)
    assert [event.outcome for event in stored_events(context.records)] == ["not_visible"]


def test_two_events_about_an_unconfirmed_late_failure_create_one_task(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, purchase)
    (refund,) = refunds_at_provider(context, purchase)
    for _ in range(2):  # two events about one failure
        send_event(web, an_event("refund.updated", refund | {"status": "failed"}))
        make_next_attempt_the_last(context.records)
        process_all_events(context)
        expire_leases(context.records)
    assert (unprocessed_event_ids(context.records), state_of(context.records, case)) == ([], State.REFUNDED)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert (evidence["reported"], evidence["refund"], evidence["our_status"]) == ("failed", refund["id"], "paid")
    with context.records.work() as work:
        (task,) = work.support_tasks.list_open()
    assert (task.case_id, task.seller_id) == (case, purchase.seller_id)
    assert task.reasons[0]["sentence"] == SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED.sentence


def test_an_unconfirmed_dispute_becomes_a_task(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("ok")
    create_executed_cases(context, purchase)
    send_event(web, an_event("dispute.opened", refund := a_refund(charge_of(purchase), "open")))
    make_next_attempt_the_last(context.records)
    process_all_events(context)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert (evidence["about"], evidence["dispute"], evidence["reported"]) == ("dispute", refund["id"], "open")


def test_an_event_whose_last_attempt_crashed_the_worker_becomes_a_task(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    send_event(web, event := an_event("refund.created", a_refund(charge_of(purchase))))
    make_next_attempt_the_last(context.records)
    with context.records.work() as work:
        (crashing,) = (row.id for row in work.run("select id from webhook_events"))
        work.webhook_events.claim([crashing], seconds=60)  # the worker crashes during the last attempt
    expire_leases(context.records)
    process_all_events(context)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert evidence["event"] == event.id


class WorkerCrash(BaseException):
    """Simulates SIGKILL: no code of the worker handles this exception."""


class CrashingAdapter:
    """An adapter of the sandbox whose list of the refunds of one charge crashes the worker."""

    def __init__(self, adapter: Any, charge: str) -> None:
        self._adapter = adapter
        self._charge = charge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        if charge == self._charge:
            raise WorkerCrash
        found: Sequence[ListedRefund] | Unknown = self._adapter.refunds(charge)
        return found


def test_an_event_that_crashes_three_workers_does_not_stop_other_events(
    web: httpx.Client, context: WorkerContext
) -> None:
    crashing, other = a_charged_purchase("ok"), a_charged_purchase("ok")
    store_seller_and_purchases(context.records, crashing, other)
    crashing_context = with_adapter(context, CrashingAdapter(context.provider("sandbox"), charge_of(crashing)))
    send_event(web, crashing_event := an_event("refund.created", a_refund(charge_of(crashing))))
    send_event(web, other_event := an_event("refund.created", a_refund(charge_of(other))))
    for _ in range(3):
        with pytest.raises(WorkerCrash):
            process_all_events(crashing_context)
        expire_leases(context.records)
    process_all_events(crashing_context)
    assert progress_of(context.records, other_event.id)[1] >= 2, "The other event was not attempted again."
    assert progress_of(context.records, crashing_event.id) == (False, 4)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert (evidence["event"], evidence["last_outcome"]) == (crashing_event.id, OutcomeCode.CRASHED_WORKER.sentence)


def test_an_early_event_whose_workers_crashed_is_processed_when_its_purchase_is_reported(
    web: httpx.Client, context: WorkerContext
) -> None:
    purchase = a_charged_purchase("ok")
    send_event(web, event := an_event("refund.created", refund_manually(context, purchase)))
    crash_workers(context.records, 4)
    process_all_events(context)
    assert progress_of(context.records, event.id)[0] is False
    assert task_evidence(context.records, "webhook_event_unresolved") == []
    store_seller_and_purchases(context.records, purchase)
    process_all_events(context)
    assert [event.outcome for event in stored_events(context.records)] == [OutcomeCode.EXTERNAL_REFUND]
    assert refunded_amount(context.records, purchase) == 4900


class TakeoverAdapter:
    """An adapter of the sandbox. During its lookup, another worker takes over the case."""

    def __init__(self, context: WorkerContext, case: UUID) -> None:
        self._context = context
        self._case = case

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context.provider("sandbox"), name)

    def look_up(self, charge: str, **options: Any) -> LookupResult:
        with self._context.records.work() as work:
            work.run("update cases set fence = fence + 1 where id = :id", id=self._case)
        found: LookupResult = self._context.provider("sandbox").look_up(charge, **options)  # type: ignore[union-attr]
        return found


def test_an_event_stays_unprocessed_if_its_case_was_taken_over(web: httpx.Client, context: WorkerContext) -> None:
    purchase = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, purchase)
    (refund,) = refunds_at_provider(context, purchase)
    eventually(lambda: refunds_at_provider(context, purchase)[0]["status"] == "failed")
    send_event(web, event := an_event("refund.updated", refund | {"status": "failed"}))
    process_all_events(with_adapter(context, TakeoverAdapter(context, case)))
    assert (progress_of(context.records, event.id)[0], state_of(context.records, case)) == (True, State.REFUNDED)
    expire_leases(context.records)
    with context.records.work() as work:
        work.run("update cases set lease_until = 'epoch'")
    process_all_events(context)
    assert (progress_of(context.records, event.id)[0], state_of(context.records, case)) == (False, State.WITH_SUPPORT)


def test_the_known_failure_of_an_earlier_refund_creates_no_task(web: httpx.Client, context: WorkerContext) -> None:
    """The earlier refund failed, and a second refund was sent. The lookup finds the second refund, which is paid."""
    purchase = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, purchase)
    with context.records.work() as work:
        values = (
            "case_id, 0, provider, charge, amount, currency, key || '_0', payload_hash, first_sent_at, last_sent_at"
        )
        columns = values.replace("0, provider", "attempt, provider").replace(" || '_0'", "")
        work.run(
            f"insert into refund_operations ({columns}, status, refund_id)"
            f" select {values}, 'failed', 're_earlier' from refund_operations where case_id = :case",
            case=case,
        )
    send_event(web, an_event("refund.updated", a_refund(charge_of(purchase), "failed", id="re_earlier")))
    make_next_attempt_the_last(context.records)
    process_all_events(context)
    assert (unprocessed_event_ids(context.records), task_evidence(context.records, "webhook_event_unresolved")) == (
        [],
        [],
    )


def test_an_event_about_an_unknown_payment_creates_no_task(web: httpx.Client, context: WorkerContext) -> None:
    send_event(web, an_event("refund.updated", a_refund("ok_of_somebody_else", "failed")))
    make_next_attempt_the_last(context.records)
    process_all_events(context)
    with context.records.work() as work:
        assert (unprocessed_event_ids(context.records), work.support_tasks.list_open()) == ([], [])
