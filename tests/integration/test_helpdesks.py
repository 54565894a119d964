"""Each bridge creates one ticket for each support task, whatever answers are lost, and never more calls than documented."""

import importlib
import re
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from email.message import EmailMessage
from itertools import pairwise
from typing import Any
from uuid import UUID, uuid4

import pytest

from config.helpdesks import HELPDESKS
from config.settings import Settings
from domain.helpdesks import CallKind, Helpdesk, Ticket, Unknown, mark_of
from domain.messages import HelpdeskTicketsDue
from domain.support_tasks import SupportTaskKind
from records.support_tasks import NewSupportTask
from tests.doubles.faulty_server import Answer, ClientConnection, FaultyServer, no_fault, reset_before
from tests.doubles.helpdesks import (
    REQUESTER,
    WINDOWS,
    FakeClock,
    FakeHelpdesks,
    LosesCreations,
    Window,
    running,
    settings_of,
)
from tests.integration import _provider_fixtures
from tests.services import eventually
from worker.context import WorkerContext
from worker.dispatch import handle
from worker.helpdesks import BridgeContext, Helpdesks
from worker.helpdesks.email import Email
from worker.helpdesks.sending import send_tickets
from worker.mail_transport import DeliveryUnknownError, EmailNotSentError
from worker.support_tasks.publishing import publish
from worker.sweep import Sweep

WITH_API = [name for name in HELPDESKS if name != "email"]
FINDING = [name for name in WITH_API if name != "webhook"]
SAFE_TO_REPEAT = ["zendesk", "chatwoot", "webhook"]
"""The helpdesks at which a creation without effect is repeated, because no second ticket is possible."""
SWEEP = 4.0  # seconds between two sweeps


class CrashError(BaseException):
    """The worker crashed."""


@dataclass
class Desk:
    """A worker that is connected to fake helpdesks, with a clock that the test moves."""

    context: WorkerContext
    double: FakeHelpdesks
    server: FaultyServer
    clock: FakeClock

    def connected_to(self, *targets: str) -> "Desk":
        """Return the worker with only these helpdesks."""
        bridges = {name: self.context.helpdesks.bridges[name] for name in targets}
        return replace(self, context=replace(self.context, helpdesks=replace(self.context.helpdesks, bridges=bridges)))

    def create_tasks(self, number: int = 1) -> list[UUID]:
        """Create support tasks, and publish them."""
        tasks = [
            NewSupportTask(
                kind=SupportTaskKind.UNEXPECTED_REFUND,
                subject=f"problem {uuid4()}",
                evidence={"provider": "sandbox", "amount": n, "currency": "EUR"},
            )
            for n in range(number)
        ]
        with self.context.records.work() as work:
            work.support_tasks.create(tasks)
        self.publish([task.id for task in tasks])
        return [task.id for task in tasks]

    def publish(self, ids: list[UUID]) -> None:
        for start in range(0, len(ids), 100):
            publish(self.context, ids[start : start + 100])

    def change(self, task: UUID, agent: str = "ada") -> None:
        """Let an agent take or release the task, so that it has a new event."""
        with self.context.records.work() as work:
            tasks = work.support_tasks
            assert tasks.release(task, agent) or tasks.take(task, agent, seconds=600)
        self.publish([task])

    def close(self, task: UUID) -> None:
        with self.context.records.work() as work:
            work.run("update support_tasks set assigned_to = null, assigned_until = null where id = :id", id=task)
            assert work.support_tasks.close(task, "bob", "refunded_by_hand")
        self.publish([task])

    def rows(
        self, statement: str = "select * from helpdesk_tickets order by created_at, id", **values: Any
    ) -> list[Any]:
        with self.context.records.work() as work:
            return list(work.run(statement, **values))

    def send_due(self) -> None:
        """Send what is due now, as after a sweep."""
        due = [
            row.id
            for row in self.rows("select id from helpdesk_tickets where next_action_at <= :now", now=self.clock.at)
        ]
        for start in range(0, len(due), 100):
            handle(self.context, HelpdeskTicketsDue, due[start : start + 100])

    def run(self, *, until: Callable[[], bool] | None = None, hours: float = 24.0) -> None:
        """Sweep until no call is due any more, or until a fact is true, or until the time is over."""
        end = self.clock.at + timedelta(hours=hours)
        while self.clock.at < end and not (until and until()):
            self.send_due()
            (row,) = self.rows("select min(next_action_at) as at from helpdesk_tickets")
            if row.at is None:
                return
            self.clock.at = max(row.at, self.clock.at + timedelta(seconds=SWEEP))

    def operator_tasks(self) -> list[str]:
        return [
            row.kind
            for row in self.rows("select kind from support_tasks where kind like 'helpdesk%' and closed_at is null")
        ]

    def statuses(self) -> Counter[str]:
        return Counter(row.status for row in self.rows())


@pytest.fixture
def desk(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desk]:
    clock = FakeClock()
    double = FakeHelpdesks(clock, windows=dict(WINDOWS))
    with running(double) as server:
        for variables in settings_of(server.url).values():
            for name, value in variables.items():
                monkeypatch.setenv(name, value)
        settings = settings.model_copy(update={"helpdesks": tuple(HELPDESKS), "support_task_versions": ()})
        for context in _provider_fixtures.open_context(settings):
            helpdesks = replace(context.helpdesks, clock=lambda _: clock.at)
            yield Desk(replace(context, helpdesks=helpdesks), double, server, clock)


def assert_each_task_has_one_ticket(desk: Desk, target: str, tasks: list[UUID]) -> None:
    marks = Counter(ticket.mark for ticket in desk.double.of(target))
    names = {str(task) for task in tasks} if target == "webhook" else {mark_of(task) for task in tasks}
    assert set(marks) == names
    assert set(marks.values()) == {1}


def assert_no_customer_reads_anything(desk: Desk) -> None:
    assert [comment for ticket in desk.double.tickets for comment, is_public in ticket.comments if is_public] == []
    assert {address for _, address in desk.double.emails} <= {REQUESTER}
    assert {target for target, _ in desk.double.emails} <= {"freshdesk"}, (
        "Freshdesk notifies the requester, and nobody else."
    )


@pytest.mark.parametrize("target", WITH_API)
def test_lost_answers_lead_to_one_ticket_each(desk: Desk, target: str) -> None:
    check_lost_answers(desk.connected_to(target), target, 30)


@pytest.mark.slow
@pytest.mark.parametrize("target", WITH_API)
def test_a_thousand_lost_answers_lead_to_a_thousand_tickets(desk: Desk, target: str) -> None:
    desk.double.page_size = 999  # the maximum of Slack
    check_lost_answers(desk.connected_to(target), target, 1_000)


def check_lost_answers(desk: Desk, target: str, number: int) -> None:
    fault = LosesCreations(target, number)
    desk.server.fault = fault
    tasks = desk.create_tasks(number)
    desk.run()
    assert fault.left == 0
    assert_each_task_has_one_ticket(desk, target, tasks)
    assert_no_customer_reads_anything(desk)
    assert desk.double.exceeded == []
    assert desk.statuses() == {"live": number}
    assert desk.operator_tasks() == []
    for task in tasks:
        desk.close(task)
    desk.run()
    assert desk.statuses() == {"closed": number}
    assert_each_task_has_one_ticket(desk, target, tasks)
    assert_no_customer_reads_anything(desk)
    assert desk.double.exceeded == []
    if target != "slack":
        assert {ticket.status for ticket in desk.double.of(target)} <= {"closed", "solved"}
    assert all("This task is closed: refunded_by_hand, by bob." in ticket.text for ticket in desk.double.of(target))


@pytest.mark.parametrize("target", SAFE_TO_REPEAT)
def test_a_creation_without_effect_is_repeated_if_no_second_ticket_is_possible(desk: Desk, target: str) -> None:
    desk = desk.connected_to(target)
    desk.server.fault = LosesCreations(target, 5, before=True)
    tasks = desk.create_tasks(5)
    desk.run()
    assert_each_task_has_one_ticket(desk, target, tasks)
    assert desk.operator_tasks() == []


@pytest.mark.parametrize("target", [name for name in WITH_API if name not in SAFE_TO_REPEAT])
def test_a_creation_without_effect_becomes_an_operators_task_and_the_lookups_go_on(desk: Desk, target: str) -> None:
    desk = desk.connected_to(target)
    desk.server.fault = LosesCreations(target, 1, before=True)
    (task,) = desk.create_tasks()
    desk.run(hours=6)
    assert desk.double.of(target) == []
    assert desk.statuses() == {"unknown": 1}
    assert desk.operator_tasks() == ["helpdesk_ticket_unknown"]
    (row,) = desk.rows()
    assert row.next_action_at is not None
    assert row.next_action_at - desk.clock.at <= timedelta(hours=1)
    with desk.context.records.work() as work:
        assert work.helpdesk_tickets.create_again(target, task, now=desk.clock.at)
    desk.run()
    assert desk.statuses() == {"live": 1}
    assert [ticket.mark for ticket in desk.double.of(target)] == [mark_of(task, 2)]


def test_a_key_is_not_used_after_its_life(desk: Desk) -> None:
    """Zendesk forgets a key after two hours. A creation that had its effect late must not be repeated then."""
    desk = desk.connected_to("zendesk")
    desk.server.fault = LosesCreations("zendesk", 1, before=True)
    desk.create_tasks()
    desk.send_due()
    desk.clock.advance(2 * 3_600)
    desk.run(hours=6)
    assert desk.double.of("zendesk") == []
    assert desk.operator_tasks() == ["helpdesk_ticket_unknown"]


def test_a_ticket_that_is_found_later_closes_the_operators_task(desk: Desk) -> None:
    desk = desk.connected_to("freshdesk")
    desk.server.fault = LosesCreations("freshdesk", 1, before=True)
    (task,) = desk.create_tasks()
    desk.run(until=lambda: bool(desk.operator_tasks()))
    desk.double.add("freshdesk", mark_of(task), "A ticket that arrived late", [("", False)])
    desk.run()
    assert desk.operator_tasks() == []
    assert desk.statuses() == {"live": 1}


@pytest.mark.parametrize("target", FINDING)
def test_a_worker_that_crashes_after_the_call_does_not_create_a_second_ticket(desk: Desk, target: str) -> None:
    desk = desk.connected_to(target)
    (task,) = desk.create_tasks()
    crash(desk, target, after=True)
    assert len(desk.double.of(target)) == 1
    desk.clock.advance(desk.context.settings.timers.lease_seconds)
    desk.run()
    assert_each_task_has_one_ticket(desk, target, [task])
    assert desk.statuses() == {"live": 1}


@pytest.mark.parametrize("target", SAFE_TO_REPEAT)
def test_a_worker_that_crashes_before_the_call_creates_the_ticket_later(desk: Desk, target: str) -> None:
    desk = desk.connected_to(target)
    (task,) = desk.create_tasks()
    crash(desk, target, after=False)
    assert desk.double.of(target) == []
    desk.clock.advance(desk.context.settings.timers.lease_seconds)
    desk.run()
    assert_each_task_has_one_ticket(desk, target, [task])


def crash(desk: Desk, target: str, *, after: bool) -> None:
    """Let the worker crash before or after the call that creates a ticket."""
    bridge = desk.context.helpdesks.bridges[target]

    class CrashingBridge:
        capabilities = bridge.capabilities

        def create(self, ticket: Ticket, mark: str) -> None:
            if after:
                bridge.create(ticket, mark)
            raise CrashError

    crashing: Any = CrashingBridge()
    helpdesks = replace(desk.context.helpdesks, bridges={target: crashing})
    (row,) = desk.rows()
    with pytest.raises(CrashError):
        send_tickets(replace(desk.context, helpdesks=helpdesks), [row.id])


def test_a_ticket_whose_worker_crashed_is_claimed_by_no_other_worker_until_the_lease_ends(desk: Desk) -> None:
    desk = desk.connected_to("zendesk")
    desk.create_tasks()
    crash(desk, "zendesk", after=True)
    desk.send_due()
    assert len(desk.double.calls["zendesk"]) == 1


def test_the_last_state_wins_and_a_ticket_gets_one_call_in_twenty_seconds(desk: Desk) -> None:
    desk = desk.connected_to("zendesk")
    (task,) = desk.create_tasks()
    desk.run()
    desk.double.calls.clear()
    for _ in range(60):  # one change in each second of a minute
        desk.change(task)
        desk.send_due()
        desk.clock.advance(1)
    desk.run()
    instants = [at for at, call in desk.double.calls["zendesk"] if call.startswith("PUT")]
    assert len(instants) <= 4
    assert all(later - earlier >= timedelta(seconds=20) for earlier, later in pairwise(instants))
    assert "has taken the task" not in desk.double.of("zendesk")[0].text, "The agent released the task at the end."


def test_an_event_that_changes_nothing_for_an_agent_needs_no_call(desk: Desk) -> None:
    desk = desk.connected_to("zendesk")
    (task,) = desk.create_tasks()
    desk.run()
    desk.change(task)
    desk.change(task)  # released again before the update was due
    desk.run()
    assert [call for _, call in desk.double.calls["zendesk"]] == ["POST /zendesk/api/v2/tickets"]
    (row,) = desk.rows()
    assert row.sent_sequence == 3


def test_a_task_that_closes_before_its_first_call_gets_no_ticket(desk: Desk) -> None:
    desk = desk.connected_to("zendesk")
    (task,) = desk.create_tasks()
    desk.close(task)
    desk.run()
    assert desk.double.tickets == []
    assert desk.statuses() == {"closed": 1}


def test_retry_after_holds_for_all_processes(desk: Desk, settings: Settings) -> None:
    desk = desk.connected_to("zendesk")
    desk.double.windows["zendesk"] = [Window(3)]
    tasks = desk.create_tasks(10)
    desk.send_due()
    refused = len(desk.double.exceeded)
    assert refused == 1, "After a 429 response, the other calls wait."
    for other in _provider_fixtures.open_context(settings.model_copy(update={"helpdesks": ("zendesk",)})):
        other_worker = replace(desk, context=replace(other, helpdesks=desk.context.helpdesks))
        desk.clock.advance(desk.double.retry_after - 1)
        other_worker.send_due()
    assert len(desk.double.exceeded) == refused
    desk.double.windows["zendesk"] = WINDOWS["zendesk"]
    desk.run()
    assert_each_task_has_one_ticket(desk, "zendesk", tasks)


def test_wrong_credentials_are_one_operators_task_and_the_rest_waits(desk: Desk) -> None:
    desk = desk.connected_to("zendesk")
    desk.double.refuses["zendesk"] = 401
    tasks = desk.create_tasks(20)
    desk.run(hours=5)
    assert desk.operator_tasks() == ["helpdesk_refused"]
    assert len(desk.server.requests) <= 6, "Only one call in an hour finds out whether the credentials are corrected."
    desk.double.refuses.clear()
    desk.run()
    assert_each_task_has_one_ticket(desk, "zendesk", tasks)
    assert desk.operator_tasks() == []


def test_a_helpdesk_that_hangs_costs_the_workers_one_call_in_a_minute(desk: Desk) -> None:
    desk = desk.connected_to("zendesk")
    bridge = desk.context.helpdesks.bridges["zendesk"]
    seconds = [0.0]
    calls: list[datetime] = []

    class HangingBridge:
        capabilities = bridge.capabilities

        def create(self, ticket: Ticket, mark: str) -> Unknown:  # noqa: ARG002  # nothing is created
            calls.append(desk.clock.at)
            seconds[0] += 30
            return Unknown("Zendesk did not answer in time.")

    tasks = desk.create_tasks(20)
    began, hanging = desk.clock.at, bridge_of(desk, HangingBridge(), monotonic=lambda: seconds[0])
    while desk.clock.at < began + timedelta(minutes=9.5):
        hanging.send_due()
        desk.clock.advance(SWEEP)
    assert 9 <= len(calls) <= 10
    assert all(later - earlier >= timedelta(minutes=1) for earlier, later in pairwise(calls))
    desk.run()
    assert_each_task_has_one_ticket(desk, "zendesk", tasks)
    assert desk.double.exceeded == []


def bridge_of(desk: Desk, bridge: Any, **changes: Any) -> Desk:
    """Return the worker with this bridge to Zendesk."""
    helpdesks = replace(desk.context.helpdesks, bridges={"zendesk": bridge})
    return replace(desk, context=replace(desk.context, helpdesks=helpdesks, **changes))


def test_one_deadline_holds_for_all_requests_of_a_call(desk: Desk) -> None:
    """Chatwoot needs two requests. Each of them is fast enough, but both together are too slow."""
    desk = desk.connected_to("chatwoot")
    desk.create_tasks()
    shares = iter((0.4, 0.8))  # of the deadline

    def late(client: ClientConnection, answer: Answer) -> None:
        client.closing.wait(next(shares) * desk.context.settings.timers.provider_timeout_seconds)
        no_fault(client, answer)

    desk.server.fault = late
    desk.send_due()
    assert desk.statuses() == {"unknown": 1}
    eventually(lambda: desk.double.of("chatwoot"))  # the clock of the test runs ahead of this server
    desk.server.fault = no_fault
    desk.run()
    assert desk.statuses() == {"live": 1}
    assert len(desk.double.of("chatwoot")) == 1


def test_a_refused_ticket_does_not_stop_the_others(desk: Desk) -> None:
    desk = desk.connected_to("zammad")
    desk.double.refuses["zammad"] = 422
    (first,) = desk.create_tasks()
    desk.send_due()
    desk.double.refuses.clear()
    (second,) = desk.create_tasks()
    desk.send_due()
    assert_each_task_has_one_ticket(desk, "zammad", [second])
    assert desk.operator_tasks() == ["helpdesk_refused"]
    with desk.context.records.work() as work:
        assert work.helpdesk_tickets.retry_refused("zammad", now=desk.clock.at) == 1
    desk.run()
    assert_each_task_has_one_ticket(desk, "zammad", [first, second])
    assert desk.operator_tasks() == []


def test_a_connection_that_fails_before_anything_is_sent_is_no_unknown_outcome(desk: Desk) -> None:
    desk = desk.connected_to("freshdesk")
    bridge = desk.context.helpdesks.bridges["freshdesk"]
    client: Any = bridge._client  # type: ignore[attr-defined]
    address, client._base = client._base, "http://127.0.0.1:9"
    desk.create_tasks()
    desk.send_due()
    (row,) = desk.rows()
    assert (row.status, row.sent_at, row.attempts) == ("creating", None, 1)
    client._base = address
    desk.run()
    assert desk.statuses() == {"live": 1}
    assert len(desk.double.of("freshdesk")) == 1


@pytest.mark.parametrize("target", [name for name in WITH_API if name != "webhook"])
def test_an_update_whose_answer_is_lost_is_sent_again(desk: Desk, target: str) -> None:
    desk = desk.connected_to(target)
    (task,) = desk.create_tasks()
    desk.run()
    desk.clock.advance(60)
    desk.change(task)
    desk.server.fault = reset_before
    desk.send_due()
    desk.server.fault = no_fault
    desk.run()
    assert "ada has taken the task" in desk.double.of(target)[0].text
    assert_no_customer_reads_anything(desk)


def test_a_task_that_opens_again_follows_a_ticket_that_zendesk_has_archived(desk: Desk) -> None:
    desk = desk.connected_to("zendesk")
    (task,) = desk.create_tasks()
    desk.run()
    with desk.context.records.work() as work:
        assert work.support_tasks.close_solved_by_id([task])
    desk.publish([task])
    desk.run()
    (ticket,) = desk.double.of("zendesk")
    assert ticket.status == "solved"
    ticket.status = "closed"  # Zendesk closes solved tickets after some days
    reopen(desk, task)
    desk.run()
    _, follower = desk.double.of("zendesk")
    assert (follower.mark, follower.fields["follows"]) == (mark_of(task, 2), ticket.id)
    assert desk.statuses() == {"live": 1}


def test_a_task_that_opens_again_opens_its_ticket(desk: Desk) -> None:
    desk = desk.connected_to("zendesk", "zammad", "chatwoot")
    (task,) = desk.create_tasks()
    desk.run()
    with desk.context.records.work() as work:
        assert work.support_tasks.close_solved_by_id([task])
    desk.publish([task])
    desk.run()
    reopen(desk, task)
    desk.run()
    assert {ticket.status for ticket in desk.double.tickets} == {"open"}
    assert len(desk.double.tickets) == 3


def reopen(desk: Desk, task: UUID) -> None:
    """Report the problem of a task again that the product has closed."""
    (row,) = desk.rows("select subject from support_tasks where id = :id", id=task)
    again = NewSupportTask(kind=SupportTaskKind.UNEXPECTED_REFUND, subject=row.subject, evidence={"amount": 1})
    with desk.context.records.work() as work:
        assert work.support_tasks.create([again]) == {task}
    desk.publish([task])


@pytest.mark.parametrize("target", [name for name in WITH_API if name != "webhook"])
def test_a_ticket_that_was_deleted_in_the_helpdesk_is_not_created_again(desk: Desk, target: str) -> None:
    desk = desk.connected_to(target)
    (task,) = desk.create_tasks()
    desk.run()
    desk.double.tickets.clear()
    desk.change(task)
    desk.run()
    assert desk.double.of(target) == []
    assert desk.statuses() == {"closed": 1}


def test_workers_that_get_the_same_message_create_each_ticket_once(desk: Desk) -> None:
    desk = desk.connected_to("zendesk", "slack")
    tasks = desk.create_tasks(15)
    ids = [row.id for row in desk.rows()]
    with ThreadPoolExecutor(4) as workers:
        for ended in [workers.submit(send_tickets, desk.context, ids) for _ in range(8)]:
            ended.result()
    desk.run()
    for target in ("zendesk", "slack"):
        assert_each_task_has_one_ticket(desk, target, tasks)
    assert desk.double.exceeded == []


def test_agents_change_tasks_while_workers_send_and_publish_them(desk: Desk) -> None:
    """No two transactions lock tasks and tickets in opposite orders."""
    desk = desk.connected_to("zendesk", "zammad")
    tasks = desk.create_tasks(10)
    ids = [row.id for row in desk.rows()]

    def change() -> None:
        for task in tasks:
            desk.change(task)

    with ThreadPoolExecutor(4) as workers:
        jobs = [*(workers.submit(send_tickets, desk.context, ids) for _ in range(6)), workers.submit(change)]
        for ended in jobs:
            ended.result()
    desk.run()
    for target in ("zendesk", "zammad"):
        assert_each_task_has_one_ticket(desk, target, tasks)
    assert all("ada has taken the task" in ticket.text for ticket in desk.double.tickets)


def test_the_sweep_finds_a_ticket_whose_message_was_lost(desk: Desk) -> None:
    desk = desk.connected_to("zendesk")
    desk.create_tasks()
    with desk.context.records.work() as work:
        work.run("delete from outbox")
        work.run("update helpdesk_tickets set next_action_at = now() - interval '1 second'")
    Sweep(desk.context.records).run_once()
    (row,) = desk.rows()
    assert [
        message.item_id for message in desk.rows("select item_id from outbox where queue = 'helpdesk.tickets'")
    ] == [row.id]
    Sweep(desk.context.records).run_once()
    assert len(desk.rows("select item_id from outbox where queue = 'helpdesk.tickets'")) == 1


def test_a_message_is_enqueued_with_the_event(desk: Desk) -> None:
    desk = desk.connected_to("zendesk", "slack")
    desk.create_tasks()
    queued = {row.item_id for row in desk.rows("select item_id from outbox where queue = 'helpdesk.tickets'")}
    assert queued == {row.id for row in desk.rows()}
    assert len(queued) == 2


def test_a_helpdesk_that_is_not_connected_any_more_keeps_its_tickets_waiting(desk: Desk) -> None:
    desk.connected_to("zendesk").create_tasks()
    desk.connected_to("slack").send_due()
    (row,) = desk.rows()
    assert row.next_action_at == desk.clock.at + timedelta(hours=1)


class ForgetfulMailServer:
    """A mail server that accepts e-mails, but whose reply is lost."""

    repeatable = False

    def __init__(self) -> None:
        self.accepted: list[EmailMessage] = []
        self.error: type[Exception] | None = DeliveryUnknownError

    def deliver(self, email: EmailMessage) -> None:
        if self.error is not EmailNotSentError:
            self.accepted.append(email)
        if self.error:
            raise self.error("The reply was lost.")


def connect_email(desk: Desk, server: ForgetfulMailServer) -> Desk:
    bridge: Helpdesk = Email(server, "Moneyback <refunds@moneyback.example>", "refunds@helpdesk.example", 6_000)
    return replace(
        desk, context=replace(desk.context, helpdesks=replace(desk.context.helpdesks, bridges={"email": bridge}))
    )


@pytest.mark.parametrize("number", [20, pytest.param(1_000, marks=pytest.mark.slow)])
def test_an_email_whose_answer_is_lost_is_sent_once_and_a_person_looks(desk: Desk, number: int) -> None:
    server = ForgetfulMailServer()
    desk = connect_email(desk, server)
    desk.create_tasks(number)
    desk.run(hours=3)
    assert len(server.accepted) == number == len({email["Message-ID"] for email in server.accepted})
    assert {email["To"] for email in server.accepted} == {"refunds@helpdesk.example"}
    assert desk.operator_tasks() == ["helpdesk_ticket_unknown"] * number


def test_an_email_that_was_not_accepted_is_sent_later_and_its_changes_are_one_thread(desk: Desk) -> None:
    server = ForgetfulMailServer()
    server.error = EmailNotSentError
    desk = connect_email(desk, server)
    (task,) = desk.create_tasks()
    desk.send_due()
    server.error = None
    desk.run()
    desk.close(task)
    desk.run()
    first, second = server.accepted
    assert first["Message-ID"] == f"<{mark_of(task)}@moneyback.example>"
    assert second["References"] == first["Message-ID"]
    assert "This task is closed" in second.get_body(("plain",)).get_content()  # type: ignore[union-attr]


def test_all_helpdesks_together_get_the_same_tasks(desk: Desk) -> None:
    tasks = desk.create_tasks(3)
    desk.run()
    for target in WITH_API:
        assert_each_task_has_one_ticket(desk, target, tasks)
    assert len(desk.rows()) == 3 * len(HELPDESKS)
    assert_no_customer_reads_anything(desk)


def test_without_helpdesks_no_ticket_is_stored(desk: Desk) -> None:
    desk = replace(desk, context=replace(desk.context, helpdesks=Helpdesks()))
    desk.create_tasks()
    assert desk.rows() == []


@pytest.mark.parametrize("target", HELPDESKS)
def test_every_helpdesk_has_a_bridge(target: str, desk: Desk) -> None:
    module = importlib.import_module(f"worker.helpdesks.{target}")
    shared = BridgeContext(1.0, desk.context.mail_transport, "Moneyback <refunds@moneyback.example>")
    bridge = module.create_bridge(HELPDESKS[target](), shared)
    assert set(bridge.capabilities.limits) <= {"all", *CallKind}
    assert bridge.check() == []
    assert [call for call in desk.server.requests if call.method != "GET"] == [], "A check only reads."


def test_no_two_helpdesks_have_the_same_setting() -> None:
    prefixes = [settings.model_config["env_prefix"] for settings in HELPDESKS.values()]
    assert len(set(prefixes)) == len(prefixes)
    assert all(re.fullmatch(r"MONEYBACK_\w+_", prefix) for prefix in prefixes)
