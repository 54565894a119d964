"""Tests that the final checks of a chaos run find each kind of error."""

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from config.settings import Settings
from domain.money import Money
from domain.providers import ListedRefund, RefundStatus
from domain.states import Event, State
from producers.intake import accept
from records import Records
from tests.chaos import final_checks
from tests.chaos.final_checks import CheckResult
from tests.chaos.load import Load
from tests.integration import _provider_fixtures
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from worker.context import WorkerContext
from worker.dispatch import evaluate_and_execute
from worker.emails.case_emails import send_case_emails
from worker.refunds.external_refunds import record_external_refunds
from worker.support_tasks.publishing import contact_support

NAMES = [f"{number:032x}" for number in (1, 2)]

Refund = dict[str, Any]


context = _provider_fixtures.short_timeout_context


@pytest.fixture
def cases(context: WorkerContext, records: Records) -> list[UUID]:
    """Create a refunded case and a case that waits for support, and send the e-mails of both. Return their ids."""
    purchases = [a_recent_purchase(), a_recent_purchase(method="wire_transfer")]
    store_seller_and_purchases(records, *purchases)
    submissions = [a_submission(purchase, key=name) for purchase, name in zip(purchases, NAMES, strict=True)]
    case_ids = ids_of(accept(records, submissions))
    evaluate_and_execute(context, case_ids)
    send_case_emails(context, case_ids)
    return case_ids


@pytest.fixture
def refund(records: Records, cases: list[UUID]) -> Refund:
    """Return the refund of the refunded case, as the provider lists it."""
    with records.work() as work:
        operation = work.refund_operations.for_cases(cases)[cases[0]][-1]
    return {
        "id": operation.refund_id,
        "key": operation.key,
        "charge": operation.charge,
        "amount": operation.amount.minor,
        "status": "succeeded",
    }


def check_payments(records: Records, *refunds: Refund) -> CheckResult:
    result = CheckResult()
    with records.work() as work:
        final_checks._check_payments(work, result, list(refunds))
    return result


def test_the_check_passes_if_a_refunded_case_has_one_refund(records: Records, refund: Refund) -> None:
    result = check_payments(records, refund)
    assert (result.passed, result.provider_refunds) == (True, 1)


@pytest.mark.parametrize(
    ("list_refunds", "double_payments"),
    [
        (lambda _: [], 0),
        (lambda refund: [refund | {"status": "failed"}], 0),
        (lambda refund: [refund | {"amount": 1}], 0),
        (lambda refund: [refund, refund | {"id": "re_2", "key": "mb_another"}], 1),
        (lambda refund: [refund, refund | {"id": "re_2", "key": "by-hand"}], 1),
        (lambda refund: [refund, refund | {"id": "re_2", "key": "mb_another", "charge": "ok_2"}], 0),
    ],
    ids=["no refund", "failed refund", "another amount", "two refunds", "external refund", "unknown key"],
)
def test_a_missing_or_unexpected_refund_is_found(
    records: Records, refund: Refund, list_refunds: Callable[[Refund], list[Refund]], double_payments: int
) -> None:
    result = check_payments(records, *list_refunds(refund))
    assert not result.passed
    assert result.double_payments == double_payments


@pytest.fixture
def external_refund(records: Records, cases: list[UUID]) -> Refund:
    """Settle the case that waits for support by an external refund. Return this refund, as the provider lists it."""
    with records.work() as work:
        purchase = work.decision_inputs.purchases([cases[1]])[cases[1]]
        (payment,) = purchase.payments
        assert payment.amount, "the sample payment has an amount"
        assert payment.currency, "the sample payment has a currency"
        amount = Money(payment.amount, payment.currency)
        listed = ListedRefund("re_3", payment.charge, amount, RefundStatus.PAID, work.now)
        purchases = {(payment.provider, payment.charge): [purchase]}
        assert record_external_refunds(work, payment.provider, [listed], purchases) == []
    return {
        "id": "re_3",
        "key": "external-1",
        "charge": payment.charge,
        "amount": payment.amount,
        "status": "succeeded",
    }


def test_the_check_passes_if_an_external_refund_settled_a_case(
    records: Records, refund: Refund, external_refund: Refund
) -> None:
    assert check_payments(records, refund, external_refund).errors == []


@pytest.mark.parametrize(
    "changes",
    [None, {"status": "failed"}, {"status": "pending"}, {"amount": 1}, {"id": "re_4"}, {"charge": "ok_2"}],
    ids=["no refund", "failed refund", "pending refund", "part of the amount", "another refund", "another charge"],
)
def test_a_missing_or_unexpected_external_refund_is_found(
    records: Records, refund: Refund, external_refund: Refund, changes: Refund | None
) -> None:
    listed = [] if changes is None else [external_refund | changes]
    assert check_payments(records, refund, *listed).errors


@pytest.mark.usefixtures("cases")
def test_a_refunded_case_without_a_refund_and_without_a_settlement_is_found(records: Records, refund: Refund) -> None:
    with records.work() as work:
        work.run("update refund_operations set status = 'declined'")
    (error,) = check_payments(records, refund | {"key": "external-1"}).errors
    assert error.endswith("none of its operations was paid, and its last event is provider_paid.")


@pytest.mark.usefixtures("cases")
@pytest.mark.parametrize(
    ("accepted", "lost"),
    [(NAMES, 0), ([*NAMES, f"{3:032x}"], 1), (NAMES[:1], 0)],
    ids=["a case for each request", "a request without a case", "a case without a request"],
)
def test_a_missing_case_and_an_unexpected_case_are_found(records: Records, accepted: list[str], lost: int) -> None:
    result = CheckResult()
    load = SimpleNamespace(accepted=dict.fromkeys(accepted, ""), confirming_references=set())
    with records.work() as work:
        final_checks._check_requests(work, result, cast("Load", load))
    assert (result.lost, result.passed) == (lost, accepted == NAMES)


@pytest.mark.usefixtures("cases")
def test_a_missing_or_unknown_task_is_found_and_a_repeated_task_is_counted(records: Records) -> None:
    with records.work() as work:
        (task,) = work.support_tasks.list_open()
        event = contact_support(task)
        message, unknown_message = (
            json.dumps({"body": b64encode(contact.model_dump_json().encode()).decode()}).encode()
            for contact in (event, event.model_copy(update={"id": uuid4()}))
        )
        results = [CheckResult() for _ in range(3)]
        for result, queue in zip(results, ([], [message, message], [message, unknown_message]), strict=True):
            final_checks._check_tasks(work, result, queue, [message])
    assert [(result.passed, result.repeated_tasks) for result in results] == [(False, 0), (True, 1), (False, 0)]


def test_a_closed_task_may_be_missing_in_the_queue_only_if_the_broker_lost_it(
    records: Records, cases: list[UUID]
) -> None:
    with records.work() as work:
        (task,) = work.support_tasks.list_open()
        (case,) = work.cases.lock(cases, state=State.WITH_SUPPORT)
        work.history.record([case.after(Event.SUPPORT_DECLINED, actor="test")])
        message = json.dumps({"body": b64encode(contact_support(task).model_dump_json().encode()).decode()}).encode()
        results = [CheckResult(), CheckResult()]
        for result, flushed in zip(results, ([], [message]), strict=True):
            final_checks._check_tasks(work, result, [], flushed)
    assert [result.passed for result in results] == [False, True]


def test_a_missing_or_unexpected_email_is_found(records: Records, cases: list[UUID], settings: Settings) -> None:
    sent_mail = settings.sent_mail_dir
    assert sent_mail
    email = next((sent_mail / "new").glob(f"{cases[0]}.refunded@*"))
    assert check_emails(records, sent_mail).passed
    email.rename(hidden_email := sent_mail / "tmp" / email.name)
    assert not check_emails(records, sent_mail).passed
    hidden_email.rename(email)
    (sent_mail / "new" / f"{uuid4()}.refunded@moneyback.example").touch()
    assert not check_emails(records, sent_mail).passed


def check_emails(records: Records, sent_mail: Path) -> CheckResult:
    result = CheckResult()
    with records.work() as work:
        final_checks._check_emails(work, result, sent_mail)
    return result
