"""The pages about batches of decisions: choose the cases, look at the preview with its sum, start, confirm and stop."""

import re
from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER, HTTP_409_CONFLICT, HTTP_422_UNPROCESSABLE_CONTENT

from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from domain.errors import NotFoundError, NotPossibleError, UnreadableError
from domain.reason_codes import ReasonCode
from domain.support_decisions import OVERRULABLE, Approve, Decline
from producers import decision_batches
from producers.desk.accounts.access import ForbiddenError, authorize, require
from producers.desk.cases import ConfirmerDep, decided_by
from producers.desk.decision_form import CHOICES, DecisionForm, read
from producers.desk.queue import DeciderDep
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages.forms import FormFieldsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Page
from records import Records, UnitOfWork
from records.decision_batches import Batch, BatchStatus

router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.READ_CASES))])

BATCHES = "/batches"
BATCH_CHOICES = {name: CHOICES[name] for name in ("full", "decline")}
"""The decisions that make sense for many cases. The others need a look at each case."""
REFRESH_SECONDS = 2  # the page of a running batch loads again after this time

ReaderDep = Annotated[DeskUser, Depends(require(Permission.READ_CASES))]


@router.api_route(BATCHES, methods=READ_METHODS)
def list_batches(user: ReaderDep, page: PageDep, records: RecordsDep) -> Response:
    """List the newest batches, and show the form for a new batch."""
    return _render_list(page, records, user, DecisionForm())


@router.post(BATCHES)
def create_batch(user: DeciderDep, page: PageDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Store the preview of a batch. If a case cannot be part of it, the page says which and why, and nothing is lost."""
    seller = fields.get("seller", "")
    if not user.may(Permission.DECIDE, seller):
        raise ForbiddenError
    try:
        decision = _read_decision(fields)
        with records.work() as work:
            cases = _read_cases(work, fields.get("cases", ""))
        batch = decision_batches.preview(records, seller, cases, decision, by=decided_by(user))
    except (NotPossibleError, NotFoundError, UnreadableError) as error:
        form = DecisionForm(fields, str(error), HTTP_422_UNPROCESSABLE_CONTENT)
        return _render_list(page, records, user, form)
    return RedirectResponse(f"{BATCHES}/{batch}", HTTP_303_SEE_OTHER)


@router.api_route(BATCHES + "/{batch_id}", methods=READ_METHODS)
def show_batch(batch_id: UUID, user: ReaderDep, page: PageDep, records: RecordsDep) -> Response:
    """Show a batch with its sum, its progress and the outcome of each case."""
    return _render_batch(page, records, user, batch_id)


@router.post(BATCHES + "/{batch_id}/start")
def start(batch_id: UUID, request: Request, user: DeciderDep, page: PageDep, records: RecordsDep) -> Response:
    """Start a batch, or continue a stopped batch."""
    _require(records, user, Permission.DECIDE, batch_id)
    try:
        decision_batches.start(records, batch_id, by=decided_by(user))
    except NotPossibleError as error:
        return _render_batch(page, records, user, batch_id, str(error))
    request.app.state.batch_runner.wake()
    return RedirectResponse(f"{BATCHES}/{batch_id}", HTTP_303_SEE_OTHER)


@router.post(BATCHES + "/{batch_id}/confirm")
def confirm(batch_id: UUID, request: Request, user: ConfirmerDep, page: PageDep, records: RecordsDep) -> Response:
    """Confirm the batch of another person, so that it starts."""
    _require(records, user, Permission.CONFIRM_DECISIONS, batch_id)
    try:
        decision_batches.confirm(records, batch_id, by=decided_by(user))
    except NotPossibleError as error:
        return _render_batch(page, records, user, batch_id, str(error))
    request.app.state.batch_runner.wake()
    return RedirectResponse(f"{BATCHES}/{batch_id}", HTTP_303_SEE_OTHER)


@router.post(BATCHES + "/{batch_id}/stop")
def stop(batch_id: UUID, user: DeciderDep, page: PageDep, records: RecordsDep) -> Response:
    """Stop a batch. What it has decided stays decided."""
    _require(records, user, Permission.DECIDE, batch_id)
    try:
        decision_batches.stop(records, batch_id)
    except NotPossibleError as error:
        return _render_batch(page, records, user, batch_id, str(error))
    return RedirectResponse(f"{BATCHES}/{batch_id}", HTTP_303_SEE_OTHER)


def _read_decision(fields: Mapping[str, str]) -> Approve | Decline:
    if fields.get("choice") not in BATCH_CHOICES:
        raise NotPossibleError("Choose what to do.")
    decision: Approve | Decline = read(fields, None)
    return decision


def _read_cases(work: UnitOfWork, text: str) -> list[UUID]:
    """Return the ids of the cases whose case numbers or ids are in the text. Raise UnreadableError for an unknown case."""
    cases = []
    for name in re.split(r"[\s,;]+", text.strip()):
        view = work.case_views.find(name) if name else None
        if name and view is None:
            raise UnreadableError(f"There is no case {name}.")
        cases += [view.id] if view else []
    return cases


def _require(records: Records, user: DeskUser, permission: Permission, batch_id: UUID) -> Batch:
    with records.work() as work:
        batch = work.decision_batches.get(batch_id)
    if batch is None:
        raise ProblemError(ProblemCode.NOT_FOUND, "This batch doesn’t exist.")
    authorize(user, permission, batch.seller_id)
    return batch


def _render_list(page: Page, records: Records, user: DeskUser, form: DecisionForm) -> Response:
    with records.work() as work:
        batches = work.decision_batches.list_newest(_as_list(user.sellers(Permission.READ_CASES)))
        sellers = [seller.id for seller in work.sellers.list_all() if user.may(Permission.DECIDE, seller.id)]
    return page.render(
        "batches.html",
        status=form.status,
        user=user,
        form=form,
        batches=batches,
        sellers=sellers,
        choices=BATCH_CHOICES,
        overrulable=sorted(OVERRULABLE),
        words_of=_words_of,
    )


def _as_list(sellers: frozenset[str] | None) -> list[str] | None:
    return None if sellers is None else sorted(sellers)


def _words_of(batch: Batch) -> str:
    """Return the decision of the batch in the words of the form."""
    refund = batch.decision.get("refund")
    return CHOICES[refund["scope"] if refund else batch.decision["action"]]


def _render_batch(page: Page, records: Records, user: DeskUser, batch_id: UUID, message: str = "") -> Response:
    batch = _require(records, user, Permission.READ_CASES, batch_id)
    with records.work() as work:
        items = work.decision_batches.items(batch_id)
        numbers: Mapping[UUID, str] = work.case_views.numbers([item.case_id for item in items])
    is_running = batch.status is BatchStatus.RUNNING
    return page.render(
        "batch.html",
        status=HTTP_409_CONFLICT if message else 200,
        headers={"refresh": str(REFRESH_SECONDS)} if is_running and not message else {},
        user=user,
        batch=batch,
        items=items,
        numbers=numbers,
        message=message,
        words_of=_words_of,
        overruled=[code.support for code in ReasonCode if code.value in batch.decision.get("overrules", ())],
        may_start=user.may(Permission.DECIDE, batch.seller_id)
        and batch.status in {BatchStatus.PREVIEW, BatchStatus.STOPPED},
        may_stop=user.may(Permission.DECIDE, batch.seller_id)
        and batch.status in {BatchStatus.PROPOSED, BatchStatus.RUNNING},
        may_confirm=batch.status is BatchStatus.PROPOSED
        and user.may(Permission.CONFIRM_DECISIONS, batch.seller_id)
        and batch.agent != decided_by(user).id,
    )
