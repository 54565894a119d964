"""Receives the webhooks of payment providers: checks the signature and stores the events for a worker."""

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

from domain.webhook_events import InvalidSignature, UnreadableWebhook, WebhookParser
from producers.web.api.responses import problem_responses
from producers.web.dependencies import RecordsDep
from producers.web.problems import ProblemCode, ProblemError
from records import Records

MAX_CONCURRENT_WEBHOOKS: Final = 4
"""The maximum number of webhooks of one provider that are verified at the same time.

Verifying may download a certificate. Slow downloads must not use all threads, because forms need threads, too.
"""

router = APIRouter(prefix="/v1/webhooks", tags=["webhooks"])

_log = structlog.get_logger()


class WebhookReceiver:
    """The receiver of webhooks of connected providers. It uses at most MAX_CONCURRENT_WEBHOOKS threads for each provider."""

    def __init__(self, parsers: Mapping[str, WebhookParser]) -> None:
        self._parsers = {name: (parser, CapacityLimiter(MAX_CONCURRENT_WEBHOOKS)) for name, parser in parsers.items()}

    async def receive(self, records: Records, provider: str, request: Request) -> bytes:
        """Store the events of a webhook. Return the response body that the provider expects."""
        if provider not in self._parsers:
            raise ProblemError(ProblemCode.NOT_FOUND, "No payment provider of this name is connected.")
        parser, limiter = self._parsers[provider]
        body = await read_body(request)
        rejection = await run_sync(_store, records, provider, parser, dict(request.headers), body, limiter=limiter)
        if rejection:
            _log.warning("webhook_rejected", provider=provider, why=rejection)
            raise ProblemError(ProblemCode.INVALID_SIGNATURE)
        return parser.answer


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
    provider: Annotated[
        str, Path(description="the provider's name, as in a purchase's field “provider”", examples=["stripe"])
    ],
    request: Request,
    records: RecordsDep,
) -> Response:
    """Receive a webhook of a provider. Enter this address in the provider's dashboard. A webhook never starts a payment."""
    receiver = request.app.state.webhook_receiver
    assert isinstance(receiver, WebhookReceiver)
    return Response(await receiver.receive(records, provider, request), media_type="text/plain")


async def read_body(request: Request) -> bytes:
    """Return the body of a webhook."""
    try:
        return await request.body()
    except ClientDisconnect:
        raise HTTPException(ProblemCode.MALFORMED_BODY.status) from None  # the client has gone and gets no response


def _store(
    records: Records, provider: str, parser: WebhookParser, headers: Mapping[str, str], body: bytes
) -> str | None:
    """Store the events of a webhook. Return why the webhook is rejected, or None if its events are stored."""
    events = parser.read(headers, body, datetime.now(UTC))
    if isinstance(events, InvalidSignature):
        return events.why
    if isinstance(events, UnreadableWebhook):
        return _check_foreign(records, provider, events)
    with records.work() as work:
        new_events = work.webhook_events.keep(provider, events, body)
    _log.info("webhook_received", provider=provider, events=len(events), news=new_events)
    return None


def _check_foreign(records: Records, provider: str, webhook: UnreadableWebhook) -> str | None:
    """Return why an unreadable webhook is rejected, or None if it is about a payment of another system.

    Other systems use the same provider account, so a signed webhook with a new format must not stop the webhooks that follow.
    """
    with records.work() as work:
        is_known = work.webhook_events.are_known(provider, webhook.ids)
    if is_known:
        return webhook.why
    _log.warning("webhook_unreadable", provider=provider, why=webhook.why)
    return None
