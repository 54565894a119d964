"""The case screen of the desk: everything about a case on one page, the decision form, drafts and notes."""

from collections.abc import Mapping
from functools import partial
from typing import Annotated
from uuid import UUID, uuid4

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response
from starlette.status import (
    HTTP_204_NO_CONTENT,
    HTTP_303_SEE_OTHER,
    HTTP_409_CONFLICT,
    HTTP_422_UNPROCESSABLE_CONTENT,
)

from config.i18n import english_name, language_for
from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from domain.errors import NotPossibleError, OutdatedError, UnreadableError
from domain.redaction import without_cards
from domain.support_decisions import DecidedBy
from producers import decisions
from producers.desk import case_copy
from producers.desk.accounts.access import AgentDep, authorize, require
from producers.desk.case_file import CaseFile, load, overrulable
from producers.desk.decision_form import CHOICES, DecisionForm, action_of, drafted, read
from producers.desk.email_previews import preview_emails
from producers.desk.provider_view import name_of
from producers.desk.queue import ENDS_SOON, LEASE_SECONDS, DeciderDep, agent_of
from producers.desk.services import DeskServices, DeskServicesDep
from producers.desk.thread import thread_of
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages.case_copy import sentence_for_support
from producers.web.pages.forms import FormFieldsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Page
from records import Records, UnitOfWork
from records.case_views import CaseView

router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.READ_CASES))])

MAX_NOTE = 4_000  # characters
SAVED_AT = "draft-saved-at"
"""The header with the instant at which a draft was saved."""
ConfirmerDep = Annotated[DeskUser, Depends(require(Permission.CONFIRM_DECISIONS))]

KEYS: Mapping[str, str] = {"full": "a", "partial": "p", "decline": "d", "ask": "r"}
"""The keys of choices: approve, part, decline, reply. The page itself has the keys N (next task) and J (jot a note down)."""


@router.api_route("/cases", methods=READ_METHODS)
@router.api_route("/cases/{case}", methods=READ_METHODS)
def show_case(
    case: str,
    user: AgentDep,
    page: PageDep,
    records: RecordsDep,
    services: DeskServicesDep,
    macro: UUID | None = None,
) -> Response:
    """Show the case with this case number or id. A ``macro`` fills the decision form, but decides nothing."""
    with records.work() as work:
        try:
            view = work.case_views.find(case)
        except UnreadableError as error:
            raise ProblemError(ProblemCode.NOT_FOUND, str(error)) from None
        file = load(work, user, _require(user, Permission.READ_CASES, view))
    chosen = next((known for known in file.content.macros if known.id == macro), None) if macro else None
    form = DecisionForm(chosen.fields if chosen else file.content.draft)
    return _render(page, services, user, file, form)


@router.post("/cases/{case_id}/decisions")
def decide(
    case_id: UUID,
    user: DeciderDep,
    page: PageDep,
    records: RecordsDep,
    services: DeskServicesDep,
    fields: FormFieldsDep,
) -> Response:
    """Decide the case, preview the e-mail, or store what the agent typed.

    If the decision is refused, the page shows why, and nothing is lost.
    """
    with records.work() as work:
        view = _require(user, Permission.DECIDE, work.case_views.get(case_id))
        purchase = work.purchases.get(view.purchase) if view.purchase else None
        saved_at = _save_draft(work, user, case_id, fields)
    match fields.get("do"):
        case "autosave":
            return Response(status_code=HTTP_204_NO_CONTENT, headers={SAVED_AT: saved_at})
        case "save":
            return RedirectResponse(f"/cases/{case_id}", HTTP_303_SEE_OTHER)
        case "preview":
            return _show_again(page, records, services, user, case_id, DecisionForm(fields, is_preview=True))
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
        return _show_again(page, records, services, user, case_id, DecisionForm(fields, message, HTTP_409_CONFLICT))
    except (NotPossibleError, UnreadableError) as error:
        form = DecisionForm(fields, str(error), HTTP_422_UNPROCESSABLE_CONTENT)
        return _show_again(page, records, services, user, case_id, form)
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
def undo(
    case_id: UUID,
    decision_id: UUID,
    user: DeciderDep,
    page: PageDep,
    records: RecordsDep,
    services: DeskServicesDep,
) -> Response:
    """Take a decision back before its refund is sent, or while the user's own decision waits for a second person."""
    with records.work() as work:
        view = _require(user, Permission.DECIDE, work.case_views.get(case_id))
    try:
        decisions.undo(records, decision_id, by=decided_by(user), seller=view.seller)
    except NotPossibleError as error:
        return _show_again(
            page, records, services, user, case_id, DecisionForm(message=str(error), status=HTTP_409_CONFLICT)
        )
    return RedirectResponse(f"/cases/{case_id}", HTTP_303_SEE_OTHER)


@router.post("/cases/{case_id}/decisions/{decision_id}/confirm")
def confirm(
    case_id: UUID,
    decision_id: UUID,
    user: ConfirmerDep,
    page: PageDep,
    records: RecordsDep,
    services: DeskServicesDep,
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
        return _show_again(
            page, records, services, user, case_id, DecisionForm(message=str(error), status=HTTP_409_CONFLICT)
        )
    return RedirectResponse(f"/cases/{case_id}", HTTP_303_SEE_OTHER)


def decided_by(user: DeskUser) -> DecidedBy:
    """Return who decides, as the history names the user."""
    return DecidedBy(id=agent_of(user), name=user.name)


def _save_draft(work: UnitOfWork, user: DeskUser, case_id: UUID, fields: Mapping[str, str]) -> str:
    """Save the draft, and return the instant. If this form has decided the case already, save nothing.

    The script of the page saves the draft when the page is closed, which may be after the decision.
    """
    if work.support_decisions.find(agent_of(user), fields.get("nonce", "")):
        return ""
    task = work.support_tasks.of_case(case_id)
    if task and task.assigned_to == agent_of(user):  # an agent who types keeps the task
        work.support_tasks.take(task.id, agent_of(user), seconds=LEASE_SECONDS)
    return work.desk.save_draft(agent_of(user), case_id, drafted(fields)).isoformat()


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
        for code in overrulable(view, None):
            work.desk.save_opinion(view.id, code, was_right=opinion == "yes", agent=agent_of(user))


def _show_again(
    page: Page, records: Records, services: DeskServices, user: DeskUser, case_id: UUID, form: DecisionForm
) -> Response:
    """Show the case again, with what the agent typed."""
    with records.work() as work:
        view = _require(user, Permission.READ_CASES, work.case_views.get(case_id))
        file = load(work, user, view)
    return _render(page, services, user, file, form)


def _render(page: Page, services: DeskServices, user: DeskUser, file: CaseFile, form: DecisionForm) -> Response:
    """Return the page. The e-mails are rendered after the transaction has ended."""
    view, may_decide = file.view, user.may(Permission.DECIDE, file.view.seller)
    choices = _choices(file) if may_decide and not file.proposed else {}
    has_form = bool(choices) and (file.is_held_by_user or not file.holder)
    return page.render(
        "case.html",
        status=form.status,
        user=user,
        agent=agent_of(user),
        file=file,
        view=view,
        form=form,
        thread=thread_of(view, file.thread),
        timeline=case_copy.timeline(file.history, file.decisions, file.thread),
        rules_line=case_copy.rules_line(file.history),
        kept_rules=case_copy.kept_rule_names(file.history),
        choices=choices,
        has_form=has_form,
        previews=preview_emails(services.render_email, file.preview_facts, form.values, list(choices))
        if has_form
        else {},
        keys=KEYS,
        links={facts.payment.id: services.provider_links.to(*facts.payment.id) for facts in file.payments},
        provider_name=name_of,
        nonce=uuid4(),
        may_decide=may_decide,
        ends_soon=ENDS_SOON,
        may_confirm=user.may(Permission.CONFIRM_DECISIONS, view.seller),
        may_take_next=user.may_for_any_seller(Permission.DECIDE),
        customer_language=english_name(language_for(view.locale)),
        copy=case_copy,
        sentence=sentence_for_support,
        amount=partial(case_copy.money, page.translator),
    )


def _choices(file: CaseFile) -> dict[str, str]:
    """Return the choices of the form that the case allows now, with their labels."""
    return {choice: label for choice, label in CHOICES.items() if action_of(choice) in file.actions}
