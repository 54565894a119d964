"""Tests of the intake. Each request is accepted only once. Its rows are stored together or not at all."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from uuid import UUID

import pytest

from domain.errors import KeyReusedError, NotPossibleError
from domain.requests import Channel
from domain.states import State
from producers.intake import accept, accept_one, cancel, confirm, submission
from records import Records
from tests.sample_data import a_recent_purchase, a_request, a_submission, store_seller_and_purchases


def count_rows(records: Records, table: str) -> int:
    with records.work() as work:
        return int(work.run(f"select count(*) from {table}").scalar_one())


def test_a_request_creates_a_case_a_row_of_history_and_a_message(records: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    accepted = accept_one(records, a_submission(purchase))
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


def test_each_case_has_its_own_case_number(records: Records) -> None:
    store_seller_and_purchases(records, *(purchases := [a_recent_purchase() for _ in range(3)]))
    submissions = [a_submission(purchase) for purchase in purchases]
    accepted = accept(records, submissions)
    repeated = accept(records, submissions)
    numbers = [case.number for case in accepted]
    assert len(set(numbers)) == 3
    assert [case.number for case in repeated] == numbers
    with records.work() as work:
        found = [work.case_views.find(number) for number in numbers]
        assert work.case_views.numbers([case.id for case in accepted]) == {case.id: case.number for case in accepted}
    assert [(view.id, view.number) for view in found if view] == [(case.id, case.number) for case in accepted]


def test_the_case_and_its_message_are_saved_together_or_not_at_all(records: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)

    def accept_and_fail() -> None:
        with records.work() as work:
            work.intake.accept([a_submission(purchase)])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        accept_and_fail()
    assert [count_rows(records, table) for table in ("cases", "transitions", "outbox")] == [0, 0, 0]


def test_a_request_sent_twice_creates_one_case(records: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    first = accept_one(records, a_submission(purchase, key="k1"))
    repeated = accept_one(records, a_submission(purchase, key="k1"))
    assert (repeated.id, repeated.created) == (first.id, False)
    assert [count_rows(records, table) for table in ("cases", "transitions", "outbox")] == [1, 1, 1]


def test_fifty_parallel_requests_with_one_key_create_one_case(records: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    with ThreadPoolExecutor(8) as pool:
        case_ids: set[UUID] = {
            accepted.id
            for accepted in pool.map(lambda _: accept_one(records, a_submission(purchase, key="k")), range(50))
        }
    assert len(case_ids) == 1
    assert count_rows(records, "cases") == 1


def test_a_key_used_for_another_request_is_refused(records: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    accept_one(records, a_submission(purchase, key="k1"))
    with pytest.raises(KeyReusedError, match="different request"):
        accept_one(records, a_submission(purchase, key="k1", comment="and hurry"))


def test_two_sellers_can_use_the_same_key(records: Records) -> None:
    request = a_request(a_recent_purchase())
    store_seller_and_purchases(records)
    own, other = (submission(request, Channel.API, key="k1", source=f"api:{name}") for name in ("aurora", "borealis"))
    assert len({accepted.id for accepted in accept(records, [own, other])}) == 2


def test_the_results_of_a_batch_have_the_order_of_its_requests(records: Records) -> None:
    purchases = [a_recent_purchase() for _ in range(3)]
    store_seller_and_purchases(records, *purchases)
    (existing,) = accept(records, [a_submission(purchases[1], key="b")])
    answers = accept(
        records, [a_submission(purchases[0]), a_submission(purchases[1], key="b"), a_submission(purchases[2])]
    )
    assert [answer.created for answer in answers] == [True, False, True]
    assert answers[1].id == existing.id


def test_a_case_cannot_be_confirmed_or_cancelled_before_its_evaluation(records: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    case = accept_one(records, a_submission(purchase)).id
    for action in (partial(confirm, seq=1), cancel):
        with pytest.raises(NotPossibleError, match="still checking this request"):
            action(records, case)


def test_the_application_role_cannot_change_history(records: Records) -> None:
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    accept_one(records, a_submission(purchase))
    for statement in ("update transitions set actor = 'x'", "delete from transitions", "truncate transitions"):
        with pytest.raises(Exception, match="permission denied"), records.work() as work:
            work.run(statement)
