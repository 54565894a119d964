"""Bulk refund requests, for example after a product recall: a call sends JSON lines and gets a result for each line."""

import hashlib
import json
from collections.abc import AsyncIterator, Sequence
from typing import Annotated, Any, Final
from uuid import UUID

from anyio import CapacityLimiter
from anyio.lowlevel import RunVar
from anyio.to_thread import run_sync
from fastapi import APIRouter, Depends
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from domain.case_numbers import EXAMPLE as EXAMPLE_NUMBER
from domain.requests import Channel, RefundRequest
from domain.states import State
from producers import intake
from producers.web.api.duplex_response import DuplexResponse
from producers.web.api.ndjson import MAX_LINE_BYTES, NDJSON, Line, read_batches
from producers.web.api.responses import EXAMPLE_ID, example_problem, ndjson_content, problem_responses
from producers.web.auth import IDEMPOTENCY_KEY_FORMAT, RefundRequestWriter, RequiredIdempotencyKey
from producers.web.dependencies import RecordsDep, SettingsDep
from producers.web.problems import Problem, ProblemCode, ProblemError, problem_document
from producers.web.validation_errors import FieldError, field_errors
from records import DatabaseDownError, Records
from records.api_keys import ApiClient
from records.intake import Accepted, Submission

# The maximum number of requests in one commit. A commit of 500 takes 0.1 seconds, hardly longer than a commit of one.
BATCH_SIZE: Final = 500
# The maximum number of rejected lines in one call. A client with more rejected lines probably sends the wrong data.
MAX_REJECTED_LINES: Final = 10_000
# The maximum number of batches that one process commits at the same time. With more, web forms would wait.
MAX_CONCURRENT_BATCHES: Final = 2

_DERIVED_KEY_PREFIX = "bulk:"  # begins each idempotency key that Moneyback derives for a line without a key
_batch_limiter: RunVar[CapacityLimiter] = RunVar("bulk_limiter")

_LINE_EXAMPLE: Final[dict[str, Any]] = {
    "idempotency_key": "recall-1",
    "email": "ada@example.com",
    "reference": "MB-2026-0417",
    "reason": "wrong_product",
}
_RESULT_EXAMPLES: Final[list[dict[str, Any]]] = [
    {"line": 1, "id": EXAMPLE_ID, "number": EXAMPLE_NUMBER, "state": "received"},
    {"line": 2, "problem": example_problem(ProblemCode.VALIDATION_FAILED)},
    {"accepted": 1, "rejected": 1},
]

router = APIRouter(prefix="/v1/refund-requests/bulk", tags=["refund requests"])


class BulkRequestLine(RefundRequest):
    """One line of the body: a refund request and, optionally, its idempotency key."""

    model_config = ConfigDict(json_schema_extra={"examples": [_LINE_EXAMPLE]})

    idempotency_key: str | None = Field(
        None,
        **IDEMPOTENCY_KEY_FORMAT,
        description="if absent, a key is derived from the Idempotency-Key of the call and the content of the line",
        examples=["recall-4711"],
    )

    @property
    def refund_request(self) -> RefundRequest:
        """The refund request without the idempotency key of the line."""
        return RefundRequest.model_construct(**{name: getattr(self, name) for name in RefundRequest.model_fields})


class BulkResultLine(BaseModel):
    """The result of one line: the case of its refund request, or the problem with the line."""

    line: int = Field(description="the line's number, starting at 1; blank lines are counted, but have no result")
    id: UUID | None = None
    number: str | None = Field(None, description="the case number, which the customer reads in e-mails and on pages")
    state: State | None = None
    problem: Problem | None = None


class BulkSummary(BaseModel):
    """The last line of the response. If it is missing, the response was cut off: send the same call again."""

    accepted: int
    rejected: int
    problem: Problem | None = Field(None, description="why the body was not read to its end")


class BulkIntake:
    """Accepts the lines of one call. ``accepted`` and ``rejected`` are the numbers of accepted and rejected lines so far."""

    def __init__(self, records: Records, caller: ApiClient, idempotency_key: str, public_url: str) -> None:
        self._records = records
        self._caller = caller
        self._idempotency_key = idempotency_key
        self._public_url = public_url
        self.accepted = 0
        self.rejected = 0

    def accept(self, lines: Sequence[Line]) -> bytes:
        """Accept the valid lines in one commit, and return the result of each line in the order of the lines."""
        if self.rejected > MAX_REJECTED_LINES:
            detail = (
                f"More than {MAX_REJECTED_LINES:,} lines were rejected. The lines without a result were not accepted."
            )
            raise ProblemError(ProblemCode.VALIDATION_FAILED, detail)
        parsed = {line.number: self._parse(line) for line in lines}
        # The submissions are sorted by key, so that two calls with the same lines in different orders do not deadlock.
        submissions = sorted(
            (item for item in parsed.values() if isinstance(item, Submission)), key=lambda submission: submission.key
        )
        accepted = intake.accept(self._records, submissions)
        cases = dict(zip((submission.id for submission in submissions), accepted, strict=True))
        results = [
            {"line": number, **(self._result(cases[item.id]) if isinstance(item, Submission) else {"problem": item})}
            for number, item in parsed.items()
        ]
        rejected = sum("problem" in result for result in results)
        self.rejected += rejected
        self.accepted += len(results) - rejected
        return b"".join(map(_encode, results))

    def summary(self, problem: dict[str, Any] | None) -> bytes:
        """Return the last line of the response."""
        return _encode(
            {"accepted": self.accepted, "rejected": self.rejected} | ({"problem": problem} if problem else {})
        )

    def problem(
        self, code: ProblemCode, detail: str | None = None, errors: Sequence[FieldError] = ()
    ) -> dict[str, Any]:
        """Return a problem document about this call or about one of its lines."""
        return problem_document(self._public_url, code, detail, errors)

    def _parse(self, line: Line) -> Submission | dict[str, Any]:
        """Return the refund request in a line, or the problem with the line."""
        if line.text is None:
            detail = f"A line may have at most {MAX_LINE_BYTES // 1024} KB. This line was not read."
            return self.problem(ProblemCode.CONTENT_TOO_LARGE, detail)
        try:
            parsed = BulkRequestLine.model_validate_json(line.text)
        except ValidationError as error:
            errors = error.errors()
            if errors[0]["type"] == "json_invalid":
                return self.problem(ProblemCode.MALFORMED_BODY, "This line is not JSON in UTF-8.")
            body_errors = [{**item, "loc": ("body", *item["loc"])} for item in errors]
            return self.problem(ProblemCode.VALIDATION_FAILED, errors=field_errors(body_errors))
        request = parsed.refund_request
        return intake.submission(
            request,
            Channel.API,
            key=parsed.idempotency_key or self._derive_key(request),
            seller=self._caller.seller_id,
            trusted=self._caller.trusted,
            bulk=True,
        )

    def _derive_key(self, request: RefundRequest) -> str:
        """Return an idempotency key for a line without a key. If the call is repeated, the same line gets the same key."""
        content = f"{self._idempotency_key}\n{request.model_dump_json()}"
        return _DERIVED_KEY_PREFIX + hashlib.sha256(content.encode()).hexdigest()

    def _result(self, accepted: Accepted) -> dict[str, Any]:
        if not accepted.identical:
            return {"problem": self.problem(ProblemCode.IDEMPOTENCY_KEY_REUSED)}
        return {"id": str(accepted.id), "number": accepted.number, "state": accepted.state}


async def _get_bulk_intake(
    caller: RefundRequestWriter, records: RecordsDep, settings: SettingsDep, key: RequiredIdempotencyKey
) -> BulkIntake:
    return BulkIntake(records, caller, key, settings.public_url)


@router.post(
    "",
    operation_id="createRefundRequestsInBulk",
    summary="Create many refund requests in one call",
    response_description="One BulkResultLine for each line, in the order of the lines, sent while the lines arrive; at the "
    "end a BulkSummary.",
    response_class=Response,
    responses={
        200: {"content": {NDJSON: ndjson_content(BulkResultLine, BulkSummary, example=_RESULT_EXAMPLES)}},
        **problem_responses(
            ProblemCode.API_KEY_MISSING,
            ProblemCode.INSUFFICIENT_SCOPE,
            ProblemCode.CONTENT_TOO_LARGE,
            ProblemCode.UNSUPPORTED_MEDIA_TYPE,
            ProblemCode.VALIDATION_FAILED,
            ProblemCode.SERVICE_UNAVAILABLE,
        ),
    },
    openapi_extra={
        "requestBody": {
            "description": "JSON lines, each a BulkRequestLine",
            "required": True,
            "content": {NDJSON: ndjson_content(BulkRequestLine, example=[_LINE_EXAMPLE])},
        }
    },
)
def create_refund_requests_in_bulk(
    request: Request, bulk_intake: Annotated[BulkIntake, Depends(_get_bulk_intake)]
) -> Response:
    """Accept at most 100,000 JSON lines, for example after a product recall. Return the results while the lines arrive.

    The result of a line that is not valid is a problem; the other lines are accepted. Requests of customers are
    processed before bulk requests. If the connection breaks, send the call again with the same Idempotency-Key. Lines
    that were already accepted are not accepted twice.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != NDJSON:
        raise ProblemError(ProblemCode.UNSUPPORTED_MEDIA_TYPE)
    return DuplexResponse(_results(request, bulk_intake), NDJSON)


@router.get("", include_in_schema=False)
def method_not_allowed() -> None:
    """Return the status 405. Without this route, GET ``/v1/refund-requests/{id}`` would read “bulk” as an id."""
    raise HTTPException(ProblemCode.METHOD_NOT_ALLOWED.status, headers={"allow": "POST"})


async def _results(request: Request, bulk_intake: BulkIntake) -> AsyncIterator[bytes]:
    """Yield the results of each batch while the body is read, and the summary at the end."""
    problem = None
    try:
        async for lines in read_batches(request.stream(), BATCH_SIZE):
            yield await run_sync(bulk_intake.accept, lines, limiter=_get_batch_limiter())
    except ProblemError as error:
        problem = bulk_intake.problem(error.code, error.detail)
    except HTTPException:  # middleware.BodySizeLimitMiddleware raises it if the whole body is too large
        problem = bulk_intake.problem(
            ProblemCode.CONTENT_TOO_LARGE, "A call may have at most 64 MB. The lines without a result were not read."
        )
    except DatabaseDownError:
        problem = bulk_intake.problem(
            ProblemCode.SERVICE_UNAVAILABLE,
            "The lines with an id in their result are accepted. Lines without a result may be accepted or not. Send all "
            "lines again in a minute, with the same Idempotency-Key.",
        )
    yield bulk_intake.summary(problem)


def _encode(line: dict[str, Any]) -> bytes:
    return json.dumps(line, separators=(",", ":")).encode("ascii") + b"\n"


def _get_batch_limiter() -> CapacityLimiter:
    """Return the limiter for the number of threads that accept batches. Each event loop has its own limiter."""
    try:
        return _batch_limiter.get()
    except LookupError:
        _batch_limiter.set(limiter := CapacityLimiter(MAX_CONCURRENT_BATCHES))
        return limiter
