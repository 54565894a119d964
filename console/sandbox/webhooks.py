"""What happens here is told by signed webhooks: each until it arrived, or until nobody hopes for it any more."""

import asyncio
import hmac
import time
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha256
from http import HTTPStatus
from typing import NamedTuple

import urllib3

from console.sandbox.behaviours import Post, Times, behaviour_of
from console.sandbox.events import Event
from console.sandbox.ledger import Ledger
from console.sandbox.responses import encode

PAUSES = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256)  # before each try, times Times.again: ten tries in nine minutes
PATIENCE = 5.0  # seconds until a receiver must have answered
SIDE_BY_SIDE = 32  # as many threads as asyncio has at the most
DAY = 86_400

_BEGINNINGS = ("refund.created", "dispute.opened")
_LIES = {"refund": ("refund.updated", "failed"), "dispute": ("dispute.won", "won")}


class Letter(NamedTuple):
    """One POST: the body, and the header that says who wrote it."""

    body: bytes
    signature: str | None


class Webhooks(NamedTuple):
    """Where they go, and what they are signed with: several secrets, with commas between, make several signatures."""

    url: str
    secrets: str

    def signature(self, body: bytes, at: int) -> str:
        signed = [hmac.new(secret.strip().encode(), b"%d." % at + body, sha256) for secret in self.secrets.split(",")]
        return ",".join((f"t={at}", *(f"v1={each.hexdigest()}" for each in signed)))

    def letter(self, event: Event, at: int) -> Letter:
        body = encode(event.document()).encode()
        return Letter(body, self.signature(body, at))

    def forgeries(self, event: Event, at: int) -> Iterator[Letter]:
        """A lie under the id of the true event: unsigned, signed by a stranger, under a true signature, and out of date."""
        kind, status = _LIES[event.type.partition(".")[0]]
        lie = encode(event._replace(type=kind, data=event.data | {"status": status}).document()).encode()
        yield Letter(lie, None)
        yield Letter(lie, self._replace(secrets="a stranger's").signature(lie, at))
        yield Letter(lie, self.letter(event, at).signature)
        yield Letter(lie, self.signature(lie, at - DAY))


class Postman:
    """Carries what the outbox has, and what comes into it. The journal knows what arrived, and what was given up."""

    def __init__(self, webhooks: Webhooks, ledger: Ledger, times: Times) -> None:
        self._webhooks, self._ledger, self._times = webhooks, ledger, times
        self._pool = urllib3.PoolManager(maxsize=SIDE_BY_SIDE, timeout=PATIENCE, retries=False)  # nor redirects

    async def run(self) -> None:
        """Until it is cancelled. What was on its way then is sent again after a restart, and its tries begin anew."""
        outbox = self._ledger.books.outbox
        events: asyncio.Queue[Event] = asyncio.Queue()
        outbox.heard = events.put_nowait
        for event in outbox.waiting.values():
            events.put_nowait(event)
        async with asyncio.TaskGroup() as rounds:
            while True:
                rounds.create_task(self._carry(await events.get()))

    async def _carry(self, event: Event) -> None:
        while (ahead := self._due(event) - time.time()) > 0:  # noqa: ASYNC110  # a timer may ring a little early
            await asyncio.sleep(ahead)
        arrived = False
        for pause in PAUSES:
            await asyncio.sleep(self._times.again * pause)
            if arrived := await asyncio.to_thread(self._try, event):
                break
        with suppress(OSError):  # what a full disk cannot note is sent again after a restart
            self._ledger.posted(event, arrived=arrived)

    def _due(self, event: Event) -> float:
        waits = behaviour_of(event.charge).post is Post.LAST_FIRST and event.type in _BEGINNINGS
        return event.at + (self._times.turn + self._times.late if waits else 0)

    def _try(self, event: Event) -> bool:
        """Whether the receiver acknowledged the event, as often as its charge has it sent; forgeries do not count."""
        post = behaviour_of(event.charge).post
        now = int(time.time())
        if post is Post.FORGED:
            for forgery in self._webhooks.forgeries(event, now):
                self._send(forgery)
        times = 3 if post is Post.THRICE else 1
        return all(self._send(self._webhooks.letter(event, now)) for _ in range(times))

    def _send(self, letter: Letter) -> bool:
        headers = {"Content-Type": "application/json"}
        if letter.signature is not None:
            headers["Sandbox-Signature"] = letter.signature
        try:
            answer = self._pool.request("POST", self._webhooks.url, body=letter.body, headers=headers)
        except (urllib3.exceptions.HTTPError, OSError):
            return False
        return HTTPStatus.OK <= answer.status < HTTPStatus.MULTIPLE_CHOICES
