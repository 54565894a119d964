"""Requests at the door: accepted once, whole, or not at all."""

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import pytest

from domain.errors import KeyReusedError, NotPossibleError
from domain.requests import Channel
from domain.states import State
from producers.intake import accept, accept_one, cancel, confirm, submission
from records import Records
from tests.sample_data import a_recent_purchase, a_request, a_submission, store_seller_and_purchases


def count(records: Records, table: str) -> int:
    with records.work() as work:
        return int(work.run(f"select count(*) from {table}").scalar_one())


def test_a_request_is_a_case_a_row_of_history_and_a_message(records: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought)
    accepted = accept_one(records, a_submission(bought))
    with records.work() as work:
        view = work.case_views.get(accepted.id)
        history = work.history.for_case(accepted.id)
        taken = work.outbox.take("refund.evaluate", room=10, after=None, bulk=False)
    assert view
    assert view.state is State.RECEIVED
    assert [(row.from_state, row.event, row.to_state, row.actor) for row in history] == [
        ("", "accepted", "received", "api")
    ]
    assert taken == [(accepted.id, "aurora")]


def test_the_case_and_its_message_are_saved_together_or_not_at_all(records: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought)

    def accept_and_fail() -> None:
        with records.work() as work:
            work.intake.accept([a_submission(bought)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        accept_and_fail()
    assert [count(records, table) for table in ("cases", "transitions", "outbox")] == [0, 0, 0]


def test_a_request_sent_twice_is_one_case(records: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought)
    first = accept_one(records, a_submission(bought, key="k1"))
    again = accept_one(records, a_submission(bought, key="k1"))
    assert (again.id, again.created) == (first.id, False)
    assert [count(records, table) for table in ("cases", "transitions", "outbox")] == [1, 1, 1]


def test_fifty_at_once_with_one_key_are_one_case(records: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought)
    with ThreadPoolExecutor(8) as people:
        found: set[UUID] = {
            a.id for a in people.map(lambda _: accept_one(records, a_submission(bought, key="k")), range(50))
        }
    assert len(found) == 1
    assert count(records, "cases") == 1


def test_a_key_used_for_another_request_is_refused(records: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought)
    accept_one(records, a_submission(bought, key="k1"))
    with pytest.raises(KeyReusedError, match="different request"):
        accept_one(records, a_submission(bought, key="k1", comment="and hurry"))


def test_one_key_of_two_sellers_is_two_keys(records: Records) -> None:
    request = a_request(a_recent_purchase())
    store_seller_and_purchases(records)
    ours, theirs = (submission(request, Channel.API, key="k1", source=f"api:{name}") for name in ("aurora", "borealis"))
    assert len({one.id for one in accept(records, [ours, theirs])}) == 2


def test_a_batch_keeps_its_order_and_its_repeats(records: Records) -> None:
    bought = [a_recent_purchase() for _ in range(3)]
    store_seller_and_purchases(records, *bought)
    (known,) = accept(records, [a_submission(bought[1], key="b")])
    answers = accept(records, [a_submission(bought[0]), a_submission(bought[1], key="b"), a_submission(bought[2])])
    assert [answer.created for answer in answers] == [True, False, True]
    assert answers[1].id == known.id


def test_nothing_can_be_confirmed_before_it_was_judged(records: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought)
    case = accept_one(records, a_submission(bought)).id
    for say in (confirm, cancel):
        with pytest.raises(NotPossibleError, match="still checking this request"):
            say(records, case)


def test_history_cannot_be_changed_by_the_role_that_writes_it(records: Records) -> None:
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought)
    accept_one(records, a_submission(bought))
    for statement in ("update transitions set actor = 'x'", "delete from transitions", "truncate transitions"):
        with pytest.raises(Exception, match="permission denied"), records.work() as work:
            work.run(statement)
