"""The cases of support in the API: read a case with its revision, and decide it."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Path, Response, status
from pydantic import BaseModel, ConfigDict, Field

from domain.requests import ShortText
from domain.states import State
from domain.support_decisions import DecidedBy, Decision, DecisionAction, DecisionStatus
from producers import decisions
from producers.web.api.responses import EXAMPLE_ID, problem_responses
from producers.web.auth import DecisionKey, SupportDecider
from producers.web.dependencies import RecordsDep
from producers.web.pages.case_copy import sentence_for_support
from producers.web.problems import ProblemCode, ProblemError
from records.api_keys import ApiClient
from records.support_decisions import StoredDecision

router = APIRouter(prefix="/v1/support/cases", tags=["support"])

_REVISION: Final = "12.1.9f3a2c41.77ab12cd.00000000"
_DECISION_EXAMPLE: Final[dict[str, Any]] = {
    "id": "0198a6f0-0000-7000-8000-0000000000d1",
    "case_id": EXAMPLE_ID,
    "action": "approve",
    "status": "applied",
    "decided_by": "Clara at the helpdesk",
    "confirmed_by": None,
    "created_at": "2026-06-15T12:00:00.000000Z",
    "undo_until": None,
}
_CASE_EXAMPLE: Final[dict[str, Any]] = {
    "id": EXAMPLE_ID,
    "revision": _REVISION,
    "state": "with_support",
    "reference": "MB-2026-0417",
    "reasons": [
        {"code": "outside_window", "sentence": "The purchase is older than the refund policy allows.", "figures": ""}
    ],
    "payments": [
        {"provider": "stripe", "charge": "ch_3Pq", "amount": 4900, "refunded": 0, "currency": "EUR", "dispute": "none"}
    ],
    "refunded_another_way": 0,
    "answers": [],
    "decisions": [],
}


class DecisionRequest(BaseModel):
    """A decision about a case."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    revision: str = Field(
        max_length=100, description="the revision of the case that the person saw", examples=[_REVISION]
    )
    decision: Decision
    agent: ShortText = Field("", description="the name of the person who decides, as your helpdesk knows it")


class DecisionAccepted(BaseModel):
    """A decision that was stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [_DECISION_EXAMPLE]})

    id: UUID
    case_id: UUID
    action: DecisionAction
    status: DecisionStatus = Field(
        description="“proposed” if a second person must confirm the decision on the support desk"
    )
    decided_by: str
    confirmed_by: str | None = None
    created_at: datetime
    undo_until: datetime | None = Field(None, description="until then, the decision can be undone on the support desk")


class ReasonForSupport(BaseModel):
    """A reason why support must decide."""

    code: str
    sentence: str
    figures: str = Field(description="the figures behind the sentence; empty if there are none")


class PaymentForSupport(BaseModel):
    """A payment of the purchase, with what is known of its refunds and disputes."""

    provider: str
    charge: str
    amount: int | None = Field(description="in minor units")
    refunded: int = Field(description="what was refunded so far, in minor units")
    currency: str | None
    dispute: str


class CustomerAnswer(BaseModel):
    """What the customer wrote to support."""

    text: str
    created_at: datetime


class SupportCase(BaseModel):
    """A case as support sees it. ``revision`` changes whenever anything of it changes."""

    model_config = ConfigDict(json_schema_extra={"examples": [_CASE_EXAMPLE]})

    id: UUID
    revision: str
    state: State
    reference: str
    reasons: list[ReasonForSupport]
    payments: list[PaymentForSupport]
    refunded_another_way: int = Field(
        description="what support refunded in ways that no payment provider shows, in minor units"
    )
    answers: list[CustomerAnswer]
    decisions: list[DecisionAccepted]


_EXAMPLES: Final[dict[str, Any]] = {
    "full": {
        "summary": "Refund all that is left, although the purchase is too old",
        "value": {
            "revision": _REVISION,
            "decision": {
                "action": "approve",
                "refund": {"scope": "full"},
                "overrules": ["outside_window"],
                "reason": "The customer had reported the fault in time.",
            },
        },
    },
    "part": {
        "summary": "Refund a part",
        "value": {
            "revision": _REVISION,
            "decision": {
                "action": "approve",
                "refund": {"scope": "partial", "amount": 2450, "currency": "EUR"},
                "overrules": ["full_refund_only"],
                "reason": "One of two licences.",
                "message": "We refund one of your two licences.",
            },
        },
    },
    "decline": {
        "summary": "Decline the refund",
        "value": {
            "revision": _REVISION,
            "decision": {"action": "decline", "message": "The licence was used for two months."},
            "agent": "Clara",
        },
    },
}


@router.get(
    "/{id}",
    operation_id="getSupportCase",
    summary="Get a case as support sees it",
    response_description="The case.",
    responses=problem_responses(
        ProblemCode.API_KEY_MISSING,
        ProblemCode.INSUFFICIENT_SCOPE,
        ProblemCode.NOT_FOUND,
        ProblemCode.SERVICE_UNAVAILABLE,
    ),
)
def get_support_case(
    caller: SupportDecider,
    case_id: Annotated[UUID, Path(alias="id", description="the id of the case")],
    records: RecordsDep,
) -> SupportCase:
    """Return a case with its revision. An API key can read only the cases of its seller."""
    with records.work() as work:
        view = work.case_views.get(case_id)
        if view is None or view.seller != caller.seller_id:
            raise ProblemError(ProblemCode.NOT_FOUND, "There is no case with this id.")
        revision = work.support_decisions.revisions([case_id])[case_id]
        purchase = work.purchases.get(view.purchase) if view.purchase else None
        answers = work.support_decisions.answers(case_id)
        decided = work.support_decisions.for_case(case_id)
    return SupportCase(
        id=view.id,
        revision=str(revision),
        state=view.state,
        reference=view.reference,
        reasons=[
            ReasonForSupport(
                code=reason["code"], sentence=sentence_for_support(reason), figures=reason.get("detail", "")
            )
            for reason in view.reasons
        ],
        payments=[
            PaymentForSupport(
                provider=payment.provider,
                charge=payment.charge,
                amount=payment.amount,
                refunded=payment.refunded,
                currency=payment.currency,
                dispute=payment.dispute,
            )
            for payment in (purchase.payments if purchase else ())
        ],
        refunded_another_way=purchase.refunded_another_way if purchase else 0,
        answers=[CustomerAnswer(text=answer.text, created_at=answer.created_at) for answer in answers],
        decisions=[_as_accepted(decision) for decision in decided],
    )


@router.post(
    "/{id}/decisions",
    operation_id="createSupportDecision",
    status_code=status.HTTP_201_CREATED,
    summary="Decide a case",
    response_description="The decision was stored, and took effect or waits for a second person.",
    responses=problem_responses(
        ProblemCode.MALFORMED_BODY,
        ProblemCode.API_KEY_MISSING,
        ProblemCode.INSUFFICIENT_SCOPE,
        ProblemCode.NOT_FOUND,
        ProblemCode.CASE_CHANGED,
        ProblemCode.NO_LONGER_POSSIBLE,
        ProblemCode.CONTENT_TOO_LARGE,
        ProblemCode.VALIDATION_FAILED,
        ProblemCode.IDEMPOTENCY_KEY_REUSED,
        ProblemCode.SERVICE_UNAVAILABLE,
    ),
)
def decide_case(
    caller: SupportDecider,
    case_id: Annotated[UUID, Path(alias="id", description="the id of the case")],
    request: Annotated[DecisionRequest, Body(openapi_examples=_EXAMPLES)],
    records: RecordsDep,
    idempotency_key: DecisionKey,
    response: Response,
) -> DecisionAccepted:
    """Store a decision about a case. If the case changed since the revision, the decision is refused.

    All decisions with one API key count as decisions of one person. Above the seller's limit, a second person confirms the
    decision on the support desk.
    """
    decision = decisions.decide(
        records,
        decisions.Submission(
            case_id=case_id,
            decision=request.decision,
            revision=request.revision,
            source=f"api_key:{caller.id}",
            key=idempotency_key,
            by=decided_by(caller, request.agent),
            seller=caller.seller_id,
        ),
    )
    response.headers["cache-control"] = "no-store"
    return _as_accepted(decision)


def decided_by(caller: ApiClient, agent: str) -> DecidedBy:
    """Return who decides. The agent's name is shown, but it proves nothing: each person with the API key counts as the same."""
    return DecidedBy(id=f"api_key:{caller.id}", name=agent or "API")


def _as_accepted(decision: StoredDecision) -> DecisionAccepted:
    return DecisionAccepted(
        id=decision.id,
        case_id=decision.case_id,
        action=DecisionAction(decision.decision["action"]),
        status=decision.status,
        decided_by=decision.decided_by_name,
        confirmed_by=decision.confirmed_by_name,
        created_at=decision.created_at,
        undo_until=decision.undo_until,
    )
