"""The forms of the desk's account pages: typed values, and a sentence for each field that is not accepted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from starlette.responses import Response
from starlette.status import HTTP_422_UNPROCESSABLE_CONTENT, HTTP_429_TOO_MANY_REQUESTS

from producers.desk.accounts.authentication import Delayed, Refused
from producers.web.templating import Page

SHOWN: Final = ("email", "name", "next", "seed", "role", "seller")
"""The fields whose values a page may show again. A password or a code is typed again."""


@dataclass(frozen=True, slots=True)
class Form:
    """A form on a page. ``errors`` are sentences by field, and ``message`` is about the whole form."""

    values: Mapping[str, str] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    message: str = ""
    status: int = 200
    retry_after: int = 0

    @classmethod
    def refused(cls, fields: Mapping[str, str], errors: Mapping[str, str], message: str = "") -> "Form":
        """Return the form again, with the errors of these fields."""
        return cls(_shown(fields), {name: text for name, text in errors.items() if text}, message, _UNPROCESSABLE)

    @classmethod
    def after(cls, result: Refused | Delayed, fields: Mapping[str, str], sentence: str) -> "Form":
        """Return the form again after a wrong password: ``sentence``, or after how many seconds to try again."""
        if isinstance(result, Refused):
            return cls(_shown(fields), {}, sentence, _UNPROCESSABLE)
        wait = f"There were too many wrong attempts. Wait {_duration(result.seconds)}, then try again."
        return cls(_shown(fields), {}, wait, HTTP_429_TOO_MANY_REQUESTS, result.seconds)

    @property
    def is_refused(self) -> bool:
        """True if the form was sent and not accepted."""
        return self.status != HTTP_OK

    @property
    def first_invalid_field(self) -> str | None:
        """The name of the first field with an error. The browser focuses this field."""
        return next(iter(self.errors), None)


HTTP_OK: Final = 200
_UNPROCESSABLE: Final = HTTP_422_UNPROCESSABLE_CONTENT


def render(page: Page, template: str, form: Form, **values: object) -> Response:
    """Return the page of a form."""
    headers = {"retry-after": str(form.retry_after)} if form.retry_after else {}
    return page.render(template, status=form.status, headers=headers, form=form, **values)


def _shown(fields: Mapping[str, str]) -> dict[str, str]:
    return {name: fields[name] for name in SHOWN if name in fields}


def _duration(seconds: int) -> str:
    minutes = -(-seconds // 60)
    if seconds < 60:  # noqa: PLR2004  # a minute
        return f"{seconds} second{'s' if seconds > 1 else ''}"
    return f"{minutes} minute{'s' if minutes > 1 else ''}"
