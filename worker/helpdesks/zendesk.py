"""The bridge to Zendesk: tickets with internal comments, found by their external id.

Sources: "Tickets", "Rate limits" and "Idempotency" in the API reference of Zendesk.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from config.helpdesks import ZendeskSettings
from domain.helpdesks import (
    ALL_CALLS,
    CallKind,
    ChangeResult,
    CreateResult,
    Done,
    Exists,
    FindResult,
    Gone,
    HelpdeskCapabilities,
    NotFound,
    RateLimit,
    Refused,
    Ticket,
    Unknown,
)
from worker.helpdesks import BridgeContext
from worker.helpdesks.client import HelpdeskClient, Reply, ref_of
from worker.helpdesks.credentials import basic

KEY_TTL = timedelta(hours=2)
UPDATES_PER_MINUTE = 100  # for the account; 300 with the add-on High Volume API
IDEMPOTENT_REQUEST_ERROR = "IdempotentRequestError"
ARCHIVED = "closed prevents ticket update"
"""A part of Zendesk's error about a ticket with the status closed, which nobody can change."""
NO_TICKET = frozenset({HTTPStatus.NOT_FOUND, HTTPStatus.GONE})
UNCHANGEABLE = NO_TICKET | {HTTPStatus.UNPROCESSABLE_ENTITY}
AGENTS = frozenset({"agent", "admin"})


def create_bridge(settings: ZendeskSettings, shared: BridgeContext) -> "Zendesk":
    """Create the bridge for this account."""
    authorization = basic(f"{settings.email}/token", settings.api_token.get_secret_value())
    client = HelpdeskClient(
        "Zendesk", settings.api_base, seconds=shared.seconds, headers={"Authorization": authorization}
    )
    return Zendesk(client, settings.requester, settings.calls_per_minute)


class Zendesk:
    """The bridge to one Zendesk account."""

    def __init__(self, client: HelpdeskClient, requester: str, calls_per_minute: int) -> None:
        self._client, self._requester = client, requester
        self.capabilities = HelpdeskCapabilities(
            key_ttl=KEY_TTL,
            index_lag=timedelta(minutes=1),
            limits={ALL_CALLS: RateLimit(calls_per_minute), CallKind.UPDATE: RateLimit(UPDATES_PER_MINUTE)},
        )

    def create(self, ticket: Ticket, mark: str) -> CreateResult:
        """Create a ticket whose first comment is internal. A public first comment would be sent to the requester."""
        body = {
            "subject": ticket.title,
            "comment": _comment(ticket),
            "requester": {"name": "Moneyback", "email": self._requester},
            "external_id": mark,
            "tags": ["moneyback"],
            **_fields(ticket),
            **({"via_followup_source_id": int(ticket.follows)} if ticket.follows else {}),
        }
        answer = self._client.call(
            "POST",
            "/api/v2/tickets",
            json={"ticket": body},
            headers={"Idempotency-Key": mark},
            reads=frozenset({HTTPStatus.BAD_REQUEST}),
        )
        if not isinstance(answer, Reply):
            return answer
        if answer.status == HTTPStatus.BAD_REQUEST:
            return _bad_request(answer)
        return _exists(answer.fields.get("ticket")) or Unknown("Zendesk's answer contains no ticket.")

    def find(self, mark: str, *, since: datetime) -> FindResult:  # noqa: ARG002  # the list is not ordered by time
        """Find the ticket by its external id. If there are several, the oldest is the ticket."""
        answer = self._client.call("GET", "/api/v2/tickets", query={"external_id": mark})
        if not isinstance(answer, Reply):
            return answer
        tickets = answer.fields.get("tickets")
        if not isinstance(tickets, list):
            return Unknown("Zendesk's answer contains no list of tickets.")
        ids = [row["id"] for row in tickets if isinstance(row, dict) and row.get("external_id") == mark and "id" in row]
        return Exists(str(min(ids)), is_complete=False) if ids else NotFound()

    def update(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Add an internal comment. The ticket keeps the status that agents gave it, except if the task is open again."""
        status = {"status": "open"} if ticket.reopens else {}
        return self._put(ref, {"comment": _comment(ticket), **_fields(ticket), **status})

    def close(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Set the status to solved. Zendesk closes solved tickets later, and agents can open them again until then."""
        return self._put(ref, {"comment": _comment(ticket), "status": "solved"})

    def check(self) -> Sequence[str]:
        """Read the agent of the API token."""
        answer = self._client.call("GET", "/api/v2/users/me")
        if not isinstance(answer, Reply):
            return [
                f"{answer.why} Check MONEYBACK_ZENDESK_API_BASE, MONEYBACK_ZENDESK_EMAIL and MONEYBACK_ZENDESK_API_TOKEN."
            ]
        user = answer.fields.get("user")
        role = user.get("role") if isinstance(user, dict) else None
        return (
            []
            if role in AGENTS
            else ["MONEYBACK_ZENDESK_EMAIL is not the address of an agent, so no ticket can be created."]
        )

    def _put(self, ref: str, fields: Mapping[str, Any]) -> ChangeResult:
        answer = self._client.call("PUT", f"/api/v2/tickets/{ref}", json={"ticket": fields}, reads=UNCHANGEABLE)
        if not isinstance(answer, Reply):
            return answer
        if answer.status in NO_TICKET:
            return Gone()
        if answer.status == HTTPStatus.UNPROCESSABLE_ENTITY:
            if ARCHIVED in str(answer.body):
                return Gone(needs_follow_up=True)
            return Refused(str(answer.status), "Zendesk answered 422.", is_for_all=False)
        return Done()


def _comment(ticket: Ticket) -> dict[str, object]:
    return {"body": ticket.text, "public": False}


def _fields(ticket: Ticket) -> dict[str, str]:
    return {"priority": ticket.priority, "type": "task", "due_at": ticket.due_at.isoformat()}


def _exists(ticket: object) -> Exists | None:
    ref = ref_of(ticket.get("id")) if isinstance(ticket, dict) else None
    return Exists(ref) if ref else None


def _bad_request(answer: Reply) -> Refused | Unknown:
    """Return the result for the status 400. If Zendesk knows the key of another request, the first request was processed."""
    if IDEMPOTENT_REQUEST_ERROR in str(answer.body):
        return Unknown("Zendesk has processed an earlier request with this key.")
    return Refused(str(answer.status), "Zendesk answered 400.", is_for_all=False)
