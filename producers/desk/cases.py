"""The case screen of the desk: everything about a case on one page, the decision form, drafts and notes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER, HTTP_409_CONFLICT, HTTP_422_UNPROCESSABLE_CONTENT

from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from domain.errors import NotPossibleError, OutdatedError, UnreadableError
from domain.money import Money
from domain.purchases import Purchase
from domain.reason_codes import ReasonCode
from domain.redaction import without_cards
from domain.support_decisions import OVERRULABLE, DecidedBy, DecisionStatus
from producers import decisions
from producers.desk.accounts.access import AgentDep, authorize, require
from producers.desk.decision_form import CHOICES, DecisionForm, action_of, drafted, read
from producers.desk.queue import DeciderDep, agent_of
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages import case_copy
from producers.web.pages.forms import FormFieldsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Page
from records import Records, UnitOfWork
from records.case_views import CaseView
from records.support_decisions import StoredDecision
from records.support_tasks import OpenTask

router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.READ_CASES))])

MAX_NOTE = 4_000  # characters
ConfirmerDep = Annotated[DeskUser, Depends(require(Permission.CONFIRM_DECISIONS))]


@router.api_route("/cases", methods=READ_METHODS)
@router.api_route("/cases/{case}", methods=READ_METHODS)
def show_case(case: str, user: AgentDep, page: PageDep, records: RecordsDep, macro: UUID | None = None) -> Response:
    """Show the case with this case number or id. A ``macro`` fills the decision form, but decides nothing."""
    with records.work() as work:
        try:
            view = work.case_views.find(case)
        except UnreadableError as error:
            raise ProblemError(ProblemCode.NOT_FOUND, str(error)) from None
        view = _require(user, Permission.READ_CASES, view)
        chosen = next((known for known in work.desk.macros(view.seller) if known.id == macro), None) if macro else None
        draft = chosen.fields if chosen else work.desk.draft(agent_of(user), view.id)
        return _render(page, work, user, view, DecisionForm(draft))


@router.post("/cases/{case_id}/decisions")
def decide(case_id: UUID, user: DeciderDep, page: PageDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Decide the case, or store what the agent typed. If the decision is refused, the page shows why, and nothing is lost."""
    with records.work() as work:
        view = _require(user, Permission.DECIDE, work.case_views.get(case_id))
        purchase = work.purchases.get(view.purchase) if view.purchase else None
        work.desk.save_draft(agent_of(user), case_id, drafted(fields))
    if fields.get("do") == "save":
        return RedirectResponse(f"/cases/{case_id}", HTTP_303_SEE_OTHER)
    try:
        submission = decisions.Submission(
            case_id=case_id,
            decision=read(fields, purchase.currency if purchase else None),
            revision=fields.get("revision", ""),
            source=agent_of(user),
            key=fields.get("nonce", ""),
            by=decided_by(user),
        )
        decisions.decide(records, submission)
    except OutdatedError as error:
        message = f"{error} Nothing was decided. Look at the case again, then decide."
        return _refused(page, records, user, case_id, DecisionForm(fields, message, HTTP_409_CONFLICT))
    except (NotPossibleError, UnreadableError) as error:
        form = DecisionForm(fields, str(error), HTTP_422_UNPROCESSABLE_CONTENT)
        return _refused(page, records, user, case_id, form)
    with records.work() as work:
        work.desk.delete_draft(agent_of(user), case_id)
        _save_opinion(work, user, view, fields)
    return RedirectResponse(f"/cases/{case_id}", HTTP_303_SEE_OTHER)


@router.post("/cases/{case_id}/notes")
def add_note(case_id: UUID, user: DeciderDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Store an internal note about the case."""
    text = without_cards(fields.get("text", "").strip())[:MAX_NOTE]
    with records.work() as work:
        _require(user, Permission.DECIDE, work.case_views.get(case_id))
        if text:
            note = _nonce(fields)
            work.desk.add_note(note, case_id, agent=agent_of(user), agent_name=user.name, text=text)
    return RedirectResponse(f"/cases/{case_id}", HTTP_303_SEE_OTHER)


@router.post("/cases/{case_id}/decisions/{decision_id}/undo")
def undo(case_id: UUID, decision_id: UUID, user: DeciderDep, page: PageDep, records: RecordsDep) -> Response:
    """Take a decision back before its refund is sent."""
    with records.work() as work:
        view = _require(user, Permission.DECIDE, work.case_views.get(case_id))
    try:
        decisions.undo(records, decision_id, by=decided_by(user), seller=view.seller)
    except NotPossibleError as error:
        return _refused(page, records, user, case_id, DecisionForm(message=str(error), status=HTTP_409_CONFLICT))
    return RedirectResponse(f"/cases/{case_id}", HTTP_303_SEE_OTHER)


@router.post("/cases/{case_id}/decisions/{decision_id}/confirm")
def confirm(
    case_id: UUID,
    decision_id: UUID,
    user: ConfirmerDep,
    page: PageDep,
    records: RecordsDep,
    fields: FormFieldsDep,
) -> Response:
    """Confirm or reject the decision of another person."""
    with records.work() as work:
        view = _require(user, Permission.CONFIRM_DECISIONS, work.case_views.get(case_id))
    try:
        if fields.get("do") == "reject":
            decisions.reject(records, decision_id, by=decided_by(user), seller=view.seller)
        else:
            revision = fields.get("revision", "")
            decisions.confirm(records, decision_id, revision=revision, by=decided_by(user), seller=view.seller)
    except (NotPossibleError, OutdatedError, UnreadableError) as error:
        return _refused(page, records, user, case_id, DecisionForm(message=str(error), status=HTTP_409_CONFLICT))
    return RedirectResponse(f"/cases/{case_id}", HTTP_303_SEE_OTHER)


def decided_by(user: DeskUser) -> DecidedBy:
    """Return who decides, as the history names the user."""
    return DecidedBy(id=agent_of(user), name=user.name)


def _nonce(fields: Mapping[str, str]) -> UUID:
    """Return the id of the form, so that a form that is sent twice counts once."""
    try:
        return UUID(fields.get("nonce", ""))
    except ValueError:
        return uuid4()


def _require(user: DeskUser, permission: Permission, view: CaseView | None) -> CaseView:
    if view is None:
        raise ProblemError(ProblemCode.NOT_FOUND, "This case doesn’t exist.")
    authorize(user, permission, view.seller)
    return view


def _save_opinion(work: UnitOfWork, user: DeskUser, view: CaseView, fields: Mapping[str, str]) -> None:
    """Store whether the rules were right to stop the request. The agent answers with one key, or not at all."""
    if (opinion := fields.get("was_right", "")) in {"yes", "no"}:
        for code in _overrulable(view, None):
            work.desk.save_opinion(view.id, code, was_right=opinion == "yes", agent=agent_of(user))


def _refused(page: Page, records: Records, user: DeskUser, case_id: UUID, form: DecisionForm) -> Response:
    with records.work() as work:
        view = _require(user, Permission.READ_CASES, work.case_views.get(case_id))
        return _render(page, work, user, view, form)


def _overrulable(view: CaseView, purchase: Purchase | None) -> list[ReasonCode]:
    """Return the broken rules that a person may overrule. An earlier part of a refund breaks a rule, too."""
    codes = [code for reason in view.reasons if (code := _CODES.get(reason["code"])) in OVERRULABLE]
    if purchase and purchase.refunded:
        codes.append(ReasonCode.ALREADY_REFUNDED)
    return [code for code in dict.fromkeys(codes) if code]


_CODES = {code.value: code for code in ReasonCode}


@dataclass(frozen=True, slots=True)
class _Holder:
    """Who has taken the task of the case."""

    task: OpenTask | None
    name: str = ""
    is_user: bool = False


def _holder_of(work: UnitOfWork, user: DeskUser, view: CaseView) -> _Holder:
    task = work.support_tasks.of_case(view.id)
    if task is None or task.assigned_to is None or task.assigned_until is None or task.assigned_until <= work.now:
        return _Holder(task)
    if task.assigned_to == agent_of(user):
        return _Holder(task, user.name, is_user=True)
    names = {f"user:{listed.user.id}": listed.user.name for listed in work.desk_users.list_all()}
    return _Holder(task, names.get(task.assigned_to, "Another agent"))


def _render(page: Page, work: UnitOfWork, user: DeskUser, view: CaseView, form: DecisionForm) -> Response:
    purchase = work.purchases.get(view.purchase) if view.purchase else None
    decided = work.support_decisions.for_case(view.id)
    return page.render(
        "case.html",
        status=form.status,
        user=user,
        view=view,
        form=form,
        choices=_choices(work, view, purchase),
        purchase=purchase,
        amount=case_copy.amount_of(view, page.translator),
        another_way=_another_way(purchase),
        payments=list(zip(case_copy.payment_lines(view, page.translator), view.payments, strict=False)),
        history=work.history.for_case(view.id),
        answers=work.support_decisions.answers(view.id),
        notes=work.desk.notes(view.id),
        macros=work.desk.macros(view.seller),
        decisions=decided,
        proposed=_newest(decided, DecisionStatus.PROPOSED),
        undoable=_undoable(work, view, decided),
        revision=work.support_decisions.revisions([view.id])[view.id],
        overrulable=_overrulable(view, purchase),
        holder=_holder_of(work, user, view),
        nonce=uuid4(),
        may_decide=user.may(Permission.DECIDE, view.seller),
        may_confirm=user.may(Permission.CONFIRM_DECISIONS, view.seller),
        agent=agent_of(user),
        sentence=case_copy.sentence_for_support,
    )


def _choices(work: UnitOfWork, view: CaseView, purchase: Purchase | None) -> dict[str, str]:
    """Return the choices of the form that the case allows now."""
    operations = work.refund_operations.for_cases([view.id]).get(view.id, [])
    actions = decisions.possible_actions(view.state, operations, purchase)
    return {choice: label for choice, label in CHOICES.items() if action_of(choice) in actions}


def _another_way(purchase: Purchase | None) -> Money | None:
    """Return what support refunded in ways that no provider shows; None if that is nothing."""
    if purchase is None or purchase.currency is None or not purchase.refunded_another_way:
        return None
    return Money(purchase.refunded_another_way, purchase.currency)


def _newest(decided: list[StoredDecision], status: DecisionStatus) -> StoredDecision | None:
    return next((decision for decision in reversed(decided) if decision.status is status), None)


def _undoable(work: UnitOfWork, view: CaseView, decided: list[StoredDecision]) -> StoredDecision | None:
    """Return the decision that can still be taken back, because its refund waits."""
    newest = _newest(decided, DecisionStatus.APPLIED)
    can_undo = newest and newest.undo_until and newest.undo_until > work.now and newest.applied_seq == view.decided_seq
    return newest if can_undo else None
