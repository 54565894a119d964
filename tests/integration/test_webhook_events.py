"""Webhooks, from the web's door to what a worker makes of them: real HTTP, database and sandbox, signed as the sandbox signs."""

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
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
    ExternalRefund,
    Failed,
    LookupResult,
    NotFound,
    RefundResult,
    Unknown,
)
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
from tests.sample_data import a_submission, ids_of, store_seller_and_purchases
from tests.services import ChildProcess, eventually
from worker.context import WorkerContext
from worker.dispatch import handle
from worker.providers import create_webhook_parsers
from worker.refunds.execution import prepare
from worker.refunds.resolution import resolve
from worker.webhook_events.outcomes import OutcomeCode
from worker.webhook_events.processing import MAX_ATTEMPTS, UNKNOWN_PAYMENT_ATTEMPTS


@pytest.fixture
def web(sandbox_settings: Settings) -> Iterator[httpx.Client]:
    """The web, with the sandbox's reader."""
    with serve(app(sandbox_settings, readers=create_webhook_parsers(sandbox_settings))) as web:
        yield web


def is_refused(answer: httpx.Response, kind: ProblemCode) -> bool:
    return (answer.status_code, answer.json()["type"]) == (kind.status, f"http://testserver/problems/{kind}")


def notices(records: Records) -> list[Any]:
    with records.work() as work:
        return list(
            work.run("select event_id, deliveries, attempts, outcome, body from webhook_events order by received_at")
        )


def woken(records: Records) -> int:
    """How many notices lie on the lane to a worker."""
    with records.work() as work:
        return int(
            work.run("select count(*) from outbox where queue = :lane", lane=WebhookEventsReceived.queue).scalar_one()
        )


# At the door


def test_an_event_is_kept_as_it_came_and_wakes_a_worker(web: httpx.Client, records: Records) -> None:
    event = an_event("refund.created", a_refund("ok_1"))
    answer = send_event(web, event)
    assert (answer.status_code, answer.content) == (200, b"")
    ((name, arrivals, attempts, outcome, body),) = notices(records)
    assert (name, arrivals, attempts, outcome) == (event.id, 1, 0, None)
    assert json.loads(body) == event.document()
    assert woken(records) == 1


def test_an_event_that_comes_again_changes_nothing(web: httpx.Client, records: Records) -> None:
    event = an_event("refund.created", a_refund("ok_1"))
    with ThreadPoolExecutor(10) as senders:
        answers = list(senders.map(lambda _: send_event(web, event).status_code, range(20)))
    assert answers == [200] * 20
    ((_, arrivals, *_),) = notices(records)
    assert (arrivals, woken(records)) == (20, 1)


def signed(body: bytes) -> str:
    return Webhooks("", SECRET).signature(body, int(time.time()))


LIE = json.dumps(an_event("refund.updated", a_refund("ok_secret_charge", "failed")).document()).encode()
REFUSED: dict[str, Callable[[httpx.Client], httpx.Response]] = {
    "unsigned": lambda web: post_webhook(web, LIE),
    "with another secret": lambda web: post_webhook(
        web, LIE, Webhooks("", "a stranger's").signature(LIE, int(time.time()))
    ),
    "under the signature of another": lambda web: post_webhook(web, LIE, signed(b"{}")),
    "changed by one bit": lambda web: post_webhook(web, LIE[:-1] + b"~", signed(LIE)),
    "out of date": lambda web: send_event(web, an_event("refund.created", a_refund("ok_1")), age=EXPIRED_AGE),
    "from the future": lambda web: send_event(
        web, an_event("refund.created", a_refund("ok_1")), age=-1_000 * EXPIRED_AGE
    ),
    "empty": lambda web: post_webhook(web, b""),
    "garbage, signed": lambda web: post_webhook(web, b'\xff{"id": ["<', signed(b'\xff{"id": ["<')),
    "too large for the sandbox": lambda web: post_webhook(web, b" " * 200_000, signed(b" " * 200_000)),
}


@pytest.mark.parametrize("how", REFUSED)
def test_what_nobody_proved_to_have_sent_is_refused_without_a_word_why(
    web: httpx.Client, records: Records, how: str
) -> None:
    with capture_logs() as logs:
        answer = REFUSED[how](web)
    assert is_refused(answer, ProblemCode.INVALID_SIGNATURE)
    assert answer.json()["detail"] == ProblemCode.INVALID_SIGNATURE.detail
    assert (notices(records), woken(records)) == ([], 0)
    (said,) = logs
    assert (said["event"], said["provider"], bool(said["why"])) == ("webhook_rejected", "sandbox", True)
    assert "secret_charge" not in str(logs)


@pytest.mark.parametrize("stated", [True, False])
def test_more_than_256_kilobytes_are_not_read(web: httpx.Client, records: Records, stated: bool) -> None:
    big = b" " * (middleware.MAX_WEBHOOK_BYTES + 1)
    pieces = (big[n : n + 50_000] for n in range(0, len(big), 50_000))
    headers = {"sandbox-signature": signed(big)}
    assert is_refused(
        web.post("/v1/webhooks/sandbox", content=big if stated else pieces, headers=headers),
        ProblemCode.CONTENT_TOO_LARGE,
    )
    assert notices(records) == []


def test_an_event_of_an_unknown_type_is_answered_and_forgotten(web: httpx.Client, records: Records) -> None:
    assert send_event(web, an_event("payout.sent", a_refund("ok_1"))).status_code == 200
    assert (notices(records), woken(records)) == ([], 0)


@pytest.mark.parametrize("name", ["stripe", "nobody", "sandbox/more", "SANDBOX", "%00"])
def test_a_provider_that_is_not_connected_has_no_address_here(web: httpx.Client, name: str) -> None:
    assert is_refused(web.post(f"/v1/webhooks/{name}", content=LIE), ProblemCode.NOT_FOUND)


def test_without_readers_no_provider_has_an_address(settings: Settings) -> None:
    with serve(app(settings)) as web:
        assert is_refused(send_event(web, an_event("refund.created", a_refund("ok_1"))), ProblemCode.NOT_FOUND)


def test_looking_at_the_address_is_no_webhook(web: httpx.Client) -> None:
    assert is_refused(web.get("/v1/webhooks/sandbox"), ProblemCode.METHOD_NOT_ALLOWED)


def test_while_the_database_is_away_the_provider_is_asked_to_send_it_again(
    web: httpx.Client, records: Records, sandbox_settings: Settings
) -> None:
    dead = SecretStr("postgresql://moneyback:hunter2@127.0.0.1:1/nowhere")
    event = an_event("refund.created", a_refund("ok_1"))
    with serve(
        app(
            sandbox_settings.model_copy(update={"database_url": dead}), readers=create_webhook_parsers(sandbox_settings)
        )
    ) as cut_off:
        answer = send_event(cut_off, event)
        assert is_refused(answer, ProblemCode.SERVICE_UNAVAILABLE)
        assert int(answer.headers["retry-after"]) > 0
        assert is_refused(
            post_webhook(cut_off, LIE), ProblemCode.INVALID_SIGNATURE
        )  # no database is needed to know a lie
    assert send_event(web, event).status_code == 200
    assert [notice.event_id for notice in notices(records)] == [event.id]


class Reader:
    """A provider's reader that does as it is told."""

    answer = b"[accepted]"

    def __init__(self, read: Callable[[Mapping[str, str], bytes], Sequence[WebhookEvent] | InvalidSignature]) -> None:
        self._read = read

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:
        assert abs((datetime.now(UTC) - at).total_seconds()) < 30
        return self._read(headers, body)


def broken(_: Mapping[str, str], body: bytes) -> Sequence[WebhookEvent]:
    raise RuntimeError(len(body))


def test_a_reader_that_breaks_is_our_mistake_and_the_provider_sends_again(settings: Settings, records: Records) -> None:
    with serve(app(settings, readers={"sandbox": Reader(broken)})) as web, capture_logs() as logs:
        assert is_refused(post_webhook(web, LIE), ProblemCode.INTERNAL_ERROR)
    assert notices(records) == []
    assert [log["event"] for log in logs] == ["unhandled_exception"]


def test_a_reader_gets_what_came_and_its_provider_reads_what_it_wants(settings: Settings, records: Records) -> None:
    came: list[tuple[Mapping[str, str], bytes]] = []

    def one(headers: Mapping[str, str], body: bytes) -> Sequence[WebhookEvent]:
        came.append((headers, body))
        return [WebhookEvent("ev_1", Subject.REFUND, "ok_1"), WebhookEvent("ev_2", Subject.DISPUTE, "ok_2")]

    body = b"\x00\xff id=tr_1 \r\n"
    with serve(app(settings, readers={"adyen": Reader(one)})) as web:
        answer = web.post("/v1/webhooks/adyen", content=body, headers={"X-Signature": "AbC"})
    assert (answer.status_code, answer.content) == (200, b"[accepted]")
    ((headers, raw),) = came
    assert (headers["x-signature"], raw) == ("AbC", body)
    assert all(name == name.lower() for name in headers)
    assert {notice.event_id for notice in notices(records)} == {"ev_1", "ev_2"}
    assert woken(records) == 2


def test_webhooks_that_wait_for_a_certificate_hold_up_no_form_and_no_other_provider(settings: Settings) -> None:
    reading, go_on = threading.Semaphore(0), threading.Event()

    def slow(_: Mapping[str, str], __: bytes) -> InvalidSignature:
        reading.release()
        assert go_on.wait(60)
        return InvalidSignature("It took too long.")

    both = {"paypal": Reader(slow), "mollie": Reader(lambda *_: [])}
    with serve(app(settings, readers=both)) as web, ThreadPoolExecutor(40) as senders:
        try:
            sent = [senders.submit(web.post, "/v1/webhooks/paypal", content=b"{}") for _ in range(40)]
            for _ in range(MAX_CONCURRENT_WEBHOOKS):
                assert reading.acquire(timeout=30)
            with httpx.Client(base_url=web.base_url, timeout=10) as customer:
                assert customer.get("/readyz").status_code == 200
                assert customer.post("/v1/webhooks/mollie", content=b"id=tr_1").status_code == 200
            assert not any(one.done() for one in sent)
        finally:
            go_on.set()
        assert {one.result().status_code for one in sent} == {400}


# What a worker makes of it


def test_a_refund_that_we_never_made_is_noted_and_reported_once(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought)
    made = refund_manually(context, bought)
    for _ in range(2):  # two events, and one of them twice
        event = an_event("refund.created", made)
        send_event(web, event)
        send_event(web, event)
        process_all_events(context)
    (evidence,) = task_evidence(context.records, "unexpected_refund")
    assert (evidence["charge"], evidence["refund"], evidence["amount"]) == (bought.charge, made["id"], 4900)
    assert refunded_amount(context.records, bought) == 4900
    assert unprocessed_event_ids(context.records) == []


def test_a_second_refund_beside_ours_is_reported_although_the_look_up_shows_ours(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("ok")
    create_executed_cases(context, bought)
    (ours,) = refunds_at_provider(context, bought)
    send_event(web, an_event("refund.created", ours))
    process_all_events(context)
    assert task_evidence(context.records, "unexpected_refund") == []
    theirs = a_refund(bought.charge)
    send_event(web, an_event("refund.created", theirs))
    process_all_events(context)
    (evidence,) = task_evidence(context.records, "unexpected_refund")
    assert (evidence["charge"], evidence["refund"]) == (bought.charge, theirs["id"])
    assert unprocessed_event_ids(context.records) == []


def test_a_refund_made_by_hand_is_noted_on_every_purchase_of_its_payment(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("ok")
    twin = a_charged_purchase("ok", charge=bought.charge)
    store_seller_and_purchases(context.records, bought, twin)
    send_event(web, an_event("refund.created", refund_manually(context, bought)))
    process_all_events(context)
    assert [refunded_amount(context.records, one) for one in (bought, twin)] == [4900, 4900]
    assert len(task_evidence(context.records, "unexpected_refund")) == 1


def test_an_event_about_a_payment_that_nobody_told_us_of_is_kept_and_done_in_the_end(
    web: httpx.Client, context: WorkerContext
) -> None:
    for kind in ("refund.created", "dispute.opened"):
        data = a_refund("ok_of_somebody_else", "succeeded" if kind == "refund.created" else "open")
        assert send_event(web, an_event(kind, data)).status_code == 200
    for _ in range(UNKNOWN_PAYMENT_ATTEMPTS):
        assert len(unprocessed_event_ids(context.records)) == 2
        process_all_events(context)
    assert unprocessed_event_ids(context.records) == []
    assert [notice.attempts for notice in notices(context.records)] == [
        UNKNOWN_PAYMENT_ATTEMPTS,
        UNKNOWN_PAYMENT_ATTEMPTS,
    ]
    with context.records.work() as work:
        assert work.support_tasks.list_open() == []


def fate(records: Records, event: str) -> tuple[bool, int]:
    """Whether an event is still owed a look, and how many it had."""
    with records.work() as work:
        row = work.run("select next_action_at, attempts from webhook_events where event_id = :event", event=event).one()
    return row.next_action_at is not None, row.attempts


def turned(context: WorkerContext, case_of: Any, status: str) -> dict[str, Any]:
    """The sandbox's refund of this purchase, once it has this status."""
    return eventually(lambda: next((r for r in refunds_at_provider(context, case_of) if r["status"] == status), {}))


def test_a_refund_that_fails_late_reopens_its_case_and_tells_the_customer_once(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, bought)
    assert state_of(context.records, case) is State.REFUNDED
    made = turned(context, bought, "failed")
    for event in (failed := an_event("refund.updated", made), failed, an_event("refund.updated", made)):
        assert send_event(web, event).status_code == 200
        process_all_events(context)
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["returned_by_bank"],
    )
    assert email_kinds_of(context.records, case) == ["refunded", "returned"]
    assert refunded_amount(context.records, bought) == 0
    assert unprocessed_event_ids(context.records) == []
    with context.records.work() as work:
        assert [task.case_id for task in work.support_tasks.list_open()] == [case]
    assert_audit_is_clean(context.records)


def test_a_failure_that_is_told_by_the_refunds_name_alone_reopens_its_case(context: WorkerContext) -> None:
    """Mollie's short form, and Braintree's at times: they name no payment."""
    bought = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, bought)
    made = turned(context, bought, "failed")
    with context.records.work() as work:
        work.webhook_events.keep("sandbox", [WebhookEvent("ev_short", Subject.REFUND, None, made["id"])], b"")
    process_all_events(context)
    assert (state_of(context.records, case), unprocessed_event_ids(context.records)) == (State.WITH_SUPPORT, [])


def test_a_refund_that_nobody_knows_yet_by_its_name_is_looked_for_a_while(context: WorkerContext) -> None:
    """It may be told of before our own record of it is written."""
    with context.records.work() as work:
        work.webhook_events.keep("sandbox", [WebhookEvent("ev_early", Subject.REFUND, None, "re_early")], b"")
    for _ in range(UNKNOWN_PAYMENT_ATTEMPTS - 1):
        process_all_events(context)
        expire_leases(context.records)
    assert fate(context.records, "ev_early") == (True, UNKNOWN_PAYMENT_ATTEMPTS - 1)
    process_all_events(context)
    assert fate(context.records, "ev_early") == (False, UNKNOWN_PAYMENT_ATTEMPTS)


def test_events_that_come_in_the_wrong_order_end_where_the_provider_is(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, bought)
    made = turned(context, bought, "failed")
    send_event(web, an_event("refund.updated", made))
    process_all_events(context)
    send_event(web, an_event("refund.created", made | {"status": "succeeded"}))
    process_all_events(context)
    assert state_of(context.records, case) is State.WITH_SUPPORT
    assert (unprocessed_event_ids(context.records), email_kinds_of(context.records, case)) == (
        [],
        ["refunded", "returned"],
    )
    assert_audit_is_clean(context.records)


def test_a_signed_lie_moves_nothing_and_stays_owed(web: httpx.Client, context: WorkerContext) -> None:
    """Whoever has the secret can make us look; what the provider shows counts."""
    bought = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, bought)
    (made,) = refunds_at_provider(context, bought)
    send_event(web, lie := an_event("refund.updated", made | {"status": "failed"}))
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert refunded_amount(context.records, bought) == 4900
    assert fate(context.records, lie.id) == (True, 1)


def test_a_pending_refund_is_refunded_when_its_webhook_says_so_and_not_at_the_next_poll(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("pending")
    (case,) = create_executed_cases(context, bought)
    assert state_of(context.records, case) is State.REFUND_PENDING
    with context.records.work() as work:  # the next poll is a long way off
        work.run(
            "update cases set not_before = now() + interval '6 hours', next_action_at = now() + interval '6 hours'"
        )
    made = turned(context, bought, "succeeded")
    resolve(context, [case])
    assert state_of(context.records, case) is State.REFUND_PENDING
    send_event(web, paid_now := an_event("refund.updated", made))
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert fate(context.records, paid_now.id) == (False, 1)


def test_an_event_about_a_case_that_somebody_holds_is_heard_later(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    (case,) = create_approved_cases(context, bought)
    with context.records.work() as work:
        (call,) = prepare(work, context, work.cases.lock([case], state=State.APPROVED))
    context.providers["sandbox"].refund(bought.charge, Money(4900, "EUR"), key=call.operation.key)
    (made,) = refunds_at_provider(context, bought)
    send_event(web, event := an_event("refund.created", made))
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDING  # its worker is about to record it
    assert fate(context.records, event.id) == (True, 1)
    expire_leases(context.records)  # but died
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert fate(context.records, event.id) == (False, 2)


class Mute:
    """A provider that never says anything."""

    def __init__(self, honest: Any) -> None:
        self.capabilities = honest.capabilities

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        return Unknown(f"Nobody answers about {charge} {key}.")


def test_a_case_handed_over_as_unknown_is_refunded_when_a_webhook_tells_of_it(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("hang")
    (case,) = create_executed_cases(context, bought)
    mute = with_adapter(context, Mute(context.providers["sandbox"]))
    with context.records.work() as work:
        work.run("update refund_operations set first_sent_at = first_sent_at - interval '49 hours'")
    expire_leases(context.records)
    resolve(mute, [case])
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["outcome_unknown"],
    )
    (made,) = refunds_at_provider(context, bought)
    send_event(web, an_event("refund.created", made))
    process_all_events(context)
    assert state_of(context.records, case) is State.REFUNDED
    assert refunded_amount(context.records, bought) == 4900
    assert unprocessed_event_ids(context.records) == []
    assert_audit_is_clean(context.records)


class Shy(Mute):
    """A provider that at first does not find its own refund."""

    def __init__(self, honest: Any) -> None:
        super().__init__(honest)
        self._honest = honest
        self.shows = False

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        found: LookupResult = self._honest.look_up(charge, key=key) if self.shows else NotFound()
        return found


def test_an_event_whose_refund_is_not_found_stays_owed_until_it_is(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, bought)
    shy = Shy(context.providers["sandbox"])
    send_event(web, event := an_event("refund.updated", turned(context, bought, "failed")))
    for look in (1, 2, 3):
        process_all_events(with_adapter(context, shy))
        assert fate(context.records, event.id) == (True, look)
        assert state_of(context.records, case) is State.REFUNDED
        expire_leases(context.records)
    shy.shows = True
    process_all_events(with_adapter(context, shy))
    assert fate(context.records, event.id) == (False, 4)
    assert state_of(context.records, case) is State.WITH_SUPPORT


def test_a_foreign_refund_that_is_not_found_yet_stays_owed(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought)
    shy = Shy(context.providers["sandbox"])
    send_event(web, event := an_event("refund.created", refund_manually(context, bought)))
    process_all_events(with_adapter(context, shy))
    assert (fate(context.records, event.id), task_evidence(context.records, "unexpected_refund")) == ((True, 1), [])
    expire_leases(context.records)
    shy.shows = True
    process_all_events(with_adapter(context, shy))
    assert fate(context.records, event.id) == (False, 2)
    assert len(task_evidence(context.records, "unexpected_refund")) == 1


def test_two_workers_hear_one_event_once(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, bought)
    send_event(web, event := an_event("refund.updated", turned(context, bought, "failed")))
    with context.records.work() as work:
        (notice,) = (row.id for row in work.run("select id from webhook_events"))
    with ThreadPoolExecutor(8) as workers:
        list(workers.map(lambda _: handle(context, WebhookEventsReceived, [notice]), range(8)))
    assert fate(context.records, event.id) == (False, 1)
    assert email_kinds_of(context.records, case) == ["refunded", "returned"]


class Stubborn(Mute):
    """A provider that refuses our refund, and has one that somebody made by hand."""

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        return Declined(DeclineReason.PERMANENT, f"no_{len(charge + key)}_{amount.minor}")

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        return ExternalRefund(f"by hand, not {key}"[:7], Money(4900, "EUR")) if charge else NotFound()


def test_a_refund_made_by_hand_after_ours_was_declined_is_noted_and_reported(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("ok")
    stubborn = with_adapter(context, Stubborn(context.providers["sandbox"]))
    (case,) = create_executed_cases(stubborn, bought)
    assert (state_of(context.records, case), refunded_amount(context.records, bought)) == (State.WITH_SUPPORT, 0)
    send_event(web, an_event("refund.created", a_refund(bought.charge, id="by hand")))
    process_all_events(stubborn)
    assert unprocessed_event_ids(context.records) == []
    assert refunded_amount(context.records, bought) == 4900
    assert [evidence["refund"] for evidence in task_evidence(context.records, "unexpected_refund")] == ["by hand"]
    assert state_of(context.records, case) is State.WITH_SUPPORT


class Overtaken(Mute):
    """A provider at which somebody was faster than we, and which carries ours out all the same."""

    def __init__(self, honest: Any) -> None:
        super().__init__(honest)
        self._honest = honest

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        found: LookupResult = self._honest.look_up(charge, key=key)
        return ExternalRefund("by hand", Money(4900, "EUR")) if isinstance(found, NotFound) else found


def test_a_refund_made_by_hand_while_ours_is_under_way_is_reported_before_ours_is_there_too(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("ok")
    (case,) = create_approved_cases(context, bought)
    with context.records.work() as work:
        (call,) = prepare(work, context, work.cases.lock([case], state=State.APPROVED))
    expire_leases(context.records)
    overtaken = with_adapter(context, Overtaken(context.providers["sandbox"]))
    send_event(web, an_event("refund.created", a_refund(bought.charge, id="by hand")))
    process_all_events(overtaken)
    assert (state_of(context.records, case), unprocessed_event_ids(context.records)) == (State.REFUNDING, [])
    context.providers["sandbox"].refund(bought.charge, Money(4900, "EUR"), key=call.operation.key)  # at last
    expire_leases(context.records)
    resolve(overtaken, [case])
    assert state_of(context.records, case) is State.REFUNDED
    assert [evidence["refund"] for evidence in task_evidence(context.records, "unexpected_refund")] == ["by hand"]
    assert_audit_is_clean(context.records)


class Returned(Mute):
    """A provider that shows only the refund that somebody made by hand, once ours has failed."""

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        return ExternalRefund("by hand", Money(4900, "EUR")) if charge and key else NotFound()


def test_that_ours_failed_is_not_explained_by_a_refund_that_somebody_else_made(
    web: httpx.Client, context: WorkerContext
) -> None:
    """The provider may show ours as failed later; until then, and if it never does, a person has to know."""
    bought = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, bought)
    with context.records.work() as work:
        ours = work.refund_operations.for_cases([case])[case].refund_id
    send_event(web, event := an_event("refund.updated", a_refund(bought.charge, "failed", id=ours)))
    expire_leases(context.records)
    process_all_events(with_adapter(context, Returned(context.providers["sandbox"])))
    assert fate(context.records, event.id) == (True, 1)
    assert [evidence["refund"] for evidence in task_evidence(context.records, "unexpected_refund")] == ["by hand"]
    last_look(context.records)
    process_all_events(with_adapter(context, Returned(context.providers["sandbox"])))
    assert len(task_evidence(context.records, "webhook_event_unresolved")) == 1


class Lagging(Returned):
    """A provider that shows our refund long after the one that somebody made by hand."""

    def __init__(self, honest: Any) -> None:
        super().__init__(honest)
        self.shows = False

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        return Failed("ours", "came_back") if self.shows else super().look_up(charge, key=key)


def test_a_notice_without_words_is_not_explained_by_another_refund_while_ours_is_not_shown(
    context: WorkerContext,
) -> None:
    """Mollie's name neither refund nor status: ours may be the one that something happened to."""
    bought = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, bought)
    expire_leases(context.records)
    with context.records.work() as work:
        work.webhook_events.keep(
            "sandbox", [WebhookEvent("any", Subject.REFUND, bought.charge, reuses_event_id=True)], b""
        )
    lagging = Lagging(context.providers["sandbox"])
    process_all_events(with_adapter(context, lagging))
    assert (state_of(context.records, case), fate(context.records, "any")) == (State.REFUNDED, (True, 1))
    assert [evidence["refund"] for evidence in task_evidence(context.records, "unexpected_refund")] == ["by hand"]
    lagging.shows = True
    expire_leases(context.records)
    process_all_events(with_adapter(context, lagging))
    assert (state_of(context.records, case), fate(context.records, "any")) == (State.WITH_SUPPORT, (False, 2))
    assert reason_codes_of(context.records, case) == ["returned_by_bank"]


# All of it, by processes that know each other only by their addresses


def test_what_the_sandbox_tells_ends_where_the_sandbox_is(
    records: Records, start: Callable[..., ChildProcess], tmp_path: Path
) -> None:
    """Twice, in the wrong order, and among forgeries. Only a webhook can tell that a paid refund came back."""
    port = free_port()
    with sandbox_in(
        tmp_path / "sandbox", webhooks=f"http://127.0.0.1:{port}/v1/webhooks/sandbox", secret="s3"
    ) as process:
        wiring = {"MONEYBACK_SANDBOX_URL": process.url, "MONEYBACK_SANDBOX_WEBHOOK_SECRET": "s3, of last week"}
        start("web", "web", "--port", str(port), **wiring)
        for part in ("worker", "relay"):
            start(part, part, **wiring)
        kinds = ("ok", "pending", "pendingfail", "latefail", "dupes", "shuffle", "forge")
        bought = [a_charged_purchase(kind) for kind in kinds]
        store_seller_and_purchases(records, *bought)
        cases = dict(zip(kinds, ids_of(accept(records, [a_submission(one) for one in bought])), strict=True))
        ends = dict.fromkeys(kinds, State.REFUNDED) | dict.fromkeys(("pendingfail", "latefail"), State.WITH_SUPPORT)
        eventually(lambda: {kind: state_of(records, case) for kind, case in cases.items()} == ends, seconds=90)
        eventually(lambda: process.summary()["webhooks"]["waiting"] == 0)
        eventually(lambda: unprocessed_event_ids(records) == [])
        assert {letter for kind in ("pendingfail", "latefail") for letter in email_kinds_of(records, cases[kind])} >= {
            "returned"
        }
        assert max(notice.deliveries for notice in notices(records)) >= 3
        assert process.summary()["duplicates"] == 0
        assert_audit_is_clean(records)


def test_an_event_that_comes_again_while_it_is_looked_into_is_looked_into_again(
    settings: Settings, context: WorkerContext
) -> None:
    """Mollie sends one id for every change of a payment: the change after our look must not be lost."""
    bought = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought)
    made = refund_manually(context, bought)

    def classic(_: Mapping[str, str], body: bytes) -> Sequence[WebhookEvent]:
        return [
            WebhookEvent(event_id=body.decode(), subject=Subject.REFUND, charge=body.decode(), reuses_event_id=True)
        ]

    with serve(app(settings, readers={"sandbox": Reader(classic)})) as web:

        class Busy(Mute):
            """While it is asked, something changes."""

            def look_up(self, charge: str, *, key: str) -> LookupResult:
                assert key
                post_webhook(web, charge.encode())
                return ExternalRefund(made["id"], Money(4900, "EUR"))

        post_webhook(web, bought.charge.encode())
        process_all_events(with_adapter(context, Busy(context.providers["sandbox"])))
        assert fate(context.records, bought.charge) == (True, 0)
        process_all_events(context)
        assert fate(context.records, bought.charge) == (False, 1)
        post_webhook(web, bought.charge.encode())
        assert fate(context.records, bought.charge) == (True, 0)
    assert len(task_evidence(context.records, "unexpected_refund")) == 1


# What nothing explains


def last_look(records: Records) -> None:
    """As if all that is owed a look had had all its looks but one."""
    with records.work() as work:
        work.run("update webhook_events set attempts = :many where next_action_at is not null", many=MAX_ATTEMPTS - 1)


def test_an_event_that_nothing_ever_explains_is_given_up_after_many_looks_and_a_person_knows(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought)
    send_event(web, event := an_event("refund.created", told := a_refund(bought.charge)))
    last_look(context.records)
    with capture_logs() as logs:
        process_all_events(context)
    assert fate(context.records, event.id) == (False, MAX_ATTEMPTS)
    assert "webhook_event_unresolved" in {log["event"] for log in logs}
    process_all_events(context)
    assert fate(context.records, event.id) == (False, MAX_ATTEMPTS)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert (evidence["charge"], evidence["refund"], evidence["reported"]) == (bought.charge, told["id"], "paid")
    assert (evidence["event"], evidence["last_outcome"]) == (event.id, OutcomeCode.NOT_VISIBLE.sentence)
    assert [notice.outcome for notice in notices(context.records)] == ["not_visible"]


def test_a_late_failure_that_the_provider_never_shows_is_a_task_of_its_case_once(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, bought)
    (made,) = refunds_at_provider(context, bought)
    for _ in range(2):  # two events of one failure
        send_event(web, an_event("refund.updated", made | {"status": "failed"}))
        last_look(context.records)
        process_all_events(context)
        expire_leases(context.records)
    assert (unprocessed_event_ids(context.records), state_of(context.records, case)) == ([], State.REFUNDED)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert (evidence["reported"], evidence["refund"], evidence["our_status"]) == ("failed", made["id"], "paid")
    with context.records.work() as work:
        (task,) = work.support_tasks.list_open()
    assert (task.case_id, task.seller_id) == (case, bought.seller_id)
    assert task.reasons[0]["sentence"] == SupportTaskKind.WEBHOOK_EVENT_UNRESOLVED.sentence


def test_a_dispute_that_the_provider_never_shows_is_a_task(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    create_executed_cases(context, bought)
    send_event(web, an_event("dispute.opened", told := a_refund(bought.charge, "open")))
    last_look(context.records)
    process_all_events(context)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert (evidence["about"], evidence["dispute"], evidence["reported"]) == ("dispute", told["id"], "open")


def test_a_notice_that_ended_all_who_looked_into_it_is_a_task(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought)
    send_event(web, event := an_event("refund.created", a_refund(bought.charge)))
    last_look(context.records)
    with context.records.work() as work:
        (poison,) = (row.id for row in work.run("select id from webhook_events"))
        work.webhook_events.claim([poison], seconds=60)  # and its worker dies, at its last look
    expire_leases(context.records)
    process_all_events(context)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert evidence["event"] == event.id


class EndsItsWorker(BaseException):
    """What SIGKILL is to a worker: no code of ours comes after it."""


class Poisonous:
    """The sandbox's adapter, until this payment is asked about."""

    def __init__(self, adapter: Any, charge: str) -> None:
        self._adapter = adapter
        self._charge = charge

    def __getattr__(self, name: str) -> Any:
        return getattr(self._adapter, name)

    def look_up(self, charge: str, **question: Any) -> LookupResult:
        if charge == self._charge:
            raise EndsItsWorker
        found: LookupResult = self._adapter.look_up(charge, **question)
        return found


def test_a_notice_that_ends_three_workers_takes_no_other_with_it_and_is_given_up(
    web: httpx.Client, context: WorkerContext
) -> None:
    poison, other = a_charged_purchase("ok"), a_charged_purchase("ok")
    store_seller_and_purchases(context.records, poison, other)
    deadly = with_adapter(context, Poisonous(context.provider("sandbox"), poison.charge))
    send_event(web, bad := an_event("refund.created", a_refund(poison.charge)))
    send_event(web, good := an_event("refund.created", a_refund(other.charge)))
    for _ in range(3):
        with pytest.raises(EndsItsWorker):
            process_all_events(deadly)
        expire_leases(context.records)
    process_all_events(deadly)
    assert fate(context.records, good.id)[1] >= 2, "it is looked into, before or after the one that is suspected"
    assert fate(context.records, bad.id) == (False, 4)
    (evidence,) = task_evidence(context.records, "webhook_event_unresolved")
    assert (evidence["event"], evidence["last_outcome"]) == (bad.id, OutcomeCode.CRASHED_WORKER.sentence)


class TakenOver:
    """The sandbox's adapter, while somebody else takes the case over."""

    def __init__(self, context: WorkerContext, case: UUID) -> None:
        self._tools = context
        self._case = case

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tools.provider("sandbox"), name)

    def look_up(self, charge: str, **question: Any) -> LookupResult:
        with self._tools.records.work() as work:
            work.run("update cases set fence = fence + 1 where id = :id", id=self._case)
        found: LookupResult = self._tools.provider("sandbox").look_up(charge, **question)  # type: ignore[union-attr]
        return found


def test_news_that_came_too_late_to_be_recorded_explains_no_notice(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("latefail")
    (case,) = create_executed_cases(context, bought)
    (made,) = refunds_at_provider(context, bought)
    eventually(lambda: refunds_at_provider(context, bought)[0]["status"] == "failed")
    send_event(web, event := an_event("refund.updated", made | {"status": "failed"}))
    process_all_events(with_adapter(context, TakenOver(context, case)))
    assert (fate(context.records, event.id)[0], state_of(context.records, case)) == (True, State.REFUNDED)
    expire_leases(context.records)
    with context.records.work() as work:
        work.run("update cases set lease_until = 'epoch'")
    process_all_events(context)
    assert (fate(context.records, event.id)[0], state_of(context.records, case)) == (False, State.WITH_SUPPORT)


def test_the_failure_of_an_earlier_refund_that_we_know_of_is_no_task(web: httpx.Client, context: WorkerContext) -> None:
    """It was refused for now and asked for anew: the look-up shows the newer refund, which is paid."""
    bought = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, bought)
    with context.records.work() as work:
        earlier = (
            "case_id, 0, provider, charge, amount, currency, key || '_0', payload_hash, first_sent_at, last_sent_at"
        )
        columns = earlier.replace("0, provider", "attempt, provider").replace(" || '_0'", "")
        work.run(
            f"insert into refund_operations ({columns}, status, refund_id)"
            f" select {earlier}, 'failed', 're_earlier' from refund_operations where case_id = :case",
            case=case,
        )
    send_event(web, an_event("refund.updated", a_refund(bought.charge, "failed", id="re_earlier")))
    last_look(context.records)
    process_all_events(context)
    assert (unprocessed_event_ids(context.records), task_evidence(context.records, "webhook_event_unresolved")) == (
        [],
        [],
    )


def test_what_is_told_of_a_payment_that_is_not_ours_is_no_task(web: httpx.Client, context: WorkerContext) -> None:
    send_event(web, an_event("refund.updated", a_refund("ok_of_somebody_else", "failed")))
    last_look(context.records)
    process_all_events(context)
    with context.records.work() as work:
        assert (unprocessed_event_ids(context.records), work.support_tasks.list_open()) == ([], [])
