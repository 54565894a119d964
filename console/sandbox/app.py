import asyncio
from collections.abc import Awaitable, Callable
from typing import cast
from urllib.parse import parse_qs

from console.sandbox.behaviours import Times, behaviour_of
from console.sandbox.disputes import read_closing, read_opening
from console.sandbox.errors import (
    JOURNAL_FULL,
    NOT_FOUND,
    NOT_JSON,
    REPLAYED,
    TOO_LARGE,
    WHOSE_DISPUTES,
    WRONG_METHOD,
    WRONG_PAGE,
    Refused,
)
from console.sandbox.fault_injection import Flaws
from console.sandbox.ledger import Ledger
from console.sandbox.refund_requests import read_order
from console.sandbox.responses import MANNERS, Call, Message, Receive, Reply, Send, refusal

LARGEST = 64 * 1024  # bytes of a body; an order has about a hundred
LONGEST_PAGE = 1000

Handler = Callable[[Message, Receive], Awaitable[Reply]]

_NOTHING = Reply(200, {})  # of a call that is not carried out; its manner has the word


class App:
    """The provider's HTTP side, a bare ASGI application: it shares its machine with what is measured against it."""

    def __init__(self, ledger: Ledger, times: Times, flaws: Flaws) -> None:
        self._ledger, self._books, self._times, self._flaws = ledger, ledger.books, times, flaws
        self._provider: dict[tuple[str, str], Handler] = {
            ("POST", "/v1/refunds"): self._refund,
            ("GET", "/v1/refunds"): self._refunds,
            ("GET", "/v1/refunds/"): self._one_refund,
            ("GET", "/v1/disputes"): self._disputes,
        }
        self._control: dict[tuple[str, str], Handler] = {  # of whoever runs the test: no chance plays with it
            ("GET", "/v1/summary"): self._summary,
            ("POST", "/v1/disputes"): self._open_dispute,
            ("POST", "/v1/disputes/"): self._close_dispute,
        }
        self._paths = {path for _, path in (*self._provider, *self._control)}

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        path = scope["path"]
        if path not in self._paths:
            path = path[: path.rfind("/") + 1]
        try:
            reply = await self._reply((scope["method"], path), scope, receive)
        except OSError:
            reply = refusal(JOURNAL_FULL)
        if self._times.latency:
            await asyncio.sleep(self._times.latency)
        await MANNERS[reply.manner](Call(receive, send, scope["state"]["hang_up"], self._times), reply)

    async def _reply(self, place: tuple[str, str], scope: Message, receive: Receive) -> Reply:
        handler = self._provider.get(place)
        if handler is None:
            handler = self._control.get(place)
            refused = WRONG_METHOD if place[1] in self._paths else NOT_FOUND
            return await handler(scope, receive) if handler else refusal(refused)
        flaw = self._flaws.roll()
        if flaw is None:
            return await handler(scope, receive)
        reply = await handler(scope, receive) if flaw.carried_out else _NOTHING
        return reply._replace(manner=flaw.manner)

    async def _refund(self, scope: Message, receive: Receive) -> Reply:
        body = await _body(receive)
        if isinstance(body, Refused):
            return refusal(body)
        key = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"idempotency-key"), None)
        order = read_order(body, key)
        if isinstance(order, Refused):
            return refusal(order)
        carried = self._ledger.carry_out(order)
        if isinstance(carried, Refused):
            return refusal(carried)
        document = carried.refund.document(carried.refund.status)
        if carried.replayed:
            return Reply(200, document, (REPLAYED,))
        return Reply(200, document, (), behaviour_of(order.charge).manner)

    async def _refunds(self, scope: Message, _: Receive) -> Reply:
        query = _query(scope)
        if "key" in query or "charge" in query:
            return Reply(200, {"data": self._books.find(key=query.get("key"), charge=query.get("charge"))})
        limit = query.get("limit", "100")
        if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:5]) <= LONGEST_PAGE):
            return refusal(WRONG_PAGE)
        page = self._books.page(int(limit), query.get("starting_after"))
        return refusal(WRONG_PAGE) if page is None else Reply(200, {"data": page[0], "has_more": page[1]})

    async def _one_refund(self, scope: Message, _: Receive) -> Reply:
        found = self._books.get(_last_word(scope))
        return refusal(NOT_FOUND) if found is None else Reply(200, found)

    async def _disputes(self, scope: Message, _: Receive) -> Reply:
        charge = _query(scope).get("charge")
        return refusal(WHOSE_DISPUTES) if charge is None else Reply(200, {"data": self._books.disputes_of(charge)})

    async def _open_dispute(self, _: Message, receive: Receive) -> Reply:
        body = await _body(receive)
        charge = body if isinstance(body, Refused) else read_opening(body)
        if isinstance(charge, Refused):
            return refusal(charge)
        opened = self._ledger.open_dispute(charge)
        return refusal(opened) if isinstance(opened, Refused) else Reply(200, opened.document())

    async def _close_dispute(self, scope: Message, receive: Receive) -> Reply:
        body = await _body(receive)
        status = body if isinstance(body, Refused) else read_closing(body)
        if isinstance(status, Refused):
            return refusal(status)
        closed = self._ledger.close_dispute(_last_word(scope), status)
        return refusal(closed) if isinstance(closed, Refused) else Reply(200, closed.document())

    async def _summary(self, _: Message, __: Receive) -> Reply:
        return Reply(200, self._books.summary())


def _query(scope: Message) -> dict[str, str]:
    return {name: values[0] for name, values in parse_qs(scope["query_string"].decode("latin-1")).items()}


def _last_word(scope: Message) -> str:
    return cast("str", scope["path"].rpartition("/")[2])


async def _body(receive: Receive) -> bytes | Refused:
    """The body, or the refusal of one that is too large as soon as it is."""
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return NOT_JSON  # half a body may look like a whole one, but it is not what the client wanted to say
        body += cast("bytes", message.get("body", b""))
        if len(body) > LARGEST:
            return TOO_LARGE
        if not message.get("more_body", False):
            return body
