"""Tests of the sweep, which publishes overdue cases, e-mails and support tasks again."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.settings import Settings
from domain.messages import (
    CaseEmailsDue,
    InquiryEmailsDue,
    RefundApproved,
    RefundOutcomeUnknown,
    RefundRequested,
    SupportNeeded,
)
from domain.states import Event, State
from domain.support_tasks import SupportTaskKind
from producers.intake import accept
from records import Records, case_emails, inquiry_emails, migrate, support_tasks
from records.unit_of_work import connect
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from worker.sweep import Sweep


def empty_outbox(records: Records) -> None:
    """Delete all outbox messages, as if each message was published and then lost."""
    with records.work() as work:
        work.run("delete from outbox")


def move_back_in_time(records: Records, **elapsed: float) -> None:
    """Make all cases, e-mails and support tasks older by `elapsed`."""
    with records.work() as work:
        age = {"ago": timedelta(**elapsed)}
        work.run("update cases set next_action_at = next_action_at - :ago, lease_until = lease_until - :ago", **age)
        work.run("update case_emails set created_at = created_at - :ago, claimed_until = claimed_until - :ago", **age)
        work.run("update support_tasks set created_at = created_at - :ago, claimed_until = claimed_until - :ago", **age)


def count_messages(records: Records) -> dict[str, int]:
    with records.work() as work:
        return {queue: number for queue, (number, _) in work.outbox.backlog().items() if number}


def create_cases(records: Records, number: int, *events: Event) -> None:
    """Create `number` cases, and apply the events to each case."""
    purchases = [a_recent_purchase() for _ in range(number)]
    store_seller_and_purchases(records, *purchases)
    case_ids = ids_of(accept(records, [a_submission(purchase) for purchase in purchases]))
    state = State.RECEIVED
    for event in events:
        with records.work() as work:
            cases = work.cases.lock(case_ids, state=state)
            transitions = [
                case.after(event, actor="test", evidence={"reasons": [{"code": "x", "sentence": "X."}]})
                for case in cases
            ]
            work.history.record(transitions)
            state = transitions[0].to_state


def test_the_sweep_ignores_cases_that_are_not_due(records: Records) -> None:
    create_cases(records, 3)
    assert Sweep(records).run_once() == 0


def test_a_lost_message_is_published_again_only_once(records: Records) -> None:
    create_cases(records, 3)
    empty_outbox(records)
    move_back_in_time(records, seconds=6)
    assert Sweep(records).run_once() == 3
    assert count_messages(records) == {RefundRequested.queue: 3}
    assert Sweep(records).run_once() == 0
    move_back_in_time(records, seconds=6)
    Sweep(records).run_once()
    assert count_messages(records) == {RefundRequested.queue: 3}


def test_an_approved_case_is_published_for_execution(records: Records) -> None:
    create_cases(records, 2, Event.FOUND_ELIGIBLE_AND_TRUSTED)
    empty_outbox(records)
    move_back_in_time(records, seconds=6)
    Sweep(records).run_once()
    assert count_messages(records) == {RefundApproved.queue: 2}


def test_a_started_refund_is_published_after_the_lease_of_its_case_has_ended(records: Records) -> None:
    create_cases(records, 2, Event.FOUND_ELIGIBLE_AND_TRUSTED, Event.REFUND_STARTED)
    empty_outbox(records)
    assert Sweep(records).run_once() == 0
    move_back_in_time(records, seconds=6)
    Sweep(records).run_once()
    assert count_messages(records) == {RefundOutcomeUnknown.queue: 2}


def test_the_sweep_ignores_a_leased_case(records: Records) -> None:
    create_cases(records, 1, Event.FOUND_ELIGIBLE_AND_TRUSTED, Event.REFUND_STARTED)
    empty_outbox(records)
    with records.work() as work:
        work.run("update cases set next_action_at = now() - interval '1 s', lease_until = now() + interval '1 min'")
    assert Sweep(records).run_once() == 0


def test_an_unused_confirmation_link_expires(records: Records) -> None:
    create_cases(records, 2, Event.FOUND_ELIGIBLE)
    move_back_in_time(records, hours=2)
    # Two links expire. No e-mail is published again, because the messages about the e-mails are still in the outbox.
    assert Sweep(records).run_once() == 2
    with records.work() as work:
        assert work.case_views.counts() == {"expired": 2}


def test_lost_emails_and_support_tasks_are_published_again(records: Records) -> None:
    create_cases(records, 2, Event.FOUND_NOT_ELIGIBLE)
    empty_outbox(records)
    move_back_in_time(records, seconds=6)
    assert Sweep(records).run_once() == 4
    assert count_messages(records) == {CaseEmailsDue.queue: 2, SupportNeeded.queue: 2}
    assert Sweep(records).run_once() == 0, "A message that waits for the relay is not published again."


def test_the_next_action_for_a_pending_refund_is_due_within_a_minute(records: Records) -> None:
    create_cases(records, 1, Event.FOUND_ELIGIBLE_AND_TRUSTED, Event.REFUND_STARTED, Event.PROVIDER_ACCEPTED)
    with records.work() as work:
        due = work.run("select next_action_at from cases").scalar_one()
    assert due < datetime.now(UTC) + timedelta(minutes=1)


def test_a_statutory_withdrawal_with_an_unused_link_creates_one_task(records: Records) -> None:
    """The withdrawal is valid from its date, even if the confirmation link expires unused. So support gets a task."""
    create_cases(records, 2, Event.FOUND_ELIGIBLE)
    with records.work() as work:
        withdrawn, _ = (row.id for row in work.run("select id from cases order by id"))
        work.statutory_withdrawals.insert(withdrawn, "Ada Lovelace", "I withdraw.")
    move_back_in_time(records, days=15)
    for _ in range(2):
        Sweep(records).run_once()
    with records.work() as work:
        assert work.case_views.counts() == {"expired": 2}
        (task,) = work.support_tasks.claim([withdrawn], seconds=60)
        withdrawal = work.statutory_withdrawals.get(withdrawn)
    assert withdrawal
    assert task.reasons[0]["code"] == SupportTaskKind.STATUTORY_WITHDRAWAL_UNPAID
    # The task does not contain the customer's name, because the desk shows the name.
    assert task.evidence == {"declared_at": withdrawal.declared_at.isoformat()}
    assert count_messages(records)[SupportNeeded.queue] == 1


BACKLOGS = {
    CaseEmailsDue.queue: (
        "insert into case_emails (case_id, kind) select id, 'received' from cases",
        case_emails._SELECT_OVERDUE,
    ),
    SupportNeeded.queue: (
        "insert into support_tasks (id, kind, subject, reasons) select id, 'x', cast(id as text), '[]' from cases",
        support_tasks._SELECT_OVERDUE,
    ),
    InquiryEmailsDue.queue: (
        "insert into inquiry_emails (id, kind, email, email_key, locale) select id, 'purchase', '', '', 'en' from cases",
        inquiry_emails._SELECT_OVERDUE,
    ),
}


@pytest.mark.parametrize("queue", BACKLOGS)
def test_the_sweep_does_not_read_the_rows_of_a_backlog_repeatedly(
    records: Records, settings: Settings, queue: str
) -> None:
    number = 2_000
    insert, overdue = BACKLOGS[queue]
    create_cases(records, number)
    with records.work() as work:
        work.run(insert)
    assert settings.database_owner_url
    owner = connect(settings.database_owner_url.get_secret_value())
    # PostgreSQL plans the query with statistics. They are collected while the outbox contains no message of this queue.
    migrate.analyze(owner)
    owner.dispose()
    with records.work() as work:
        work.run(
            "insert into outbox (queue, bulk, seller_id, item_id) select :queue, false, '', id from cases", queue=queue
        )
    with records.work() as work:
        values = {"seconds": -1.0, "limit": 100}
        (plan,) = work.run(f"explain (analyze, format json) {overdue}", **values).scalar_one()
        assert list(work.run(overdue, **values)) == []
    assert sum(row_counts(plan["Plan"])) < 10 * number


def row_counts(node: dict[str, Any]) -> Iterator[float]:
    """For each node of a query plan, yield the number of rows that the node returned or that its filters removed."""
    for count in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter"):
        yield node.get(count, 0) * node["Actual Loops"]
    for child in node.get("Plans", ()):
        yield from row_counts(child)
