"""The number of rows that statements read. A statement that reads a whole table for each purchase is slow in a large table."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from console.servers import Servers
from domain.purchases import Purchase
from producers.intake import accept
from records import Records, UnitOfWork
from records.purchase_reports import store_purchases
from records.purchases import Reported
from records.unit_of_work import connect
from tests.sample_data import a_recent_purchase, a_submission, store_seller_and_purchases
from tests.services import create_settings, fresh_database

PURCHASES = 1_000
MAX_ROWS_PER_PURCHASE = 25
"""Each index lookup reads a few rows."""


def rows_read(work: UnitOfWork) -> int:
    """Return the number of rows of tables that this connection has read, in this and in the last transactions."""
    statement = "select sum(seq_tup_read + coalesce(idx_tup_fetch, 0)) from pg_stat_xact_user_tables"
    return int(work.run(statement).scalar_one())


@pytest.fixture
def records(servers: Servers, tmp_path: Path) -> Iterator[Records]:
    """Yield the records of a new database, without the statistics and the empty pages that the rows of other tests leave."""
    with fresh_database(servers) as database:
        settings = create_settings(servers, database, tmp_path)
        engine = connect(settings.database_url.get_secret_value())
        yield Records(engine, settings.timers)
        engine.dispose()


@pytest.fixture
def purchases(records: Records) -> list[Purchase]:
    """Store many purchases, and return them. The tables have no statistics yet, as in the minute after an import."""
    purchases = [a_recent_purchase() for _ in range(PURCHASES)]
    store_seller_and_purchases(records)
    with records.work() as work:
        store_purchases(work, purchases)
    return purchases


def test_purchases_that_are_reported_again_are_found_by_the_indexes(
    records: Records, purchases: list[Purchase]
) -> None:
    with records.work() as work:
        read_before = rows_read(work)
        results = store_purchases(work, purchases)
        read = rows_read(work) - read_before
    assert all(isinstance(result, Reported) and not result.is_changed for result in results)
    assert read <= MAX_ROWS_PER_PURCHASE * PURCHASES


def test_the_refund_of_a_payment_is_found_by_an_index(records: Records, purchases: list[Purchase]) -> None:
    """Each webhook event about a payment asks for the newest operation of the payment, and for its purchases."""
    accept(records, [a_submission(purchase) for purchase in purchases])
    with records.work() as work:
        work.run(
            "insert into refund_operations (case_id, provider, charge, amount, currency, key, payload_hash, first_sent_at,"
            " last_sent_at, status)"
            " select c.id, 'sandbox', 'charge ' || row_number() over (), 4900, 'EUR', c.id::text, '', now(), now(), 'declined'"
            " from cases c"
        )
    with records.work() as work:
        work.run("update cases set purchase_id = (select id from purchases limit 1)")
    payments = [("sandbox", "charge 1"), ("sandbox", "charge 1000"), ("sandbox", "unknown")]
    with records.work() as work:
        read_before = rows_read(work)
        operations, found = work.refund_operations.for_payments(payments), work.purchases.of_payments(payments)
        read = rows_read(work) - read_before
    assert (len(operations), [len(found[payment]) for payment in payments]) == (2, [1, 1, 0])
    assert read <= MAX_ROWS_PER_PURCHASE * len(payments)
