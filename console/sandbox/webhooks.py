"""Sends signed webhooks. Repeats each webhook until the receiver acknowledges it, with at most ten attempts."""

import asyncio
import hmac
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import NamedTuple

import urllib3

from console.sandbox.behaviours import Times, WebhookMode, behaviour_of
from console.sandbox.events import Event
from console.sandbox.ledger import Ledger
from console.sandbox.responses import encode

# The pause before each attempt, in multiples of Times.again. If Times.again is 1 second, ten attempts take about nine minutes.
PAUSES = (
    0,
    1,
    2,
    4,
    8,
    16,
    32,
    64,
    128,
    256,
)
TIMEOUT = 5.0  # seconds; if the receiver does not respond in this time, the attempt fails
CONCURRENCY = 32  # the maximum number of webhooks sent at the same time; asyncio runs at most 32 threads
DAY = 86_400

_FIRST_EVENTS = ("refund.created", "dispute.opened", "dispute.inquiry")
_FALSE_STATUS = {
    "refund": ("refund.updated", "failed"),
    "dispute": ("dispute.won", "won"),
    "payment": ("payment.succeeded", "failed"),
}


class SignedWebhook(NamedTuple):
    """The body and the signature header of one POST request. ``signature`` is None if the header is left out."""

    body: bytes
    signature: str | None


class Webhooks(NamedTuple):
    """The receiver's URL, and one secret or several secrets separated by commas. Each secret makes one signature."""

    url: str
    secrets: str

    def signature(self, body: bytes, at: int) -> str:
        macs = [hmac.new(secret.strip().encode(), b"%d." % at + body, sha256) for secret in self.secrets.split(",")]
        return ",".join((f"t={at}", *(f"v1={mac.hexdigest()}" for mac in macs)))

    def signed(self, event: Event, at: int) -> SignedWebhook:
        body = encode(event.document()).encode()
        return SignedWebhook(body, self.signature(body, at))

    def invalid_webhooks(self, event: Event, at: int) -> Iterator[SignedWebhook]:
        """Yield four webhooks with the event's id, a false status and no valid signature.

        1. Without a signature. 2. With a signature by another secret. 3. With the signature of another body. 4. With a
        signature that is a day old.
        """
        kind, status = _FALSE_STATUS[event.type.partition(".")[0]]
        body = encode(event._replace(type=kind, data=event.data | {"status": status}).document()).encode()
        yield SignedWebhook(body, None)
        yield SignedWebhook(body, self._replace(secrets="another secret").signature(body, at))
        yield SignedWebhook(body, self.signed(event, at).signature)
        yield SignedWebhook(body, self.signature(body, at - DAY))


class WebhookSender:
    """Sends the events of the sandbox's outbox. Records in the journal whether an event arrived or all attempts failed."""

    def __init__(self, webhooks: Webhooks, ledger: Ledger, times: Times) -> None:
        self._webhooks, self._ledger, self._times = webhooks, ledger, times
        # With retries=False, redirects are not followed, either.
        self._pool = urllib3.PoolManager(maxsize=CONCURRENCY, timeout=TIMEOUT, retries=False)

    async def run(self) -> None:
        """Send events until the task is cancelled. After a restart, an unfinished event gets ten attempts again."""
        outbox = self._ledger.store.outbox
        events: asyncio.Queue[Event] = asyncio.Queue()
        outbox.on_event = events.put_nowait
        for event in outbox.waiting.values():
            events.put_nowait(event)
        async with asyncio.TaskGroup() as tasks:
            while True:
                tasks.create_task(self._deliver(await events.get()))

    async def _deliver(self, event: Event) -> None:
        while (delay := self._due_at(event) - time.time()) > 0:  # noqa: ASYNC110  # sleep() can end a little early
            await asyncio.sleep(delay)
        arrived = False
        for pause in PAUSES:
            await asyncio.sleep(self._times.again * pause)
            if arrived := await asyncio.to_thread(self._try, event):
                break
        with suppress(OSError):  # if the disk is full, the event stays unfinished, and is sent again after a restart
            self._ledger.record_webhook(event, arrived=arrived)

    def _due_at(self, event: Event) -> float:
        waits = behaviour_of(event.charge).webhook_mode is WebhookMode.LAST_FIRST and event.type in _FIRST_EVENTS
        return event.at + (self._times.turn + self._times.late if waits else 0)

    def _try(self, event: Event) -> bool:
        """Make one attempt to send the event's webhooks. Return whether the receiver acknowledged every valid webhook."""
        webhook_mode = behaviour_of(event.charge).webhook_mode
        now = int(time.time())
        if webhook_mode is WebhookMode.INVALID_SIGNATURE:
            for webhook in self._webhooks.invalid_webhooks(event, now):
                self._send(webhook)
        copies = 3 if webhook_mode is WebhookMode.THRICE else 1
        return all(self._send(self._webhooks.signed(event, now)) for _ in range(copies))

    def _send(self, signed: SignedWebhook) -> bool:
        headers = {"Content-Type": "application/json"}
        if signed.signature is not None:
            headers["Sandbox-Signature"] = signed.signature
        try:
            response = self._pool.request("POST", self._webhooks.url, body=signed.body, headers=headers)
        except (urllib3.exceptions.HTTPError, OSError):
            return False
        return HTTPStatus.OK <= response.status < HTTPStatus.MULTIPLE_CHOICES
