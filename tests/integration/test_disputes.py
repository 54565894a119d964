"""Disputes against the real sandbox and database: what is disputed is not refunded as well, and nothing is lost twice unsaid."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import httpx
import pytest

import worker.refunds.disputes
from config.broker import QUEUES, connect
from config.settings import Settings
from domain.messages import ContactSupport, SupportNeeded
from domain.providers import Capabilities, DisputeStatus, Lookup, LookupResult, Unknown
from domain.purchases import Dispute, Purchase
from domain.states import State
from domain.webhook_events import Subject, WebhookEvent
from producers.web.app import app
from records import Records
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    an_event,
    assert_audit_is_clean,
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
from tests.sample_data import store_seller_and_purchases
from tests.services import eventually
from worker.context import WorkerContext
from worker.dispatch import evaluate_and_execute, handle
from worker.providers import create_webhook_parsers
from worker.refunds.disputes import poll_open_disputes
from worker.refunds.execution import execute
from worker.refunds.resolution import lease


@pytest.fixture
def web(sandbox_settings: Settings) -> Iterator[httpx.Client]:
    with serve(app(sandbox_settings, readers=create_webhook_parsers(sandbox_settings))) as web:
        yield web


def heard(web: httpx.Client, context: WorkerContext, dispute: dict[str, Any]) -> None:
    """The provider tells how this dispute stands, and a worker looks."""
    word = "opened" if dispute["status"] == "open" else dispute["status"]
    assert send_event(web, an_event(f"dispute.{word}", dispute)).status_code == 200
    process_all_events(context)


def stands(records: Records, purchase: Purchase) -> Dispute:
    with records.work() as work:
        kept = work.purchases.get(purchase.id)
    assert kept
    return kept.dispute


def published(context: WorkerContext) -> list[ContactSupport]:
    """What helpdesks read, once a worker has published every task."""
    with context.records.work() as work:
        open_ones = [row.id for row in work.run("select id from support_tasks where published_at is null")]
    if open_ones:
        handle(context, SupportNeeded, open_ones)
    found = []
    with connect(context.settings) as connection:
        queue = QUEUES[ContactSupport.queue](connection.channel())
        while message := queue.get(no_ack=True):
            found.append(ContactSupport.read(message.payload))
    return found


def about_paid_twice(context: WorkerContext) -> list[ContactSupport]:
    return [
        told for told in published(context) if [reason.code for reason in told.data.reasons] == ["refund_and_dispute"]
    ]


def test_a_disputed_payment_goes_to_a_person_before_anything_is_sent(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    (case,) = create_approved_cases(context, bought)
    heard(web, context, set_dispute(context, bought.charge, "open"))
    execute(context, [case])
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["dispute_open"],
    )
    assert refunds_at_provider(context, bought) == []
    assert task_evidence(context.records, "refund_and_dispute") == []


def test_the_providers_word_counts_more_than_the_sellers_next_file(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought)
    heard(web, context, set_dispute(context, bought.charge, "open"))
    store_seller_and_purchases(context.records, replace(bought, dispute=Dispute.NONE))
    (case,) = create_executed_cases(context, bought)
    assert reason_codes_of(context.records, case) == ["dispute_open"]


def test_a_dispute_that_opens_after_the_refund_is_one_task_with_the_evidence(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("ok")
    (case,) = create_executed_cases(context, bought)
    (made,) = refunds_at_provider(context, bought)
    opened = set_dispute(context, bought.charge, "open")
    for _ in range(3):
        heard(web, context, opened)
    (told,) = about_paid_twice(context)
    assert (told.data.case_id, told.data.seller) == (case, bought.seller_id)
    evidence = told.data.evidence
    assert {
        name: evidence[name] for name in ("provider", "charge", "dispute", "dispute_is", "refund", "refund_is")
    } == {
        "provider": "sandbox",
        "charge": bought.charge,
        "dispute": opened["id"],
        "dispute_is": "open",
        "refund": made["id"],
        "refund_is": "create_executed_cases",
    }
    assert (evidence["amount"], evidence["currency"], evidence["key"]) == (4900, "EUR", made["key"])
    assert evidence["first_sent_at"]
    assert state_of(context.records, case) is State.REFUNDED
    heard(web, context, set_dispute(context, bought.charge, "lost", opened["id"]))
    assert about_paid_twice(context) == []  # the person has it since it opened
    assert stands(context.records, bought) is Dispute.LOST
    assert_audit_is_clean(context.records)


def test_a_dispute_that_crosses_a_refund_under_way_is_reported(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("hang")
    (case,) = create_executed_cases(context, bought)
    assert state_of(context.records, case) is State.REFUNDING
    heard(web, context, set_dispute(context, bought.charge, "open"))
    (told,) = about_paid_twice(context)
    assert told.data.case_id == case
    assert told.data.evidence["refund_is"] in {"sent", "unknown"}  # the call that hangs may have its end yet to come


def test_the_next_dispute_about_the_same_payment_is_another_task(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    create_executed_cases(context, bought)
    first = set_dispute(context, bought.charge, "open")
    heard(web, context, first)
    heard(web, context, set_dispute(context, bought.charge, "won", first["id"]))
    second = set_dispute(context, bought.charge, "open")
    heard(web, context, second)
    assert {told.data.evidence["dispute"] for told in about_paid_twice(context)} == {first["id"], second["id"]}


def disputes(context: WorkerContext, purchase: Purchase) -> list[dict[str, Any]]:
    """What the provider has about this purchase's payment."""
    answer = httpx.get(f"{context.settings.sandbox_url}/v1/disputes", params={"charge": purchase.charge})
    return list(answer.json()["data"])


def the_dispute(context: WorkerContext, purchase: Purchase) -> dict[str, Any]:
    (dispute,) = disputes(context, purchase)
    return dispute


def test_what_waited_for_a_dispute_alone_is_judged_again_and_paid_when_it_is_won(
    web: httpx.Client, context: WorkerContext
) -> None:
    bought = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, bought)
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["dispute_open"],
    )
    heard(web, context, won := set_dispute(context, bought.charge, "won", the_dispute(context, bought)["id"]))
    assert state_of(context.records, case) is State.RECEIVED
    evaluate_and_execute(context, [case])
    assert state_of(context.records, case) is State.REFUNDED
    assert len(refunds_at_provider(context, bought)) == 1
    assert refunded_amount(context.records, bought) == 4900
    heard(web, context, won)  # once more, and the case stays where it is
    assert state_of(context.records, case) is State.REFUNDED
    assert task_evidence(context.records, "refund_and_dispute") == []
    assert_audit_is_clean(context.records)


def test_what_waits_for_more_than_the_dispute_stays_with_its_person(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok", method="cash")
    opened = set_dispute(context, bought.charge, "open")
    store_seller_and_purchases(context.records, bought)
    heard(web, context, opened)
    (case,) = create_approved_cases(context, bought)
    assert sorted(reason_codes_of(context.records, case)) == ["dispute_open", "method_not_automatic"]
    heard(web, context, set_dispute(context, bought.charge, "won", opened["id"]))
    assert state_of(context.records, case) is State.WITH_SUPPORT


def test_a_case_that_somebody_holds_goes_on_once_it_is_let_go(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, bought)
    with context.records.work() as work:
        assert lease(work, context, [case], states=[State.WITH_SUPPORT])
    heard(web, context, set_dispute(context, bought.charge, "won", the_dispute(context, bought)["id"]))
    assert (state_of(context.records, case), len(unprocessed_event_ids(context.records))) == (State.WITH_SUPPORT, 1)
    with context.records.work() as work:
        work.run("update cases set lease_until = 'epoch'")
    expire_leases(context.records)
    process_all_events(context)
    assert (state_of(context.records, case), unprocessed_event_ids(context.records)) == (State.RECEIVED, [])


def test_a_lost_dispute_leaves_the_case_with_its_person(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, bought)
    heard(web, context, set_dispute(context, bought.charge, "lost", the_dispute(context, bought)["id"]))
    assert state_of(context.records, case) is State.WITH_SUPPORT
    assert stands(context.records, bought) is Dispute.LOST


def test_an_opening_that_comes_after_the_end_changes_nothing(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, bought)
    opened = the_dispute(context, bought)
    heard(web, context, set_dispute(context, bought.charge, "won", opened["id"]))
    heard(web, context, opened)
    assert (state_of(context.records, case), stands(context.records, bought)) == (State.RECEIVED, Dispute.WON)
    assert unprocessed_event_ids(context.records) == []


class Behind:
    """A provider whose disputes are shown as they stood a while ago."""

    def __init__(self, honest: Any, shown: DisputeStatus | Unknown) -> None:
        self.capabilities = honest.capabilities
        self._shown = shown

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        assert charge
        return self._shown


@pytest.mark.parametrize("behind", ["open", "none", "silent"])
def test_an_end_that_the_provider_does_not_show_yet_stays_owed(
    web: httpx.Client, context: WorkerContext, behind: str
) -> None:
    bought = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, bought)
    opened = the_dispute(context, bought)
    shown: dict[str, DisputeStatus | Unknown] = {
        "open": DisputeStatus(Dispute.OPEN, opened["id"]),
        "none": DisputeStatus(Dispute.NONE),
        "silent": Unknown("Nobody answers."),
    }
    heard(web, with_adapter(context, Behind(context.providers["sandbox"], shown[behind])), opened | {"status": "won"})
    assert state_of(context.records, case) is State.WITH_SUPPORT
    assert len(unprocessed_event_ids(context.records)) == 1
    set_dispute(context, bought.charge, "won", opened["id"])
    expire_leases(context.records)
    process_all_events(context)
    assert state_of(context.records, case) is State.RECEIVED
    assert unprocessed_event_ids(context.records) == []


class Webhook:
    """A provider that never answers questions: only its signed word counts (Adyen)."""

    capabilities = Capabilities(idempotency_key_ttl=timedelta(days=7), lookup=Lookup.NEVER)

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        raise AssertionError(charge)

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        raise AssertionError(charge + key)


def test_of_a_provider_that_cannot_be_asked_the_signed_word_counts(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, bought)
    only_tells = with_adapter(context, Webhook())
    heard(web, only_tells, the_dispute(context, bought) | {"status": "won"})
    assert (state_of(context.records, case), stands(context.records, bought)) == (State.RECEIVED, Dispute.WON)


def told(context: WorkerContext, charge: str, *words: DisputeStatus) -> None:
    """Signed notices of a provider that cannot be asked come in this order, and a worker hears each at once."""
    for word in words:
        with context.records.work() as work:
            name = f"{word.dispute_id} {word.dispute} {word.stage}"
            work.webhook_events.keep("sandbox", [WebhookEvent(name, Subject.DISPUTE, charge, reported=word)], b"")
        process_all_events(context)


OPENED, LOST, WON = (
    DisputeStatus(kind, "dp_1", stage) for stage, kind in enumerate((Dispute.OPEN, Dispute.LOST, Dispute.WON))
)
ANOTHER = DisputeStatus(Dispute.OPEN, "dp_2", 0)


@pytest.mark.parametrize(
    ("words", "then"),
    [
        ((OPENED, WON), Dispute.WON),
        ((WON, OPENED), Dispute.WON),
        ((WON, LOST), Dispute.WON),
        ((ANOTHER, WON), Dispute.OPEN),
        ((WON, ANOTHER), Dispute.OPEN),
        ((OPENED, ANOTHER, WON, replace(ANOTHER, dispute=Dispute.WON, stage=2)), Dispute.WON),
        ((WON, replace(ANOTHER, dispute=Dispute.LOST, stage=1)), Dispute.LOST),
    ],
)
def test_where_nobody_can_be_asked_all_that_was_signed_counts_in_whatever_order_it_came(
    context: WorkerContext, words: tuple[DisputeStatus, ...], then: Dispute
) -> None:
    bought = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought)
    told(with_adapter(context, Webhook()), bought.charge, *words)
    assert stands(context.records, bought) is then


def test_a_delayed_word_about_a_dispute_that_was_won_pays_nothing_while_another_is_open(context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, bought)
    told(with_adapter(context, Webhook()), bought.charge, OPENED, ANOTHER, WON)
    (case,) = create_executed_cases(context, bought)
    assert (state_of(context.records, case), reason_codes_of(context.records, case)) == (
        State.WITH_SUPPORT,
        ["dispute_open"],
    )
    assert refunds_at_provider(context, bought) == []


def test_a_refusal_because_of_a_dispute_has_it_looked_at_though_no_webhook_comes(context: WorkerContext) -> None:
    bought = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, bought)
    assert (state_of(context.records, case), stands(context.records, bought)) == (State.WITH_SUPPORT, Dispute.NONE)
    process_all_events(context)
    assert stands(context.records, bought) is Dispute.OPEN


def test_a_dispute_that_ends_without_a_webhook_is_asked_about_once_a_day(context: WorkerContext) -> None:
    bought = a_charged_purchase("disputed")
    (case,) = create_executed_cases(context, bought)
    process_all_events(context)
    set_dispute(context, bought.charge, "won", the_dispute(context, bought)["id"])
    assert poll_open_disputes(context, "sandbox") == 1
    process_all_events(context)
    assert (state_of(context.records, case), stands(context.records, bought)) == (State.RECEIVED, Dispute.WON)
    assert poll_open_disputes(context, "sandbox") == 0


def test_thousands_of_open_disputes_are_asked_about_in_bounded_steps(
    context: WorkerContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker.refunds.disputes, "BATCH_SIZE", 2)
    bought = [a_charged_purchase("ok") for _ in range(5)]
    store_seller_and_purchases(context.records, *bought)
    with context.records.work() as work:
        for one in bought:
            work.purchases.set_dispute(one.provider, one.charge, Dispute.OPEN)
    assert poll_open_disputes(context, "sandbox") == 5
    assert poll_open_disputes(context, "sandbox") == 5  # a second time on one day is no news
    with context.records.work() as work:
        assert work.run("select count(*) from webhook_events").scalar_one() == 5


def test_a_dispute_that_comes_before_its_purchase_is_not_forgotten(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("ok")
    heard(web, context, set_dispute(context, bought.charge, "open"))
    assert len(unprocessed_event_ids(context.records)) == 1
    store_seller_and_purchases(context.records, bought)
    process_all_events(context)
    assert (unprocessed_event_ids(context.records), stands(context.records, bought)) == ([], Dispute.OPEN)


def test_a_dispute_that_opens_by_itself_after_the_refund_is_heard(web: httpx.Client, context: WorkerContext) -> None:
    bought = a_charged_purchase("crossing")
    (case,) = create_executed_cases(context, bought)
    eventually(lambda: disputes(context, bought))
    heard(web, context, the_dispute(context, bought))
    assert [told.data.case_id for told in about_paid_twice(context)] == [case]
