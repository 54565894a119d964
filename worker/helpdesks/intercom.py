"""The bridge to Intercom: tickets of our own contact, found by an attribute of the ticket type. No notification is sent.

Sources: "Tickets", "Search tickets" and "Rate limiting" in the API reference of Intercom, version 2.16.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from config.helpdesks import IntercomSettings
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
    NotSent,
    RateLimit,
    Refused,
    Ticket,
    Unknown,
)
from worker.helpdesks import BridgeContext
from worker.helpdesks.client import HelpdeskClient, Reply, ref_of

VERSION = "2.16"
NO_TICKET = frozenset({HTTPStatus.NOT_FOUND})

Failure = NotSent | Refused | Unknown


def create_bridge(settings: IntercomSettings, shared: BridgeContext) -> "Intercom":
    """Create the bridge for this workspace."""
    headers = {"Authorization": f"Bearer {settings.access_token.get_secret_value()}", "Intercom-Version": VERSION}
    client = HelpdeskClient("Intercom", settings.api_base, seconds=shared.seconds, headers=headers)
    return Intercom(client, settings)


class Intercom:
    """The bridge to one ticket type."""

    def __init__(self, client: HelpdeskClient, settings: IntercomSettings) -> None:
        self._client, self._settings = client, settings
        self._attribute_id: str | None = None
        self.capabilities = HelpdeskCapabilities(
            index_lag=timedelta(minutes=2),
            limits={ALL_CALLS: RateLimit(settings.calls_per_minute)},
            requests={CallKind.FIND: 2},
        )

    def create(self, ticket: Ticket, mark: str) -> CreateResult:
        """Create a ticket of our own contact. Intercom notifies nobody."""
        body = {
            "ticket_type_id": self._settings.ticket_type_id,
            "contacts": [{"email": self._settings.requester}],
            "ticket_attributes": {**_attributes(ticket), self._settings.task_attribute: mark},
            "skip_notifications": True,
        }
        answer = self._client.call("POST", "/tickets", json=body)
        if not isinstance(answer, Reply):
            return answer
        ref = ref_of(answer.fields.get("id"))
        return Exists(ref) if ref else Unknown("Intercom's answer contains no ticket.")

    def find(self, mark: str, *, since: datetime) -> FindResult:  # noqa: ARG002  # the mark is enough
        """Search the attribute. The path of a ticket needs its ``id``, and not the ``ticket_id`` that agents see."""
        attribute = self._find_attribute()
        if not isinstance(attribute, str):
            return attribute
        query = {"field": f"ticket_attribute.{attribute}", "operator": "=", "value": mark}
        answer = self._client.call("POST", "/tickets/search", json={"query": query})
        if not isinstance(answer, Reply):
            return answer
        rows = answer.fields.get("tickets")
        if not isinstance(rows, list):
            return Unknown("Intercom's answer contains no list of tickets.")
        ids = [str(row["id"]) for row in rows if isinstance(row, dict) and self._mark_of(row) == mark]
        return Exists(min(ids, key=lambda ref: (len(ref), ref)), is_complete=False) if ids else NotFound()

    def update(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Replace the title and the description. The state stays, except if the task is open again."""
        state = {"ticket_state_id": self._settings.open_state_id} if ticket.reopens else {}
        return self._put(ref, {"ticket_attributes": _attributes(ticket), **state})

    def close(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Replace the description by the closed task, and set the state that means closed."""
        state = {"ticket_state_id": self._settings.closed_state_id}
        return self._put(ref, {"ticket_attributes": _attributes(ticket), **state})

    def check(self) -> Sequence[str]:
        """Read the ticket type: the token works, and the attribute exists."""
        attribute = self._find_attribute()
        if isinstance(attribute, str):
            return []
        if attribute.why == self._no_attribute:
            return [attribute.why]
        return [f"{attribute.why} Check MONEYBACK_INTERCOM_ACCESS_TOKEN and MONEYBACK_INTERCOM_TICKET_TYPE_ID."]

    @property
    def _no_attribute(self) -> str:
        name = self._settings.task_attribute
        return f"The ticket type of Intercom has no attribute {name}. Add a text attribute with this name."

    def _find_attribute(self) -> str | Failure:
        """Return the id of the attribute, which the search needs. It is read once."""
        if self._attribute_id is None:
            answer = self._client.call("GET", f"/ticket_types/{self._settings.ticket_type_id}")
            if not isinstance(answer, Reply):
                return answer
            attributes = answer.fields.get("ticket_type_attributes")
            rows = attributes.get("data") if isinstance(attributes, dict) else None
            for row in rows if isinstance(rows, list) else []:
                if isinstance(row, dict) and row.get("name") == self._settings.task_attribute:
                    self._attribute_id = ref_of(row.get("id"))
        return self._attribute_id or Refused("attribute", self._no_attribute, is_for_all=True)

    def _put(self, ref: str, body: dict[str, Any]) -> ChangeResult:
        answer = self._client.call("PUT", f"/tickets/{ref}", json={**body, "skip_notifications": True}, reads=NO_TICKET)
        if not isinstance(answer, Reply):
            return answer
        return Gone() if answer.status in NO_TICKET else Done()

    def _mark_of(self, row: dict[str, Any]) -> object:
        attributes = row.get("ticket_attributes")
        return attributes.get(self._settings.task_attribute) if isinstance(attributes, dict) else None


def _attributes(ticket: Ticket) -> dict[str, str]:
    return {"_default_title_": ticket.title, "_default_description_": ticket.text}
