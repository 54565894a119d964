"""The page on which a seller admin keeps macros: saved decisions with their texts. Agents fill the decision form with a macro."""

from collections.abc import Mapping
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER, HTTP_422_UNPROCESSABLE_CONTENT

from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from producers.desk.accounts.access import ForbiddenError, require
from producers.desk.decision_form import CHOICES, DecisionForm, drafted
from producers.desk.queue import agent_of
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages.forms import FormFieldsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Page
from records import Records

router = APIRouter(include_in_schema=False)

MACROS = "/macros"
MAX_NAME = 100  # characters; a longer name breaks the layout of the case screen

ManagerDep = Annotated[DeskUser, Depends(require(Permission.MANAGE_MACROS))]


@router.api_route(MACROS, methods=READ_METHODS)
def list_macros(user: ManagerDep, page: PageDep, records: RecordsDep) -> Response:
    """List the macros of the user's sellers, and show the form for a new macro."""
    return _render(page, records, user, DecisionForm())


@router.post(MACROS)
def save_macro(user: ManagerDep, page: PageDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Store a macro. A macro with a known name gets a new version."""
    seller, name = _require_seller(user, fields), " ".join(fields.get("name", "").split())
    if not (0 < len(name) <= MAX_NAME and name.isprintable() and fields.get("choice") in CHOICES):
        message = f"Enter a name of up to {MAX_NAME} characters, and choose what to do."
        return _render(page, records, user, DecisionForm(fields, message, HTTP_422_UNPROCESSABLE_CONTENT))
    with records.work() as work:
        work.desk.save_macro(seller, name, drafted(fields), created_by=agent_of(user))
    return RedirectResponse(MACROS, HTTP_303_SEE_OTHER)


@router.post(MACROS + "/retire")
def retire_macro(user: ManagerDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Take a macro out of use. Decisions that were made with it stay as they are."""
    seller = _require_seller(user, fields)
    with records.work() as work:
        if not work.desk.retire_macro(seller, fields.get("name", "")):
            raise ProblemError(ProblemCode.NOT_FOUND, "This macro doesn’t exist, or it is out of use.")
    return RedirectResponse(MACROS, HTTP_303_SEE_OTHER)


def _require_seller(user: DeskUser, fields: Mapping[str, str]) -> str | None:
    """Return the seller of the form; None for all sellers. Raise ForbiddenError if the user does not manage its macros."""
    seller = fields.get("seller") or None
    if not user.may(Permission.MANAGE_MACROS, seller):
        raise ForbiddenError
    return seller


def _render(page: Page, records: Records, user: DeskUser, form: DecisionForm) -> Response:
    with records.work() as work:
        managed = [s.id for s in work.sellers.list_all() if user.may(Permission.MANAGE_MACROS, s.id)]
        macros = {macro.id: macro for seller in managed for macro in work.desk.macros(seller)}
    for_all = user.may(Permission.MANAGE_MACROS, None)
    return page.render(
        "macros.html",
        status=form.status,
        user=user,
        form=form,
        sellers=managed,
        for_all=for_all,
        macros=[macro for macro in macros.values() if macro.seller_id or for_all],
        choices=CHOICES,
    )
