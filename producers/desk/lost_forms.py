"""The page that keeps what an agent typed if the database is unavailable when the form is sent."""

import re
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from producers.desk.decision_form import CHOICES
from producers.web.pages.forms import read_fields
from producers.web.problems import DATABASE_RETRY_AFTER, ProblemCode, ProblemError
from producers.web.problems import on_database_down as show_problem
from producers.web.templating import page_for

_FORM_PATHS = re.compile(r"/cases/[0-9a-f-]{36}/(decisions|notes)")

LABELS: Final = {"message": "Text for the customer", "reason": "Reason", "text": "New note", "amount": "Amount"}
"""The fields that the page shows. All other fields are sent again as they are."""
_BUTTONS = {
    "decisions": (("decide", "Decide"), ("save", "Save as a draft")),
    "notes": (("add", "Add the note"),),
}


async def on_database_down(request: Request, error: Exception) -> Response:
    """Handle an unavailable database. A decision and a note stay on the page, so that they can be sent again."""
    path = _FORM_PATHS.fullmatch(request.url.path)
    if request.method != "POST" or path is None:
        return show_problem(request, error)
    try:
        fields = await read_fields(request)
    except ProblemError:
        return show_problem(request, error)
    return page_for(request).render(
        "lost_form.html",
        status=ProblemCode.SERVICE_UNAVAILABLE.status,
        headers={"retry-after": DATABASE_RETRY_AFTER},
        action=request.url.path,
        fields={name: value for name, value in fields.items() if name != "do"},
        choice=CHOICES.get(fields.get("choice", "")),
        labels=LABELS,
        buttons=_BUTTONS[path[1]],
    )
