"""Error responses: an RFC 9457 problem document for programs, and a page for customers."""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from domain.errors import (
    KeyInFlightError,
    KeyReusedError,
    NotFoundError,
    NotPossibleError,
    OutdatedError,
    UnreadableError,
)
from domain.sentence_enum import DescribedEnum
from producers.web.templating import page_for
from producers.web.validation_errors import FieldError, error_message, field_errors
from records import DatabaseDownError

MEDIA_TYPE = "application/problem+json"
DATABASE_RETRY_AFTER: Final = "5"  # seconds; a database that restarts is usually available again after this time
_KEY_RETRY_AFTER: Final = "1"  # seconds; the first request with the key is usually committed sooner


class ProblemCode(DescribedEnum):
    """The codes of problem documents. ``cause`` says what happened, and ``remedy`` says what the client must do."""

    status: int
    heading: str  # the title of the problem document; str has a method title(), so this attribute has another name
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
        "Compare the webhook secret at the sender with the secret in Moneyback's settings.",
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
        "The state of the refund request no longer allows this action.",
        "Open the status page of the refund request.",
    )
    IDEMPOTENCY_KEY_IN_USE = (
        "idempotency_key_in_use",
        409,
        "Idempotency key in use",
        "An earlier request with this Idempotency-Key is still being processed.",
        "Send the same request again in a second.",
    )
    CASE_CHANGED = (
        "case_changed",
        409,
        "Case changed",
        "The case changed since it was read. Nothing was decided.",
        "Read the case again, and decide with its new revision.",
    )
    LINK_EXPIRED = (
        "link_expired",
        410,
        "Link expired",
        "The link has expired.",
        "Send the form again to get a new link.",
    )
    PURCHASE_DIFFERS = (
        "purchase_differs",
        409,
        "Purchase differs",
        "The purchase is known with another e-mail address, charge, amount or currency. Nothing was stored.",
        "If the known value is wrong, send the purchase with “correct”: true.",
    )
    CONTENT_TOO_LARGE = (
        "content_too_large",
        413,
        "Content too large",
        "The body is too large. Nothing was stored.",
        "The maximum is 64 KB. For a webhook it is 256 KB, and for a bulk request 64 MB.",
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
        "Send the same request again after the number of seconds in the Retry-After header.",
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
    """The text of the error page for customers."""

    heading: str
    sentence: str


_UNREADABLE_FORM: Final = CustomerText(
    "Something is wrong with this form", "We couldn’t read this form. Please open it again."
)
CUSTOMER_TEXTS: Final[Mapping[ProblemCode, CustomerText]] = {
    ProblemCode.MALFORMED_BODY: _UNREADABLE_FORM,
    # Only a manipulated form, with missing or additional fields, leads to this text. The form itself shows errors of values.
    ProblemCode.VALIDATION_FAILED: _UNREADABLE_FORM,
    ProblemCode.CROSS_SITE_REQUEST: CustomerText(
        "This form came from another site",
        "Another site made your browser send this form, so we didn’t accept it. Please open the form on our site and send "
        "it from there.",
    ),
    ProblemCode.NOT_FOUND: CustomerText(
        "Page not found", "There’s no page at this address. Check that you copied all of it."
    ),
    ProblemCode.METHOD_NOT_ALLOWED: CustomerText("This isn’t possible here", "This page doesn’t support this action."),
    ProblemCode.NO_LONGER_POSSIBLE: CustomerText(
        "This is no longer possible", "Your request has changed in the meantime."
    ),
    ProblemCode.LINK_EXPIRED: CustomerText("This link has expired", "Please send the form again to get a new link."),
    ProblemCode.CONTENT_TOO_LARGE: CustomerText(
        "This form is too large",
        "We couldn’t read your form because it’s too large. Please shorten your comment and send the form again.",
    ),
    ProblemCode.RATE_LIMITED: CustomerText(
        "Too many requests",
        "Please wait about an hour and try again. If you’ve already sent this form, you don’t need to send it again: "
        "we’ll email you.",
    ),
    ProblemCode.INTERNAL_ERROR: CustomerText(
        "Something went wrong on our side", "We’ve logged the error. Please try again later."
    ),
    ProblemCode.SERVICE_UNAVAILABLE: CustomerText(
        "This isn’t available right now",
        "Nothing was sent. Please try again in a minute. Your request counts only once, even if you send it twice.",
    ),
}
"""The texts of the problems that a page can show to a customer. The error page translates the texts."""


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
    """An exception that causes an error response. Without ``detail``, the response has the default detail of ``code``."""

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
    """Return a problem document for a program, or an error page for a customer."""
    if not is_program(request):
        page = page_for(request)
        text = CUSTOMER_TEXTS.get(code, CustomerText(code.heading, code.detail))
        return page.render(
            "problem.html",
            status=code.status,
            headers=headers,
            title=page.translator.gettext(text.heading),
            sentence=page.translator.gettext(detail or text.sentence),
        )
    document = problem_document(request.app.state.settings.public_url, code, detail, errors)
    return _AsciiJSONResponse(document, code.status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def problem_document(
    public_url: str, code: ProblemCode, detail: str | None = None, errors: Sequence[FieldError] = ()
) -> dict[str, Any]:
    """Return the problem document as a dict of JSON values."""
    return Problem(
        type=problem_type(public_url, code),
        title=code.heading,
        status=code.status,
        detail=detail or code.detail,
        errors=list(errors) or None,
    ).model_dump(exclude_none=True)


def problem_type(public_url: str, code: ProblemCode) -> str:
    """Return the absolute URI of the problem's type, which is the address of its page."""
    return f"{public_url.rstrip('/')}/problems/{code}"


def is_program(request: Request) -> bool:
    """Return whether the address of the request is for programs, and not for browsers."""
    path = request.url.path
    return path.startswith("/v1/") or path in {"/v1", "/healthz", "/readyz", "/metrics", "/openapi.json"}


class _AsciiJSONResponse(JSONResponse):
    """A JSON response in ASCII. UTF-8 cannot encode half a surrogate pair, which a client's text can contain."""

    def render(self, content: Any) -> bytes:  # noqa: ANN401  # the signature is Starlette's
        """Return the content as ASCII."""
        return json.dumps(content).encode("ascii")


def on_problem(request: Request, error: Exception) -> Response:
    """Handle a ProblemError."""
    assert isinstance(error, ProblemError)
    headers = {"www-authenticate": "Bearer"} if error.code is ProblemCode.API_KEY_MISSING else None
    return problem_response(request, error.code, error.detail, headers=headers)


def on_idempotency_key_reused(request: Request, _: Exception) -> Response:
    """Handle two different requests with one idempotency key."""
    return problem_response(request, ProblemCode.IDEMPOTENCY_KEY_REUSED)


def on_idempotency_key_in_use(request: Request, _: Exception) -> Response:
    """Handle a request whose idempotency key belongs to another request that is not committed yet."""
    return problem_response(request, ProblemCode.IDEMPOTENCY_KEY_IN_USE, headers={"retry-after": _KEY_RETRY_AFTER})


def on_not_found(request: Request, error: Exception) -> Response:
    """Handle a row that does not exist, or that the caller may not see."""
    return problem_response(request, ProblemCode.NOT_FOUND, str(error))


def on_unreadable(request: Request, error: Exception) -> Response:
    """Handle a text that is not what its field must contain."""
    return problem_response(request, ProblemCode.VALIDATION_FAILED, str(error))


def on_outdated(request: Request, error: Exception) -> Response:
    """Handle a decision about a case that changed since it was read. The detail says what changed."""
    return problem_response(request, ProblemCode.CASE_CHANGED, f"{error} {ProblemCode.CASE_CHANGED.remedy}")


def on_not_possible(request: Request, error: Exception) -> Response:
    """Handle an action that the state of the case does not allow."""
    return problem_response(request, ProblemCode.NO_LONGER_POSSIBLE, str(error))


def on_database_down(request: Request, _: Exception) -> Response:
    """Handle an unavailable database. The response does not contain the message of the database."""
    return problem_response(request, ProblemCode.SERVICE_UNAVAILABLE, headers={"retry-after": DATABASE_RETRY_AFTER})


def on_validation_error(request: Request, error: Exception) -> Response:
    """Handle a body, a header or a path that does not match the schema."""
    assert isinstance(error, RequestValidationError | ValidationError)
    errors = list(error.errors())
    if any(item["type"] == "json_invalid" for item in errors):
        detail = error_message({**errors[0], "ctx": {"error": _json_error(errors[0])}})
        return problem_response(request, ProblemCode.MALFORMED_BODY, detail)
    if all(item["type"] == "uuid_parsing" and item["loc"][0] == "path" for item in errors):
        return problem_response(request, ProblemCode.NOT_FOUND, "There is no refund request with this id.")
    return problem_response(request, ProblemCode.VALIDATION_FAILED, errors=field_errors(errors))


def on_http_exception(request: Request, error: Exception) -> Response:
    """Handle a request that Starlette refuses: an unknown address, a wrong method or an unreadable body, for example."""
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
    NotFoundError: on_not_found,
    UnreadableError: on_unreadable,
    OutdatedError: on_outdated,
    NotPossibleError: on_not_possible,
    RequestValidationError: on_validation_error,
    HTTPException: on_http_exception,
    **dict.fromkeys(DatabaseDownError, on_database_down),
}
"""The handler of each type of exception."""
