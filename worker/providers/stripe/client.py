"""What it means when Stripe's SDK raises."""

from http import HTTPStatus

import requests
import stripe

from domain.providers import Declined, Refusal, Unknown
from worker.providers.identifiers import is_word
from worker.providers.retry_after import retry_after
from worker.providers.stripe.codes import CODES, CREDENTIALS, UNDECIDED_CODES, UNDECIDED_STATUSES


def answer_of(error: stripe.StripeError) -> Declined | Unknown:
    """Declined only where Stripe said for certain that it did nothing."""
    status = error.http_status
    if status is None:
        if isinstance(error.__cause__, requests.Timeout):
            return Unknown("Stripe did not answer in time.")
        return Unknown(f"The connection to Stripe failed: {type(error.__cause__ or error).__name__}.")
    if status in CREDENTIALS:
        return Unknown(f"Stripe refuses our credentials: {status}.", no_access=True)
    code = _code(error)
    if code is None or code in UNDECIDED_CODES or status in UNDECIDED_STATUSES or not _is_refusal(status):
        headers = error.headers or {}
        stored = headers.get("Idempotent-Replayed") == "true" and status >= HTTPStatus.INTERNAL_SERVER_ERROR
        return Unknown(f"Stripe answered {status}.", retry_after(headers.get("Retry-After")), replayed=stored)
    return Declined(CODES.get(code, Refusal.PERMANENT), code)


def _is_refusal(status: int) -> bool:
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR


def _code(error: stripe.StripeError) -> str | None:
    """Its code; not every error has one, but all have a type."""
    said = error.json_body.get("error") if isinstance(error.json_body, dict) else None
    words = (said.get("code"), said.get("type")) if isinstance(said, dict) else ()
    return next((word for word in words if is_word(word)), None)
