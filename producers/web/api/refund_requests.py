"""Refund requests in the API: create a refund request, and read its case."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Path, Response, status
from pydantic import BaseModel, ConfigDict, Field

from config.signed_links import Purpose
from domain.case_numbers import EXAMPLE as EXAMPLE_NUMBER
from domain.errors import NotFoundError, NotPossibleError
from domain.requests import Channel, RefundRequest
from domain.states import State
from domain.support_decisions import Answer
from producers import decisions, intake
from producers.decisions import AnswerSubmission
from producers.web.api.responses import EXAMPLE_ID, EXAMPLE_URL, problem_responses
from producers.web.auth import OptionalIdempotencyKey, RefundRequestReader, RefundRequestWriter, RequiredIdempotencyKey
from producers.web.dependencies import LinksDep, RecordsDep
from producers.web.pages.case_copy import sentence_for_support
from producers.web.pages.case_status import bank_reference
from producers.web.problems import ProblemCode, ProblemError

PATH: Final = "/v1/refund-requests"

_NO_REQUEST: Final = "There is no refund request with this id."

router = APIRouter(prefix=PATH, tags=["refund requests"])


_ACCEPTED_EXAMPLE: Final[dict[str, Any]] = {
    "id": EXAMPLE_ID,
    "number": EXAMPLE_NUMBER,
    "state": "received",
    "status_url": f"{EXAMPLE_URL}/status/WzEsIjAxOThhNmYwIl0",
}
_CASE_EXAMPLE: Final[dict[str, Any]] = _ACCEPTED_EXAMPLE | {
    "state": "with_support",
    "reference": "MB-2026-0417",
    "channel": "api",
    "reasons": [{"code": "outside_window", "sentence": "The purchase is older than the refund policy allows."}],
    "bank_reference": None,
    "history": [
        {
            "seq": 1,
            "created_at": "2026-06-15T12:00:00.000000Z",
            "from_state": None,
            "event": "accepted",
            "to_state": "received",
            "actor": "api",
            "reason": "",
        },
        {
            "seq": 2,
            "created_at": "2026-06-15T12:00:00.011000Z",
            "from_state": "received",
            "event": "found_not_eligible",
            "to_state": "with_support",
            "actor": "rules",
            "reason": "The purchase is older than the refund policy allows.",
        },
    ],
}


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class RefundRequestAccepted(BaseModel):
    """A refund request that was accepted."""

    model_config = _example(_ACCEPTED_EXAMPLE)

    id: UUID
    number: str = Field(description="the case number, which the customer reads in e-mails and on pages")
    state: State
    status_url: str = Field(
        description="the link to the status page for the customer; everyone who has the link can open the page"
    )


class SupportReason(BaseModel):
    """A reason why support must decide."""

    code: str
    sentence: str


class Transition(BaseModel):
    """One step in the history of a case, from a state to a state."""

    seq: int
    created_at: datetime
    from_state: str | None = Field(None, description="null in the first transition")
    event: str
    to_state: str
    actor: str
    reason: str = Field(description="the reason for this transition, as a sentence or an empty text")


class RefundCase(RefundRequestAccepted):
    """The case of a refund request: its state, its history, and the reasons why support must decide."""

    model_config = _example(_CASE_EXAMPLE)

    reference: str
    channel: Channel
    reasons: list[SupportReason] = Field(
        description="why support must decide or had to decide; empty if support never had to decide"
    )
    bank_reference: str | None = Field(
        None,
        description="the acquirer reference number (ARN), with which the customer's bank finds a card refund; often known "
        "only days after the refund",
    )
    history: list[Transition]


_REQUEST_EXAMPLES: Final[dict[str, Any]] = {
    "full": {
        "summary": "The whole amount",
        "value": {"email": "ada@example.com", "reference": "MB-2026-0417", "reason": "dissatisfied", "locale": "en"},
    },
    "partial": {
        "summary": "A part of the amount: support decides",
        "value": {
            "email": "ada@example.com",
            "reference": "MB-2026-0417",
            "reason": "wrong_product",
            "refund_scope": "partial",
            "comment": "One of the two licences was enough.",
        },
    },
}
_LOCATION: Final[dict[str, Any]] = {
    "description": "the URL at which getRefundRequest returns the case of this refund request",
    "required": True,
    "schema": {"type": "string", "format": "uri"},
    "example": f"{EXAMPLE_URL}{PATH}/{EXAMPLE_ID}",
}


@router.post(
    "",
    operation_id="createRefundRequest",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Create a refund request",
    response_description="The refund request was accepted.",
    responses={
        status.HTTP_202_ACCEPTED: {"headers": {"Location": _LOCATION}},
        **problem_responses(
            ProblemCode.MALFORMED_BODY,
            ProblemCode.API_KEY_MISSING,
            ProblemCode.INSUFFICIENT_SCOPE,
            ProblemCode.IDEMPOTENCY_KEY_IN_USE,
            ProblemCode.CONTENT_TOO_LARGE,
            ProblemCode.VALIDATION_FAILED,
            ProblemCode.IDEMPOTENCY_KEY_REUSED,
            ProblemCode.SERVICE_UNAVAILABLE,
        ),
    },
)
def create_refund_request(
    caller: RefundRequestWriter,
    request: Annotated[RefundRequest, Body(openapi_examples=_REQUEST_EXAMPLES)],
    records: RecordsDep,
    links: LinksDep,
    response: Response,
    idempotency_key: OptionalIdempotencyKey = None,
) -> RefundRequestAccepted:
    """Accept a refund request. The response does not show whether the purchase exists. A worker looks it up later."""
    submission = intake.submission(
        request, Channel.API, key=idempotency_key, seller=caller.seller_id, trusted=caller.trusted
    )
    accepted = (intake.accept_once if idempotency_key else intake.accept_one)(records, submission)
    response.headers["location"] = links.page(f"{PATH}/{accepted.id}")
    return RefundRequestAccepted(
        id=accepted.id,
        number=accepted.number,
        state=accepted.state,
        status_url=links.to(Purpose.STATUS, accepted.id),
    )


_ANSWER_EXAMPLES: Final[dict[str, Any]] = {
    "answer": {"summary": "An answer of the customer", "value": {"text": "I meant the second of the two licences."}}
}


@router.post(
    "/{id}/answers",
    operation_id="createAnswer",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Answer a question of support",
    response_description="The answer was stored. Support reads it.",
    responses=problem_responses(
        ProblemCode.MALFORMED_BODY,
        ProblemCode.API_KEY_MISSING,
        ProblemCode.INSUFFICIENT_SCOPE,
        ProblemCode.NOT_FOUND,
        ProblemCode.NO_LONGER_POSSIBLE,
        ProblemCode.CONTENT_TOO_LARGE,
        ProblemCode.VALIDATION_FAILED,
        ProblemCode.IDEMPOTENCY_KEY_REUSED,
        ProblemCode.SERVICE_UNAVAILABLE,
    ),
)
def create_answer(
    caller: RefundRequestWriter,
    case_id: Annotated[UUID, Path(alias="id", description="the id of the refund request")],
    answer: Annotated[Answer, Body(openapi_examples=_ANSWER_EXAMPLES)],
    records: RecordsDep,
    links: LinksDep,
    idempotency_key: RequiredIdempotencyKey,
) -> RefundRequestAccepted:
    """Store what the customer answered to a question of support, or adds to a case that is with support.

    Support then decides again. The customer gets an e-mail that the text was received.
    """
    submission = AnswerSubmission(
        case_id=case_id,
        text=answer.text,
        channel=Channel.API,
        source=f"{Channel.API}:{caller.seller_id}",
        key=idempotency_key,
        seller=caller.seller_id,
    )
    try:
        decisions.answer(records, submission)
    except NotFoundError:
        raise ProblemError(ProblemCode.NOT_FOUND, _NO_REQUEST) from None
    except NotPossibleError as error:
        raise ProblemError(ProblemCode.NO_LONGER_POSSIBLE, str(error)) from None
    with records.work() as work:
        number = work.case_views.numbers([case_id])[case_id]
    status_url = links.to(Purpose.STATUS, case_id)
    return RefundRequestAccepted(id=case_id, number=number, state=State.WITH_SUPPORT, status_url=status_url)


@router.get(
    "/{id}",
    operation_id="getRefundRequest",
    summary="Get the case of a refund request",
    response_description="The case.",
    responses=problem_responses(
        ProblemCode.API_KEY_MISSING,
        ProblemCode.INSUFFICIENT_SCOPE,
        ProblemCode.NOT_FOUND,
        ProblemCode.SERVICE_UNAVAILABLE,
    ),
)
def get_refund_request(
    caller: RefundRequestReader,
    case_id: Annotated[UUID, Path(alias="id", description="the id of the refund request")],
    records: RecordsDep,
    links: LinksDep,
) -> RefundCase:
    """Return a case. An API key can read only the cases of its seller."""
    with records.work() as work:
        view = work.case_views.get(case_id)
        history = work.history.for_case(case_id)
    if view is None or view.seller != caller.seller_id:
        raise ProblemError(ProblemCode.NOT_FOUND, _NO_REQUEST)
    return RefundCase(
        id=view.id,
        number=view.number,
        state=view.state,
        reference=view.reference,
        channel=view.channel,
        reasons=[SupportReason(code=reason["code"], sentence=sentence_for_support(reason)) for reason in view.reasons],
        bank_reference=bank_reference(view, history),
        history=[
            Transition(
                seq=row.seq,
                created_at=row.created_at,
                from_state=row.from_state or None,
                event=row.event,
                to_state=row.to_state,
                actor=row.actor,
                reason=row.why,
            )
            for row in history
        ],
        status_url=links.to(Purpose.STATUS, view.id),
    )
