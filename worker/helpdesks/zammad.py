"""The bridge to Zammad: tickets with internal articles, found by the mark in their title.

Zammad has neither idempotency keys nor ids of other systems, and its search index is late.
Sources: "Ticket" and "Ticket articles" in the API documents of Zammad.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from config.helpdesks import ZammadSettings
from domain.helpdesks import (
    ALL_CALLS,
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

PRIORITIES = {"normal": "2 normal", "high": "3 high", "urgent": "3 high"}
NO_TICKET = frozenset({HTTPStatus.NOT_FOUND})
MARK_LIMIT = "10"  # tickets; more than one ticket with a mark is already a mistake


def create_bridge(settings: ZammadSettings, shared: BridgeContext) -> "Zammad":
    """Create the bridge for this Zammad."""
    headers = {"Authorization": f"Token token={settings.api_token.get_secret_value()}"}
    client = HelpdeskClient("Zammad", settings.api_base, seconds=shared.seconds, headers=headers)
    return Zammad(client, settings)


class Zammad:
    """The bridge to one Zammad."""

    def __init__(self, client: HelpdeskClient, settings: ZammadSettings) -> None:
        self._client, self._group, self._requester = client, settings.group, settings.requester
        self.capabilities = HelpdeskCapabilities(
            index_lag=timedelta(minutes=2), limits={ALL_CALLS: RateLimit(settings.calls_per_minute)}
        )

    def create(self, ticket: Ticket, mark: str) -> CreateResult:
        """Create a ticket whose first article is internal."""
        body = {
            "title": f"{ticket.title} [{mark}]",
            "group": self._group,
            "customer_id": f"guess:{self._requester}",
            "priority": PRIORITIES[ticket.priority],
            "article": _article(ticket),
        }
        answer = self._client.call("POST", "/api/v1/tickets", json=body)
        if not isinstance(answer, Reply):
            return answer
        ref = ref_of(answer.fields.get("id"))
        return Exists(ref) if ref else Unknown("Zammad's answer contains no ticket.")

    def find(self, mark: str, *, since: datetime) -> FindResult:  # noqa: ARG002  # the mark is enough
        """Search for the mark. A ticket whose title only resembles the mark is another ticket."""
        query = {"query": mark, "expand": "true", "limit": MARK_LIMIT}
        answer = self._client.call("GET", "/api/v1/tickets/search", query=query)
        if not isinstance(answer, Reply):
            return answer
        if not isinstance(answer.body, list):
            return Unknown("Zammad's answer contains no list of tickets.")
        ids = [row["id"] for row in answer.body if isinstance(row, dict) and f"[{mark}]" in str(row.get("title"))]
        return Exists(str(min(ids)), is_complete=False) if ids else NotFound()

    def update(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Add an internal article. The state stays, except if the task is open again."""
        state = {"state": "open"} if ticket.reopens else {}
        return self._put(ref, {"priority": PRIORITIES[ticket.priority], "article": _article(ticket), **state})

    def close(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Close the ticket, and say in an internal article how the task was closed."""
        return self._put(ref, {"state": "closed", "article": _article(ticket)})

    def check(self) -> Sequence[str]:
        """Read the groups, for which the token needs the permission ticket.agent."""
        answer = self._client.call("GET", "/api/v1/groups")
        if not isinstance(answer, Reply):
            return [f"{answer.why} Check MONEYBACK_ZAMMAD_API_BASE, MONEYBACK_ZAMMAD_API_TOKEN and its permissions."]
        groups = answer.body if isinstance(answer.body, list) else []
        if any(isinstance(group, dict) and group.get("name") == self._group for group in groups):
            return []
        return [f"Zammad has no group {self._group} that the token's user may use. Check MONEYBACK_ZAMMAD_GROUP."]

    def _put(self, ref: str, body: dict[str, Any]) -> ChangeResult:
        answer = self._client.call("PUT", f"/api/v1/tickets/{ref}", json=body, reads=NO_TICKET)
        if not isinstance(answer, Reply):
            return answer
        return Gone() if answer.status in NO_TICKET else Done()


def _article(ticket: Ticket) -> dict[str, object]:
    return {"subject": ticket.title, "body": ticket.text, "type": "note", "internal": True}
