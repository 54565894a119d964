"""Sends the response of a call. The response mode of the call decides how, for example late or byte by byte."""

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from console.sandbox.behaviours import ResponseMode, Times
from console.sandbox.errors import BROKEN, BUSY, TIMED_OUT, ErrorResponse

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Headers = tuple[tuple[bytes, bytes], ...]

PAGE = b"<!DOCTYPE html><title>Welcome</title><h1>This page is under construction.</h1>"

encode = json.JSONEncoder(separators=(",", ":")).encode
_JSON = (b"content-type", b"application/json")
_HTML = (b"content-type", b"text/html")


class Reply(NamedTuple):
    status: int
    document: dict[str, Any]
    headers: Headers = ()
    response_mode: ResponseMode = ResponseMode.IMMEDIATE


class Call(NamedTuple):
    """An HTTP call: the functions that read the request, send the response and close the connection, and the delays."""

    receive: Receive
    send: Send
    hang_up: Callable[[], None]
    times: Times


def error_reply(error: ErrorResponse) -> Reply:
    return Reply(error.status, error.document(), error.headers)


async def send_now(call: Call, reply: Reply) -> None:
    body = encode(reply.document).encode()
    await call.send(_start(reply.status, body, _JSON, *reply.headers))
    await call.send({"type": "http.response.body", "body": body})


async def _late(call: Call, reply: Reply) -> None:
    await asyncio.sleep(call.times.late)
    await send_now(call, reply)


async def _never(call: Call, _: Reply) -> None:
    """Wait until the client closes the connection. After ``Times.hold`` seconds, send an error instead."""
    if not await _is_disconnected(call.receive, call.times.hold):
        await send_now(call, error_reply(TIMED_OUT))


async def _broken(call: Call, _: Reply) -> None:
    await send_now(call, error_reply(BROKEN))


async def _busy(call: Call, _: Reply) -> None:
    await send_now(call, error_reply(BUSY))


async def _dropped(call: Call, _: Reply) -> None:
    call.hang_up()
    # Without this wait, uvicorn would log that the application sent no response.
    await _is_disconnected(call.receive, call.times.hold)


async def _dripping(call: Call, reply: Reply) -> None:
    body = encode(reply.document).encode()
    await call.send(_start(reply.status, body, _JSON, *reply.headers))
    for position in range(len(body)):
        await call.send({"type": "http.response.body", "body": body[position : position + 1], "more_body": True})
        if await _is_disconnected(call.receive, call.times.drip):
            return
    await call.send({"type": "http.response.body"})


async def _garbled(call: Call, _: Reply) -> None:
    await call.send(_start(200, PAGE, _HTML))
    await call.send({"type": "http.response.body", "body": PAGE})


async def _wrong(call: Call, reply: Reply) -> None:
    await send_now(call, reply._replace(document=reply.document | {"amount": reply.document["amount"] + 1}))


RESPONSE_MODES: dict[ResponseMode, Callable[[Call, Reply], Awaitable[None]]] = {
    ResponseMode.IMMEDIATE: send_now,
    ResponseMode.LATE: _late,
    ResponseMode.NEVER: _never,
    ResponseMode.BROKEN: _broken,
    ResponseMode.BUSY: _busy,
    ResponseMode.DROPPED: _dropped,
    ResponseMode.DRIPPING: _dripping,
    ResponseMode.GARBLED: _garbled,
    ResponseMode.WRONG: _wrong,
}


def _start(status: int, body: bytes, *headers: tuple[bytes, bytes]) -> Message:
    length = (b"content-length", b"%d" % len(body))
    return {"type": "http.response.start", "status": status, "headers": (length, *headers)}


async def _is_disconnected(receive: Receive, seconds: float) -> bool:
    """Return whether the client closes the connection within ``seconds``."""
    try:
        async with asyncio.timeout(seconds):
            while (await receive())["type"] != "http.disconnect":
                pass
    except TimeoutError:
        return False
    return True
