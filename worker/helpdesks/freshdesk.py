"""The bridge to Freshdesk: tickets of our own requester with private notes, found by a custom field.

Freshdesk has no idempotency keys, and its search index is late, so a ticket whose creation is unknown is only looked up.
Sources: "Create a ticket", "Create a note", "Filter tickets", "Rate limit" in the API reference of Freshdesk.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from config.helpdesks import FreshdeskSettings
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
    Ticket,
    Unknown,
)
from worker.helpdesks import BridgeContext
from worker.helpdesks.client import HelpdeskClient, Reply, ref_of
from worker.helpdesks.credentials import basic

OPEN, CLOSED = 2, 5
PORTAL = 2
"""The source of the tickets. The source 1 would be an e-mail."""
PRIORITIES = {"normal": 2, "high": 3, "urgent": 4}
NO_TICKET = frozenset({HTTPStatus.NOT_FOUND})
LISTS_PER_MINUTE = 20  # of the smallest plan
CREATES = UPDATES = 0.8
"""The part of the account's limit that Freshdesk allows for creating, and for updating tickets."""


def create_bridge(settings: FreshdeskSettings, shared: BridgeContext) -> "Freshdesk":
    """Create the bridge for this account."""
    headers = {"Authorization": basic(settings.api_key.get_secret_value(), "X")}
    client = HelpdeskClient("Freshdesk", settings.api_base, seconds=shared.seconds, headers=headers)
    return Freshdesk(client, settings)


class Freshdesk:
    """The bridge to one Freshdesk account."""

    def __init__(self, client: HelpdeskClient, settings: FreshdeskSettings) -> None:
        self._client, self._field, self._requester = client, settings.task_field, settings.requester
        calls = settings.calls_per_minute
        self.capabilities = HelpdeskCapabilities(
            index_lag=timedelta(minutes=5),
            limits={
                ALL_CALLS: RateLimit(calls),
                CallKind.CREATE: RateLimit(int(calls * CREATES)),
                CallKind.UPDATE: RateLimit(int(calls * UPDATES)),
                CallKind.FIND: RateLimit(min(LISTS_PER_MINUTE, calls)),
            },
            requests={CallKind.UPDATE: 2, CallKind.CLOSE: 2},
        )

    def create(self, ticket: Ticket, mark: str) -> CreateResult:
        """Create a ticket of our own requester. Freshdesk writes to the requester, and never to the customer."""
        body = {
            "subject": ticket.title,
            "description": ticket.html,
            "email": self._requester,
            "status": OPEN,
            "priority": PRIORITIES[ticket.priority],
            "source": PORTAL,
            "tags": ["moneyback"],
            "custom_fields": {self._field: mark},
        }
        answer = self._client.call("POST", "/api/v2/tickets", json=body)
        if not isinstance(answer, Reply):
            return answer
        ref = ref_of(answer.fields.get("id"))
        return Exists(ref) if ref else Unknown("Freshdesk's answer contains no ticket.")

    def find(self, mark: str, *, since: datetime) -> FindResult:  # noqa: ARG002  # the mark is enough
        """Search the custom field. If there are several tickets, the oldest is the ticket."""
        answer = self._client.call("GET", "/api/v2/search/tickets", query={"query": f"\"{self._field}:'{mark}'\""})
        if not isinstance(answer, Reply):
            return answer
        rows = answer.fields.get("results")
        if not isinstance(rows, list):
            return Unknown("Freshdesk's answer contains no list of tickets.")
        ids = [row["id"] for row in rows if isinstance(row, dict) and "id" in row and self._mark_of(row) == mark]
        return Exists(str(min(ids)), is_complete=False) if ids else NotFound()

    def update(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Set the priority, and add a private note. The status stays, except if the task is open again."""
        status = {"status": OPEN} if ticket.reopens else {}
        return self._change(ref, ticket, {"priority": PRIORITIES[ticket.priority], **status})

    def close(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Close the ticket, and say in a private note how the task was closed."""
        return self._change(ref, ticket, {"status": CLOSED})

    def check(self) -> Sequence[str]:
        """Read the fields of tickets: the API key works, and the custom field exists."""
        answer = self._client.call("GET", "/api/v2/ticket_fields")
        if not isinstance(answer, Reply):
            return [f"{answer.why} Check MONEYBACK_FRESHDESK_API_BASE and MONEYBACK_FRESHDESK_API_KEY."]
        rows = answer.body if isinstance(answer.body, list) else []
        if any(isinstance(row, dict) and row.get("name") == self._field for row in rows):
            return []
        return [
            f"Freshdesk has no custom field {self._field}. Create a single-line text field for tickets with this name."
        ]

    def _change(self, ref: str, ticket: Ticket, fields: dict[str, Any]) -> ChangeResult:
        """Add the note first. The ticket's new status then shows that the agent can read why."""
        comment = {"body": ticket.html, "private": True}
        for method, path, body in (("POST", "/notes", comment), ("PUT", "", fields)):
            answer = self._client.call(method, f"/api/v2/tickets/{ref}{path}", json=body, reads=NO_TICKET)
            if not isinstance(answer, Reply):
                return answer
            if answer.status in NO_TICKET:
                return Gone()
        return Done()

    def _mark_of(self, row: dict[str, Any]) -> object:
        fields = row.get("custom_fields")
        return fields.get(self._field) if isinstance(fields, dict) else None
