"""An answer that is given while its question is still being asked."""

import math
from collections.abc import AsyncIterator

from anyio import create_memory_object_stream, create_task_group
from anyio.streams.memory import MemoryObjectSendStream
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import Receive, Scope, Send


class Conversation(Response):
    """Sends each piece of the answer as soon as there is one, while the request's body is still being read.

    The two go on side by side, and reading never waits for sending: many clients read nothing before they have sent all,
    and would wait for us as we for them. What they do not read yet is kept, so the pieces must have a bounded sum. (It is
    no StreamingResponse: that one reads the request's messages itself, to see whether the client is still there.)
    """

    def __init__(self, pieces: AsyncIterator[bytes], media_type: str) -> None:
        self.status_code = 200
        self.media_type = media_type
        self.background = None
        self.init_headers()  # no body: its length is not known, and it goes out in chunks
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002  # as ASGI says
        """Begins with the first piece: whoever waits to hear “100 Continue” does so until the body is asked for."""
        tell, told = create_memory_object_stream[bytes](math.inf)
        async with create_task_group() as both, told:
            both.start_soon(self._think, tell)
            started = False
            async for piece in told:
                if not started:
                    await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
                    started = True
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            if started:
                await send({"type": "http.response.body", "body": b"", "more_body": False})

    async def _think(self, tell: MemoryObjectSendStream[bytes]) -> None:
        async with tell:
            try:
                async for piece in self._pieces:
                    tell.send_nowait(piece)
            except ClientDisconnect:
                return  # nobody is there to read the rest
