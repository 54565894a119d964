"""The bridge to Slack: one message in a channel for each task, found by its metadata.

Sources: "chat.postMessage", "chat.update", "conversations.history", "Message metadata" and "Rate limits" in Slack's documents.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from config.helpdesks import SlackSettings
from domain.helpdesks import (
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
from worker.helpdesks.client import DEFAULT_PAUSE, HelpdeskClient, Reply

EVENT_TYPE = "moneyback_support_task"
PAGE_SIZE = "999"  # messages; the documented maximum. In 17 minutes, we post at most 1,020
MAX_PAGES = 3
BEFORE, AFTER = timedelta(minutes=2), timedelta(minutes=15)
"""A message was posted in this time around the call that posted it, whatever the clocks of both sides show."""
MAX_TEXT = 3_900  # characters; Slack recommends at most 4,000
UNDECIDED = frozenset({"internal_error", "fatal_error", "service_unavailable", "request_timeout"})
"""The errors after which the message may have been posted ("chat.postMessage", Errors)."""
GONE = frozenset({"message_not_found", "cant_update_message", "edit_window_closed"})
FOR_ALL = frozenset(
    {
        *("not_authed", "invalid_auth", "account_inactive", "token_revoked", "token_expired", "missing_scope"),
        *(
            "channel_not_found",
            "not_in_channel",
            "is_archived",
            "restricted_action",
            "no_permission",
            "ekm_access_denied",
        ),
    }
)
"""The errors that every message would get."""


def create_bridge(settings: SlackSettings, shared: BridgeContext) -> "Slack":
    """Create the bridge for this channel."""
    headers = {"Authorization": f"Bearer {settings.bot_token.get_secret_value()}"}
    client = HelpdeskClient("Slack", settings.api_base, seconds=shared.seconds, headers=headers)
    return Slack(client, settings.channel)


class Slack:
    """The bridge to one channel."""

    def __init__(self, client: HelpdeskClient, channel: str) -> None:
        self._client, self._channel = client, channel
        self.capabilities = HelpdeskCapabilities(
            index_lag=timedelta(minutes=1),
            limits={
                CallKind.CREATE: RateLimit(60),  # one message per second and channel
                CallKind.UPDATE: RateLimit(50),  # tier 3
                CallKind.FIND: RateLimit(50),
            },
            requests={CallKind.FIND: MAX_PAGES},
        )

    def create(self, ticket: Ticket, mark: str) -> CreateResult:
        """Post a message whose metadata contains the mark."""
        metadata = {"event_type": EVENT_TYPE, "event_payload": {"mark": mark}}
        reply = self._call("/chat.postMessage", {**self._message(ticket), "metadata": metadata})
        if not isinstance(reply, dict):
            return reply
        ts = reply.get("ts")
        return Exists(ts) if isinstance(ts, str) and ts else Unknown("Slack's answer contains no message.")

    def find(self, mark: str, *, since: datetime) -> FindResult:
        """Read the messages of the time in which the message was posted, and find the mark in their metadata."""
        query = {
            "channel": self._channel,
            "include_all_metadata": "true",
            "limit": PAGE_SIZE,
            "oldest": f"{(since - BEFORE).timestamp():.6f}",
            "latest": f"{(since + AFTER).timestamp():.6f}",
        }
        found: list[str] = []
        for _ in range(MAX_PAGES):
            reply = self._read(query)
            if not isinstance(reply, dict):
                return reply
            found += [str(row["ts"]) for row in reply.get("messages", []) if _mark_of(row) == mark]
            cursor = (reply.get("response_metadata") or {}).get("next_cursor")
            if not cursor:
                break
            query["cursor"] = cursor
        return Exists(min(found), is_complete=False) if found else NotFound()

    def update(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Replace the text of the message. The metadata stay."""
        reply = self._call("/chat.update", {**self._message(ticket), "ts": ref})
        if isinstance(reply, Refused) and reply.cause in GONE:
            return Gone()
        return Done() if isinstance(reply, dict) else reply

    def close(self, ref: str, ticket: Ticket) -> ChangeResult:
        """Replace the text of the message by the closed task."""
        return self.update(ref, ticket)

    def check(self) -> Sequence[str]:
        """Read one message of the channel, which needs the token, the scope and the membership."""
        reply = self._read({"channel": self._channel, "limit": "1"})
        if isinstance(reply, dict):
            return []
        return [
            f"{reply.why} Check MONEYBACK_SLACK_BOT_TOKEN and MONEYBACK_SLACK_CHANNEL, and invite the app to the channel."
        ]

    def _message(self, ticket: Ticket) -> dict[str, object]:
        text = f"*{escaped(ticket.title)}*\n{escaped(ticket.text)}"
        return {"channel": self._channel, "text": text[:MAX_TEXT], "unfurl_links": False, "unfurl_media": False}

    def _call(self, path: str, body: Mapping[str, object]) -> dict[str, Any] | NotSent | Refused | Unknown:
        return _checked(self._client.call("POST", path, json=body))

    def _read(self, query: Mapping[str, str]) -> dict[str, Any] | NotSent | Refused | Unknown:
        return _checked(self._client.call("GET", "/conversations.history", query=query))


def escaped(text: str) -> str:
    """Escape the three control characters of Slack's text ("Formatting text for app surfaces")."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _checked(answer: Reply | NotSent | Refused | Unknown) -> dict[str, Any] | NotSent | Refused | Unknown:
    """Return the fields of a success. Slack reports errors with status 200."""
    if not isinstance(answer, Reply):
        return answer
    if answer.fields.get("ok") is True:
        return answer.fields
    error = answer.fields.get("error")
    if not isinstance(error, str) or error in UNDECIDED:
        return Unknown(f"Slack answered {error or answer.status}.")
    if error in {"ratelimited", "rate_limited"}:
        return NotSent("Slack's rate limit is reached.", DEFAULT_PAUSE)
    return Refused(error, f"Slack answered {error}.", is_for_all=error in FOR_ALL)


def _mark_of(message: object) -> str | None:
    """Return the mark in the metadata of a message."""
    metadata = message.get("metadata") if isinstance(message, dict) else None
    if not isinstance(metadata, dict) or metadata.get("event_type") != EVENT_TYPE:
        return None
    payload = metadata.get("event_payload")
    mark = payload.get("mark") if isinstance(payload, dict) else None
    return mark if isinstance(mark, str) else None
