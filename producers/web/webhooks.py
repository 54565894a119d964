"""Receives the webhooks of payment providers: verifies the sender, then stores the events for a worker."""

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

from domain.webhook_events import InvalidSignature, WebhookParser
from producers.web.api.responses import problem_responses
from producers.web.dependencies import TheRecords
from producers.web.problems import ProblemCode, ProblemError
from records import Records

MAX_CONCURRENT_WEBHOOKS: Final = 4  # of one provider: fetching a certificate delays no form and no other provider

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_log = structlog.get_logger()


class WebhookReceiver:
    """Receives the webhooks of the connected providers; each provider has threads of its own."""

    def __init__(self, readers: Mapping[str, WebhookParser]) -> None:
        self._readers = {name: (reader, CapacityLimiter(MAX_CONCURRENT_WEBHOOKS)) for name, reader in readers.items()}

    async def receive(self, records: Records, provider: str, request: Request) -> bytes:
        """Stores the events of a webhook; returns the body that the provider expects."""
        if provider not in self._readers:
            raise ProblemError(ProblemCode.NOT_FOUND, "No payment provider of this name is connected.")
        reader, limiter = self._readers[provider]
        body = await _body(request)
        why = await run_sync(_store, records, provider, reader, dict(request.headers), body, limiter=limiter)
        if why:
            _log.warning("webhook_rejected", provider=provider, why=why)
            raise ProblemError(ProblemCode.INVALID_SIGNATURE)
        return reader.answer


@router.post(
    "/{provider}",
    operation_id="receiveProviderWebhook",
    summary="Receive a webhook of a payment provider",
    response_class=Response,
    response_description="The webhook was stored and will be processed. The body is what the provider expects.",
    responses=problem_responses(
        ProblemCode.INVALID_SIGNATURE,
        ProblemCode.NOT_FOUND,
        ProblemCode.CONTENT_TOO_LARGE,
        ProblemCode.INTERNAL_ERROR,
        ProblemCode.SERVICE_UNAVAILABLE,
    ),
    openapi_extra={
        "requestBody": {
            "description": "the provider's event, signed by the provider",
            "content": {"application/json": {}, "application/x-www-form-urlencoded": {}},
        }
    },
)
async def receive_provider_webhook(
    provider: Annotated[str, Path(description="the provider's name, as in purchases", examples=["stripe"])],
    request: Request,
    records: TheRecords,
) -> Response:
    """Only for payment providers: enter this address in the provider's dashboard. No webhook causes a payment by itself."""
    receiver = request.app.state.webhook_receiver
    assert isinstance(receiver, WebhookReceiver)
    return Response(await receiver.receive(records, provider, request), media_type="text/plain")


async def _body(request: Request) -> bytes:
    try:
        return await request.body()
    except ClientDisconnect:
        raise HTTPException(ProblemCode.MALFORMED_BODY.status) from None  # there is no client to read the response


def _store(
    records: Records, provider: str, reader: WebhookParser, headers: Mapping[str, str], body: bytes
) -> str | None:
    """Stores the events of a webhook. Returns why the webhook is refused, or None when it is stored."""
    read = reader.read(headers, body, datetime.now(UTC))
    if isinstance(read, InvalidSignature):
        return read.why
    with records.work() as work:
        news = work.webhook_events.keep(provider, read, body)
    _log.info("webhook_received", provider=provider, events=len(read), news=news)
    return None
