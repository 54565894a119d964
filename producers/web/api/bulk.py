"""Many requests in one call, as for a seller's recall: a line each, answered line by line while the others still come."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Any, Final
from uuid import UUID

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync
from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from domain.requests import Channel, RefundRequest
from domain.states import State
from producers import intake
from producers.web.api.duplex_response import Conversation
from producers.web.api.ndjson import LONGEST, Line, batches
from producers.web.api.responses import lines_of, problems
from producers.web.auth import NAME, Asking, CallKey
from producers.web.dependencies import TheRecords
from producers.web.problems import Kind, Problem, ProblemError, document
from producers.web.validation_errors import Wrong, wrongs_of
from records import DatabaseDownError, Records
from records.intake import Accepted, Arrival
from records.keys import Caller

NDJSON: Final = "application/x-ndjson"
BATCH: Final = 500  # requests in one commit: a tenth of a second, of which a line on its own costs no more than that
MOST_REFUSED: Final = 10_000  # lines of one call: whoever gets so many wrong sends something else than was meant
SIDE_BY_SIDE: Final = 2  # batches of this process: a recall holds up no form

_KEYLESS = "bulk:"  # what the keys that we make for lines without one begin with
_turns: RunVar[CapacityLimiter] = RunVar("bulk_turns")

_LINE: Final[dict[str, Any]] = {
    "key": "recall-1",
    "email": "ada@example.com",
    "reference": "MB-2026-0417",
    "reason": "wrong_product",
}
_ANSWERS: Final[list[dict[str, Any]]] = [
    {"line": 1, "id": "0198a6f0-0000-4000-8000-000000000001", "state": "received"},
    {"line": 2, "problem": document(Kind.INVALID, errors=[Wrong(detail="This is missing.", pointer="#/reference")])},
    {"accepted": 1, "refused": 1},
]

bulk = APIRouter()


class BulkRequest(RefundRequest):
    """One line: a request, and the key that names it."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LINE]})

    key: str | None = Field(
        None,
        **NAME,
        description="the line's own Idempotency-Key; without one, the call's and what the line says name the request",
        examples=["recall-4711"],
    )

    @property
    def alone(self) -> RefundRequest:
        """The request, as it would have come in a call of its own."""
        return RefundRequest.model_construct(**{name: getattr(self, name) for name in RefundRequest.model_fields})


class BulkAnswer(BaseModel):
    """What became of one line: the case that it has, or the problem with it."""

    line: int = Field(description="which line, from one on; blank ones count and are not answered")
    id: UUID | None = None
    state: State | None = None
    problem: Problem | None = None


class BulkSummary(BaseModel):
    """The last line of the answer. An answer without it was cut off: send the same again."""

    accepted: int
    refused: int
    problem: Problem | None = Field(None, description="why the call was not read to its end")


class Recall:
    """One call: whose it is, and what has become of its lines."""

    def __init__(self, records: Records, caller: Caller, key: str) -> None:
        self._records = records
        self._caller = caller
        self._key = key
        self.accepted = 0
        self.refused = 0

    def take(self, lines: Sequence[Line]) -> bytes:
        """Accepts what is right in these lines, in one commit; returns the answer to each, in their order."""
        if self.refused > MOST_REFUSED:
            sentence = f"More than {MOST_REFUSED:,} lines were refused. The others were not read."
            raise ProblemError(Kind.INVALID, sentence)
        read = {line.number: self._read(line) for line in lines}
        # in the order of their keys: two calls with the same lines in another order do not wait for each other in turn
        arrivals = sorted((one for one in read.values() if isinstance(one, Arrival)), key=lambda one: one.key)
        cases = dict(zip((one.id for one in arrivals), intake.accept(self._records, arrivals), strict=True))
        answers = [
            {"line": number, **(_answer(cases[one.id]) if isinstance(one, Arrival) else {"problem": one})}
            for number, one in read.items()
        ]
        refused = sum("problem" in answer for answer in answers)
        self.refused += refused
        self.accepted += len(answers) - refused
        return b"".join(map(_line, answers))

    def _read(self, line: Line) -> Arrival | dict[str, Any]:
        """The request in a line, or the problem with it."""
        if line.text is None:
            return document(Kind.TOO_LARGE, f"{LONGEST // 1024} KB is the most for a line. It was not read.")
        try:
            read = BulkRequest.model_validate_json(line.text)
        except ValidationError as error:
            found = error.errors()
            if found[0]["type"] == "json_invalid":
                return document(Kind.UNREADABLE, "This line is not JSON in UTF-8.")
            return document(Kind.INVALID, errors=wrongs_of([{**one, "loc": ("body", *one["loc"])} for one in found]))
        request = read.alone
        return intake.arrival(
            request,
            Channel.API,
            key=read.key or self._made_of(request),
            seller=self._caller.seller,
            trusted=self._caller.trusted,
            bulk=True,
        )

    def _made_of(self, request: RefundRequest) -> str:
        """The key of a line that has none: the same line in a repeated call is the same request."""
        return _KEYLESS + hashlib.sha256(f"{self._key}\n{request.model_dump_json()}".encode()).hexdigest()


@bulk.post(
    "/refund-requests/bulk",
    summary="Ask for many refunds at once",
    response_description="An answer a line, in their order, while they come; the last line is a BulkSummary.",
    response_class=Response,
    responses={
        200: {"content": {NDJSON: lines_of(BulkAnswer, BulkSummary, example=_ANSWERS)}},
        **problems(Kind.KEY_MISSING, Kind.SCOPE_MISSING, Kind.TOO_LARGE, Kind.WRONG_MEDIA, Kind.INVALID, Kind.DOWN),
    },
    openapi_extra={
        "requestBody": {
            "description": "JSON lines: a request each",
            "required": True,
            "content": {NDJSON: lines_of(BulkRequest, example=[_LINE])},
        }
    },
)
def ask_for_many(
    caller: Asking,
    request: Request,
    records: TheRecords,
    key: CallKey,
) -> Response:
    """Takes JSON lines, 100,000 at the most, and answers them while they come: for a recall.

    A line that is wrong is answered with its problem, and no other is lost by it. What customers ask for themselves is
    carried out first. A call that broke off is sent again as it was, with the same Idempotency-Key: what was accepted
    is found again.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != NDJSON:
        raise ProblemError(Kind.WRONG_MEDIA)
    return Conversation(_answers(request, Recall(records, caller, key)), NDJSON)


@bulk.get("/refund-requests/bulk", include_in_schema=False)
def not_a_case() -> None:
    """There is nothing to see here, and no case of this name: another method would do."""
    raise HTTPException(Kind.WRONG_METHOD.status, headers={"allow": "POST"})


async def _answers(request: Request, recall: Recall) -> AsyncIterator[bytes]:
    """The answer's lines, some at a time, while the request's are read; the last one says how it ended."""
    trouble = None
    try:
        async for lines in batches(request.stream(), BATCH):
            yield await run_sync(recall.take, lines, limiter=_turn())
    except ProblemError as error:
        trouble = document(error.kind, str(error))
    except HTTPException:  # the body was too large as a whole (guard.BodyLimit)
        trouble = document(
            Kind.TOO_LARGE, "64 MB is the most in one call. The lines after those answered were not read."
        )
    except DatabaseDownError:
        trouble = document(
            Kind.DOWN,
            "What was answered before this is accepted. Of the lines after it nothing is known: please send all of them "
            "again in a minute, with the same Idempotency-Key.",
        )
    yield _line({"accepted": recall.accepted, "refused": recall.refused} | ({"problem": trouble} if trouble else {}))


def _answer(accepted: Accepted) -> dict[str, Any]:
    if not accepted.same:
        return {"problem": document(Kind.KEY_REUSED)}
    return {"id": str(accepted.id), "state": accepted.state}


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode("ascii") + b"\n"


def _turn() -> CapacityLimiter:
    """The line in front of the threads that accept in bulk; one a loop."""
    try:
        return _turns.get()
    except LookupError:
        _turns.set(line := CapacityLimiter(SIDE_BY_SIDE))
        return line
