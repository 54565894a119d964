"""The sweep: no state without an owner."""

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
    """As if every message had been published, and lost."""
    with records.work() as work:
        work.run("delete from outbox")


def pass_by(records: Records, **time: float) -> None:
    """Lets time pass for every case, letter and task."""
    with records.work() as work:
        past = {"ago": timedelta(**time)}
        work.run("update cases set next_action_at = next_action_at - :ago, lease_until = lease_until - :ago", **past)
        work.run("update case_emails set created_at = created_at - :ago, claimed_until = claimed_until - :ago", **past)
        work.run(
            "update support_tasks set created_at = created_at - :ago, claimed_until = claimed_until - :ago", **past
        )


def waiting(records: Records) -> dict[str, int]:
    with records.work() as work:
        return {lane: number for lane, (number, _) in work.outbox.backlog().items() if number}


def move(records: Records, number: int, *events: Event) -> None:
    """Cases that came as far as these events."""
    bought = [a_recent_purchase() for _ in range(number)]
    store_seller_and_purchases(records, *bought)
    found = ids_of(accept(records, [a_submission(one) for one in bought]))
    here = State.RECEIVED
    for event in events:
        with records.work() as work:
            cases = work.cases.lock(found, state=here)
            steps = [
                case.after(event, actor="test", evidence={"reasons": [{"code": "x", "sentence": "X."}]})
                for case in cases
            ]
            work.history.record(steps)
            here = steps[0].to_state


def test_what_is_on_its_way_is_left_alone(records: Records) -> None:
    move(records, 3)
    assert Sweep(records).run_once() == 0


def test_a_lost_message_is_sent_again_and_only_once(records: Records) -> None:
    move(records, 3)
    empty_outbox(records)
    pass_by(records, seconds=6)
    assert Sweep(records).run_once() == 3
    assert waiting(records) == {RefundRequested.queue: 3}
    assert Sweep(records).run_once() == 0
    pass_by(records, seconds=6)
    Sweep(records).run_once()
    assert waiting(records) == {RefundRequested.queue: 3}


def test_an_approved_case_is_sent_to_be_paid(records: Records) -> None:
    move(records, 2, Event.FOUND_ELIGIBLE_AND_TRUSTED)
    empty_outbox(records)
    pass_by(records, seconds=6)
    Sweep(records).run_once()
    assert waiting(records) == {RefundApproved.queue: 2}


def test_a_case_whose_worker_died_is_settled_once_its_lease_is_over(records: Records) -> None:
    move(records, 2, Event.FOUND_ELIGIBLE_AND_TRUSTED, Event.REFUND_STARTED)
    empty_outbox(records)
    assert Sweep(records).run_once() == 0
    pass_by(records, seconds=6)
    Sweep(records).run_once()
    assert waiting(records) == {RefundOutcomeUnknown.queue: 2}


def test_a_case_that_is_held_is_not_touched(records: Records) -> None:
    move(records, 1, Event.FOUND_ELIGIBLE_AND_TRUSTED, Event.REFUND_STARTED)
    empty_outbox(records)
    with records.work() as work:
        work.run("update cases set next_action_at = now() - interval '1 s', lease_until = now() + interval '1 min'")
    assert Sweep(records).run_once() == 0


def test_a_link_that_nobody_used_in_time_expires(records: Records) -> None:
    move(records, 2, Event.FOUND_ELIGIBLE)
    pass_by(records, hours=2)
    assert Sweep(records).run_once() == 2  # links; their letters wait for the relay still
    with records.work() as work:
        assert work.case_views.counts() == {"expired": 2}


def test_letters_and_tasks_that_got_lost_are_sent_again(records: Records) -> None:
    move(records, 2, Event.FOUND_NOT_ELIGIBLE)
    empty_outbox(records)
    pass_by(records, seconds=6)
    assert Sweep(records).run_once() == 4
    assert waiting(records) == {CaseEmailsDue.queue: 2, SupportNeeded.queue: 2}
    assert Sweep(records).run_once() == 0, "they wait for the relay: a backlog is swept once, and not at every look"


def test_every_state_that_must_move_has_a_time_by_which_it_must(records: Records) -> None:
    move(records, 1, Event.FOUND_ELIGIBLE_AND_TRUSTED, Event.REFUND_STARTED, Event.PROVIDER_ACCEPTED)
    with records.work() as work:
        due = work.run("select next_action_at from cases").scalar_one()
    assert due < datetime.now(UTC) + timedelta(minutes=1)


def test_a_withdrawal_by_law_whose_link_was_never_opened_is_for_a_person_and_once(records: Records) -> None:
    """The declaration counts from its day, whatever became of the link."""
    move(records, 2, Event.FOUND_ELIGIBLE)
    with records.work() as work:
        declared, _ = (row.id for row in work.run("select id from cases order by id"))
        work.statutory_withdrawals.insert(declared, "Ada Lovelace", "I withdraw.")
    pass_by(records, days=15)
    for _ in range(2):
        Sweep(records).run_once()
    with records.work() as work:
        assert work.case_views.counts() == {"expired": 2}
        (task,) = work.support_tasks.claim([declared], seconds=60)
        kept = work.statutory_withdrawals.get(declared)
    assert kept
    assert task.reasons[0]["code"] == SupportTaskKind.STATUTORY_WITHDRAWAL_UNPAID
    assert task.evidence == {"declared_at": kept.declared_at.isoformat()}  # who it was stands in the desk
    assert waiting(records)[SupportNeeded.queue] == 1


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


@pytest.mark.parametrize("lane", BACKLOGS)
def test_a_backlog_that_waits_for_the_relay_is_gone_through_once(
    records: Records, settings: Settings, lane: str
) -> None:
    many = 2_000
    fill, overdue = BACKLOGS[lane]
    move(records, many)
    with records.work() as work:
        work.run(fill)
    assert settings.database_owner_url
    owner = connect(settings.database_owner_url.get_secret_value())
    migrate.analyze(owner)  # no message of this lane waits as yet
    owner.dispose()
    with records.work() as work:
        work.run(
            "insert into outbox (queue, bulk, seller_id, item_id) select :lane, false, '', id from cases", lane=lane
        )
    with records.work() as work:
        values = {"seconds": -1.0, "limit": 100}
        (plan,) = work.run(f"explain (analyze, format json) {overdue}", **values).scalar_one()
        assert list(work.run(overdue, **values)) == []
    assert sum(rows_of(plan["Plan"])) < 10 * many


def rows_of(node: dict[str, Any]) -> Iterator[float]:
    """The rows that each node of a plan gave on, or looked at and left out."""
    for count in ("Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter"):
        yield node.get(count, 0) * node["Actual Loops"]
    for part in node.get("Plans", ()):
        yield from rows_of(part)
