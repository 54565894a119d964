"""A fake of the helpdesks that follows their documents: one server with a folder for each helpdesk, and one clock.

The fake allows what the real helpdesks allow: two tickets with the same mark, a search that does not find a new ticket yet, and
an e-mail to whoever a public comment reaches. It counts every call in the windows that the helpdesks document.
"""

import base64
import hashlib
import hmac
import json
import re
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from tests.doubles.faulty_server import (
    Answer,
    ClientConnection,
    FaultyServer,
    HttpRequest,
    HttpResponse,
    no_fault,
    reset_after,
    reset_before,
)

REQUESTER = "moneyback@shop.example"
SECRET = "whsec_" + base64.b64encode(b"a secret of thirty-two bytes ...").decode()
FIELD = "cf_moneyback"
INTERCOM_ATTRIBUTE = "Moneyback task"
IDEMPOTENCY = timedelta(hours=2)
LAGS = {
    "zendesk": timedelta(seconds=30),
    "freshdesk": timedelta(minutes=4),
    "zammad": timedelta(seconds=90),
    "chatwoot": timedelta(0),
    "intercom": timedelta(seconds=90),
    "slack": timedelta(0),
}
"""After this time, the lookup finds a new ticket."""

CREATIONS = {
    "zendesk": r"/zendesk/api/v2/tickets",
    "freshdesk": r"/freshdesk/api/v2/tickets",
    "zammad": r"/zammad/api/v1/tickets",
    "chatwoot": r"/chatwoot/api/v1/accounts/1/conversations",
    "intercom": r"/intercom/tickets",
    "webhook": r"/webhook",
    "slack": r"/slack/chat.postMessage",
}
"""The path of the POST request that creates a ticket."""


@dataclass
class FakeClock:
    """A clock that a test moves."""

    at: datetime = field(default_factory=lambda: datetime.now(UTC))

    def advance(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


@dataclass
class FakeTicket:
    """A ticket in a helpdesk."""

    target: str
    id: int
    mark: str
    created_at: datetime
    title: str
    requester: str
    comments: list[tuple[str, bool]]
    """Each comment, and whether it is public."""
    status: str = "open"
    fields: dict[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The newest comment."""
        return self.comments[-1][0] if self.comments else ""


@dataclass(frozen=True)
class Window:
    """A documented limit: at most ``calls`` in ``seconds`` whose requests match."""

    calls: int
    pattern: str = r".*"
    seconds: float = 60.0


@dataclass
class FakeHelpdesks:
    """The fake helpdesks. ``answer`` carries out one request."""

    clock: FakeClock
    tickets: list[FakeTicket] = field(default_factory=list)
    emails: list[tuple[str, str]] = field(default_factory=list)
    """The target and the address of each e-mail that a helpdesk would send."""
    windows: dict[str, list[Window]] = field(default_factory=dict)
    calls: dict[str, list[tuple[datetime, str]]] = field(default_factory=lambda: defaultdict(list))
    exceeded: list[str] = field(default_factory=list)
    """The calls that a limit refused."""
    refuses: dict[str, int] = field(default_factory=dict)
    """The status with which a target refuses every call."""
    retry_after: int = 30
    webhook_ids: set[str] = field(default_factory=set)
    contacts: list[dict[str, Any]] = field(default_factory=list)
    keys: dict[str, tuple[datetime, bytes, HttpResponse]] = field(default_factory=dict)
    page_size: int = 20
    """The number of messages in a page of Slack's history, which may be smaller than the limit in the request."""

    def of(self, target: str) -> list[FakeTicket]:
        """Return the tickets in a helpdesk."""
        return [ticket for ticket in self.tickets if ticket.target == target]

    def answer(self, request: HttpRequest) -> HttpResponse:
        target = request.path.split("/")[1]
        if status := self.refuses.get(target):
            return self._refusal(target, status)
        if not self._is_allowed(target, request):
            self.exceeded.append(f"{target} {request.method} {request.path}")
            return HttpResponse(429, b"{}", {"Retry-After": str(self.retry_after)})
        handler = ROUTES[target]
        body = json.loads(request.body) if request.body else {}
        return handler(self, request, body)

    def _refusal(self, target: str, status: int) -> HttpResponse:
        if target == "slack":
            return respond(
                200, {"ok": False, "error": {401: "invalid_auth", 422: "msg_too_long"}.get(status, "fatal_error")}
            )
        return respond(status, {"error": "refused"}, {"Retry-After": "45"} if status == 429 else {})

    def _is_allowed(self, target: str, request: HttpRequest) -> bool:
        """Count the call, and return whether it is within every window. Refused calls count, too."""
        now, name = self.clock.at, f"{request.method} {request.path}"
        self.calls[target].append((now, name))
        for window in self.windows.get(target, []):
            since = now - timedelta(seconds=window.seconds)
            counted = 0
            for at, call in reversed(self.calls[target]):
                if at <= since:
                    break
                counted += bool(re.fullmatch(window.pattern, call))
            if re.fullmatch(window.pattern, name) and counted > window.calls:
                return False
        return True

    def add(self, target: str, mark: str, title: str, comments: list[tuple[str, bool]], **fields: Any) -> FakeTicket:
        ticket = FakeTicket(
            target, len(self.tickets) + 101, mark, self.clock.at, title, fields.pop("requester", REQUESTER), comments
        )
        ticket.fields |= fields
        self.tickets.append(ticket)
        return ticket

    def indexed(self, target: str, mark: str) -> list[FakeTicket]:
        """Return the tickets with a mark that the lookup finds at this moment."""
        latest = self.clock.at - LAGS[target]
        return [ticket for ticket in self.of(target) if ticket.mark == mark and ticket.created_at <= latest]

    def get(self, target: str, ref: str) -> FakeTicket | None:
        return next((ticket for ticket in self.of(target) if str(ticket.id) == ref), None)


def respond(status: int, body: Any, headers: dict[str, str] | None = None) -> HttpResponse:
    return HttpResponse(status, json.dumps(body).encode(), {"Content-Type": "application/json", **(headers or {})})


NOT_FOUND = respond(404, {"error": "RecordNotFound"})


def _zendesk(double: FakeHelpdesks, request: HttpRequest, body: Any) -> HttpResponse:  # noqa: PLR0911  # a branch for each call
    if "authorization" not in request.headers:
        return respond(401, {"error": "Couldn't authenticate you"})
    path = request.path.removeprefix("/zendesk/api/v2")
    if path == "/users/me":
        return respond(200, {"user": {"role": "agent"}})
    if request.method == "GET":
        rows = [_zendesk_ticket(ticket) for ticket in double.indexed("zendesk", request.query["external_id"])]
        return respond(200, {"tickets": rows, "count": len(rows)})
    if request.method == "POST":
        return _zendesk_create(double, request, body["ticket"])
    ticket = double.get("zendesk", path.rsplit("/", 1)[1])
    if ticket is None:
        return NOT_FOUND
    if ticket.status == "closed":
        return respond(422, {"details": {"status": [{"description": "Status: closed prevents ticket update"}]}})
    fields = body["ticket"]
    if comment := fields.get("comment"):
        _zendesk_comment(double, ticket, comment)
    ticket.status = fields.get("status", ticket.status)
    return respond(200, {"ticket": _zendesk_ticket(ticket)})


def _zendesk_create(double: FakeHelpdesks, request: HttpRequest, fields: Any) -> HttpResponse:
    key = request.headers.get("idempotency-key", "")
    if key in double.keys and double.clock.at - double.keys[key][0] < IDEMPOTENCY:
        _, known, response = double.keys[key]
        if known != request.body:
            return respond(400, {"error": "IdempotentRequestError"})
        return HttpResponse(response.status, response.body, {**response.headers, "x-idempotency-lookup": "hit"})
    ticket = double.add(
        "zendesk", fields.get("external_id", ""), fields["subject"], [], requester=fields["requester"]["email"]
    )
    ticket.fields |= {
        "tags": fields.get("tags"),
        "due_at": fields.get("due_at"),
        "follows": fields.get("via_followup_source_id"),
    }
    _zendesk_comment(double, ticket, fields["comment"])
    response = respond(201, {"ticket": _zendesk_ticket(ticket)})
    double.keys[key] = (double.clock.at, request.body, response)
    return response


def _zendesk_comment(double: FakeHelpdesks, ticket: FakeTicket, comment: Any) -> None:
    """Add a comment. It is public by default, and then it is sent to the requester."""
    is_public = comment.get("public", True)
    ticket.comments.append((comment["body"], is_public))
    if is_public:
        double.emails.append(("zendesk", ticket.requester))


def _zendesk_ticket(ticket: FakeTicket) -> dict[str, Any]:
    return {"id": ticket.id, "external_id": ticket.mark, "status": ticket.status, "subject": ticket.title}


def _freshdesk(double: FakeHelpdesks, request: HttpRequest, body: Any) -> HttpResponse:  # noqa: C901, PLR0911  # as above
    path = request.path.removeprefix("/freshdesk/api/v2")
    if path == "/ticket_fields":
        return respond(200, [{"name": "subject"}, {"name": FIELD}])
    if path == "/search/tickets":
        found = re.fullmatch(rf"\"{FIELD}:'(.+)'\"", request.query["query"])
        if found is None:
            return respond(400, {"description": "Validation failed"})
        rows = [
            {"id": ticket.id, "custom_fields": {FIELD: ticket.mark}} for ticket in double.indexed("freshdesk", found[1])
        ]
        return respond(200, {"results": rows, "total": len(rows)})
    if path == "/tickets":
        ticket = double.add(
            "freshdesk",
            body["custom_fields"][FIELD],
            body["subject"],
            [(body["description"], False)],
            requester=body["email"],
        )
        double.emails.append(("freshdesk", ticket.requester))  # the notification “New ticket created”
        return respond(201, {"id": ticket.id})
    ticket_or_none = double.get("freshdesk", path.split("/")[2])
    if ticket_or_none is None:
        return NOT_FOUND
    if path.endswith("/notes"):
        is_public = not body.get("private", True)
        ticket_or_none.comments.append((body["body"], is_public))
        if is_public:
            double.emails.append(("freshdesk", ticket_or_none.requester))
        return respond(201, {"id": 1})
    if body.get("status") == 5:
        ticket_or_none.status = "closed"
    return respond(200, {"id": ticket_or_none.id})


def _zammad(double: FakeHelpdesks, request: HttpRequest, body: Any) -> HttpResponse:
    path = request.path.removeprefix("/zammad/api/v1")
    if path == "/groups":
        return respond(200, [{"id": 1, "name": "Refunds"}])
    if path == "/tickets/search":
        latest, query = double.clock.at - LAGS["zammad"], request.query["query"]
        # The index splits the mark at its dashes, so a search may also find tickets whose titles only resemble the mark.
        found = [t for t in double.of("zammad") if t.created_at <= latest and query[:12] in t.title]
        return respond(200, [{"id": ticket.id, "title": ticket.title} for ticket in reversed(found)])
    article = body.get("article", {})
    if request.method == "POST":
        mark = found_mark[1] if (found_mark := re.search(r"\[(moneyback-[^]]+)\]", body["title"])) else ""
        requester = body["customer_id"].removeprefix("guess:")
        ticket = double.add("zammad", mark, body["title"], [], requester=requester)
    else:
        known = double.get("zammad", path.rsplit("/", 1)[1])
        if known is None:
            return NOT_FOUND
        ticket = known
    ticket.comments.append((article["body"], not article.get("internal", False)))
    if article.get("type") == "email":
        double.emails.append(("zammad", ticket.requester))
    ticket.status = body.get("state", ticket.status)
    return respond(201 if request.method == "POST" else 200, {"id": ticket.id, "number": f"1{ticket.id}"})


def _chatwoot(double: FakeHelpdesks, request: HttpRequest, body: Any) -> HttpResponse:  # noqa: C901, PLR0911  # as above
    path = request.path.removeprefix("/chatwoot/api/v1/accounts/1")
    parts = path.split("/")[1:]
    match request.method, parts:
        case "GET", ["inboxes", _]:
            return respond(200, {"id": 7, "channel_type": "Channel::Api"})
        case "POST", ["contacts"]:
            return _chatwoot_contact(double, body)
        case "GET", ["contacts", "search"]:
            rows = [contact for contact in double.contacts if request.query["q"] in contact["identifier"]]
            return respond(200, {"payload": rows})
        case "GET", ["contacts", contact_id, "conversations"]:
            mark = double.contacts[int(contact_id) - 1]["identifier"]
            rows = [{"id": ticket.id, "inbox_id": 7} for ticket in double.indexed("chatwoot", mark)]
            return respond(200, {"payload": rows})
        case "POST", ["conversations"]:
            contact = double.contacts[body["contact_id"] - 1]
            comments = [(body["message"]["content"], True)] if "message" in body else []
            if comments and contact.get("email"):
                double.emails.append(("chatwoot", contact["email"]))
            title = body["additional_attributes"]["mail_subject"]
            ticket = double.add("chatwoot", contact["identifier"], title, comments)
            return respond(200, {"id": ticket.id, "inbox_id": body["inbox_id"]})
    known = double.get("chatwoot", parts[1])
    if known is None:
        return NOT_FOUND
    if parts[2] == "messages":
        known.comments.append((body["content"], not body.get("private", False)))
    else:
        known.status = {"resolved": "closed"}.get(body["status"], body["status"])
    return respond(200, {"id": 1})


def _chatwoot_contact(double: FakeHelpdesks, body: Any) -> HttpResponse:
    if any(contact["identifier"] == body["identifier"] for contact in double.contacts):
        return respond(422, {"message": "Identifier has already been taken", "attributes": ["identifier"]})
    number = len(double.contacts) + 1
    inboxes = [{"source_id": f"source-{number}", "inbox": {"id": body["inbox_id"]}}]
    contact = {"id": number, "identifier": body["identifier"], "email": body.get("email"), "contact_inboxes": inboxes}
    double.contacts.append(contact)
    return respond(200, {"payload": {"contact": contact, "contact_inbox": inboxes[0]}})


def _intercom(double: FakeHelpdesks, request: HttpRequest, body: Any) -> HttpResponse:
    path = request.path.removeprefix("/intercom")
    if request.headers.get("intercom-version") != "2.16":
        return respond(400, {"type": "error.list"})
    if path.startswith("/ticket_types/"):
        return respond(200, {"id": "9", "ticket_type_attributes": {"data": [{"id": "77", "name": INTERCOM_ATTRIBUTE}]}})
    if path == "/tickets/search":
        query = body["query"]
        if query["field"] != "ticket_attribute.77" or query["operator"] != "=":
            return respond(400, {"type": "error.list"})
        rows = [
            {"id": str(ticket.id), "ticket_attributes": {INTERCOM_ATTRIBUTE: ticket.mark}}
            for ticket in double.indexed("intercom", query["value"])
        ]
        return respond(200, {"type": "ticket.list", "tickets": rows, "total_count": len(rows)})
    attributes = body.get("ticket_attributes", {})
    if request.method == "POST":
        ticket = double.add(
            "intercom",
            attributes[INTERCOM_ATTRIBUTE],
            attributes["_default_title_"],
            [],
            requester=body["contacts"][0]["email"],
        )
    else:
        known = double.get("intercom", path.rsplit("/", 1)[1])
        if known is None:
            return NOT_FOUND
        ticket = known
    ticket.comments.append((attributes["_default_description_"], False))
    if not body.get("skip_notifications"):
        double.emails.append(("intercom", ticket.requester))
    ticket.status = {"closed-state": "closed"}.get(body.get("ticket_state_id", ""), "open")
    return respond(200, {"type": "ticket", "id": str(ticket.id), "ticket_id": f"{ticket.id - 100}"})


def _webhook(double: FakeHelpdesks, request: HttpRequest, body: Any) -> HttpResponse:
    """Accept a webhook as the specification says: verify the signature, and drop an id that is known."""
    message_id, timestamp = request.headers["webhook-id"], request.headers["webhook-timestamp"]
    key = base64.b64decode(SECRET.removeprefix("whsec_"))
    signed = f"{message_id}.{timestamp}.".encode() + request.body
    expected = "v1," + base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    if request.headers["webhook-signature"] != expected:
        return respond(401, {})
    if message_id in double.webhook_ids:
        return respond(200, {})
    double.webhook_ids.add(message_id)
    task, shown = body["data"]["task"], body["data"]["ticket"]
    known = next((ticket for ticket in double.of("webhook") if ticket.mark == task["subject"]), None)
    ticket = known or double.add("webhook", task["subject"], shown["title"], [])
    ticket.comments.append((shown["text"], False))
    ticket.status = "closed" if body["type"].endswith("closed.v2") else "open"
    return respond(200, {})


def _slack(double: FakeHelpdesks, request: HttpRequest, body: Any) -> HttpResponse:
    path = request.path.removeprefix("/slack")
    if path == "/conversations.history":
        return _slack_history(double, request)
    if path == "/chat.postMessage":
        mark = body["metadata"]["event_payload"]["mark"]
        ticket = double.add("slack", mark, body["text"], [(body["text"], False)])
        return respond(200, {"ok": True, "channel": body["channel"], "ts": _ts(ticket)})
    known = next((ticket for ticket in double.of("slack") if _ts(ticket) == body["ts"]), None)
    if known is None:
        return respond(200, {"ok": False, "error": "message_not_found"})
    known.comments.append((body["text"], False))
    return respond(200, {"ok": True, "ts": body["ts"]})


def _slack_history(double: FakeHelpdesks, request: HttpRequest) -> HttpResponse:
    oldest, latest = float(request.query.get("oldest", 0)), float(request.query.get("latest", 10**10))
    rows = [ticket for ticket in reversed(double.of("slack")) if oldest < float(_ts(ticket)) < latest]
    size = min(int(request.query["limit"]), double.page_size)
    start = int(request.query.get("cursor", "0"))
    payload = [
        {
            "ts": _ts(ticket),
            "metadata": {"event_type": "moneyback_support_task", "event_payload": {"mark": ticket.mark}},
        }
        for ticket in rows[start : start + size]
    ]
    following = str(start + size) if start + size < len(rows) else ""
    body = {"ok": True, "messages": payload, "response_metadata": {"next_cursor": following}}
    return respond(200, body)


def _ts(ticket: FakeTicket) -> str:
    """Return Slack's id of a message: its time, and a number that makes the id unique."""
    return f"{int(ticket.created_at.timestamp())}.{ticket.id:06}"


ROUTES: dict[str, Callable[[FakeHelpdesks, HttpRequest, Any], HttpResponse]] = {
    "zendesk": _zendesk,
    "freshdesk": _freshdesk,
    "zammad": _zammad,
    "chatwoot": _chatwoot,
    "intercom": _intercom,
    "webhook": _webhook,
    "slack": _slack,
}


class LosesCreations:
    """A fault that loses the answer to the first calls that create a ticket. With ``before``, the call has no effect."""

    def __init__(self, target: str, number: int, *, before: bool = False) -> None:
        self._path, self.left, self.before = CREATIONS[target], number, before

    def __call__(self, client: ClientConnection, answer: Answer) -> None:
        if client.method == "POST" and re.fullmatch(self._path, client.path) and self.left > 0:
            self.left -= 1
            (reset_before if self.before else reset_after)(client, answer)
        else:
            no_fault(client, answer)


def running(double: FakeHelpdesks) -> FaultyServer:
    """Return a server of the fake helpdesks."""
    return FaultyServer(double.answer)


def settings_of(url: str) -> dict[str, dict[str, str]]:
    """Return the environment variables of each helpdesk that is this server."""
    return {
        "zendesk": {
            "MONEYBACK_ZENDESK_API_BASE": f"{url}/zendesk",
            "MONEYBACK_ZENDESK_EMAIL": "agent@shop.example",
            "MONEYBACK_ZENDESK_API_TOKEN": "t",
            "MONEYBACK_ZENDESK_REQUESTER": REQUESTER,
        },
        "freshdesk": {
            "MONEYBACK_FRESHDESK_API_BASE": f"{url}/freshdesk",
            "MONEYBACK_FRESHDESK_API_KEY": "k",
            "MONEYBACK_FRESHDESK_REQUESTER": REQUESTER,
        },
        "zammad": {
            "MONEYBACK_ZAMMAD_API_BASE": f"{url}/zammad",
            "MONEYBACK_ZAMMAD_API_TOKEN": "t",
            "MONEYBACK_ZAMMAD_GROUP": "Refunds",
            "MONEYBACK_ZAMMAD_REQUESTER": REQUESTER,
        },
        "chatwoot": {
            "MONEYBACK_CHATWOOT_API_BASE": f"{url}/chatwoot",
            "MONEYBACK_CHATWOOT_ACCOUNT_ID": "1",
            "MONEYBACK_CHATWOOT_INBOX_ID": "7",
            "MONEYBACK_CHATWOOT_API_TOKEN": "t",
        },
        "intercom": {
            "MONEYBACK_INTERCOM_API_BASE": f"{url}/intercom",
            "MONEYBACK_INTERCOM_ACCESS_TOKEN": "t",
            "MONEYBACK_INTERCOM_TICKET_TYPE_ID": "9",
            "MONEYBACK_INTERCOM_CLOSED_STATE_ID": "closed-state",
            "MONEYBACK_INTERCOM_OPEN_STATE_ID": "open-state",
            "MONEYBACK_INTERCOM_REQUESTER": REQUESTER,
        },
        "webhook": {"MONEYBACK_WEBHOOK_URL": f"{url}/webhook", "MONEYBACK_WEBHOOK_SECRET": SECRET},
        "slack": {
            "MONEYBACK_SLACK_API_BASE": f"{url}/slack",
            "MONEYBACK_SLACK_BOT_TOKEN": "xoxb-t",
            "MONEYBACK_SLACK_CHANNEL": "C0123",
        },
        "email": {"MONEYBACK_HELPDESK_EMAIL_ADDRESS": "refunds@helpdesk.example"},
    }


WINDOWS = {
    "zendesk": [
        Window(200),
        Window(100, r"PUT .*/tickets/\d+"),
    ],
    "freshdesk": [
        Window(50),
        Window(40, r"POST .*/tickets"),
        Window(40, r"(PUT .*/tickets/\d+)|(POST .*/notes)"),
        Window(20, r"GET .*/search/.*"),
    ],
    "zammad": [Window(120)],
    "chatwoot": [Window(300)],
    "intercom": [Window(1_000)],
    "webhook": [Window(300)],
    "slack": [
        Window(60, r"POST /slack/chat.postMessage"),
        Window(50, r"POST /slack/chat.update"),
        Window(50, r"GET /slack/conversations.history"),
    ],
}
"""The limits of the smallest plans, as documented, or as the bridges limit themselves."""
