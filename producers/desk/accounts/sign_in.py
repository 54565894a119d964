"""Pages to sign in and out. The sign-in asks for the password and the code together, so nobody can test a password alone."""

from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.requests import HTTPConnection, Request
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER

from domain.desk_events import DeskEvent
from producers.desk.accounts.access import SIGN_IN
from producers.desk.accounts.authentication import Authenticator, Origin, SignedIn
from producers.desk.accounts.cookies import delete_cookie, local_path, read_cookie, set_cookie
from producers.desk.accounts.form import Form, render
from producers.web.dependencies import PageDep, RecordsDep, SettingsDep
from producers.web.pages.forms import FormFieldsDep
from producers.web.templating import READ_METHODS

WRONG = "The email address, the password or the code isn’t right."

router = APIRouter(include_in_schema=False)


async def get_authenticator(connection: HTTPConnection) -> Authenticator:
    """Return the object that signs users in."""
    authenticator = connection.app.state.authenticator
    assert isinstance(authenticator, Authenticator)
    return authenticator


AuthenticatorDep = Annotated[Authenticator, Depends(get_authenticator)]


@router.api_route(SIGN_IN, methods=READ_METHODS)
def show_sign_in(request: Request, page: PageDep, settings: SettingsDep) -> Response:
    """Show the sign-in."""
    values = {"next": local_path(request.query_params.get("next", "/"))}
    return render(page, "sign_in.html", Form(values), with_provider=bool(settings.desk.oidc_issuer))


@router.post(SIGN_IN)
def sign_in(
    request: Request, page: PageDep, settings: SettingsDep, authenticator: AuthenticatorDep, fields: FormFieldsDep
) -> Response:
    """Sign a user in with a new session."""
    result = authenticator.sign_in(
        fields.get("email", ""),
        fields.get("password", ""),
        fields.get("code", ""),
        Origin.of(request),
        replaces=read_cookie(request, settings.desk),
    )
    next_path = local_path(fields.get("next", "/"))
    if not isinstance(result, SignedIn):
        form = Form.after(result, {**fields, "next": next_path}, WRONG)
        return render(page, "sign_in.html", form, with_provider=bool(settings.desk.oidc_issuer))
    response = RedirectResponse(next_path, HTTP_303_SEE_OTHER)
    set_cookie(response, settings.desk, result.token)
    return response


@router.post("/sign-out")
def sign_out(request: Request, records: RecordsDep, settings: SettingsDep) -> Response:
    """End the session of this browser, and delete its cookie."""
    with records.work() as work:
        session = work.desk_sessions.open(
            read_cookie(request, settings.desk), idle_seconds=settings.desk.session_idle_seconds
        )
        if session:
            user = session.user.id
            work.desk_sessions.end(session.id, user, event=DeskEvent.SIGNED_OUT, actor=user)
    response = RedirectResponse(SIGN_IN, HTTP_303_SEE_OTHER)
    delete_cookie(response, settings.desk)
    return response
