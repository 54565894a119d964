"""The pages about batches of decisions: choose the cases, look at the preview with its sum, start, confirm and stop."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated
from urllib.parse import urlencode
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
from producers.desk.csv_response import csv_response
from producers.desk.decision_form import CHOICES, DecisionForm, read
from producers.desk.queue import DeciderDep
from producers.desk.queue_query import FILTERS, QueueQuery, read_query
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
ROWS = 200  # cases on the page of a batch; the report has all of them
_OF_VIEW = "of."
"""The start of the names of the fields that say from which view of the queue the cases are."""
REFRESH_SECONDS = 2  # the page of a running batch loads again after this time

ReaderDep = Annotated[DeskUser, Depends(require(Permission.READ_CASES))]


@router.api_route(BATCHES, methods=READ_METHODS)
def list_batches(request: Request, user: ReaderDep, page: PageDep, records: RecordsDep) -> Response:
    """List the newest batches, and show the form for a new batch: of case numbers, or of the cases of a view of the queue."""
    view = {f"{_OF_VIEW}{name}": value for name, value in request.query_params.items() if name in FILTERS}
    return _render_list(page, records, user, DecisionForm(view | {"seller": request.query_params.get("seller", "")}))


@router.post(BATCHES)
def create_batch(user: DeciderDep, page: PageDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Store the preview of a batch. If a case cannot be part of it, the page says which and why, and nothing is lost."""
    seller = fields.get("seller", "")
    if not user.may(Permission.DECIDE, seller):
        raise ForbiddenError
    try:
        batch = _preview(records, user, seller, fields)
    except (NotPossibleError, NotFoundError, UnreadableError) as error:
        form = DecisionForm(fields, str(error), HTTP_422_UNPROCESSABLE_CONTENT)
        return _render_list(page, records, user, form)
    return RedirectResponse(f"{BATCHES}/{batch}", HTTP_303_SEE_OTHER)


@router.api_route(BATCHES + "/{batch_id}", methods=READ_METHODS)
def show_batch(batch_id: UUID, user: ReaderDep, page: PageDep, records: RecordsDep, rows_from: int = 0) -> Response:
    """Show a batch with its sum, its progress and the outcome of each case."""
    return _render_batch(page, records, user, batch_id, rows_from=min(max(rows_from, 0), decision_batches.MAX_CASES))


@router.api_route(BATCHES + "/{batch_id}/report.csv", methods=READ_METHODS)
def show_report(batch_id: UUID, user: ReaderDep, records: RecordsDep) -> Response:
    """Return the outcome of each case of a batch as a table for a spreadsheet program."""
    _require(records, user, Permission.READ_CASES, batch_id)
    with records.work() as work:
        items = work.decision_batches.items(batch_id)
    rows = (
        (
            item.number,
            str(item.case_id),
            str(item.amount).partition(" ")[0] if item.amount else "",
            item.amount.currency if item.amount else "",
            item.outcome or "",
            item.done_at.isoformat() if item.done_at else "",
        )
        for item in items
    )
    header = ("case_number", "case_id", "refund", "currency", "outcome", "done_at")
    return csv_response(f"batch-{batch_id}.csv", header, rows)


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


def _preview(records: Records, user: DeskUser, seller: str, fields: Mapping[str, str]) -> UUID:
    """Store a batch of the typed case numbers, or of all cases of the view from which the user came."""
    decision = _read_decision(fields)
    if not _view_of(fields):
        with records.work() as work:
            cases = _read_cases(work, fields.get("cases", ""))
        return decision_batches.preview(records, seller, cases, decision, by=decided_by(user))
    with records.work() as work:
        query = _query_of(work, user, seller, fields)
    if query.message:
        raise NotPossibleError(query.message)
    return decision_batches.preview_all(records, seller, query.filters, decision, by=decided_by(user))


def _view_of(fields: Mapping[str, str]) -> dict[str, str]:
    """Return the parameters of the queue page from which the user came; empty if the user types case numbers."""
    return {name.removeprefix(_OF_VIEW): value for name, value in fields.items() if name.startswith(_OF_VIEW)}


def _query_of(work: UnitOfWork, user: DeskUser, seller: str, fields: Mapping[str, str]) -> QueueQuery:
    return read_query(work, user, {**_view_of(fields), "seller": seller}, Permission.DECIDE)


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
        view, chosen = _view_of(form.values), form.value("seller") or (sellers[0] if len(sellers) == 1 else "")
        count = None
        if view and chosen:
            query = _query_of(work, user, chosen, form.values)
            filters = replace(query.filters, kinds=("case",))
            count = work.support_tasks.count_open(filters, limit=decision_batches.MAX_CASES + 1)
    return page.render(
        "batches.html",
        status=form.status,
        user=user,
        form=form,
        batches=batches,
        sellers=sellers,
        chosen=chosen,
        view={f"{_OF_VIEW}{name}": value for name, value in view.items()},
        view_address=f"/?{urlencode(view)}",
        count=count,
        max_cases=decision_batches.MAX_CASES,
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


def _render_batch(
    page: Page, records: Records, user: DeskUser, batch_id: UUID, message: str = "", *, rows_from: int = 0
) -> Response:
    batch = _require(records, user, Permission.READ_CASES, batch_id)
    with records.work() as work:
        items = work.decision_batches.items(batch_id, limit=ROWS + 1, offset=rows_from)
    is_running = batch.status is BatchStatus.RUNNING
    return page.render(
        "batch.html",
        status=HTTP_409_CONFLICT if message else 200,
        headers={"refresh": str(REFRESH_SECONDS)} if is_running and not message else {},
        user=user,
        batch=batch,
        items=items[:ROWS],
        rows_from=rows_from,
        next_rows=rows_from + ROWS if len(items) > ROWS else None,
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
