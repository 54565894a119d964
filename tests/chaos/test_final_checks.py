"""Tests that the final checks of a chaos run find each kind of fault."""

import json
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import pytest

from config.settings import Settings
from domain.states import Event, State
from producers.intake import accept
from records import Records
from tests.chaos import final_checks
from tests.chaos.final_checks import Books
from tests.chaos.load import Load
from tests.integration import _provider_fixtures
from tests.sample_data import a_recent_purchase, an_arrival, ids, settle_in
from worker.context import WorkerContext
from worker.dispatch import evaluate_and_execute
from worker.emails.case_emails import send_case_emails
from worker.support_tasks.publishing import contact_support

NAMES = [f"{number:032x}" for number in (1, 2)]

Refund = dict[str, Any]


context = _provider_fixtures.hasty_tools


@pytest.fixture
def cases(context: WorkerContext, records: Records) -> list[UUID]:
    """A refunded case and a case with support, whose e-mails are sent."""
    bought = [a_recent_purchase(), a_recent_purchase(method="wire_transfer")]
    settle_in(records, *bought)
    arrivals = [an_arrival(purchase, key=name) for purchase, name in zip(bought, NAMES, strict=True)]
    found = ids(accept(records, arrivals))
    evaluate_and_execute(context, found)
    send_case_emails(context, found)
    return found


@pytest.fixture
def refund(records: Records, cases: list[UUID]) -> Refund:
    """The refund, as the provider lists it."""
    with records.work() as work:
        paid = work.refund_operations.for_cases(cases)[cases[0]]
    return {
        "id": paid.refund_id,
        "key": paid.key,
        "charge": paid.charge,
        "amount": paid.amount.minor,
        "status": "succeeded",
    }


def payment_check(records: Records, *refunds: Refund) -> Books:
    found = Books()
    with records.work() as work:
        final_checks._check_payments(work, found, list(refunds))
    return found


def test_one_live_refund_for_a_refunded_case_is_right(records: Records, refund: Refund) -> None:
    found = payment_check(records, refund)
    assert (found.balance, found.provider_refunds) == (True, 1)


@pytest.mark.parametrize(
    ("shown", "doubles"),
    [
        (lambda _: [], 0),
        (lambda refund: [refund | {"status": "failed"}], 0),
        (lambda refund: [refund | {"amount": 1}], 0),
        (lambda refund: [refund, refund | {"id": "re_2", "key": "mb_another"}], 1),
        (lambda refund: [refund, refund | {"id": "re_2", "key": "by-hand"}], 1),
        (lambda refund: [refund, refund | {"id": "re_2", "key": "mb_another", "charge": "ok_2"}], 0),
    ],
    ids=["none", "came back", "another amount", "twice", "twice by hand", "under a key that nobody wrote down"],
)
def test_any_other_refund_is_found(
    records: Records, refund: Refund, shown: Callable[[Refund], list[Refund]], doubles: int
) -> None:
    found = payment_check(records, *shown(refund))
    assert not found.balance
    assert found.double_payments == doubles


@pytest.mark.usefixtures("cases")
@pytest.mark.parametrize(
    ("accepted", "lost"),
    [(NAMES, 0), ([*NAMES, f"{3:032x}"], 1), (NAMES[:1], 0)],
    ids=["each a case", "one is nowhere", "one that nobody asked for"],
)
def test_a_request_that_is_no_case_is_lost(records: Records, accepted: list[str], lost: int) -> None:
    found = Books()
    load = SimpleNamespace(accepted=dict.fromkeys(accepted, ""), clickers=set())
    with records.work() as work:
        final_checks._check_requests(work, found, cast("Load", load))
    assert (found.lost, found.balance) == (lost, accepted == NAMES)


@pytest.mark.usefixtures("cases")
def test_a_task_that_is_not_on_the_queue_is_found_and_a_repeat_is_counted(records: Records) -> None:
    with records.work() as work:
        (task,) = work.support_tasks.list_open()
        event = contact_support(task)
        there, strange = (
            json.dumps({"body": b64encode(one.model_dump_json().encode()).decode()}).encode()
            for one in (event, event.model_copy(update={"id": uuid4()}))
        )
        found = [Books() for _ in range(3)]
        for one, queue in zip(found, ([], [there, there], [there, strange]), strict=True):
            final_checks._check_tasks(work, one, queue, [there])
    assert [(one.balance, one.repeated_tasks) for one in found] == [(False, 0), (True, 1), (False, 0)]


def test_a_task_that_the_broker_forgot_may_be_missing_only_when_its_case_went_on(
    records: Records, cases: list[UUID]
) -> None:
    with records.work() as work:
        (task,) = work.support_tasks.list_open()
        (case,) = work.cases.lock(cases, state=State.WITH_SUPPORT)
        work.history.record([case.after(Event.SUPPORT_DECLINED, actor="test")])
        swept = json.dumps({"body": b64encode(contact_support(task).model_dump_json().encode()).decode()}).encode()
        found = [Books(), Books()]
        for one, forgotten in zip(found, ([], [swept]), strict=True):
            final_checks._check_tasks(work, one, [], forgotten)
    assert [one.balance for one in found] == [False, True]


def test_a_letter_that_is_missing_or_that_nobody_owed_is_found(
    records: Records, cases: list[UUID], settings: Settings
) -> None:
    sent_mail = settings.sent_mail_dir
    assert sent_mail
    email = next((sent_mail / "new").glob(f"{cases[0]}.refunded@*"))
    assert email_check(records, sent_mail).balance
    email.rename(aside := sent_mail / "tmp" / email.name)
    assert not email_check(records, sent_mail).balance
    aside.rename(email)
    (sent_mail / "new" / f"{uuid4()}.refunded@moneyback.example").touch()
    assert not email_check(records, sent_mail).balance


def email_check(records: Records, sent_mail: Path) -> Books:
    found = Books()
    with records.work() as work:
        final_checks._check_emails(work, found, sent_mail)
    return found
