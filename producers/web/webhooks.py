"""Webhooks: what payment providers tell us. Who sent it is proven first; what is kept only makes a worker look."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated, Final

import structlog
from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from domain.notices import Forged, WebhookReader
from producers.web.api.responses import problems
from producers.web.dependencies import TheRecords
from producers.web.problems import Kind, ProblemError
from records import Records

SIDE_BY_SIDE: Final = 4  # of one provider: who waits for its certificate holds up no form, and nobody else's webhooks

webhooks = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_log = structlog.get_logger()


class Ears:
    """The readers of the providers that are connected here, each with threads of its own."""

    def __init__(self, readers: Mapping[str, WebhookReader]) -> None:
        self._readers = {name: (reader, CapacityLimiter(SIDE_BY_SIDE)) for name, reader in readers.items()}

    async def hear(self, records: Records, provider: str, request: Request) -> bytes:
        """Keeps what this webhook tells; returns what its provider wants to read."""
        if provider not in self._readers:
            raise ProblemError(Kind.NOT_FOUND, "No payment provider of this name is connected here.")
        reader, line = self._readers[provider]
        body = await _body(request)
        why = await run_sync(_keep, records, provider, reader, dict(request.headers), body, limiter=line)
        if why:
            _log.warning("webhook_refused", provider=provider, why=why)
            raise ProblemError(Kind.FORGED)
        return reader.answer


@webhooks.post(
    "/{provider}",
    summary="A payment provider tells what happened",
    response_class=Response,
    response_description="It is kept, and will be looked into; the body is what this provider wants to read.",
    responses=problems(Kind.FORGED, Kind.NOT_FOUND, Kind.TOO_LARGE, Kind.BROKEN, Kind.DOWN),
    openapi_extra={
        "requestBody": {
            "description": "the provider's own event, signed as it signs its webhooks",
            "content": {"application/json": {}, "application/x-www-form-urlencoded": {}},
        }
    },
)
async def hear(
    provider: Annotated[str, Path(description="the provider's name, as purchases carry it", examples=["stripe"])],
    request: Request,
    records: TheRecords,
) -> Response:
    """For payment providers only: enter this address in their dashboards. Nobody is paid because of what stands in it."""
    ears = request.app.state.ears
    assert isinstance(ears, Ears)
    return Response(await ears.hear(records, provider, request), media_type="text/plain")


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise HTTPException(Kind.UNREADABLE.status) from None  # nobody is there to read this


def _keep(
    records: Records, provider: str, reader: WebhookReader, headers: Mapping[str, str], body: bytes
) -> str | None:
    """Why this webhook is refused; None when it is kept."""
    read = reader.read(headers, body, datetime.now(UTC))
    if isinstance(read, Forged):
        return read.why
    with records.work() as work:
        news = work.notices.keep(provider, read, body)
    _log.info("webhook_heard", provider=provider, events=len(read), news=news)
    return None
