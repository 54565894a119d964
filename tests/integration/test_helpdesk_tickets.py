"""What an agent reads in a ticket, and the commands that check helpdesks and let waiting tickets go on."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from pydantic import ValidationError

from config.helpdesks import ZendeskSettings
from config.settings import Settings
from domain.helpdesks import Ticket, mark_of
from domain.messages import HelpdeskTicketsDue, SupportTaskClock
from domain.support_clocks import ClockName, ClockOwner
from domain.support_tasks import SupportTaskKind
from producers.intake import accept
from records import Records
from records.support_tasks import NewSupportTask
from tests import fork_server
from tests.doubles.faulty_server import FaultyServer
from tests.doubles.helpdesks import FakeClock, FakeHelpdesks, running, settings_of
from tests.integration import _provider_fixtures
from tests.sample_data import a_purchase, a_seller, a_submission, ids_of, store_seller_and_purchases
from tests.services import environment
from worker.context import WorkerContext
from worker.dispatch import evaluate_and_execute, handle
from worker.helpdesks.sending import refusal_task, unknown_task
from worker.helpdesks.tickets import priority_of, ticket_for
from worker.support_tasks.events import describe
from worker.support_tasks.publishing import publish


@pytest.fixture
def context(settings: Settings) -> Iterator[WorkerContext]:
    yield from _provider_fixtures.open_context(
        settings.model_copy(update={"desk": settings.desk.model_copy(update={"url": "https://desk.example"})})
    )


def ticket_of_an_old_case(context: WorkerContext, **changes: Any) -> Ticket:
    """Return the ticket of a case that support must decide, because the purchase is too old."""
    seller = a_seller(answer_hours=24)
    purchase = a_purchase(
        purchased_at=datetime.now(seller.time_zone) - timedelta(days=45)
    )  # 45 days of the seller's calendar
    store_seller_and_purchases(context.records, purchase, seller=seller)
    submission = a_submission(purchase, trusted=False, comment="It is <b>broken</b>.", locale="de", **changes)
    (case,) = ids_of(accept(context.records, [submission]))
    evaluate_and_execute(context, [case])
    with context.records.work() as work:
        (task,) = work.support_tasks.list_open()
        (item,) = describe(work, context, work.support_task_events.newest([task.id]))
        return ticket_for(item, context.settings, mark=mark_of(task.id), now=work.now)


def number_of(records: Records) -> str:
    """Return the case number of the only case."""
    with records.work() as work:
        (number,) = work.case_views.numbers([row.id for row in work.run("select id from cases")]).values()
    return number


def test_a_ticket_says_why_until_when_how_much_and_where(context: WorkerContext) -> None:
    ticket = ticket_of_an_old_case(context)
    assert ticket.title.startswith(f"Refund {number_of(context.records)}: The purchase is older")
    assert len(ticket.title) <= 150
    for part in (
        "Decide on the desk: https://desk.example/cases/",
        "45 days after the purchase; policy version 1 allows 30.",
        "12 of 13 rules hold.",
        "Aurora Photo 4, 49.00 EUR, bought ",
        ", credit_card: 49.00 EUR",
        "Suggested reply (de)\nDieser Kauf liegt länger zurück",
        "The seller answers until then.",
        f"Seller: aurora\n{ticket.mark}",
    ):
        assert part in ticket.text, ticket.text
    due = ticket.sections[0].lines[0]
    assert due.startswith("Due ")
    assert due.endswith(("CET.", "CEST.", "+01:00.", "+02:00.")), due
    assert ticket.due_at > datetime.now(UTC)
    assert (ticket.language, ticket.seller, ticket.is_closed) == ("de", "aurora", False)


def test_a_ticket_contains_the_customer_only_if_the_operator_wants_that(context: WorkerContext) -> None:
    ticket = ticket_of_an_old_case(context)
    assert "MB-" not in ticket.title + ticket.text, "The reference leads to the customer in the seller's systems."
    assert "@" not in ticket.text + ticket.html + json.dumps(ticket.event)
    assert "broken" not in ticket.text + ticket.html + json.dumps(ticket.event)
    with_customer = replace(context, settings=context.settings.model_copy(update={"support_tasks_with_customer": True}))
    with context.records.work() as work:
        (item,) = describe(work, context, work.support_task_events.newest([ticket.task_id]))
        ticket = ticket_for(item, with_customer.settings, mark=ticket.mark, now=work.now)
    assert "It is <b>broken</b>." in ticket.text
    assert "It is &lt;b&gt;broken&lt;/b&gt;." in ticket.html
    assert "<b>" not in ticket.html
    assert "Email: " in ticket.text
    assert "\nReference: MB-" in ticket.text
    assert ticket.title.startswith(f"Refund {number_of(context.records)}: ")


@pytest.mark.parametrize(
    ("whose", "hours", "priority"),
    [
        (ClockOwner.LAW, 23, "urgent"),
        (ClockOwner.PROVIDER, 25, "high"),
        (ClockOwner.LAW, 71, "high"),
        (ClockOwner.LAW, 73, "normal"),
        (ClockOwner.SELLER, 1, "normal"),
    ],
)
def test_only_clocks_that_nobody_can_undo_make_a_ticket_urgent(whose: ClockOwner, hours: int, priority: str) -> None:
    now = datetime(2026, 11, 30, tzinfo=UTC)
    clock = SupportTaskClock(name=ClockName.PROVIDER_WINDOW, due=now + timedelta(hours=hours), whose=whose, started=now)
    data: Any = SimpleNamespace(clocks=(clock,))
    assert priority_of(data, now) == priority


@pytest.fixture
def zendesk(settings: Settings) -> Iterator[tuple[FaultyServer, FakeHelpdesks, dict[str, str]]]:
    """Yield a fake Zendesk, and the environment of a command that is connected to it."""
    double = FakeHelpdesks(FakeClock())
    with running(double) as server:
        variables = settings_of(server.url)["zendesk"] | {"MONEYBACK_HELPDESKS": "zendesk"}
        yield server, double, {**os.environ, **environment(settings), **variables}


Zendesk = tuple[FaultyServer, FakeHelpdesks, dict[str, str]]


def test_the_check_reads_and_changes_nothing(zendesk: Zendesk) -> None:
    server, double, env = zendesk
    ended = fork_server.run("console", "helpdesks", "check", "--json", env=env)
    expected = [{"helpdesk": "zendesk", "ok": True, "message": "The helpdesk accepts our calls."}]
    assert (ended.returncode, json.loads(ended.stdout)) == (0, expected)
    assert {request.method for request in server.requests} == {"GET"}
    double.refuses["zendesk"] = 401
    ended = fork_server.run("console", "helpdesks", "check", env=env)
    assert ended.returncode == 1
    assert "MONEYBACK_ZENDESK_API_TOKEN" in " ".join(ended.stdout.split())


def test_the_doctor_says_what_a_helpdesk_refuses_and_retry_lets_the_tickets_go_on(
    zendesk: Zendesk, records: Records
) -> None:
    *_, env = zendesk
    task = store_task(records)
    with records.work() as work:
        work.helpdesk_targets.lock("zendesk")
        since = work.helpdesk_targets.add_refusal("zendesk", "401", work.now)
        work.helpdesk_targets.pause("zendesk", work.now + timedelta(hours=1))
        work.run(INSERT, task=task, target="zendesk", status="creating", refused="422", sent=None)
        work.support_tasks.create([refusal_task("zendesk", "401", since)])
    checks = json.loads(fork_server.run("console", "doctor", "--json", env=env).stdout)["checks"]
    messages = {check["name"]: check["message"] for check in checks if "zendesk" in check["name"]}
    assert messages["helpdesk zendesk"] == "The helpdesk accepts our calls."
    assert "The helpdesk refuses our calls: 401 since " in messages["refusals of zendesk"]
    assert "helpdesks retry zendesk" in messages["refusals of zendesk"]
    ended = fork_server.run("console", "helpdesks", "retry", "zendesk", env=env)
    assert "1 refused tickets are sent now." in ended.stdout
    with records.work() as work:
        assert work.helpdesk_targets.lock("zendesk").paused_until <= work.now
        assert work.run("select next_action_at <= now() from helpdesk_tickets").scalar_one()


def test_create_again_is_for_tickets_that_may_not_exist(zendesk: Zendesk, records: Records) -> None:
    *_, env = zendesk
    task = store_task(records)
    command = ("helpdesks", "create-again", "zendesk", str(task))
    assert fork_server.run("console", *command, env=env).returncode == 1
    operators_task = unknown_task("zendesk", task, mark_of(task))
    with records.work() as work:
        work.run(INSERT, task=task, target="zendesk", status="unknown", refused=None, sent=work.now)
        work.support_tasks.create([operators_task])
    assert fork_server.run("console", *command, env=env).returncode == 0
    with records.work() as work:
        row = work.run("select status, round, sent_at from helpdesk_tickets").one()
        assert (row.status, row.round, row.sent_at) == ("creating", 2, None)
        assert operators_task.id not in {open_task.id for open_task in work.support_tasks.list_open()}
    assert fork_server.run("console", *command, env=env).returncode == 1


INSERT = """
insert into helpdesk_tickets (id, task_id, target, status, refused, sent_at, created_at)
values (gen_random_uuid(), :task, :target, :status, :refused, :sent, now())
"""


def store_task(records: Records) -> UUID:
    task = NewSupportTask(kind=SupportTaskKind.UNEXPECTED_REFUND, subject="a problem", evidence={})
    with records.work() as work:
        work.support_tasks.create([task])
    return task.id


def test_a_worker_with_environment_variables_sends_the_ticket(
    zendesk: Zendesk, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, double, env = zendesk
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    settings = settings.model_copy(update={"helpdesks": ("zendesk",)})
    for context in _provider_fixtures.open_context(settings):
        task = store_task(context.records)
        publish(context, [task])
        with context.records.work() as work:
            (queued,) = work.outbox.take("helpdesk.tickets", room=10, after=None, bulk=False)

        handle(context, HelpdeskTicketsDue, [queued[0]])
    assert [ticket.mark for ticket in double.of("zendesk")] == [mark_of(task)]


@pytest.mark.parametrize("decisions", ["solved", "solved:pay", ":close"])
def test_a_decision_that_no_ticket_can_make_is_refused(decisions: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in settings_of("https://zendesk.example")["zendesk"].items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MONEYBACK_ZENDESK_DECISIONS", decisions)
    with pytest.raises(ValidationError, match=r"is not a word and an action|names no decision"):
        ZendeskSettings()


def test_an_unknown_helpdesk_is_refused(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    for name, value in environment(settings).items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("MONEYBACK_HELPDESKS", "zendesk, gorgias")
    with pytest.raises(ValidationError, match="no bridge to the helpdesk “gorgias”"):
        Settings()


def test_a_secret_of_a_helpdesk_can_be_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for name, value in settings_of("https://zendesk.example")["zendesk"].items():
        monkeypatch.setenv(name, value)
    file = tmp_path / "token"
    file.write_text("from a file\n")
    monkeypatch.delenv("MONEYBACK_ZENDESK_API_TOKEN")
    monkeypatch.setenv("MONEYBACK_ZENDESK_API_TOKEN_FILE", str(file))
    assert ZendeskSettings().api_token.get_secret_value() == "from a file"


def test_a_missing_setting_of_a_helpdesk_is_named(zendesk: Zendesk) -> None:
    *_, env = zendesk
    del env["MONEYBACK_ZENDESK_API_TOKEN"]
    ended = fork_server.run("console", "helpdesks", "check", env=env)
    assert ended.returncode == 2
    assert "MONEYBACK_ZENDESK_API_TOKEN is not set; docs/settings.md explains it." in " ".join(ended.stderr.split())
