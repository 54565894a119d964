"""The API that sellers' own forms and shops speak: JSON, a bearer key, problem documents."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Body, Header, Path, Response, status
from pydantic import BaseModel, ConfigDict, Field

from config.links import Purpose
from domain.requests import Channel, Reference, RefundRequest
from domain.states import State
from producers import intake
from producers.purchases import PurchaseIn
from producers.web.callers import Asking, Looking, Telling
from producers.web.problems import Kind, ProblemError
from producers.web.reference import problems
from producers.web.state import TheLinks, TheRecords
from producers.web.words import sentence_for_support

IdempotencyKey = Annotated[
    str | None,
    Header(
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]([\x20-\x7e]{0,198}[\x21-\x7e])?$",
        max_length=200,
        description="printable ASCII; the same key with the same body again is the same request",
        examples=["order-4711-refund"],
    ),
]

api = APIRouter(prefix="/v1", tags=["API"])


class Receipt(BaseModel):
    """A request that was accepted."""

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

    reference: str
    channel: Channel
    reasons: list[ReasonOut] = Field(description="empty unless a person must decide, or had to")
    history: list[StepOut]


class PurchaseOut(BaseModel):
    """A purchase that is remembered."""

    reference: str
    created: bool


@api.post(
    "/refund-requests",
    status_code=status.HTTP_202_ACCEPTED,
    summary="Ask for a refund",
    response_description="The request was accepted.",
    responses=problems(Kind.UNREADABLE, Kind.KEY_MISSING, Kind.KEY_REUSED, Kind.TOO_LARGE, Kind.INVALID, Kind.DOWN),
)
def ask(
    caller: Asking,
    request: Annotated[RefundRequest, Body()],
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
    responses=problems(Kind.KEY_MISSING, Kind.NOT_FOUND, Kind.DOWN),
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
        **problems(Kind.UNREADABLE, Kind.KEY_MISSING, Kind.TOO_LARGE, Kind.INVALID, Kind.DOWN),
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
