"""Pages on which users with MANAGE_USERS invite users, change roles and end sessions, each for their own sellers.

A role for all sellers is given and taken only by a user who manages the users of all sellers. Nobody changes the own roles.
"""

from collections.abc import Mapping
from typing import Annotated
from uuid import UUID

from email_validator import EmailNotValidError, validate_email
from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER

from domain.desk_roles import Permission, Role
from domain.desk_users import DeskUser, RoleGrant
from producers.desk.accounts.access import ForbiddenError, require
from producers.desk.accounts.form import Form, render
from producers.web.dependencies import PageDep, RecordsDep, SettingsDep
from producers.web.pages.forms import FormFieldsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Page
from records import UnitOfWork
from records.desk_users import ListedUser

router = APIRouter(include_in_schema=False)

USERS = "/users"
_MAX_NAME = 100  # characters; longer names break the layout of the pages

ManagerDep = Annotated[DeskUser, Depends(require(Permission.MANAGE_USERS))]
EventReaderDep = Annotated[DeskUser, Depends(require(Permission.READ_EVENTS))]


@router.api_route(USERS, methods=READ_METHODS)
def list_users(manager: ManagerDep, page: PageDep, records: RecordsDep) -> Response:
    """List the users with a role for one of the manager's sellers."""
    with records.work() as work:
        return _list_page(page, work, manager, Form())


@router.post(USERS)
def invite_user(
    manager: ManagerDep, page: PageDep, records: RecordsDep, settings: SettingsDep, fields: FormFieldsDep
) -> Response:
    """Add a user with one role, and show the invitation once."""
    email, name = fields.get("email", "").strip(), " ".join(fields.get("name", "").split())
    grant = _read_grant(fields)
    _require_may_grant(manager, grant)
    is_name = 0 < len(name) <= _MAX_NAME and name.isprintable()
    errors = {"email": _email_error(email), "name": "" if is_name else "Enter a name."}
    with records.work() as work:
        _require_seller(work, grant)
        if any(errors.values()):
            return _list_page(page, work, manager, Form.refused(fields, errors))
        user = work.desk_users.add(email, name, [grant], actor=manager.id)
        if user is None:
            errors["email"] = "A user has this email address. Ask who manages the users of all sellers to add a role."
            return _list_page(page, work, manager, Form.refused(fields, errors))
        token = work.desk_users.invite(user, seconds=settings.desk.invitation_seconds, actor=manager.id)
    link = f"{settings.desk.url}/invitation/{token}"
    return page.render("invitation_link.html", user=manager, email=email, link=link, settings=settings.desk)


@router.post("/users/{user_id}/roles")
def change_roles(user_id: UUID, manager: ManagerDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Give a role to a user, or take a role from a user."""
    grant = _read_grant(fields)
    _require_may_grant(manager, grant)
    with records.work() as work:
        _require_seller(work, grant)
        work.desk_users.lock(user_id)
        grants = _find(work, manager, user_id).user.grants
        changed = grants - {grant} if fields.get("action") == "take" else grants | {grant}
        if changed != grants:
            work.desk_users.set_grants(user_id, changed, actor=manager.id)
    return RedirectResponse(USERS, HTTP_303_SEE_OTHER)


@router.post("/users/{user_id}/end-sessions")
def end_sessions(user_id: UUID, manager: ManagerDep, records: RecordsDep) -> Response:
    """End all sessions of a user."""
    with records.work() as work:
        _find(work, manager, user_id)
        work.desk_sessions.end_all(user_id, actor=manager.id)
    return RedirectResponse(USERS, HTTP_303_SEE_OTHER)


@router.api_route("/users/events", methods=READ_METHODS)
def list_events(reader: EventReaderDep, page: PageDep, records: RecordsDep) -> Response:
    """List the newest events about the users of the reader's sellers. Events about strangers are for readers of all sellers."""
    with records.work() as work:
        sellers = reader.sellers(Permission.READ_EVENTS)
        users = None if sellers is None else [listed.user.id for listed in _users_of(work, sellers)]
        events = work.desk_events.newest(users=users)
    return page.render("user_events.html", user=reader, events=events)


def _list_page(page: Page, work: UnitOfWork, manager: DeskUser, form: Form) -> Response:
    managed = manager.sellers(Permission.MANAGE_USERS)
    sellers = [seller.id for seller in work.sellers.list_all() if managed is None or seller.id in managed]
    return render(
        page,
        "users.html",
        form,
        user=manager,
        users=_users_of(work, managed),
        sellers=sellers,
        for_all=managed is None,
        all_roles=list(Role),
        may_take=lambda grant: manager.may_grant([grant]),
    )


def _users_of(work: UnitOfWork, sellers: frozenset[str] | None) -> list[ListedUser]:
    """Return the users with a role for one of these sellers. None means all users."""
    users = work.desk_users.list_all()
    if sellers is None:
        return users
    return [listed for listed in users if any(grant.seller_id in sellers for grant in listed.user.grants)]


def _find(work: UnitOfWork, manager: DeskUser, user_id: UUID) -> ListedUser:
    """Return a user whom the manager sees. Another user does not exist for the manager; the manager's own roles are fixed."""
    found = [
        listed for listed in _users_of(work, manager.sellers(Permission.MANAGE_USERS)) if listed.user.id == user_id
    ]
    if not found:
        raise ProblemError(ProblemCode.NOT_FOUND, "This user doesn’t exist.")
    if user_id == manager.id:
        raise ForbiddenError
    return found[0]


def _read_grant(fields: Mapping[str, str]) -> RoleGrant:
    """Return the role and the seller of the form. The form offers only roles that exist."""
    if fields.get("role") not in frozenset(Role):
        raise ProblemError(ProblemCode.VALIDATION_FAILED, "Choose a role from the list.")
    return RoleGrant(Role(fields["role"]), fields.get("seller", ""))


def _require_seller(work: UnitOfWork, grant: RoleGrant) -> None:
    if grant.seller_id and grant.seller_id not in {seller.id for seller in work.sellers.list_all()}:
        raise ProblemError(ProblemCode.VALIDATION_FAILED, "Choose a seller from the list.")


def _require_may_grant(manager: DeskUser, grant: RoleGrant) -> None:
    if not manager.may_grant([grant]):
        raise ForbiddenError


def _email_error(email: str) -> str:
    try:
        validate_email(email, check_deliverability=False)
    except EmailNotValidError:
        return "Enter a complete email address, like name@example.com."
    return ""
