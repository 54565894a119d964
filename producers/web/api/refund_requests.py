"""The API that sellers' own forms and shops speak: JSON, a bearer key, problem documents."""

from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import APIRouter, Body, Path, Response, status
from pydantic import BaseModel, ConfigDict, Field

from config.links import Purpose
from domain.requests import Channel, Reference, RefundRequest
from domain.states import State
from producers import intake
from producers.purchases import PurchaseIn
from producers.web.api.bulk import bulk
from producers.web.api.responses import problems
from producers.web.auth import Asking, IdempotencyKey, Looking, Telling
from producers.web.dependencies import TheLinks, TheRecords
from producers.web.problems import Kind, ProblemError
from producers.web.standings import bank_reference_of
from producers.web.words import sentence_for_support

api = APIRouter(prefix="/v1", tags=["API"])
api.include_router(bulk)


_RECEIPT: Final[dict[str, Any]] = {
    "id": "0198a6f0-0000-4000-8000-000000000001",
    "state": "received",
    "status_url": "https://refunds.example.com/status/WzEsIjAxOThhNmYwIl0",
}


def _example(value: dict[str, Any]) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [value]})


class Receipt(BaseModel):
    """A request that was accepted."""

    model_config = _example(_RECEIPT)

    id: UUID
    state: State
    status_url: str = Field(description="a page for the customer; whoever has the link can see it")


class ReasonOut(BaseModel):
    """Why a person must decide."""

    code: str
    sentence: str


class StepOut(BaseModel):
    """One row of a case's history."""

    model_config = ConfigDict(serialize_by_alias=True, validate_by_name=True)

    seq: int
    at: datetime
    from_: str = Field(alias="from", description="empty in the first row")
    event: str
    to: str
    actor: str
    why: str


class CaseOut(Receipt):
    """Where a request stands, why, and how it came there."""

    model_config = _example(
        _RECEIPT
        | {
            "state": "with_support",
            "reference": "MB-2026-0417",
            "channel": "api",
            "reasons": [{"code": "outside_window", "sentence": "The purchase is older than the refund policy allows."}],
            "bank_reference": None,
            "history": [
                {
                    "seq": 1,
                    "at": "2026-06-15T12:00:00.000000Z",
                    "from": "",
                    "event": "accepted",
                    "to": "received",
                    "actor": "api",
                    "why": "",
                },
                {
                    "seq": 2,
                    "at": "2026-06-15T12:00:00.011000Z",
                    "from": "received",
                    "event": "found_not_eligible",
                    "to": "with_support",
                    "actor": "rules",
                    "why": "The purchase is older than the refund policy allows.",
                },
            ],
        }
    )

    reference: str
    channel: Channel
    reasons: list[ReasonOut] = Field(description="empty unless a person must decide, or had to")
    bank_reference: str | None = Field(
        None,
        description="by which the customer's bank finds a refund that was made (ARN); known for cards, often days later",
    )
    history: list[StepOut]


class PurchaseOut(BaseModel):
    """A purchase that is remembered."""

    model_config = _example({"reference": "MB-2026-0417", "created": True})

    reference: str
    created: bool


_ASKED: Final[dict[str, Any]] = {
    "full": {
        "summary": "The whole amount",
        "value": {"email": "ada@example.com", "reference": "MB-2026-0417", "reason": "dissatisfied", "locale": "en"},
    },
    "partial": {
        "summary": "A part of it, which a person decides",
        "value": {
            "email": "ada@example.com",
            "reference": "MB-2026-0417",
            "reason": "wrong_product",
            "wish": "partial",
            "comment": "One of the two licences was enough.",
        },
    },
}


@api.post(
    "/refund-requests",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Ask for a refund",
    response_description="The request was accepted.",
    responses=problems(
        Kind.UNREADABLE,
        Kind.KEY_MISSING,
        Kind.SCOPE_MISSING,
        Kind.KEY_REUSED,
        Kind.IN_FLIGHT,
        Kind.TOO_LARGE,
        Kind.INVALID,
        Kind.DOWN,
    ),
)
def ask(
    caller: Asking,
    request: Annotated[RefundRequest, Body(openapi_examples=_ASKED)],
    records: TheRecords,
    links: TheLinks,
    idempotency_key: IdempotencyKey = None,
) -> Receipt:
    """Accepts a request. Whether there is such a purchase is found out later, so the answer does not tell."""
    arrival = intake.arrival(request, Channel.API, key=idempotency_key, seller=caller.seller, trusted=caller.trusted)
    accepted = (intake.accept_once if idempotency_key else intake.accept_one)(records, arrival)
    return Receipt(id=accepted.id, state=accepted.state, status_url=links.to(Purpose.STATUS, accepted.id))


@api.get(
    "/refund-requests/{id}",
    summary="See where a request stands",
    response_description="Where it stands.",
    responses=problems(Kind.KEY_MISSING, Kind.SCOPE_MISSING, Kind.NOT_FOUND, Kind.DOWN),
)
def show(caller: Looking, case: Annotated[UUID, Path(alias="id")], records: TheRecords, links: TheLinks) -> CaseOut:
    """Shows one of the seller's own cases."""
    with records.work() as work:
        view = work.views.one(case)
        history = work.history.of(case)
    if view is None or view.seller != caller.seller:
        raise ProblemError(Kind.NOT_FOUND, "There is no such request.")
    return CaseOut(
        id=view.id,
        state=view.state,
        reference=view.reference,
        channel=view.channel,
        reasons=[ReasonOut(code=r["code"], sentence=sentence_for_support(r)) for r in view.reasons],
        bank_reference=bank_reference_of(view, history),
        history=[
            StepOut(seq=r.seq, at=r.at, from_=r.here, event=r.event, to=r.there, actor=r.actor, why=r.why)
            for r in history
        ],
        status_url=links.to(Purpose.STATUS, view.id),
    )


@api.put(
    "/purchases/{reference:path}",
    summary="Tell us of a purchase, or of what became of it",
    response_description="It was known before.",
    responses={
        status.HTTP_201_CREATED: {"model": PurchaseOut, "description": "It was not known before."},
        **problems(Kind.UNREADABLE, Kind.KEY_MISSING, Kind.SCOPE_MISSING, Kind.TOO_LARGE, Kind.INVALID, Kind.DOWN),
    },
)
def remember(
    caller: Telling,
    reference: Annotated[Reference, Path(description="the purchase's reference number")],
    purchase: Annotated[PurchaseIn, Body()],
    records: TheRecords,
    response: Response,
) -> PurchaseOut:
    """Remembers a purchase by its reference. The same again changes nothing; what was refunded never shrinks."""
    with records.work() as work:
        created = work.purchases.put([purchase.of(caller.seller, reference)]) == 1
        if purchase.details:
            work.details.put([(caller.seller, reference, purchase.details.of())])
    if created:
        response.status_code = status.HTTP_201_CREATED
    return PurchaseOut(reference=reference, created=created)
