import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qs

import uvicorn

from worker.sandbox.behaviours import Manner, Times, behaviour_of
from worker.sandbox.ledger import Ledger
from worker.sandbox.orders import Order, read_order
from worker.sandbox.refusals import (
    BROKEN,
    JOURNAL_FULL,
    NOT_FOUND,
    NOT_JSON,
    TIMED_OUT,
    TOO_LARGE,
    WRONG_METHOD,
    WRONG_PAGE,
    Refused,
)

LARGEST = 64 * 1024  # bytes of a body; an order has about a hundred
LONGEST_PAGE = 1000
IDLE = 75  # seconds; longer than clients keep unused connections, so that it is rarely us who close them
BACKLOG = 1024  # connections that may wait while all workers start at once

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

_encode = json.JSONEncoder(separators=(",", ":")).encode
_JSON: Headers = ((b"content-type", b"application/json"),)
_REPLAYED: Headers = ((b"idempotent-replayed", b"true"),)


class Reply(NamedTuple):
    status: int
    document: dict[str, Any]
    headers: Headers = ()


class App:
    """The provider's HTTP side, a bare ASGI application: it shares its machine with what is measured against it."""

    def __init__(self, ledger: Ledger, times: Times) -> None:
        self._ledger = ledger
        self._times = times

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        reply = await self._reply(scope, receive)
        if self._times.latency:
            await asyncio.sleep(self._times.latency)
        if reply is None:
            return
        body = _encode(reply.document).encode()
        headers = (*_JSON, (b"content-length", b"%d" % len(body)), *reply.headers)
        await send({"type": "http.response.start", "status": reply.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _reply(self, scope: Message, receive: Receive) -> Reply | None:
        path, method = scope["path"], scope["method"]
        if path == "/v1/refunds" and method == "POST":
            return await self._refund(scope, receive)
        if method != "GET":
            return _refusal(WRONG_METHOD)
        if path == "/v1/refunds":
            return self._refunds(scope["query_string"])
        if path == "/v1/summary":
            return Reply(200, self._ledger.summary())
        found = self._ledger.get(path.removeprefix("/v1/refunds/")) if path.startswith("/v1/refunds/") else None
        return _refusal(NOT_FOUND) if found is None else Reply(200, found)

    async def _refund(self, scope: Message, receive: Receive) -> Reply | None:
        body = await _body(receive)
        if isinstance(body, Refused):
            return _refusal(body)
        key = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"idempotency-key"), None)
        order = read_order(body, key)
        if isinstance(order, Refused):
            return _refusal(order)
        return await self._carry_out(order, receive)

    async def _carry_out(self, order: Order, receive: Receive) -> Reply | None:
        try:
            carried = self._ledger.carry_out(order)
        except OSError:
            return _refusal(JOURNAL_FULL)
        if isinstance(carried, Refused):
            return _refusal(carried)
        reply = Reply(200, carried.refund.document(carried.refund.status), _REPLAYED if carried.replayed else ())
        manner = Manner.AT_ONCE if carried.replayed else behaviour_of(order.charge).manner
        if manner is Manner.AT_ONCE:
            return reply
        if manner is Manner.BROKEN:
            return _refusal(BROKEN)
        if manner is Manner.NEVER:
            return await self._hold(receive)
        await asyncio.sleep(self._times.late)
        return reply

    async def _hold(self, receive: Receive) -> Reply | None:
        """Nobody is answered; the wait is over when the client hangs up."""
        try:
            async with asyncio.timeout(self._times.hold):
                while (await receive())["type"] != "http.disconnect":
                    pass
        except TimeoutError:
            return _refusal(TIMED_OUT)
        return None

    def _refunds(self, query_string: bytes) -> Reply:
        query = {name: values[0] for name, values in parse_qs(query_string.decode("latin-1")).items()}
        if "key" in query or "charge" in query:
            return Reply(200, {"data": self._ledger.find(key=query.get("key"), charge=query.get("charge"))})
        limit = query.get("limit", "100")
        if not (limit.isascii() and limit.isdecimal() and 1 <= int(limit[:5]) <= LONGEST_PAGE):
            return _refusal(WRONG_PAGE)
        page = self._ledger.page(int(limit), query.get("starting_after"))
        return _refusal(WRONG_PAGE) if page is None else Reply(200, {"data": page[0], "has_more": page[1]})


def serve(
    folder: Path,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    unix: Path | None = None,
    times: Times | None = None,
    announce: Callable[[str], None] = lambda _: None,
) -> None:
    """Answers until SIGTERM or SIGINT. Port 0 is any free one; ``announce`` hears the address once it can be called."""
    times = times or Times()
    with closing(Ledger(folder, times)) as ledger, _listening(host, port, unix) as door:
        config = uvicorn.Config(
            App(ledger, times),
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            interface="asgi3",
            log_level="warning",
            access_log=False,
            server_header=False,
            date_header=False,
            proxy_headers=False,
            timeout_keep_alive=IDLE,
            timeout_graceful_shutdown=1,  # second; calls that are held on purpose need not be waited for
        )
        announce(f"unix://{unix}" if unix else f"http://{host}:{door.getsockname()[1]}")
        uvicorn.Server(config).run(sockets=[door])


def _listening(host: str, port: int, unix: Path | None) -> socket.socket:
    if unix is None:
        return socket.create_server((host, port), backlog=BACKLOG)
    unix.unlink(missing_ok=True)  # left by a sandbox that was killed: a living one would hold the journal's lock
    door = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    door.bind(str(unix))
    door.listen(BACKLOG)
    return door


def _refusal(refused: Refused) -> Reply:
    return Reply(refused.status, refused.document(), refused.headers)


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
