"""Error responses: RFC 9457 problem documents for programs, a plain page for customers."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from domain.errors import KeyInFlightError, KeyReusedError
from domain.sentence_enum import DescribedEnum
from producers.web.templating import page_for
from producers.web.validation_errors import FieldError, error_message, field_errors
from records import DatabaseDownError

MEDIA_TYPE = "application/problem+json"
_RETRY_WHEN_DOWN = "5"  # seconds; a database that restarts is back by then
_RETRY_WHEN_IN_USE = "1"  # seconds; many times what a commit takes


class ProblemCode(DescribedEnum):
    """The codes of problems. Each code has an HTTP status, a heading, what happened, and what the client does."""

    status: int
    heading: str  # the document's title; str has a method of that name
    cause: str
    remedy: str

    def __init__(self, _value: str, status: int, heading: str, cause: str, remedy: str) -> None:
        self.status, self.heading, self.cause, self.remedy = status, heading, cause, remedy

    @property
    def detail(self) -> str:
        """The default detail of a problem document."""
        return f"{self.cause} {self.remedy}"

    MALFORMED_BODY = (
        "malformed_body",
        400,
        "Malformed body",
        "The body is not JSON in UTF-8.",
        "Send one JSON object, encoded in UTF-8.",
    )
    INVALID_SIGNATURE = (
        "invalid_signature",
        400,
        "Invalid webhook signature",
        "The signature is not valid. The webhook was not stored.",
        "Compare the webhook secret at the payment provider with the secret in Moneyback's settings.",
    )
    API_KEY_MISSING = (
        "api_key_missing",
        401,
        "API key missing or invalid",
        "The request has no API key, or the API key is unknown, expired or revoked.",
        "Send an API key of the seller as “Authorization: Bearer mb_…”.",
    )
    INSUFFICIENT_SCOPE = (
        "insufficient_scope",
        403,
        "Insufficient scope",
        "The API key does not have the scope that this operation needs.",
        "Use an API key that has this scope.",
    )
    CROSS_SITE_REQUEST = (
        "cross_site_request",
        403,
        "Cross-site request",
        "Another site made the browser send this form. Nothing was accepted.",
        "Open the form on this site and send it from there.",
    )
    NOT_FOUND = (
        "not_found",
        404,
        "Not found",
        "There is nothing at this address.",
        "Check that the address was copied completely.",
    )
    METHOD_NOT_ALLOWED = (
        "method_not_allowed",
        405,
        "Method not allowed",
        "This address does not accept this HTTP method.",
        "Use a method that the Allow header lists.",
    )
    NO_LONGER_POSSIBLE = (
        "no_longer_possible",
        409,
        "No longer possible",
        "The state of the refund request does not allow this action any more.",
        "Open the status page of the refund request.",
    )
    IDEMPOTENCY_KEY_IN_USE = (
        "idempotency_key_in_use",
        409,
        "Idempotency key in use",
        "A request with this Idempotency-Key is still being accepted.",
        "Send the same request again in a second.",
    )
    LINK_EXPIRED = (
        "link_expired",
        410,
        "Link expired",
        "The link is too old.",
        "Send the form again to get a new link.",
    )
    CONTENT_TOO_LARGE = (
        "content_too_large",
        413,
        "Content too large",
        "The body is too large. Nothing was stored.",
        "Send at most 64 KB, for a webhook at most 256 KB, in bulk at most 64 MB.",
    )
    UNSUPPORTED_MEDIA_TYPE = (
        "unsupported_media_type",
        415,
        "Unsupported media type",
        "The Content-Type is not application/x-ndjson.",
        "Send JSON lines in UTF-8 as application/x-ndjson.",
    )
    VALIDATION_FAILED = (
        "validation_failed",
        422,
        "Validation failed",
        "The request is not valid. Nothing was accepted.",
        "Each entry of “errors” says what to change.",
    )
    IDEMPOTENCY_KEY_REUSED = (
        "idempotency_key_reused",
        422,
        "Idempotency key reused",
        "This Idempotency-Key was used before, for a different request.",
        "Use a new key for a new request.",
    )
    RATE_LIMITED = (
        "rate_limited",
        429,
        "Too many requests",
        "The rate limit was reached. Nothing was accepted.",
        "Send the same request again after the seconds in Retry-After.",
    )
    INTERNAL_ERROR = (
        "internal_error",
        500,
        "Internal error",
        "An unexpected error happened on our side and was logged.",
        "Try again later.",
    )
    SERVICE_UNAVAILABLE = (
        "service_unavailable",
        503,
        "Service unavailable",
        "Requests cannot be accepted at the moment. Nothing was accepted.",
        "Send the same request again in a minute. Sending it again is safe.",
    )
    NOT_READY = (
        "not_ready",
        503,
        "Not ready",
        "The database is not at the version that this program needs.",
        "Run: moneyback migrate",
    )


class CustomerText(NamedTuple):
    """What the error page says to a customer, as a heading and a sentence."""

    heading: str
    sentence: str


_UNREADABLE_FORM: Final = CustomerText(
    "This cannot be read", "We could not read this form. Please open it again and send it once more."
)
CUSTOMER_TEXTS: Final[Mapping[ProblemCode, CustomerText]] = {
    ProblemCode.MALFORMED_BODY: _UNREADABLE_FORM,
    ProblemCode.VALIDATION_FAILED: _UNREADABLE_FORM,  # our own pages send valid forms: somebody changed this form
    ProblemCode.CROSS_SITE_REQUEST: CustomerText(
        "This did not come from our page",
        "Another site made your browser send this, so nothing was accepted. Please open our form and send it from there.",
    ),
    ProblemCode.NOT_FOUND: CustomerText(
        "There is nothing here", "This address is not one of ours, or was not copied whole."
    ),
    ProblemCode.METHOD_NOT_ALLOWED: CustomerText("This cannot be done here", "This address does not take this method."),
    ProblemCode.NO_LONGER_POSSIBLE: CustomerText("This is not possible any more", "The request has moved on."),
    ProblemCode.LINK_EXPIRED: CustomerText(
        "This link is too old", "Please send the form again: the new link will work."
    ),
    ProblemCode.CONTENT_TOO_LARGE: CustomerText(
        "This is too large",
        "What you sent is too large, so it was not read. Please shorten your comment and send it again.",
    ),
    ProblemCode.RATE_LIMITED: CustomerText(
        "This was asked too often",
        "Many forms came from where you are, or about the same address or purchase, so this one was not taken. "
        "Please wait a while, and send it again then. If you have sent it before, you need not: our answer comes by mail.",
    ),
    ProblemCode.INTERNAL_ERROR: CustomerText(
        "Something went wrong on our side", "This is our mistake; it was noted. Please try again later."
    ),
    ProblemCode.SERVICE_UNAVAILABLE: CustomerText(
        "We cannot take this right now",
        "Nothing was sent. Please try again in a minute: trying again is safe and counts once.",
    ),
}
"""The problems that a page can show to a customer. The error page translates these texts."""


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(
        description="identifies the problem; a page at this address explains the problem",
        examples=["https://refunds.example.com/problems/validation_failed"],
        json_schema_extra={"format": "uri"},
    )
    title: str
    status: int = Field(description="the HTTP status")
    detail: str = Field(description="what happened, and what to do")
    errors: list[FieldError] | None = Field(None, description="what to change, field by field")


class ProblemError(Exception):
    """Ends a request with a problem. Without a detail the response has the default detail of the code."""

    def __init__(self, code: ProblemCode, detail: str | None = None) -> None:
        super().__init__(detail or code.detail)
        self.code = code
        self.detail = detail


def problem_response(
    request: Request,
    code: ProblemCode,
    detail: str | None = None,
    *,
    errors: Sequence[FieldError] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Returns a problem document to a program and an error page to a customer."""
    if not is_program(request):
        sheet = page_for(request)
        text = CUSTOMER_TEXTS.get(code, CustomerText(code.heading, code.detail))
        return sheet.render(
            "problem.html",
            status=code.status,
            headers=headers,
            title=sheet.translator.gettext(text.heading),
            sentence=sheet.translator.gettext(detail or text.sentence),
        )
    document = problem_document(request.app.state.settings.public_url, code, detail, errors)
    return _AsciiJSONResponse(document, code.status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_document(
    public_url: str, code: ProblemCode, detail: str | None = None, errors: Sequence[FieldError] = ()
) -> dict[str, Any]:
    """Returns the problem document as JSON values."""
    return Problem(
        type=problem_type(public_url, code),
        title=code.heading,
        status=code.status,
        detail=detail or code.detail,
        errors=list(errors) or None,
    ).model_dump(exclude_none=True)


def problem_type(public_url: str, code: ProblemCode) -> str:
    """Returns the absolute URI of the problem's type, which is the address of its page."""
    return f"{public_url.rstrip('/')}/problems/{code}"


def is_program(request: Request) -> bool:
    """Tells by the address whether a program sent the request, and not a browser."""
    path = request.url.path
    return path.startswith("/v1/") or path in {"/v1", "/healthz", "/readyz", "/metrics", "/openapi.json"}


class _AsciiJSONResponse(JSONResponse):
    """JSON in ASCII: the input of a client can contain half a surrogate pair, which UTF-8 cannot encode."""

    def render(self, content: Any) -> bytes:  # noqa: ANN401  # the signature of Starlette's
        return json.dumps(content).encode("ascii")


def on_problem(request: Request, error: Exception) -> Response:
    """Handles a ProblemError."""
    assert isinstance(error, ProblemError)
    headers = {"www-authenticate": "Bearer"} if error.code is ProblemCode.API_KEY_MISSING else None
    return problem_response(request, error.code, error.detail, headers=headers)


def on_idempotency_key_reused(request: Request, _: Exception) -> Response:
    """Handles two different requests with one idempotency key."""
    return problem_response(request, ProblemCode.IDEMPOTENCY_KEY_REUSED)


def on_idempotency_key_in_use(request: Request, _: Exception) -> Response:
    """Handles a repeated request while the first request is not committed yet."""
    return problem_response(request, ProblemCode.IDEMPOTENCY_KEY_IN_USE, headers={"retry-after": _RETRY_WHEN_IN_USE})


def on_database_down(request: Request, _: Exception) -> Response:
    """Handles an unavailable database; the response does not contain the database's own message."""
    return problem_response(request, ProblemCode.SERVICE_UNAVAILABLE, headers={"retry-after": _RETRY_WHEN_DOWN})


def on_validation_error(request: Request, error: Exception) -> Response:
    """Handles a body, a header or a path that does not match the schema."""
    assert isinstance(error, RequestValidationError | ValidationError)
    found = list(error.errors())
    if any(e["type"] == "json_invalid" for e in found):
        detail = error_message({**found[0], "ctx": {"error": _json_error(found[0])}})
        return problem_response(request, ProblemCode.MALFORMED_BODY, detail)
    if all(e["type"] == "uuid_parsing" and e["loc"][0] == "path" for e in found):
        return problem_response(request, ProblemCode.NOT_FOUND, "There is no such request.")
    return problem_response(request, ProblemCode.VALIDATION_FAILED, errors=field_errors(found))


def on_http_exception(request: Request, error: Exception) -> Response:
    """Handles what Starlette itself refuses, such as an unknown address, a wrong method or an unreadable body."""
    assert isinstance(error, HTTPException)
    code = _BY_STATUS.get(error.status_code, ProblemCode.INTERNAL_ERROR)
    return problem_response(request, code, headers=error.headers)


_BY_STATUS: Final = {
    code.status: code
    for code in (
        ProblemCode.MALFORMED_BODY,
        ProblemCode.API_KEY_MISSING,
        ProblemCode.NOT_FOUND,
        ProblemCode.METHOD_NOT_ALLOWED,
        ProblemCode.CONTENT_TOO_LARGE,
    )
}


def _json_error(error: Mapping[str, Any]) -> str:
    position = error["loc"][-1]
    return f"{str((error.get('ctx') or {}).get('error', '')).rstrip('.')}, at character {position}"


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Response]] = {
    ProblemError: on_problem,
    KeyReusedError: on_idempotency_key_reused,
    KeyInFlightError: on_idempotency_key_in_use,
    RequestValidationError: on_validation_error,
    HTTPException: on_http_exception,
    **dict.fromkeys(DatabaseDownError, on_database_down),
}
"""The handler of each exception."""
