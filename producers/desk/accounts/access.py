"""Who uses the desk, and what the user may do: FastAPI dependencies for the desk's pages.

A page asks for ``AgentDep``, or for a user with a permission: ``Annotated[DeskUser, Depends(require(Permission.DECIDE))]``.
A page about one seller's data then calls ``authorize``.
"""

from collections.abc import Callable
from typing import Annotated
from urllib.parse import quote, urlencode

from fastapi import Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER, HTTP_403_FORBIDDEN

from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from producers.desk.accounts.cookies import read_cookie
from producers.web.dependencies import RecordsDep, SettingsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, page_for
from records.desk_sessions import Session

SIGN_IN, PASSWORD, TOTP = "/sign-in", "/account/password", "/account/two-step"  # paths


class RedirectError(Exception):
    """The page cannot be shown before the user has opened another page, such as the sign-in."""

    def __init__(self, path: str) -> None:
        super().__init__(f"The user must open {path} first.")
        self.path = path


class ForbiddenError(Exception):
    """The user's roles do not allow this action."""


def get_session(request: Request, records: RecordsDep, settings: SettingsDep) -> Session:
    """Return the session of the request's cookie, or redirect to the sign-in."""
    if token := read_cookie(request, settings.desk):
        with records.work() as work:
            session = work.desk_sessions.open(token, idle_seconds=settings.desk.session_idle_seconds)
        if session is not None:
            return session
    raise RedirectError(_sign_in_address(request))


SessionDep = Annotated[Session, Depends(get_session)]
"""The session of a user who may still have to change the password or to set up the second factor. Few pages use it."""


def get_agent(session: SessionDep, settings: SettingsDep) -> DeskUser:
    """Return the signed-in user. Redirect a user who must first change the password or set up the second factor."""
    if session.must_change_password and not session.by_provider:
        raise RedirectError(PASSWORD)
    if must_set_up_totp(session, required=settings.desk.totp_required):
        raise RedirectError(TOTP)
    return session.user


AgentDep = Annotated[DeskUser, Depends(get_agent)]
"""The signed-in user of the desk."""


def must_set_up_totp(session: Session, *, required: bool) -> bool:
    """Return whether the user must set up the second factor. After a sign-in at a provider, the provider decides about it."""
    return required and session.user.needs_totp and not (session.has_totp or session.by_provider)


def require(permission: Permission) -> Callable[[DeskUser], DeskUser]:
    """Return a dependency: the signed-in user, who must have the permission for at least one seller."""

    def get_user_with_permission(user: AgentDep) -> DeskUser:
        if not user.may_for_any_seller(permission):
            raise ForbiddenError
        return user

    return get_user_with_permission


def authorize(user: DeskUser, permission: Permission, seller_id: str | None) -> None:
    """Raise an error unless the user has the permission for this seller. None means a case without a seller.

    To a user who may not read the seller's cases, the case does not exist. Otherwise, the action is refused.
    """
    if not user.may(Permission.READ_CASES, seller_id):
        raise ProblemError(ProblemCode.NOT_FOUND, "This case doesn’t exist.")
    if not user.may(permission, seller_id):
        raise ForbiddenError


def on_redirect(_: Request, error: Exception) -> Response:
    """Handle a RedirectError."""
    assert isinstance(error, RedirectError)
    return RedirectResponse(error.path, HTTP_303_SEE_OTHER)


def on_forbidden(request: Request, _: Exception) -> Response:
    """Handle a ForbiddenError."""
    return page_for(request).render(
        "problem.html",
        status=HTTP_403_FORBIDDEN,
        title="Your role doesn’t allow this",
        sentence="Nothing was changed. Ask the person who manages the users of your desk.",
    )


def _sign_in_address(request: Request) -> str:
    """Return the address of the sign-in, which leads back to the requested page. A form cannot be sent again."""
    if request.method not in READ_METHODS:
        return SIGN_IN
    path = quote(request.url.path) + (f"?{request.url.query}" if request.url.query else "")
    return SIGN_IN if path == "/" else f"{SIGN_IN}?{urlencode({'next': path})}"
