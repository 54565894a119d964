"""Group commit: requests that wait at the same time share one commit, and each gets its own result."""

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
def submissions(records: Records) -> list[Submission]:
    purchases = [a_recent_purchase() for _ in range(12)]
    store_seller_and_purchases(records, *purchases)
    return [a_submission(purchase, key=f"key {n:02}") for n, purchase in enumerate(purchases)]


class CommitGate:
    """Replaces `intake.accept`. The first commit waits until the gate opens, so that the other requests wait in the queue."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits: list[list[str]] = []
        self.is_open = Event()
        self.accept = intake.accept
        monkeypatch.setattr(intake, "accept", self)

    def __call__(self, records: Records, submissions: Sequence[Submission]) -> list[Accepted]:
        self.commits.append([submission.key for submission in submissions])
        assert self.is_open.wait(30)
        return self.accept(records, submissions)


def submit_concurrently(group_commit: GroupCommit, gate: CommitGate, submissions: Sequence[Submission]) -> list[Any]:
    """Submit requests from threads, and return each result or error. All requests but the first wait for the first commit."""

    def accept(submission: Submission) -> Any:
        try:
            return group_commit.accept_one(submission)
        except Exception as error:  # noqa: BLE001
            return error

    with ThreadPoolExecutor(len(submissions)) as pool:
        first = pool.submit(accept, submissions[0])
        eventually(lambda: gate.commits)
        others = [pool.submit(accept, submission) for submission in submissions[1:]]
        eventually(lambda: len(group_commit._queue) == len(others))
        gate.is_open.set()
        return [future.result() for future in (first, *others)]


def count_cases(records: Records) -> int:
    with records.work() as work:
        return int(work.run("select count(*) from cases").scalar_one())


def test_requests_that_wait_during_a_commit_share_the_next_commit(
    records: Records, submissions: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = CommitGate(monkeypatch)
    results = submit_concurrently(GroupCommit(records), gate, submissions)
    assert [accepted.id for accepted in results] == [submission.id for submission in submissions]
    assert [len(commit) for commit in gate.commits] == [1, 11]
    assert gate.commits[1] == sorted(gate.commits[1])
    assert count_cases(records) == 12


def test_equal_requests_with_the_same_key_create_one_case_and_a_different_one_is_refused(
    records: Records, submissions: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = CommitGate(monkeypatch)
    purchase = a_recent_purchase()
    same = [a_submission(purchase, key="k") for _ in range(4)]
    results = submit_concurrently(
        GroupCommit(records), gate, [*same, a_submission(purchase, key="k", comment="and hurry"), *submissions[:2]]
    )
    assert {accepted.id for accepted in results[:4]} == {same[0].id}
    assert isinstance(results[4], KeyReusedError)
    assert count_cases(records) == 3


def test_a_request_refused_by_the_database_does_not_affect_other_requests(
    records: Records, submissions: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = CommitGate(monkeypatch)
    accept = gate.accept

    def refuse_one(records: Records, submissions: Sequence[Submission]) -> list[Accepted]:
        if any(submission.key == "key 05" for submission in submissions):
            raise DataError("insert", None, ValueError("no such thing"))
        return accept(records, submissions)

    gate.accept = refuse_one
    results = submit_concurrently(GroupCommit(records), gate, submissions)
    assert isinstance(results.pop(5), DataError)
    assert all(isinstance(result, Accepted) for result in results)
    assert count_cases(records) == 11


def test_a_database_failure_is_raised_for_all_waiting_requests(
    records: Records, submissions: list[Submission], monkeypatch: pytest.MonkeyPatch
) -> None:
    gate = CommitGate(monkeypatch)
    accept = gate.accept

    def fail(records: Records, submissions: Sequence[Submission]) -> list[Accepted]:  # noqa: ARG001
        raise OperationalError("connect", None, ConnectionError())

    gate.accept = fail
    group_commit = GroupCommit(records)
    results = submit_concurrently(group_commit, gate, submissions)
    assert all(isinstance(result, OperationalError) for result in results)
    assert len(gate.commits) == 2
    gate.accept = accept
    assert group_commit.accept_one(submissions[0]).created
    assert count_cases(records) == 1


def test_a_commit_contains_at_most_one_batch_of_requests(records: Records, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("producers.group_commit.MAX_BATCH", 4)
    gate = CommitGate(monkeypatch)
    purchase = a_recent_purchase()
    store_seller_and_purchases(records, purchase)
    results = submit_concurrently(
        GroupCommit(records), gate, [a_submission(purchase, key=f"key {n}") for n in range(10)]
    )
    assert sorted(len(commit) for commit in gate.commits) == [1, 1, 4, 4]
    assert len({accepted.id for accepted in results}) == count_cases(records) == 10
    assert MAX_BATCH == 100
