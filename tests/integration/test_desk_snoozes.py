"""Snoozed tasks: they leave the queue, and come back by themselves."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import httpx
import pytest

from domain.desk_roles import Role
from domain.requests import Channel
from domain.snoozes import LONGEST_SNOOZE, Snooze, SnoozeUntil
from domain.states import State
from domain.support_clocks import ClockName, ClockOwner
from domain.support_decisions import DecidedBy
from domain.support_tasks import SupportTaskKind
from producers import decisions
from records import Records
from records.purchase_reports import store_purchases
from records.support_tasks import NewSupportTask, OpenTask, TaskDescription
from records.task_filters import TaskFilter
from tests.integration._desk_fixtures import Desk
from tests.integration._web_fixtures import a_case
from tests.integration.test_decisions import READ
from tests.sample_data import a_recent_purchase
from worker.sweep import Sweep

ADA, BOB = "user:ada", "user:bob"
LEASE = 600.0
AWAKE, ASLEEP = TaskFilter(snoozed=False), TaskFilter(snoozed=True)


@pytest.fixture
def agent(desk: Desk) -> httpx.Client:
    return desk.sign_in(Role.AGENT, email="clara@desk.example")


@pytest.fixture
def case(desk: Desk) -> UUID:
    return a_case(desk.records, State.WITH_SUPPORT)


def task_of(records: Records, case: UUID) -> OpenTask:
    with records.work() as work:
        task = work.support_tasks.of_case(case)
    assert task
    return task


def snooze(client: httpx.Client, task: OpenTask, until: str, **fields: str) -> httpx.Response:
    return client.post(f"/tasks/{task.id}/snooze", data={"until": until, **fields})


def in_an_hour(zone: str = "Europe/Berlin", **more: int) -> str:
    """Return the local time in an hour as a browser sends it. The seller of the tests is in Berlin."""
    return f"{datetime.now(ZoneInfo(zone)) + timedelta(hours=1, **more):%Y-%m-%dT%H:%M}"


def is_awake(records: Records, task: OpenTask) -> bool:
    """Return whether the task is in the queue. The list of snoozed tasks must say the same."""
    with records.work() as work:
        awake = [found.id for found in work.support_tasks.list_open(AWAKE)]
        asleep = [found.id for found in work.support_tasks.list_open(ASLEEP)]
    assert sorted(awake + asleep) == sorted({*awake, *asleep})
    return task.id in awake


def set_clock(records: Records, task: OpenTask, name: ClockName, whose: ClockOwner, due: datetime) -> None:
    clock = {"name": name.value, "whose": whose.value, "due": due.isoformat(), "started": due.isoformat()}
    description = TaskDescription(id=task.id, due_at=due, clocks=[clock], amount=None, currency=None)
    with records.work() as work:
        work.support_tasks.describe([description])


def test_a_task_waits_until_a_date_in_the_time_zone_of_the_seller(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    agent.post("/tasks/next", data={"seller": ""})
    task, date = task_of(desk.records, case), in_an_hour()
    assert snooze(agent, task, "date", date=date).headers["location"] == "/"
    snoozed = task_of(desk.records, case)
    assert snoozed.snoozed_until == datetime.fromisoformat(date).replace(tzinfo=ZoneInfo("Europe/Berlin"))
    assert (snoozed.assigned_to, is_awake(desk.records, task)) == (None, False)
    assert "Nothing waits for you" in agent.post("/tasks/next", data={"seller": ""}).text
    assert agent.get("/tasks/counts").json()["views"] == {"": "0", "mine": "0", "unclaimed": "0", "snoozed": "1"}
    with desk.records.work() as work:
        work.run("update support_tasks set snoozed_until = now()")
    assert is_awake(desk.records, task)
    assert "Was snoozed by clara back since" in " ".join(agent.get("/").text.split())
    assert agent.post("/tasks/next", data={"seller": ""}).headers["location"] == f"/cases/{case}"
    assert task_of(desk.records, case).snoozed_for is None


def test_an_answer_of_the_customer_ends_every_snooze(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    for number, (until, fields) in enumerate({"answer": {}, "report": {}, "date": {"date": in_an_hour()}}.items()):
        task = task_of(desk.records, case)
        assert snooze(agent, task, until, **fields).status_code == 303
        assert not is_awake(desk.records, task)
        submission = decisions.AnswerSubmission(
            case_id=case, text="Here it is.", channel=Channel.WEB, source="test", key=str(number)
        )
        decisions.answer(desk.records, submission)
        assert is_awake(desk.records, task_of(desk.records, case))
        assert "Customer answered" in agent.get("/").text


REPORTS: dict[str, Callable[[Any, Any], object]] = {
    "the seller changed the purchase": lambda work, purchase: store_purchases(work, [replace(purchase, product="New")]),
    "the provider reported a refund": lambda work, _: work.run("update payments set refunded_elsewhere = 1"),
    "the provider reported a dispute": lambda work, _: work.run("update payments set dispute = 'open'"),
}


@pytest.mark.parametrize("report", REPORTS)
def test_a_report_about_the_case_ends_a_snooze_until_a_report(desk: Desk, agent: httpx.Client, report: str) -> None:
    purchase = a_recent_purchase()
    case = a_case(desk.records, State.WITH_SUPPORT, purchase=purchase)
    task = task_of(desk.records, case)
    assert snooze(agent, task, "report").status_code == 303
    Sweep(desk.records).run_once()
    assert not is_awake(desk.records, task)
    with desk.records.work() as work:
        REPORTS[report](work, purchase)
    Sweep(desk.records).run_once()
    assert is_awake(desk.records, task)
    assert "until something new is reported, back since" in " ".join(agent.get("/").text.split())


def test_a_report_does_not_end_other_snoozes(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    task = task_of(desk.records, case)
    for until, fields in {"answer": {}, "date": {"date": in_an_hour()}}.items():
        assert snooze(agent, task, until, **fields).status_code == 303
        with desk.records.work() as work:
            work.run("update payments set refunded_elsewhere = refunded_elsewhere + 1")
        Sweep(desk.records).run_once()
        assert not is_awake(desk.records, task)


def test_a_question_to_the_customer_snoozes_the_task(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    ask(desk.records, case)
    snoozed = task_of(desk.records, case)
    assert (snoozed.snoozed_for, is_awake(desk.records, snoozed)) == (SnoozeUntil.ANSWER, False)
    page = " ".join(agent.get("/?view=snoozed").text.split())
    assert "Snoozed by Moneyback until the customer answers, at the latest until" in page
    submission = decisions.AnswerSubmission(case_id=case, text="Yes.", channel=Channel.WEB, source="test", key="1")
    decisions.answer(desk.records, submission)
    assert is_awake(desk.records, task_of(desk.records, case))


def test_a_question_does_not_hide_a_deadline(desk: Desk, case: UUID) -> None:
    due = datetime.now(UTC) + timedelta(hours=5)
    set_clock(desk.records, task_of(desk.records, case), ClockName.STATUTORY_PAY_BY, ClockOwner.LAW, due)
    ask(desk.records, case)
    task = task_of(desk.records, case)
    assert (task.snoozed_for, is_awake(desk.records, task)) == (None, True)


def ask(records: Records, case: UUID) -> None:
    with records.work() as work:
        revision = work.support_decisions.revisions([case])[case]
    submission = decisions.Submission(
        case_id=case,
        decision=READ.validate_python({"action": "ask", "message": "Which picture?"}),
        revision=str(revision),
        source="test",
        key=str(uuid4()),
        by=DecidedBy(id=ADA, name="Ada"),
    )
    decisions.decide(records, submission)


def test_no_snooze_ends_after_the_deadline_of_somebody_else(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    task, due = task_of(desk.records, case), datetime.now(UTC).replace(microsecond=0) + timedelta(days=3)
    set_clock(desk.records, task, ClockName.SELLER_ANSWER, ClockOwner.SELLER, datetime.now(UTC))
    assert snooze(agent, task, "date", date=in_an_hour(days=2)).status_code == 303
    set_clock(desk.records, task, ClockName.PROVIDER_WINDOW, ClockOwner.PROVIDER, due)
    assert snooze(agent, task, "answer").status_code == 303
    assert task_of(desk.records, case).snoozed_until == due - timedelta(days=1)
    late = snooze(agent, task, "date", date=in_an_hour(days=2))
    assert (late.status_code, "refunds the payment until" in late.text) == (422, True)
    earlier = due - timedelta(days=1)
    set_clock(desk.records, task, ClockName.STATUTORY_PAY_BY, ClockOwner.LAW, earlier)
    assert task_of(desk.records, case).snoozed_until == earlier - timedelta(days=1), (
        "the new deadline shortens the snooze"
    )
    set_clock(desk.records, task, ClockName.STATUTORY_PAY_BY, ClockOwner.LAW, due)
    assert task_of(desk.records, case).snoozed_until == earlier - timedelta(days=1)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Choose until when the task waits."),
        ({"until": "for ever"}, "Choose until when the task waits."),
        ({"until": "date"}, "Enter the date and the time"),
        ({"until": "date", "date": "tomorrow"}, "Enter the date and the time"),
        ({"until": "date", "date": "2020-01-01T10:00"}, "Choose a time in the future."),
        ({"until": "date", "date": "9999-12-31T23:59"}, f"A task can wait for {LONGEST_SNOOZE.days} days."),
    ],
)
def test_a_wrong_snooze_is_refused_with_a_sentence(
    desk: Desk, agent: httpx.Client, case: UUID, fields: dict[str, str], message: str
) -> None:
    task = task_of(desk.records, case)
    refused = agent.post(f"/tasks/{task.id}/snooze", data={"date": "", **fields})
    assert (refused.status_code, message in refused.text) == (422, True)
    assert task_of(desk.records, case) == task


def test_a_task_without_a_decision_waits_for_a_date_only(desk: Desk, agent: httpx.Client) -> None:
    problem = NewSupportTask(kind=SupportTaskKind.INQUIRY, subject="1", seller_id="aurora", evidence={})
    without_seller = NewSupportTask(kind=SupportTaskKind.INQUIRY, subject="2", seller_id=None, evidence={})
    with desk.records.work() as work:
        work.support_tasks.create([problem, without_seller])
    assert agent.post(f"/tasks/{problem.id}/take", data={"holder": ""}).headers["location"] == f"/tasks/{problem.id}"
    page = agent.get(f"/tasks/{problem.id}").text
    assert ("Europe/Berlin" in page, 'value="answer"' in page) == (True, False)
    refused = agent.post(f"/tasks/{problem.id}/snooze", data={"until": "answer"})
    assert (refused.status_code, "only wait until a date" in refused.text) == (422, True)
    for task, date in ((problem, in_an_hour()), (without_seller, in_an_hour("UTC"))):
        assert agent.post(f"/tasks/{task.id}/snooze", data={"until": "date", "date": date}).status_code == 303
    with desk.records.work() as work:
        assert len(work.support_tasks.list_open(ASLEEP)) == 2


def test_each_snooze_is_an_event_of_the_desk(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    task = task_of(desk.records, case)
    assert snooze(agent, task, "answer").status_code == 303
    assert desk.events()[-1] == ("task_snoozed", "clara@desk.example", "clara@desk.example")
    with desk.records.work() as work:
        evidence = work.desk_events.newest(limit=1)[0].evidence
    ends_at = str(evidence.pop("ends_at"))
    assert evidence == {"task": str(task.id), "case": str(case), "until": "answer"}
    assert datetime.fromisoformat(ends_at) - datetime.now(UTC) > LONGEST_SNOOZE - timedelta(hours=1)


def test_a_task_of_another_agent_is_not_snoozed(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    lead = desk.sign_in(Role.LEAD)
    task = task_of(desk.records, case)
    assert lead.post(f"/tasks/{task.id}/take", data={"holder": ""}).status_code == 303
    refused = snooze(agent, task, "answer")
    assert (refused.status_code, "Another agent has taken this task." in refused.text) == (409, True)
    assert is_awake(desk.records, task)
    assert "task_snoozed" not in [event for event, _, _ in desk.events()]


def test_an_agent_takes_a_snoozed_task(desk: Desk, agent: httpx.Client, case: UUID) -> None:
    task = task_of(desk.records, case)
    assert snooze(agent, task, "answer").status_code == 303
    assert desk.sign_in(Role.LEAD).post(f"/tasks/{task.id}/take", data={"holder": ""}).status_code == 303
    taken = task_of(desk.records, case)
    assert (taken.snoozed_until, taken.snoozed_for, taken.snoozed_by) == (None, None, None)


def test_of_agents_who_take_and_snooze_the_same_task_the_first_wins(desk: Desk, case: UUID) -> None:
    """A task is never both taken and asleep, whatever the order."""
    records, task = desk.records, task_of(desk.records, case)
    ends_at = datetime.now(UTC) + timedelta(days=1)
    for _ in range(20):
        start = threading.Barrier(4)

        def take(agent: str, start: threading.Barrier = start) -> bool:
            start.wait()
            with records.work() as work:
                return work.support_tasks.take(task.id, agent, seconds=LEASE) is not None

        def snooze(agent: str, start: threading.Barrier = start) -> bool:
            start.wait()
            with records.work() as work:
                return work.support_tasks.snooze(task.id, Snooze(until=SnoozeUntil.DATE, ends_at=ends_at, agent=agent))

        with ThreadPoolExecutor(4) as pool:
            results = [pool.submit(action, agent) for action in (take, snooze) for agent in (ADA, BOB)]
            assert any(result.result() for result in results)
        current = task_of(records, case)
        assert (current.assigned_to is None) == (current.snoozed_until is not None)
        with records.work() as work:
            work.run("update support_tasks set assigned_to = null, assigned_until = null, snoozed_until = null,"
                     " snoozed_for = null, snoozed_by = null")  # fmt: skip
