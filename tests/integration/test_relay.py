"""The relay: what is due leaves in full messages, in turn, and only as fast as the broker's window allows."""

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import pytest
from celery import Celery
from kombu import Connection
from pydantic import SecretStr

from config.broker import QUEUES, connect, queue_length
from config.settings import Settings
from domain.messages import RefundRequested
from producers.intake import accept
from records import Records
from records.case_views import CaseView
from tests.sample_data import a_policy, a_recent_purchase, a_seller, a_submission, ids_of, store_seller_and_purchases
from tests.services import eventually
from worker.celery_fixes.config import celery_options
from worker.relay import WINDOW, Relay, RelayResult

LANE = RefundRequested.queue


@pytest.fixture
def connection(settings: Settings) -> Iterator[Connection]:
    with connect(settings) as connection:
        yield connection


@pytest.fixture
def relay(settings: Settings, records: Records) -> Relay:
    app = Celery("test", set_as_current=False)
    app.config_from_object(celery_options(settings))
    return Relay(settings, records, app)


def due(records: Records, number: int, seller: str = "aurora", *, bulk: bool = False) -> list[UUID]:
    bought = [a_recent_purchase(seller_id=seller) for _ in range(number)]
    store_seller_and_purchases(records, *bought, seller=a_seller(id=seller), policy=a_policy(seller_id=seller))
    with records.work() as work:
        return [one.id for one in work.intake.accept([replace(a_submission(one), bulk=bulk) for one in bought])]


def received(connection: Connection) -> list[list[UUID]]:
    queue = QUEUES[LANE](connection.channel())
    messages = []
    while message := queue.get(no_ack=True):
        (payload,), _, _ = message.payload
        messages.append(list(RefundRequested.read(payload).ids))
    return messages


def test_a_single_case_leaves_alone_at_once(records: Records, relay: Relay, connection: Connection) -> None:
    (case,) = due(records, 1)
    assert relay.run_once(connection) == RelayResult(messages=1, cases=1)
    assert received(connection) == [[case]]
    assert relay.run_once(connection) == RelayResult(messages=0, cases=0)


def test_what_waits_leaves_together_a_hundred_at_a_time(records: Records, relay: Relay, connection: Connection) -> None:
    cases = due(records, 250)
    assert relay.run_once(connection) == RelayResult(messages=3, cases=250)
    messages = received(connection)
    assert [len(message) for message in messages] == [100, 100, 50]
    assert {case for message in messages for case in message} == set(cases)


def test_the_window_is_never_overfilled(records: Records, relay: Relay, connection: Connection) -> None:
    due(records, (WINDOW + 5) * 100)
    assert relay.run_once(connection).messages == WINDOW
    assert relay.run_once(connection).messages == 0
    assert queue_length(connection.channel(), LANE) == WINDOW
    received(connection)
    assert relay.run_once(connection).messages == 5


def test_one_sellers_recall_does_not_delay_anothers_single_request(
    records: Records, relay: Relay, connection: Connection
) -> None:
    due(records, 1_000, "recalling")
    (single,) = due(records, 1, "quiet")
    relay.run_once(connection)
    assert single in received(connection)[0]


def test_sellers_take_turns(records: Records, relay: Relay, connection: Connection) -> None:
    owners = {case: name for name in ("a", "b", "c") for case in due(records, 200, name)}
    relay.run_once(connection)
    first = Counter(owners[case] for case in received(connection)[0])
    assert set(first) == {"a", "b", "c"}
    assert max(first.values()) - min(first.values()) <= 1


def test_more_sellers_than_fit_into_a_message_are_all_served(
    records: Records, relay: Relay, connection: Connection
) -> None:
    cases = {case for number in range(130) for case in due(records, 2, f"s{number:03}")}
    relay.run_once(connection)
    messages = received(connection)
    assert {case for message in messages for case in message} == cases
    assert len(messages) == 3


def test_interactive_requests_leave_before_a_bulk(records: Records, relay: Relay, connection: Connection) -> None:
    bulk = due(records, 150, "recalling", bulk=True)
    (single,) = due(records, 1, "recalling")
    relay.run_once(connection)
    messages = received(connection)
    assert single in messages[0]
    assert {case for message in messages for case in message} == {single, *bulk}


def test_what_the_broker_does_not_take_stays_in_the_outbox(
    settings: Settings, records: Records, connection: Connection
) -> None:
    cases = due(records, 3)
    nobody = settings.model_copy(update={"broker_url": type(settings.broker_url)("redis://127.0.0.1:1/0")})
    app = Celery("away", set_as_current=False)
    app.config_from_object(celery_options(nobody))
    with pytest.raises(Exception, match=r"127\.0\.0\.1:1"), connect(nobody) as away:
        Relay(nobody, records, app).run_once(away)
    back = Celery("back", set_as_current=False)
    back.config_from_object(celery_options(settings))
    assert Relay(settings, records, back).run_once(connection).cases == 3
    assert sorted(received(connection)[0]) == sorted(cases)


def test_two_relays_share_the_work(records: Records, relay: Relay, connection: Connection) -> None:
    cases = due(records, 120)
    with records.work() as work:
        held = [case for case, _ in work.outbox.take(LANE, room=20, after=None, bulk=False)]
        moved = relay.run_once(connection).cases
    moved += relay.run_once(connection).cases
    left = {case for message in received(connection) for case in message}
    assert moved == 100
    assert left == set(cases) - set(held)


@pytest.mark.slow
def test_while_the_broker_stays_away_the_relay_works_on_the_cases_itself(
    sandbox_settings: Settings, records: Records, tmp_path: Path
) -> None:
    """Direct mode: accepted requests end, letters leave; only a helpdesk's tasks wait for the broker."""
    quick = sandbox_settings.timers.model_copy(update={"brokerless_after_seconds": 0.5})
    nowhere = sandbox_settings.model_copy(
        update={"broker_url": SecretStr(f"redis+socket://{tmp_path}/nobody"), "timers": quick}
    )
    bought = [a_recent_purchase(charge=f"{way}_{uuid4()}") for way in ("ok", "fail500", "declined")]
    store_seller_and_purchases(records, *bought)
    cases = ids_of(accept(records, [a_submission(one) for one in bought]))
    app = Celery("test", set_as_current=False)
    app.config_from_object(celery_options(nowhere))
    stop = threading.Event()
    relaying = threading.Thread(target=Relay(nowhere, records, app).run, args=(stop,))
    relaying.start()
    try:
        eventually(lambda: [view.state for view in seen(records, cases)] == ["refunded", "refunded", "with_support"])
        eventually(lambda: letters_left(records) == 0)
    finally:
        stop.set()
        relaying.join()
    with records.work() as work:
        assert work.support_tasks.count_unpublished() == 1


def seen(records: Records, cases: list[UUID]) -> list[CaseView]:
    with records.work() as work:
        found = work.case_views.get_many(cases)
    return [found[case] for case in cases]


def letters_left(records: Records) -> int:
    with records.work() as work:
        return work.case_emails.count_unsent()
