"""Maps the errors of Stripe's SDK to results. Each error proves that nothing was done, or leaves the outcome unknown."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import requests
import stripe

from domain.providers import Declined, DeclineReason, Unknown, WaitingForApproval
from worker.providers.http_client import CREDENTIALS_REFUSED, credentials_refused
from worker.providers.identifiers import is_identifier
from worker.providers.retry_after import retry_after
from worker.providers.stripe.codes import (
    ACCOUNT_CODES,
    APPROVAL_REQUIRED,
    CODES,
    UNDECIDED_CODES,
    UNDECIDED_STATUSES,
)

_OTHER_MODE = re.compile(r"a similar object exists in (test|live) mode")
_MISSING_PERMISSION = re.compile(r"Enabling .{0,100}\('(\w{1,60})'\) permissions? on this key")
_OVER_REFUND = re.compile(r"greater than (the )?unrefunded amount")

ErrorResult = WaitingForApproval | Declined | Unknown


@dataclass(frozen=True, slots=True)
class ErrorReply:
    """The reply of Stripe to a call that failed. Texts are empty if Stripe does not send them."""

    status: int
    code: str
    kind: str
    """The error's type. Every error has a type; only some errors have a code."""
    param: str
    message: str
    """Stripe's sentence for developers. It may contain personal data, so it is neither logged nor shown."""
    retry_after: float | None
    replayed: bool

    @classmethod
    def parse(cls, status: int, error: stripe.StripeError) -> "ErrorReply":
        """Read the error. A field that is not a text is empty."""
        body: Any = error.json_body
        details = body.get("error") if isinstance(body, dict) else None
        headers = error.headers or {}

        def text(name: str) -> str:
            value = details.get(name) if isinstance(details, dict) else None
            return value if type(value) is str else ""

        return cls(
            status=status,
            code=text("code") if is_identifier(text("code")) else "",
            kind=text("type") if is_identifier(text("type")) else "",
            param=text("param"),
            message=text("message"),
            retry_after=retry_after(headers.get("Retry-After")),
            replayed=headers.get("Idempotent-Replayed") == "true",
        )


def result_of_error(error: stripe.StripeError) -> ErrorResult:
    """Return what the error proves. Unknown means that Stripe may have carried out the call."""
    if error.http_status is None:
        if isinstance(error.__cause__, requests.Timeout):
            return Unknown("Stripe did not answer in time.")
        return Unknown(f"The connection to Stripe failed: {type(error.__cause__ or error).__name__}.")
    reply = ErrorReply.parse(error.http_status, error)
    return next((result for explain in _EXPLANATIONS if (result := explain(reply))), _undecided(reply))


def _awaits_approval(reply: ErrorReply) -> WaitingForApproval | None:
    """Recognise a refund that a person must approve. The call made an approval request, so it must not be repeated."""
    is_stopped = APPROVAL_REQUIRED in {reply.code, reply.kind} and _is_client_error(reply.status)
    return WaitingForApproval(APPROVAL_REQUIRED) if is_stopped else None


def _fault_of_account(reply: ErrorReply) -> Unknown | None:
    """Recognise a wrong key or setting of ours. A payment that exists in the other mode is not missing: the key is wrong."""
    if not _is_client_error(reply.status):
        return None
    if other_mode := _OTHER_MODE.search(reply.message):
        return Unknown(
            f"Stripe has this payment in {other_mode[1]} mode, and our API key is for the other mode.",
            invalid_credentials=True,
        )
    if permission := _MISSING_PERMISSION.search(reply.message):
        return Unknown(f"Our API key at Stripe lacks the permission {permission[1]}.", invalid_credentials=True)
    if reply.status in CREDENTIALS_REFUSED:
        return credentials_refused("Stripe", reply.status)
    if reply.code in ACCOUNT_CODES:
        return Unknown(f"Stripe refuses our credentials: {reply.code}.", invalid_credentials=True)
    return None


def _is_decided(reply: ErrorReply) -> bool:
    """Return whether the reply proves that Stripe did nothing, with this key now or earlier."""
    return (
        bool(reply.code or reply.kind)
        and _is_client_error(reply.status)
        and reply.status not in UNDECIDED_STATUSES
        and not UNDECIDED_CODES & {reply.code, reply.kind}
    )


def _over_refund(reply: ErrorReply) -> Declined | None:
    """Recognise a refund of more than is left of the charge. Stripe sends no code for this error.

    A lookup must show who refunded the rest, as after ``charge_already_refunded``.
    """
    is_over = not reply.code and (reply.param == "amount" or _OVER_REFUND.search(reply.message))
    return Declined(DeclineReason.ALREADY_REFUNDED, reply.kind) if is_over and _is_decided(reply) else None


def _declined(reply: ErrorReply) -> Declined | None:
    code = reply.code or reply.kind
    return Declined(CODES.get(code, DeclineReason.PERMANENT), code) if _is_decided(reply) else None


def _undecided(reply: ErrorReply) -> Unknown:
    """Return Unknown. Stripe stores an error of its servers for our key, so each repeated call would return that error."""
    replayed = reply.replayed and reply.status >= HTTPStatus.INTERNAL_SERVER_ERROR
    return Unknown(f"Stripe answered {reply.status}.", reply.retry_after, replayed=replayed)


_EXPLANATIONS: tuple[Callable[[ErrorReply], ErrorResult | None], ...] = (
    _awaits_approval,
    _fault_of_account,
    _over_refund,
    _declined,
)
"""The explanations of an error, in this order. The first that fits counts."""


def _is_client_error(status: int) -> bool:
    return HTTPStatus.BAD_REQUEST <= status < HTTPStatus.INTERNAL_SERVER_ERROR
