"""Requests that wait at the same time share one commit; what becomes of each is its own."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from typing import Any

import pytest
from sqlalchemy.exc import DataError, OperationalError

from domain.errors import KeyReusedError
from producers import intake
from producers.group_commit import MAX_BATCH, GroupCommit
from records import Records
from records.intake import Accepted, Submission
from tests.sample_data import a_recent_purchase, a_submission, store_seller_and_purchases
from tests.services import eventually


@pytest.fixture
def arrivals(records: Records) -> list[Submission]:
    bought = [a_recent_purchase() for _ in range(12)]
    store_seller_and_purchases(records, *bought)
    return [a_submission(one, key=f"key {n:02}") for n, one in enumerate(bought)]


class Door:
    """What Together commits through: the first commit waits until it is let in, so that the others gather behind it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits: list[list[str]] = []
        self.opened = Event()
        self.accept = intake.accept
        monkeypatch.setattr(intake, "accept", self)

    def __call__(self, records: Records, arrivals: Sequence[Submission]) -> list[Accepted]:
        self.commits.append([one.key for one in arrivals])
        assert self.opened.wait(30)
        return self.accept(records, arrivals)


def all_at_once(together: GroupCommit, door: Door, arrivals: Sequence[Submission]) -> list[Any]:
    """What each was answered, or the error that it met; the first one is at the door when the others come."""

    def ask(arrival: Submission) -> Any:
        try:
            return together.accept_one(arrival)
        except Exception as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(len(arrivals)) as people:
        first = people.submit(ask, arrivals[0])
        eventually(lambda: door.commits)
        others = [people.submit(ask, arrival) for arrival in arrivals[1:]]
        eventually(lambda: len(together._queue) == len(others))
        door.opened.set()
        return [one.result() for one in (first, *others)]


def count(records: Records) -> int:
    with records.work() as work:
        return int(work.run("select count(*) from cases").scalar_one())


def test_whoever_waits_meanwhile_shares_the_next_commit(
    records: Records, arrivals: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(monkeypatch)
    told = all_at_once(GroupCommit(records), door, arrivals)
    assert [one.id for one in told] == [arrival.id for arrival in arrivals]
    assert [len(commit) for commit in door.commits] == [1, 11]
    assert door.commits[1] == sorted(door.commits[1])
    assert count(records) == 12


def test_one_request_sent_by_all_is_one_case_and_another_body_is_refused(
    records: Records, arrivals: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(monkeypatch)
    bought = a_recent_purchase()
    same = [a_submission(bought, key="k") for _ in range(4)]
    told = all_at_once(
        GroupCommit(records), door, [*same, a_submission(bought, key="k", comment="and hurry"), *arrivals[:2]]
    )
    assert {one.id for one in told[:4]} == {same[0].id}
    assert isinstance(told[4], KeyReusedError)
    assert count(records) == 3


def test_a_request_that_the_database_refuses_spoils_no_other(
    records: Records, arrivals: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(monkeypatch)
    accept = door.accept

    def picky(records: Records, submissions: Sequence[Submission]) -> list[Accepted]:
        if any(one.key == "key 05" for one in submissions):
            raise DataError("insert", None, ValueError("no such thing"))
        return accept(records, submissions)

    door.accept = picky
    told = all_at_once(GroupCommit(records), door, arrivals)
    assert isinstance(told.pop(5), DataError)
    assert all(isinstance(one, Accepted) for one in told)
    assert count(records) == 11


def test_a_database_that_is_away_is_told_to_all_of_them_once_and_the_next_is_accepted(
    records: Records, arrivals: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    door = Door(monkeypatch)
    accept = door.accept

    def away(records: Records, submissions: Sequence[Submission]) -> list[Accepted]:  # noqa: ARG001
        raise OperationalError("connect", None, ConnectionError())

    door.accept = away
    together = GroupCommit(records)
    told = all_at_once(together, door, arrivals)
    assert all(isinstance(one, OperationalError) for one in told)
    assert len(door.commits) == 2
    door.accept = accept
    assert together.accept_one(arrivals[0]).created
    assert count(records) == 1


def test_no_commit_grows_beyond_its_bound(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.group_commit.MAX_BATCH", 4)
    door = Door(monkeypatch)
    bought = a_recent_purchase()
    store_seller_and_purchases(records, bought)
    told = all_at_once(GroupCommit(records), door, [a_submission(bought, key=f"key {n}") for n in range(10)])
    assert sorted(len(commit) for commit in door.commits) == [1, 1, 4, 4]
    assert len({one.id for one in told}) == count(records) == 10
    assert MAX_BATCH == 100
