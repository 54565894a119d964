"""The pages on which users see their roles and sessions, change the password, and set up the second factor."""

import time
from uuid import UUID

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER

from domain.desk_events import DeskEvent
from producers.desk.accounts import passwords, totp
from producers.desk.accounts.access import PASSWORD, TOTP, AgentDep, SessionDep, must_set_up_totp
from producers.desk.accounts.authentication import Origin
from producers.desk.accounts.form import Form, render
from producers.desk.accounts.invitations import new_password_errors
from producers.desk.accounts.sign_in import AuthenticatorDep
from producers.web.dependencies import PageDep, RecordsDep, SettingsDep
from producers.web.pages.forms import FormFieldsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS

router = APIRouter(include_in_schema=False)

ACCOUNT = "/account"
_WRONG_PASSWORD = "Your current password isn’t right. Nothing was changed."  # noqa: S105  # a sentence
_WRONG_CODE = "This code isn’t right. Wait for the next code of your app, and type it here."


@router.api_route(ACCOUNT, methods=READ_METHODS)
def show_account(
    user: AgentDep, session: SessionDep, page: PageDep, records: RecordsDep, settings: SettingsDep
) -> Response:
    """Show the user's roles, second factor and sessions."""
    with records.work() as work:
        sessions = work.desk_sessions.for_user(user.id, idle_seconds=settings.desk.session_idle_seconds)
        codes_left = work.desk_users.recovery_codes_left(user.id)
    return page.render(
        "account.html", user=user, session=session, sessions=sessions, grants=sorted(user.grants), codes_left=codes_left
    )


@router.post("/account/sessions/{session_id}/end")
def end_session(session_id: UUID, user: AgentDep, records: RecordsDep) -> Response:
    """End one of the user's sessions."""
    with records.work() as work:
        if not work.desk_sessions.end(session_id, user.id, event=DeskEvent.SESSION_ENDED, actor=user.id):
            raise ProblemError(ProblemCode.NOT_FOUND, "This session has already ended.")
    return RedirectResponse(ACCOUNT, HTTP_303_SEE_OTHER)


@router.post("/account/sessions/end-others")
def end_other_sessions(user: AgentDep, session: SessionDep, records: RecordsDep) -> Response:
    """End all sessions of the user except this one."""
    with records.work() as work:
        work.desk_sessions.end_all(user.id, actor=user.id, keep=session.id)
    return RedirectResponse(ACCOUNT, HTTP_303_SEE_OTHER)


@router.api_route(PASSWORD, methods=READ_METHODS)
def show_password(session: SessionDep, page: PageDep) -> Response:
    """Show the form for a new password."""
    return render(page, "password.html", Form(), user=session.user, must_change=session.must_change_password)


@router.post(PASSWORD)
def change_password(
    request: Request,
    session: SessionDep,
    page: PageDep,
    records: RecordsDep,
    authenticator: AuthenticatorDep,
    fields: FormFieldsDep,
) -> Response:
    """Change the password of the user, and end the user's other sessions."""
    user, form = session.user, None
    if errors := new_password_errors(fields, user.email):
        form = Form.refused(fields, errors)
    elif refusal := authenticator.check_password(user.email, fields.get("password", ""), Origin.of(request)):
        form = Form.after(refusal, fields, _WRONG_PASSWORD)
    elif fields["new_password"] == fields["password"]:
        form = Form.refused(fields, {"new_password": "This is your current password. Choose a new one."})
    if form:
        return render(page, "password.html", form, user=user, must_change=session.must_change_password)
    password_hash = passwords.hash_password(fields["new_password"])
    with records.work() as work:
        work.desk_users.set_password(user.id, password_hash, keep=session.id)
    return RedirectResponse(ACCOUNT, HTTP_303_SEE_OTHER)


@router.api_route(TOTP, methods=READ_METHODS)
def show_totp(session: SessionDep, page: PageDep, settings: SettingsDep) -> Response:
    """Show the QR code of a new second factor. Nothing is stored before the user has typed a code of the app."""
    return _totp_page(session, page, settings, Form({"seed": totp.new_seed().hex()}))


@router.post(TOTP)
def set_up_totp(
    request: Request,
    session: SessionDep,
    page: PageDep,
    records: RecordsDep,
    settings: SettingsDep,
    authenticator: AuthenticatorDep,
    fields: FormFieldsDep,
) -> Response:
    """Set the second factor of the user, and show the recovery codes once."""
    seed = totp.read_seed(fields.get("seed", ""))
    if seed is None:
        raise ProblemError(ProblemCode.VALIDATION_FAILED, "We couldn’t read this form. Please open it again.")
    codes = totp.Totp(settings.secret_key.get_secret_value())
    step = codes.matching_step(seed, fields.get("code", ""), time.time())
    if step is None:
        return _totp_page(session, page, settings, Form.refused(fields, {"code": _WRONG_CODE}))
    if refusal := authenticator.check_password(session.user.email, fields.get("password", ""), Origin.of(request)):
        return _totp_page(session, page, settings, Form.after(refusal, fields, _WRONG_PASSWORD))
    recovery_codes = totp.new_recovery_codes()
    with records.work() as work:
        work.desk_users.set_totp(session.user.id, seed, step, recovery_codes, keep=session.id)
    return page.render("recovery_codes.html", user=session.user, codes=recovery_codes)


@router.post("/account/two-step/remove")
def remove_totp(
    request: Request,
    session: SessionDep,
    page: PageDep,
    records: RecordsDep,
    settings: SettingsDep,
    authenticator: AuthenticatorDep,
    fields: FormFieldsDep,
) -> Response:
    """Remove the second factor of the user. A user who needs one then sets up a new one."""
    if refusal := authenticator.check_password(session.user.email, fields.get("password", ""), Origin.of(request)):
        form = Form.after(refusal, {"seed": totp.new_seed().hex()}, _WRONG_PASSWORD)
        return _totp_page(session, page, settings, form)
    with records.work() as work:
        work.desk_users.remove_totp(session.user.id)
    return RedirectResponse(ACCOUNT, HTTP_303_SEE_OTHER)


def _totp_page(session: SessionDep, page: PageDep, settings: SettingsDep, form: Form) -> Response:
    seed = totp.read_seed(form.values["seed"])
    assert seed, "The caller has checked the seed."
    codes = totp.Totp(settings.secret_key.get_secret_value())
    return render(
        page,
        "two_step.html",
        form,
        user=session.user,
        session=session,
        must_set_up=must_set_up_totp(session, required=settings.desk.totp_required),
        qr=totp.qr_code(codes.uri(seed, session.user.email)),
        setup_key=codes.setup_key(seed),
    )
