"""The page of an invitation, on which a user sets the password."""

from fastapi import APIRouter
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER

from producers.desk.accounts import passwords
from producers.desk.accounts.access import SIGN_IN
from producers.desk.accounts.form import Form, render
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages.forms import FormFieldsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS

router = APIRouter(include_in_schema=False)

_INVALID = "This invitation has ended or was used. Ask for a new one."


@router.api_route("/invitation/{token}", methods=READ_METHODS)
def show_invitation(token: str, page: PageDep, records: RecordsDep) -> Response:
    """Show the form for the password."""
    return render(page, "invitation.html", Form(), token=token, email=_invited(records, token))


@router.post("/invitation/{token}")
def accept_invitation(token: str, page: PageDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Set the password of the invited user."""
    email = _invited(records, token)
    password = fields.get("new_password", "")
    if errors := new_password_errors(fields, email):
        return render(page, "invitation.html", Form.refused(fields, errors), token=token, email=email)
    password_hash = passwords.hash_password(password)
    with records.work() as work:
        if work.desk_users.accept_invitation(token, password_hash) is None:
            raise ProblemError(ProblemCode.NOT_FOUND, _INVALID)
    return RedirectResponse(SIGN_IN, HTTP_303_SEE_OTHER)


def new_password_errors(fields: FormFieldsDep, email: str) -> dict[str, str]:
    """Return the sentences that refuse a new password and its repetition, by field."""
    password = fields.get("new_password", "")
    repeated = (
        ""
        if fields.get("repeated_password", "") == password
        else "The two passwords differ. Type the second one again."
    )
    errors = {"new_password": passwords.refusal_of(password, email), "repeated_password": repeated}
    return {name: sentence for name, sentence in errors.items() if sentence}


def _invited(records: RecordsDep, token: str) -> str:
    with records.work() as work:
        invited = work.desk_users.invited(token)
    if invited is None:
        raise ProblemError(ProblemCode.NOT_FOUND, _INVALID)
    return invited[0]
