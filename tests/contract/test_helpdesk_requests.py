"""The requests of each bridge are those that the documents of the helpdesk describe, and every answer is a value."""

import base64
import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from importlib import import_module
from typing import Any
from uuid import UUID

import pytest

from config.helpdesks import HELPDESKS
from domain.helpdesks import (
    Done,
    Exists,
    Gone,
    Helpdesk,
    HelpdeskCapabilities,
    Limiter,
    NotFound,
    NotSent,
    RateLimit,
    Refused,
    Section,
    Ticket,
    TicketRow,
    TicketStatus,
    Unknown,
    mark_of,
    may_create_again,
    needs_operator,
    next_call,
)
from domain.webhook_signatures import verify
from tests.doubles.faulty_server import (
    AFTER_CARRYING_OUT,
    Fault,
    FaultyServer,
    HttpRequest,
    HttpResponse,
    drip_after,
    empty_after,
    garbage_after,
    no_fault,
    responds_with,
)
from tests.doubles.helpdesks import FIELD, REQUESTER, SECRET, FakeClock, FakeHelpdesks, running, settings_of
from worker.helpdesks import BridgeContext

TASK = UUID("0198a6f0-0000-7000-8000-000000000001")
MARK = mark_of(TASK)
NOW = datetime(2026, 11, 30, 12, tzinfo=UTC)
WITH_API = [name for name in HELPDESKS if name != "email"]


class UnusedTransport:
    """A mail transport that no test here uses."""

    repeatable = False

    def deliver(self, email: object) -> None:
        raise AssertionError(email)


def a_ticket(**changes: Any) -> Ticket:
    values: dict[str, Any] = {
        "task_id": TASK,
        "mark": MARK,
        "sequence": 1,
        "revision": "3",
        "title": "Refund A-1: Too old <b>",
        "sections": (Section("", ["Due soon."]), Section("Reasons", ["Too old & <b>used</b>."])),
        "opened_at": NOW,
        "due_at": NOW + timedelta(days=2),
        "priority": "high",
        "seller": "aurora",
        "language": "de",
        "url": "https://desk.example/cases/1",
        "event": {
            "id": f"{TASK}/1",
            "type": "moneyback.support_task.opened.v2",
            "time": NOW.isoformat(),
            "subject": str(TASK),
        },
        "is_closed": False,
        "outcome": None,
    }
    return Ticket(**values | changes)


@pytest.fixture
def server() -> Iterator[FaultyServer]:
    with running(FakeHelpdesks(FakeClock())) as server:
        yield server


@pytest.fixture
def bridge(server: FaultyServer, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Helpdesk]:
    """Return a function that connects a bridge to the server."""

    def connect(target: str) -> Helpdesk:
        for name, value in settings_of(server.url)[target].items():
            monkeypatch.setenv(name, value)
        shared = BridgeContext(1.0, UnusedTransport(), "Moneyback <refunds@moneyback.example>")
        helpdesk: Helpdesk = import_module(f"worker.helpdesks.{target}").create_bridge(HELPDESKS[target](), shared)
        return helpdesk

    return connect


def sent(server: FaultyServer) -> list[tuple[str, str, Any]]:
    """Return the method, the path and the JSON body of each request."""
    requests = server.requests
    return [(request.method, request.path, json.loads(request.body) if request.body else None) for request in requests]


def test_zendesk_creates_an_internal_ticket_with_a_key(server: FaultyServer, bridge: Callable[[str], Helpdesk]) -> None:
    helpdesk = bridge("zendesk")
    assert helpdesk.create(a_ticket(), MARK) == Exists("101")
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/zendesk/api/v2/tickets")
    assert request.headers["idempotency-key"] == MARK
    assert request.headers["authorization"] == "Basic " + base64.b64encode(b"agent@shop.example/token:t").decode()
    assert json.loads(request.body) == {
        "ticket": {
            "subject": "Refund A-1: Too old <b>",
            "comment": {"body": a_ticket().text, "public": False},
            "requester": {"name": "Moneyback", "email": REQUESTER},
            "external_id": MARK,
            "tags": ["moneyback"],
            "priority": "high",
            "type": "task",
            "due_at": "2026-12-02T12:00:00+00:00",
        }
    }
    assert len(MARK) <= 255, "An Idempotency-Key has at most 255 characters."


def test_zendesk_updates_and_closes_with_internal_comments(
    server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    helpdesk = bridge("zendesk")
    helpdesk.create(a_ticket(), MARK)
    assert helpdesk.update("101", a_ticket()) == Done()
    assert helpdesk.close("101", a_ticket(is_closed=True)) == Done()
    _, update, close = sent(server)
    assert update[:2] == close[:2] == ("PUT", "/zendesk/api/v2/tickets/101")
    assert update[2]["ticket"]["comment"]["public"] is close[2]["ticket"]["comment"]["public"] is False
    assert "status" not in update[2]["ticket"], "The agents' status stays."
    assert close[2]["ticket"]["status"] == "solved"


def test_zendesk_says_that_a_key_was_used_for_another_body(
    server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    """The first creation was processed, so the ticket is looked up and not created again."""
    helpdesk = bridge("zendesk")
    helpdesk.create(a_ticket(), MARK)
    assert helpdesk.create(a_ticket(), MARK) == Exists("101"), "The same request with the same key is the same ticket."
    assert isinstance(helpdesk.create(a_ticket(title="Other"), MARK), Unknown)
    assert len(server.requests) == 3


def test_freshdesk_creates_a_ticket_of_our_requester_and_adds_private_notes(
    server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    helpdesk = bridge("freshdesk")
    assert helpdesk.create(a_ticket(), MARK) == Exists("101")
    helpdesk.close("101", a_ticket(is_closed=True))
    create, comment, close = sent(server)
    assert create == (
        "POST",
        "/freshdesk/api/v2/tickets",
        {
            "subject": "Refund A-1: Too old <b>",
            "description": a_ticket().html,
            "email": REQUESTER,
            "status": 2,
            "priority": 3,
            "source": 2,
            "tags": ["moneyback"],
            "custom_fields": {FIELD: MARK},
        },
    )
    assert comment == ("POST", "/freshdesk/api/v2/tickets/101/notes", {"body": a_ticket().html, "private": True})
    assert close == ("PUT", "/freshdesk/api/v2/tickets/101", {"status": 5})
    assert server.requests[0].headers["authorization"] == "Basic " + base64.b64encode(b"k:X").decode()


def test_zammad_creates_a_ticket_with_an_internal_article(
    server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    helpdesk = bridge("zammad")
    assert helpdesk.create(a_ticket(), MARK) == Exists("101")
    helpdesk.close("101", a_ticket(is_closed=True))
    create, close = sent(server)
    article = {"subject": "Refund A-1: Too old <b>", "body": a_ticket().text, "type": "note", "internal": True}
    assert create == (
        "POST",
        "/zammad/api/v1/tickets",
        {
            "title": f"Refund A-1: Too old <b> [{MARK}]",
            "group": "Refunds",
            "customer_id": f"guess:{REQUESTER}",
            "priority": "3 high",
            "article": article,
        },
    )
    assert close == ("PUT", "/zammad/api/v1/tickets/101", {"state": "closed", "article": article})
    assert server.requests[0].headers["authorization"] == "Token token=t"


def test_chatwoot_creates_a_contact_without_an_address_and_a_thread_without_a_message(
    server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    helpdesk = bridge("chatwoot")
    assert helpdesk.create(a_ticket(), MARK) == Exists("101", is_complete=False)
    helpdesk.close("101", a_ticket(is_closed=True))
    contact, thread, message, status = sent(server)
    base = "/chatwoot/api/v1/accounts/1"
    assert contact == (
        "POST",
        f"{base}/contacts",
        {"inbox_id": 7, "name": "Refund A-1: Too old <b>", "identifier": MARK},
    )
    assert thread == (
        "POST",
        f"{base}/conversations",
        {
            "inbox_id": 7,
            "source_id": "source-1",
            "contact_id": 1,
            "custom_attributes": {"moneyback_task": MARK, "moneyback_url": "https://desk.example/cases/1"},
            "additional_attributes": {"mail_subject": "Refund A-1: Too old <b>"},
        },
    )
    content = {"content": a_ticket().text, "message_type": "outgoing", "private": True}
    assert message == ("POST", f"{base}/conversations/101/messages", content)
    assert status == ("POST", f"{base}/conversations/101/toggle_status", {"status": "resolved"})
    assert server.requests[0].headers["api_access_token"] == "t"


def test_intercom_creates_a_ticket_without_notifications(
    server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    helpdesk = bridge("intercom")
    assert helpdesk.create(a_ticket(), MARK) == Exists("101"), "The path needs the id, and not the ticket_id."
    helpdesk.close("101", a_ticket(is_closed=True))
    create, close = sent(server)
    shown = {"_default_title_": "Refund A-1: Too old <b>", "_default_description_": a_ticket().text}
    assert create == (
        "POST",
        "/intercom/tickets",
        {
            "ticket_type_id": "9",
            "contacts": [{"email": REQUESTER}],
            "ticket_attributes": {**shown, "Moneyback task": MARK},
            "skip_notifications": True,
        },
    )
    assert close == (
        "PUT",
        "/intercom/tickets/101",
        {"ticket_attributes": shown, "ticket_state_id": "closed-state", "skip_notifications": True},
    )
    assert server.requests[0].headers["intercom-version"] == "2.16"


def test_slack_posts_a_message_with_metadata_and_replaces_it(
    server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    helpdesk = bridge("slack")
    created = helpdesk.create(a_ticket(), MARK)
    assert isinstance(created, Exists)
    helpdesk.update(created.ref, a_ticket())
    create, update = sent(server)
    assert create[:2] == ("POST", "/slack/chat.postMessage")
    assert create[2]["metadata"] == {"event_type": "moneyback_support_task", "event_payload": {"mark": MARK}}
    assert create[2]["text"].startswith("*Refund A-1: Too old &lt;b&gt;*\n")
    assert "Too old &amp; &lt;b&gt;used&lt;/b&gt;." in create[2]["text"]
    assert update[:2] == ("POST", "/slack/chat.update")
    assert (update[2]["channel"], update[2]["ts"]) == ("C0123", created.ref)


def test_a_webhook_is_signed_as_in_the_specification(server: FaultyServer, bridge: Callable[[str], Helpdesk]) -> None:
    assert bridge("webhook").create(a_ticket(), MARK) == Exists(MARK)
    (request,) = server.requests
    assert request.headers["webhook-id"] == f"{TASK}/1"
    assert verify("webhook", SECRET, request.headers, request.body, datetime.now(UTC))
    body = json.loads(request.body)
    assert (body["type"], body["timestamp"]) == ("moneyback.support_task.opened.v2", NOW.isoformat())
    assert body["data"]["task"]["subject"] == str(TASK)


@pytest.mark.parametrize("target", [name for name in WITH_API if name != "webhook"])
def test_a_ticket_is_found_by_its_mark_and_only_by_its_mark(
    target: str, server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    clock = FakeClock()
    double = FakeHelpdesks(clock)
    server._answer = double.answer
    helpdesk = bridge(target)
    assert helpdesk.find(MARK, since=clock.at) == NotFound()
    other = UUID("0198a6f0-0000-7000-8000-000000000002")
    helpdesk.create(a_ticket(task_id=other), mark_of(other))
    since, created = clock.at, helpdesk.create(a_ticket(), MARK)
    assert isinstance(created, Exists)
    clock.advance(300)
    assert helpdesk.find(MARK, since=since) == Exists(created.ref, is_complete=False)
    assert helpdesk.find(mark_of(TASK, 2), since=since) == NotFound()


@pytest.mark.parametrize("target", WITH_API)
@pytest.mark.parametrize("fault", [fault for fault in AFTER_CARRYING_OUT if fault is not drip_after])
def test_a_lost_answer_to_a_creation_is_unknown(
    target: str, fault: Fault, server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    """A receiver of webhooks may answer with any body, so only its status counts."""
    helpdesk = bridge(target)
    server.fault = fault
    result = helpdesk.create(a_ticket(), MARK)
    expected = Exists if target == "webhook" and fault in {empty_after, garbage_after} else Unknown
    assert isinstance(result, expected), result


@pytest.mark.parametrize("target", WITH_API)
@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (401, Refused),
        (403, Refused),
        (422, Refused),
        (400, Refused),
        (404, Refused),
        (302, Refused),
        (408, Unknown),
        (500, Unknown),
        (503, Unknown),
        (429, NotSent),
    ],
)
def test_each_status_is_a_value(
    target: str, status: int, expected: type, server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    helpdesk = bridge(target)
    server.fault = responds_with(HttpResponse(status, b"{}", {"Retry-After": "45"}))
    result = helpdesk.create(a_ticket(), MARK)
    assert isinstance(result, expected), result
    if isinstance(result, NotSent):
        assert result.retry_after == 45
    if isinstance(result, Refused):
        assert result.is_for_all is (status in {401, 403})


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        ("invalid_auth", Refused("invalid_auth", "Slack answered invalid_auth.", is_for_all=True)),
        ("msg_too_long", Refused("msg_too_long", "Slack answered msg_too_long.", is_for_all=False)),
        ("internal_error", Unknown("Slack answered internal_error.")),
        ("ratelimited", NotSent("Slack's rate limit is reached.", 60.0)),
    ],
)
def test_slack_reports_errors_with_status_200(
    error: str, expected: object, server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    helpdesk = bridge("slack")
    server.fault = responds_with(HttpResponse(200, json.dumps({"ok": False, "error": error}).encode()))
    assert helpdesk.create(a_ticket(), MARK) == expected


@pytest.mark.parametrize("target", [name for name in WITH_API if name != "webhook"])
def test_a_ticket_that_does_not_exist_is_gone(target: str, bridge: Callable[[str], Helpdesk]) -> None:
    assert bridge(target).update("999", a_ticket()) == Gone()


@pytest.mark.parametrize(
    ("target", "answer", "advice"),
    [
        ("zendesk", {"user": {"role": "end-user"}}, "is not the address of an agent"),
        ("freshdesk", [{"name": "subject"}], f"no custom field {FIELD}"),
        ("zammad", [{"name": "Users"}], "no group Refunds"),
        ("chatwoot", {"channel_type": "Channel::Email"}, "is not an API inbox"),
        ("intercom", {"ticket_type_attributes": {"data": []}}, "no attribute Moneyback task"),
        ("slack", {"ok": False, "error": "not_in_channel"}, "invite the app"),
    ],
)
def test_the_check_says_what_is_missing(
    target: str, answer: object, advice: str, server: FaultyServer, bridge: Callable[[str], Helpdesk]
) -> None:
    helpdesk = bridge(target)
    assert helpdesk.check() == []
    server.fault = responds_with(HttpResponse(200, json.dumps(answer).encode()))
    (fault,) = bridge(target).check()
    assert advice in fault
    server.fault = responds_with(HttpResponse(401, b"{}"))
    (fault,) = bridge(target).check()
    assert "MONEYBACK_" in fault
    server.fault = no_fault


def test_the_html_of_a_ticket_is_escaped() -> None:
    assert a_ticket().html == "<p>Due soon.</p><h3>Reasons</h3><p>Too old &amp; &lt;b&gt;used&lt;/b&gt;.</p>"
    assert a_ticket().text == "Due soon.\n\nReasons\nToo old & <b>used</b>."


def a_row(**changes: Any) -> TicketRow:
    values: dict[str, Any] = {
        "id": TASK,
        "task_id": TASK,
        "target": "zendesk",
        "status": TicketStatus.CREATING,
        "ref": None,
        "round": 1,
        "follows": None,
        "sent_sequence": 0,
        "sent_at": None,
        "first_sent_at": None,
        "lookups": 0,
        "attempts": 0,
        "refused": None,
        "revision": None,
        "digest": None,
    }
    return TicketRow(**values | changes)


WITHOUT_KEY = HelpdeskCapabilities()
WITH_KEY = HelpdeskCapabilities(key_ttl=timedelta(hours=2))
CONSISTENT = HelpdeskCapabilities(is_consistent=True)
BLIND = HelpdeskCapabilities(can_find=False)
RECENT = {"sent_at": NOW, "first_sent_at": NOW}


@pytest.mark.parametrize(
    ("capabilities", "changes", "call", "person"),
    [
        (WITHOUT_KEY, {}, "create", False),
        (WITHOUT_KEY, RECENT, "find", False),
        (WITHOUT_KEY, {**RECENT, "lookups": 2}, "find", False),
        (WITHOUT_KEY, {**RECENT, "lookups": 3}, "find", True),
        (WITH_KEY, {**RECENT, "lookups": 2}, "find", False),
        (WITH_KEY, {**RECENT, "lookups": 3}, "create", False),
        (WITH_KEY, {**RECENT, "lookups": 3, "first_sent_at": NOW - timedelta(minutes=111)}, "find", True),
        (WITH_KEY, {**RECENT, "lookups": 3, "first_sent_at": NOW - timedelta(minutes=109)}, "create", False),
        (CONSISTENT, {**RECENT, "lookups": 2}, "find", False),
        (CONSISTENT, {**RECENT, "lookups": 3}, "create", False),
        (BLIND, RECENT, "find", True),
        (WITHOUT_KEY, {"ref": "1"}, "update", False),
    ],
)
def test_the_next_call_never_creates_blindly(
    capabilities: HelpdeskCapabilities, changes: dict[str, Any], call: str, person: bool
) -> None:
    row = a_row(**changes)
    assert next_call(row, capabilities, NOW, is_closed=False) == call
    assert needs_operator(row, capabilities, NOW) is person
    assert not (person and may_create_again(row, capabilities, NOW))


@pytest.mark.parametrize("calls", [10, 50, 100, 200, 3_000])
@pytest.mark.parametrize("late", [0.0, 9.9])
def test_the_limiter_never_allows_more_calls_than_the_limit(calls: int, late: float) -> None:
    """In every window of a minute, even if each second call is made late."""
    capabilities = HelpdeskCapabilities(limits={"all": RateLimit(calls)})
    buckets: dict[str, Any] = {}
    instants: list[float] = []
    for step in range(1_200):  # five minutes
        now = NOW + timedelta(seconds=step / 4)
        limiter = Limiter(capabilities, buckets, now)
        while limiter.take(next_call(a_row(), WITHOUT_KEY, now, is_closed=False)):
            instants.append(step / 4 + (late if len(instants) % 2 else 0.0))
        buckets = json.loads(json.dumps(limiter.buckets))
    instants.sort()
    starts = instants[:: max(1, len(instants) // 200)]
    assert max(sum(start <= at < start + 60 for at in instants) for start in starts) <= calls
    assert len(instants) >= calls * 3, "The limit is used."


def test_the_requests_of_one_call_are_counted_together() -> None:
    capabilities = HelpdeskCapabilities(limits={"all": RateLimit(60), "find": RateLimit(12)}, requests={})
    limiter = Limiter(capabilities, {}, NOW)
    kind = next_call(a_row(**RECENT), WITHOUT_KEY, NOW, is_closed=False)
    assert [limiter.take(kind) for _ in range(3)] == [True, True, False]
    assert limiter.take(next_call(a_row(), WITHOUT_KEY, NOW, is_closed=False)), "Only the lookups are exhausted."
    assert limiter.wait(kind, 1) > limiter.wait(kind, 0) > 0


def test_every_request_of_the_fake_helpdesks_has_a_known_target(server: FaultyServer) -> None:
    with pytest.raises(KeyError):
        server.answer(HttpRequest("GET", "/gorgias/api/tickets", {}, {}, b""))
