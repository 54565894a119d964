"""The bridge to Chatwoot: a contact for each task in an API inbox, its thread, and private messages.

The identifier of a contact is unique in an account, so the contact has the mark as its identifier. The contact has no e-mail
address, so Chatwoot cannot write to anybody. Chatwoot reads contacts and their threads from its database.
Sources: "Contacts" and "Conversations" in the API reference of Chatwoot, and its repository.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from config.helpdesks import ChatwootSettings
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

API_CHANNEL = "Channel::Api"
NO_TICKET = frozenset({HTTPStatus.NOT_FOUND})
TAKEN = frozenset({HTTPStatus.UNPROCESSABLE_ENTITY})
"""The status if another contact has the identifier."""

Failure = NotSent | Refused | Unknown


def create_bridge(settings: ChatwootSettings, shared: BridgeContext) -> "Chatwoot":
    """Create the bridge for this account."""
    base = f"{settings.api_base}/api/v1/accounts/{settings.account_id}"
    headers = {"api_access_token": settings.api_token.get_secret_value()}
    client = HelpdeskClient("Chatwoot", base, seconds=shared.seconds, headers=headers)
    return Chatwoot(client, settings.inbox_id, settings.calls_per_minute)


class Chatwoot:
    """The bridge to one inbox."""

    def __init__(self, client: HelpdeskClient, inbox_id: int, calls_per_minute: int) -> None:
        self._client, self._inbox_id = client, inbox_id
        self.capabilities = HelpdeskCapabilities(
            index_lag=timedelta(0),
            is_consistent=True,
            limits={ALL_CALLS: RateLimit(calls_per_minute)},
            requests={CallKind.CREATE: 4, CallKind.FIND: 2, CallKind.UPDATE: 2, CallKind.CLOSE: 2},
        )

    def create(self, ticket: Ticket, mark: str) -> CreateResult:
        """Create the contact if it does not exist, and its thread without a message. The text follows as a private message."""
        contact = self._create_contact(ticket, mark)
        if isinstance(contact, Failure):
            return contact
        body = {
            "inbox_id": self._inbox_id,
            "source_id": _source_of(contact, self._inbox_id),
            "contact_id": contact.get("id"),
            "custom_attributes": {"moneyback_task": mark, "moneyback_url": ticket.url},
            "additional_attributes": {"mail_subject": ticket.title},
        }
        answer = self._client.call("POST", "/conversations", json=body)
        if not isinstance(answer, Reply):
            return answer
        ref = ref_of(answer.fields.get("id"))
        return Exists(ref, is_complete=False) if ref else Unknown("Chatwoot's answer contains no conversation.")

    def find(self, mark: str, *, since: datetime) -> FindResult:  # noqa: ARG002  # the mark is enough
        """Find the contact by its identifier, and its oldest thread in the inbox."""
        contact = self._find_contact(mark)
        if isinstance(contact, NotFound | Failure):
            return contact
        answer = self._client.call("GET", f"/contacts/{contact['id']}/conversations")
        if not isinstance(answer, Reply):
            return answer
        ids = [row["id"] for row in _rows(answer) if row.get("inbox_id") == self._inbox_id and "id" in row]
        return Exists(str(min(ids)), is_complete=False) if ids else NotFound()

    def update(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Add a private message. A thread that is resolved is opened if the task is open again."""
        return self._change(ref, ticket, "open" if ticket.reopens else None)

    def close(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Add a private message that says how the task was closed, and resolve the thread."""
        return self._change(ref, ticket, "resolved")

    def check(self) -> Sequence[str]:
        """Read the inbox. Another inbox than an API inbox could write to customers."""
        answer = self._client.call("GET", f"/inboxes/{self._inbox_id}")
        if not isinstance(answer, Reply):
            settings = "MONEYBACK_CHATWOOT_API_BASE, MONEYBACK_CHATWOOT_ACCOUNT_ID, MONEYBACK_CHATWOOT_INBOX_ID"
            return [f"{answer.why} Check {settings} and MONEYBACK_CHATWOOT_API_TOKEN."]
        if answer.fields.get("channel_type") == API_CHANNEL:
            return []
        return [
            "MONEYBACK_CHATWOOT_INBOX_ID is not an API inbox, so Chatwoot could write to customers. Create an API inbox."
        ]

    def _create_contact(self, ticket: Ticket, mark: str) -> dict[str, Any] | Failure:
        body = {"inbox_id": self._inbox_id, "name": ticket.title, "identifier": mark}
        answer = self._client.call("POST", "/contacts", json=body, reads=TAKEN)
        if not isinstance(answer, Reply):
            return answer
        if answer.status in TAKEN:
            known = self._find_contact(mark)
            if isinstance(known, NotFound):
                return Refused("422", "Chatwoot answered 422.", is_for_all=False)
            return known
        payload = answer.fields.get("payload")
        contact = payload.get("contact") if isinstance(payload, dict) else None
        return contact if isinstance(contact, dict) else Unknown("Chatwoot's answer contains no contact.")

    def _find_contact(self, mark: str) -> dict[str, Any] | NotFound | Failure:
        answer = self._client.call("GET", "/contacts/search", query={"q": mark, "include_contact_inboxes": "true"})
        if not isinstance(answer, Reply):
            return answer
        return next((row for row in _rows(answer) if row.get("identifier") == mark and "id" in row), NotFound())

    def _change(self, ref: str, ticket: Ticket, status: str | None) -> ChangeResult:
        message = {"content": ticket.text, "message_type": "outgoing", "private": True}
        calls: list[tuple[str, dict[str, Any]]] = [("messages", message)]
        calls += [("toggle_status", {"status": status})] if status else []
        for path, body in calls:
            answer = self._client.call("POST", f"/conversations/{ref}/{path}", json=body, reads=NO_TICKET)
            if not isinstance(answer, Reply):
                return answer
            if answer.status in NO_TICKET:
                return Gone()
        return Done()


def _rows(answer: Reply) -> list[dict[str, Any]]:
    payload = answer.fields.get("payload")
    return [row for row in payload if isinstance(row, dict)] if isinstance(payload, list) else []


def _source_of(contact: dict[str, Any], inbox_id: int) -> str | None:
    """Return the id that the contact has in the inbox."""
    for row in contact.get("contact_inboxes") or []:
        inbox = row.get("inbox") if isinstance(row, dict) else None
        if isinstance(inbox, dict) and inbox.get("id") == inbox_id:
            return ref_of(row.get("source_id"))
    return None
