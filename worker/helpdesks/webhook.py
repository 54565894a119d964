"""The bridge to any program that accepts webhooks by the specification Standard Webhooks.

The specification (https://www.standardwebhooks.com) says that receivers drop a webhook whose id they know. So a webhook whose
answer was lost is sent again with the same id and the same body.
"""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from config.helpdesks import WebhookSettings
from domain.helpdesks import (
    ALL_CALLS,
    ChangeResult,
    CreateResult,
    Done,
    Exists,
    FindResult,
    HelpdeskCapabilities,
    NotFound,
    RateLimit,
    Ticket,
)
from domain.webhook_signatures import sign_standard_webhook
from worker.helpdesks import BridgeContext
from worker.helpdesks.client import Answer, HelpdeskClient, Reply


def create_bridge(settings: WebhookSettings, shared: BridgeContext) -> "Webhook":
    """Create the bridge for this address."""
    client = HelpdeskClient("The webhook's receiver", settings.url, seconds=shared.seconds, reads_bodies=False)
    return Webhook(client, settings.secret.get_secret_value(), settings.calls_per_minute)


class Webhook:
    """The bridge to one address. Each webhook contains the whole task, so creating and changing are the same call."""

    def __init__(self, client: HelpdeskClient, secrets: str, calls_per_minute: int) -> None:
        self._client, self._secret = client, secrets
        self.capabilities = HelpdeskCapabilities(
            key_ttl=timedelta(days=36_500),  # the specification has no limit
            can_find=False,
            limits={ALL_CALLS: RateLimit(calls_per_minute)},
        )

    def create(self, ticket: Ticket, mark: str) -> CreateResult:
        """Send the task."""
        answer = self._send(ticket)
        return Exists(mark) if isinstance(answer, Reply) else answer

    def find(self, mark: str, *, since: datetime) -> FindResult:  # noqa: ARG002  # never called, because can_find is False
        """Find nothing, because a receiver cannot be asked."""
        return NotFound()

    def update(self, ref: str, ticket: Ticket) -> ChangeResult:  # noqa: ARG002  # the task's id is in the webhook
        """Send the task as it is now."""
        answer = self._send(ticket)
        return Done() if isinstance(answer, Reply) else answer

    def close(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Send the closed task."""
        return self.update(ref, ticket)

    def check(self) -> Sequence[str]:
        """Check nothing, because each webhook has an effect at its receiver."""
        return []

    def _send(self, ticket: Ticket) -> Answer:
        """Send the newest event of the task. The event's id is the webhook's id."""
        event = ticket.event
        shown = {"title": ticket.title, "text": ticket.text, "html": ticket.html, "priority": ticket.priority}
        payload = {"type": event["type"], "timestamp": event["time"], "data": {"task": event, "ticket": shown}}
        body = json.dumps(payload, separators=(",", ":")).encode()
        signed = sign_standard_webhook(self._secret, str(event["id"]), datetime.now(UTC), body)
        return self._client.call("POST", "", data=body, headers={"Content-Type": "application/json", **signed})
