"""What goes wrong at the web's door, in sentences: RFC 9457 documents for programs, a plain page for people."""

import json
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from typing import Any

from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from domain.errors import KeyInFlightError, KeyReusedError
from producers.web.paper import sheet_of
from producers.web.validation_errors import Wrong, sentence_of, wrongs_of
from records import DatabaseDownError

MEDIA_TYPE = "application/problem+json"
_TRY_AGAIN = "5"  # seconds; a database that restarts is back by then
_IN_FLIGHT = "1"  # seconds; many times what a commit takes


class Kind(StrEnum):
    """The kinds of problem. Each has its status, its heading and, where nothing better is known, its sentence."""

    status: int
    heading: str
    sentence: str

    def __new__(cls, value: str, status: int, heading: str, sentence: str) -> "Kind":
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.status, kind.heading, kind.sentence = status, heading, sentence
        return kind

    UNREADABLE = "unreadable", 400, "This cannot be read", "The body is not JSON in UTF-8."
    FORGED = "forged", 400, "This is no webhook of that provider", "Its signature proves nothing. Nothing was kept."
    KEY_MISSING = (
        "key_missing",
        401,
        "A seller's key is needed",
        "Send a seller's key as “Authorization: Bearer mb_…”. There was none, or it is not one of ours.",
    )
    SCOPE_MISSING = "scope_missing", 403, "This key may not do that", "The key lacks the scope for this."
    CROSS_SITE = (
        "cross_site",
        403,
        "This did not come from our page",
        "Another site made your browser send this, so nothing was accepted. Please open our form and send it from there.",
    )
    NOT_FOUND = "not_found", 404, "There is nothing here", "This address is not one of ours, or was not copied whole."
    WRONG_METHOD = "wrong_method", 405, "This cannot be done here", "This address does not take this method."
    NOT_POSSIBLE = "not_possible", 409, "This is not possible any more", "The request has moved on."
    KEY_REUSED = "key_reused", 409, "This idempotency key was used before", str(KeyReusedError())
    IN_FLIGHT = "in_flight", 409, "This is being accepted right now", str(KeyInFlightError())
    TOO_LATE = "too_late", 410, "This link is too old", "Please send the form again: the new link will work."
    TOO_LARGE = (
        "too_large",
        413,
        "This is too large",
        "64 KB is the most, for webhooks 256 KB and in bulk 64 MB. Nothing was kept.",
    )
    WRONG_MEDIA = "wrong_media", 415, "This is not sent as what it is", "Send it as application/x-ndjson, in UTF-8."
    INVALID = "invalid", 422, "Something here is not right", "Nothing was accepted. Each error says what to change."
    TOO_MANY = (
        "too_many",
        429,
        "This was asked too often",
        "Nothing was accepted. Please come again after the seconds that Retry-After names.",
    )
    BROKEN = (
        "broken",
        500,
        "Something went wrong on our side",
        "This is our mistake; it was noted. Please try again later.",
    )
    DOWN = (
        "down",
        503,
        "We cannot take this right now",
        "Nothing was accepted. Please try again in a minute: sending the same again is safe.",
    )
    NOT_READY = "not_ready", 503, "Not ready", "The database is not at the version that this program was written for."


class Problem(BaseModel):
    """An RFC 9457 problem document."""

    type: str = Field(description="which kind of problem; the address explains it", examples=["/docs#invalid"])
    title: str
    status: int
    detail: str = Field(description="what happened, as a sentence")
    errors: list[Wrong] | None = Field(None, description="what to change, one by one")


class ProblemError(Exception):
    """A problem to answer with; its sentence is the kind's own if none is given."""

    def __init__(self, kind: Kind, sentence: str | None = None) -> None:
        super().__init__(sentence or kind.sentence)
        self.kind = kind


def answer(
    request: Request,
    kind: Kind,
    sentence: str | None = None,
    *,
    errors: Sequence[Wrong] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The problem as whoever asked can read it."""
    if not for_a_program(request):
        sheet = sheet_of(request)
        return sheet.page(
            "problem.html",
            status=kind.status,
            headers=headers,
            title=sheet.speech.say(_AS_PEOPLE_SEE_IT.get(kind, kind).heading),
            sentence=sheet.speech.say(sentence or _FOR_PEOPLE.get(kind) or kind.sentence),
        )
    problem = document(kind, sentence, errors)
    # ASCII only: what strangers send may hold half a surrogate pair, which UTF-8 cannot carry
    return _AsciiJSON(problem, kind.status, headers=dict(headers or {}), media_type=MEDIA_TYPE)


def document(kind: Kind, sentence: str | None = None, errors: Sequence[Wrong] = ()) -> dict[str, Any]:
    """The problem document, as JSON has it."""
    return Problem(
        type=f"/docs#{kind}",
        title=kind.heading,
        status=kind.status,
        detail=sentence or kind.sentence,
        errors=list(errors) or None,
    ).model_dump(exclude_none=True)


def for_a_program(request: Request) -> bool:
    """Whether a program asked, by the address."""
    path = request.url.path
    return path.startswith("/v1/") or path in {"/v1", "/healthz", "/readyz", "/metrics", "/openapi.json"}


_FOR_PEOPLE = {
    Kind.TOO_MANY: "Many forms came from where you are, or about the same address or purchase, so this one was not taken. "
    "Please wait a while, and send it again then. If you have sent it before, you need not: our answer comes by mail.",
    Kind.TOO_LARGE: "What you sent is too large, so it was not read. Please shorten your comment and send it again.",
    Kind.DOWN: "Nothing was sent. Please try again in a minute: trying again is safe and counts once.",
    Kind.UNREADABLE: "We could not read this form. Please open it again and send it once more.",
    Kind.INVALID: "We could not read this form. Please open it again and send it once more.",
}
_AS_PEOPLE_SEE_IT = {
    Kind.INVALID: Kind.UNREADABLE
}  # our own pages send nothing that is not right: it was tampered with


class _AsciiJSON(JSONResponse):
    def render(self, content: Any) -> bytes:  # noqa: ANN401  # the signature of Starlette's
        return json.dumps(content).encode("ascii")


# The handlers, one for each way in which trouble comes up.


def on_problem(request: Request, error: Exception) -> Response:
    """A problem raised on purpose."""
    assert isinstance(error, ProblemError)
    headers = {"www-authenticate": "Bearer"} if error.kind is Kind.KEY_MISSING else None
    return answer(request, error.kind, str(error), headers=headers)


def on_key_reused(request: Request, _: Exception) -> Response:
    """One key, two requests."""
    return answer(request, Kind.KEY_REUSED)


def on_key_in_flight(request: Request, _: Exception) -> Response:
    """The same request came before and is not kept yet; nothing is known of its end."""
    return answer(request, Kind.IN_FLIGHT, headers={"retry-after": _IN_FLIGHT})


def on_database_down(request: Request, _: Exception) -> Response:
    """Nothing was accepted; the database's own words stay here."""
    return answer(request, Kind.DOWN, headers={"retry-after": _TRY_AGAIN})


def on_invalid(request: Request, error: Exception) -> Response:
    """A body, a header or an address that is not as the schema says."""
    assert isinstance(error, RequestValidationError | ValidationError)
    found = list(error.errors())
    if any(e["type"] == "json_invalid" for e in found):
        return answer(request, Kind.UNREADABLE, sentence_of({**found[0], "ctx": {"error": _json_error(found[0])}}))
    if all(e["type"] == "uuid_parsing" and e["loc"][0] == "path" for e in found):
        return answer(request, Kind.NOT_FOUND, "There is no such request.")
    return answer(request, Kind.INVALID, errors=wrongs_of(found))


def on_http(request: Request, error: Exception) -> Response:
    """What Starlette refuses by itself: no such address, no such method, a body that is none."""
    assert isinstance(error, HTTPException)
    return answer(request, _BY_STATUS.get(error.status_code, Kind.BROKEN), headers=error.headers)


_BY_STATUS = {
    400: Kind.UNREADABLE, 401: Kind.KEY_MISSING, 404: Kind.NOT_FOUND, 405: Kind.WRONG_METHOD, 413: Kind.TOO_LARGE,
}  # fmt: skip


def _json_error(error: Mapping[str, Any]) -> str:
    where = error["loc"][-1]
    return f"{str((error.get('ctx') or {}).get('error', '')).rstrip('.')}, at character {where}"


HANDLERS: Mapping[type[Exception], Callable[[Request, Exception], Response]] = {
    ProblemError: on_problem,
    KeyReusedError: on_key_reused,
    KeyInFlightError: on_key_in_flight,
    RequestValidationError: on_invalid,
    HTTPException: on_http,
    **dict.fromkeys(DatabaseDownError, on_database_down),
}
"""Which answer each kind of trouble gets."""
