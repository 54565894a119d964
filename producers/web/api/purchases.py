"""Purchases in the API: create or update a purchase."""

from typing import Annotated

from fastapi import APIRouter, Body, Path, Response, status
from pydantic import BaseModel, ConfigDict

from domain.purchase_reports import Refusal, RefusalCode
from domain.requests import Reference
from producers.purchase_schema import PurchaseInput
from producers.web.api.responses import problem_responses
from producers.web.auth import PurchaseWriter
from producers.web.dependencies import AccountSellersDep, RecordsDep
from producers.web.problems import ProblemCode, ProblemError
from records.purchase_reports import store_reports
from records.purchases import Reported

router = APIRouter(prefix="/v1/purchases", tags=["purchases"])


class PurchaseUpserted(BaseModel):
    """A purchase that was stored."""

    model_config = ConfigDict(json_schema_extra={"examples": [{"reference": "MB-2026-0417", "created": True}]})

    reference: str
    created: bool


@router.put(
    "/{reference:path}",
    operation_id="upsertPurchase",
    summary="Create or update a purchase",
    response_description="The purchase was updated.",
    responses={
        status.HTTP_201_CREATED: {"model": PurchaseUpserted, "description": "The purchase was created."},
        **problem_responses(
            ProblemCode.MALFORMED_BODY,
            ProblemCode.API_KEY_MISSING,
            ProblemCode.INSUFFICIENT_SCOPE,
            ProblemCode.PURCHASE_DIFFERS,
            ProblemCode.CONTENT_TOO_LARGE,
            ProblemCode.VALIDATION_FAILED,
            ProblemCode.SERVICE_UNAVAILABLE,
        ),
    },
)
def upsert_purchase(
    caller: PurchaseWriter,
    reference: Annotated[Reference, Path(description="the purchase's reference number")],
    purchase: Annotated[PurchaseInput, Body()],
    records: RecordsDep,
    account_sellers: AccountSellersDep,
    response: Response,
) -> PurchaseUpserted:
    """Store a purchase under its reference. A repeated call changes nothing. An absent field keeps its value.

    Another e-mail address, charge, amount or currency is refused with 409, unless `correct` is true and no refund request is
    open. Send all payments of an order in `payments`.
    """
    with records.work() as work:
        (result,) = store_reports(work, [purchase.report(caller.seller_id, reference)], account_sellers)
        if isinstance(result, Reported) and purchase.details:
            work.purchase_details.put([(caller.seller_id, reference, purchase.details.of())])
    if isinstance(result, Refusal) and result.code in {RefusalCode.INCOMPLETE, RefusalCode.REPEATED_PAYMENT}:
        raise ProblemError(ProblemCode.VALIDATION_FAILED, result.sentence)
    if not isinstance(result, Reported):
        raise ProblemError(ProblemCode.PURCHASE_DIFFERS, result.sentence)
    if result.is_new:
        response.status_code = status.HTTP_201_CREATED
    return PurchaseUpserted(reference=reference, created=result.is_new)
