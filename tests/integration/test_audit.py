"""The audit finds every row that was changed or deleted directly in the database."""

from uuid import UUID

import pytest

from console.servers import Servers
from domain.states import Event, State
from producers.intake import accept
from records import Records
from records.audit import AuditReport, audit
from tests.sample_data import a_recent_purchase, a_submission, ids_of, store_seller_and_purchases
from tests.services import tamper


@pytest.fixture
def cases(records: Records) -> list[UUID]:
    """Return three cases that are with support. Each has two rows of history."""
    purchases = [a_recent_purchase() for _ in range(3)]
    store_seller_and_purchases(records, *purchases)
    case_ids = ids_of(accept(records, [a_submission(purchase) for purchase in purchases]))
    with records.work() as work:
        work.history.record(
            [
                case.after(
                    Event.FOUND_NOT_ELIGIBLE, actor="rules", evidence={"reasons": [{"code": "x", "sentence": "X."}]}
                )
                for case in work.cases.lock(case_ids, state=State.RECEIVED)
            ],
        )
    return case_ids


def run_audit(records: Records) -> AuditReport:
    with records.work() as work:
        return audit(work)


@pytest.mark.usefixtures("cases")
def test_an_unchanged_database_has_no_faults(records: Records) -> None:
    report = run_audit(records)
    assert (report.cases, report.rows, report.faults) == (3, 6, [])


@pytest.mark.parametrize(
    ("snapshot", "is_fault"),
    [
        (None, False),
        ([["sandbox", "ok_1", 4900, "EUR"]], False),
        ([["sandbox", "ok_1", 9900, "EUR"]], True),
        ([["sandbox", "ok_1", 4900, "USD"]], True),
        ([["sandbox", "ok_1", 4900, "EUR"], ["sandbox", "ok_2", 100, "EUR"]], True),
    ],
)
def test_a_refunded_case_must_have_paid_what_was_confirmed_if_that_is_known(
    records: Records, servers: Servers, database: str, snapshot: list[list[object]] | None, is_fault: bool
) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    [case_id] = ids_of(accept(records, [a_submission(purchase, trusted=True)]))
    evidence: dict[str, object] = {"purchase": {"payments": snapshot}} if snapshot else {}
    for event in (Event.FOUND_ELIGIBLE_AND_TRUSTED, Event.REFUND_STARTED, Event.PROVIDER_PAID):
        with records.work() as work:
            case = work.cases.lock_one(case_id)
            assert case
            work.history.record([case.after(event, actor="rules", evidence=evidence)])
    tamper(
        servers,
        database,
        f"""
        insert into refund_operations (case_id, provider, charge, amount, currency, key, payload_hash, first_sent_at,
                                       last_sent_at, status, refund_id, paid_at)
        values ('{case_id}', 'sandbox', 'ok_1', 4900, 'EUR', 'mb_1', '', now(), now(), 'paid', 're_1', now())
        """,
    )
    assert bool(run_audit(records).faults) == is_fault


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        (
            "update transitions set why = 'because' where seq = 2 and case_id = '{}'",
            "row 2 in its history that was changed",
        ),
        (
            "update transitions set created_at = created_at + interval '1 us' where seq = 1 and case_id = '{}'",
            "row 1 in its history that was",
        ),
        (
            "update transitions set evidence = '{{}}' where seq = 2 and case_id = '{}'",
            "row 2 in its history that was changed",
        ),
        (
            "update transitions set to_state = 'refunded' where seq = 2 and case_id = '{}'",
            "cannot have gone from the state “received”",
        ),
        ("delete from transitions where seq = 1 and case_id = '{}'", "has no row 1"),
        (
            "delete from transitions where seq = 2 and case_id = '{}'",
            "its history ends in the state “received” at row 1",
        ),
        ("delete from transitions where case_id = '{}'", "its history is empty"),
        (
            "update cases set state = 'refunded' where id = '{}'",
            "is refunded, but its refund operations did not pay all",
        ),
        ("update cases set head_hash = '\\x00' where id = '{}'", "is in the state “with_support” at row 2, but"),
        ("delete from support_tasks where case_id = '{}'", "0 open support tasks"),
        (
            "update support_tasks set closed_at = now(), closed_by = 'x', outcome = 'x' where case_id = '{}'",
            "0 open support tasks",
        ),
        (
            "update cases set state = 'declined' where id = '{}'",
            "has an open support task, but is in the state “declined” at row 2",
        ),
        ("update support_tasks set reasons = '[]' where case_id = '{}'", "without a reason"),
    ],
)
def test_a_changed_or_deleted_row_is_found(
    records: Records, cases: list[UUID], servers: Servers, database: str, statement: str, sentence: str
) -> None:
    tamper(servers, database, statement.format(cases[1]))
    faults = run_audit(records).faults
    assert {fault.case_id for fault in faults} == {cases[1]}
    assert any(sentence in fault.sentence for fault in faults), faults
