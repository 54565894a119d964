"""Receives the webhooks of helpdesks: checks the signature, stores the webhook, and makes the decision that it reports."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Annotated

import structlog
from anyio.to_thread import run_sync
from fastapi import APIRouter, Path
from pydantic import SecretStr
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from config.helpdesks import HelpdeskSettings
from domain.webhook_signatures import VERIFIERS, verify
from producers.helpdesk_events import Decide, receive_event
from producers.web.api.responses import problem_responses
from producers.web.dependencies import RecordsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.webhooks import read_body
from records import Records

router = APIRouter(prefix="/v1/helpdesks", tags=["webhooks"])

_log = structlog.get_logger()


class HelpdeskReceiver:
    """The receiver of the webhooks of connected helpdesks. A helpdesk without a webhook secret is not in ``secrets``."""

    def __init__(self, helpdesks: Mapping[str, HelpdeskSettings], decide: Decide | None) -> None:
        self._helpdesks, self._decide = helpdesks, decide
        self.secrets = {name: secret for name, settings in helpdesks.items() if (secret := _secret_of(settings))}

    def receive(self, records: Records, target: str, headers: Mapping[str, str], body: bytes) -> str:
        """Verify, store and process a webhook. Return what it led to."""
        if target not in self.secrets or target not in VERIFIERS:
            raise ProblemError(ProblemCode.NOT_FOUND)
        verified = verify(target, self.secrets[target], headers, body, datetime.now(UTC))
        if verified is None:
            _log.warning("helpdesk_webhook_rejected", target=target)
            raise ProblemError(ProblemCode.INVALID_SIGNATURE)
        return receive_event(records, target, self._helpdesks[target], verified, body, self._decide)


@router.post(
    "/{target}",
    operation_id="receiveHelpdeskWebhook",
    summary="Receive a webhook of a helpdesk",
    response_class=Response,
    response_description="The webhook was stored and processed.",
    responses=problem_responses(
        ProblemCode.INVALID_SIGNATURE,
        ProblemCode.NOT_FOUND,
        ProblemCode.CONTENT_TOO_LARGE,
        ProblemCode.INTERNAL_ERROR,
        ProblemCode.SERVICE_UNAVAILABLE,
    ),
    openapi_extra={
        "requestBody": {
            "description": "what happened to a ticket, signed by the helpdesk",
            "content": {"application/json": {}},
        }
    },
)
async def receive_helpdesk_webhook(
    target: Annotated[str, Path(description="the helpdesk's name, as in `MONEYBACK_HELPDESKS`", examples=["zendesk"])],
    request: Request,
    records: RecordsDep,
) -> Response:
    """Receive a webhook of a helpdesk. Enter this address in the helpdesk. A closed ticket decides only what is configured."""
    receiver = request.app.state.helpdesk_receiver
    assert isinstance(receiver, HelpdeskReceiver)
    body = await read_body(request)
    outcome = await run_sync(receiver.receive, records, target, dict(request.headers), body)
    return JSONResponse({"outcome": outcome})


def _secret_of(settings: HelpdeskSettings) -> str:
    """Return the secret that verifies the webhooks of a helpdesk. An empty text means that there is none."""
    secret = getattr(settings, settings.signature_setting) if settings.signature_setting else None
    return secret.get_secret_value() if isinstance(secret, SecretStr) else ""
