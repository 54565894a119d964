"""A response that is sent while the body of its request is still arriving."""

import math
from collections.abc import AsyncIterator

from anyio import create_memory_object_stream, create_task_group
from anyio.streams.memory import MemoryObjectSendStream
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class DuplexResponse(Response):
    """A response whose chunks are made while the request's body is read. Each chunk is sent as soon as it exists.

    Reading the request never waits for sending the response. Many clients read nothing before they have sent the whole
    request. If the server waited until such a client reads, both sides would wait for each other. Chunks that the client
    has not read stay in memory, so their total size must have a limit. Starlette's StreamingResponse cannot be used: to
    detect that the client has disconnected, it reads messages of the request. The iterator ``chunks`` needs these messages.
    """

    def __init__(self, chunks: AsyncIterator[bytes], media_type: str) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers()  # the response has no content-length, because its length is unknown
        self._chunks = chunks

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # ASGI's signature
        """Send the headers only with the first chunk, after the reading of the body has begun.

        A client may wait for “100 Continue” before it sends the body. The server sends “100 Continue” when the reading begins.
        It cannot send “100 Continue” after the headers of the response.
        """
        sender, receiver = create_memory_object_stream[bytes](math.inf)
        async with create_task_group() as tasks, receiver:
            tasks.start_soon(self._pump, sender)
            has_started = False
            async for chunk in receiver:
                if not has_started:
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                    has_started = True
                await send({"type": "http.response.body", "body": chunk, "more_body": True})
            if has_started:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _pump(self, sender: MemoryObjectSendStream[bytes]) -> None:
        async with sender:
            try:
                async for chunk in self._chunks:
                    sender.send_nowait(chunk)
            except ClientDisconnect:
                return  # the client has disconnected
