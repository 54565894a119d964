"""Reads submitted forms, refuses invalid fields, and describes the errors in sentences for customers."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Final, NamedTuple, TypeVar
from urllib.parse import parse_qsl

from fastapi import Depends
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails
from starlette.requests import Request
from starlette.responses import Response

from producers.web.problems import DATABASE_RETRY_AFTER, ProblemCode, ProblemError
from producers.web.templating import Page
from records.storefronts import Storefront

NONCE: Final = "nonce"
_MAX_FIELDS = 50  # the maximum number of fields in a submitted form; all forms of Moneyback have fewer fields
_NONCE_LENGTHS = range(16, 101)
_MAX_NAME_LENGTH = 100  # an error text shows at most this many characters of an unknown field's name
_MAX_SEQ_LENGTH = 10
_MAX_PREFILL_LENGTH = 320  # a link can put at most this many characters into a field; no e-mail address is longer

WHEN_EMPTY: Final = {
    "email": "Enter the email address you used for the purchase.",
    "reference": "Enter the reference number of your purchase.",
    "reason": "Choose a reason.",
    "name": "Enter your name.",
    "text": "Enter your answer.",
}
WHEN_WRONG: Final = {
    "email": "Enter a complete email address, like name@example.com.",
    "reference": "This doesn’t look like a reference number. Copy it from your order confirmation.",
    "reason": "Choose a reason from the list.",
    "refund_scope": "Choose one of the three options.",
    "name": "Enter only your name.",
}
INVALID_CHARACTERS: Final = "This contains characters that can’t be displayed. Please type it again."
TOO_LONG: Final = "This is too long. Use up to {most} characters."
UNKNOWN_FIELD: Final = "This form contains an unknown field: {name}. Nothing was changed."

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FieldError:
    """An error in a form: a sentence that is in the translation catalogues, and the values of its placeholders."""

    sentence: str
    values: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubmittedForm:
    """The content of a form on a page: the values of the fields, and the errors."""

    values: Mapping[str, str]
    nonce: str
    errors: Mapping[str, FieldError] = field(default_factory=dict)
    """The errors by field, in the order of the fields."""
    form_error: FieldError | None = None
    """An error that belongs to the whole form and not to one field."""

    @property
    def first_invalid_field(self) -> str | None:
        """The name of the first field with an error. The browser focuses this field."""
        return next(iter(self.errors), None)


async def read_fields(request: Request) -> dict[str, str]:
    """Return the fields of a submitted form. Replace Windows line breaks by Unix line breaks."""
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        raise ProblemError(ProblemCode.MALFORMED_BODY, "Please use the form on this site.")
    try:
        body = (await request.body()).decode("ascii")
        pairs = parse_qsl(body, keep_blank_values=True, errors="strict", max_num_fields=_MAX_FIELDS)
    except ValueError:  # the body is not ASCII, the decoded text is not UTF-8, or the form has too many fields
        raise ProblemError(ProblemCode.MALFORMED_BODY, "We couldn’t read this form. Please open it again.") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ProblemError(ProblemCode.MALFORMED_BODY, "This form contains a field twice. Please open it again.")
    return {name: value.replace("\r\n", "\n") for name, value in values.items()}


async def read_checkbox(request: Request) -> bool:
    """Return True if the checkbox of the form is ticked. The form has no other field.

    If the checkbox is not ticked, the browser sends no field. A mail scanner may submit the form, but it ticks no checkbox.
    """
    values = await read_fields(request) if await request.body() else {}
    _refuse_unknown_fields(values, ("sure",))
    return values.get("sure") == "yes"


class Confirmation(NamedTuple):
    """The form of the confirmation page."""

    is_ticked: bool
    seq: int | None
    """The number of the newest row of the case's history when the page was opened. None for a page of an earlier version."""


async def read_confirmation(request: Request) -> Confirmation:
    """Return the fields of the confirmation page."""
    values = await read_fields(request) if await request.body() else {}
    _refuse_unknown_fields(values, ("sure", "seq"))
    return Confirmation(values.get("sure") == "yes", seq_of(values))


def seq_of(values: Mapping[str, str]) -> int | None:
    """Return the number of a row of the case's history that a form contains; None if the form has no such field.

    A text that is no such number is read as 0, because no row has this number.
    """
    if (text := values.get("seq")) is None:
        return None
    return int(text) if text.isascii() and text.isdecimal() and len(text) < _MAX_SEQ_LENGTH else 0


async def require_no_fields(request: Request) -> None:
    """Raise a ProblemError if the browser sent a field. The form has only a button."""
    if await request.body():
        _refuse_unknown_fields(await read_fields(request), ())


def _refuse_unknown_fields(values: Mapping[str, str], fields: tuple[str, ...]) -> None:
    if set(values) - set(fields):
        raise ProblemError(ProblemCode.VALIDATION_FAILED, "This form contains an unknown field. Nothing was changed.")


FormFieldsDep = Annotated[Mapping[str, str], Depends(read_fields)]
CheckboxDep = Annotated[bool, Depends(read_checkbox)]
ConfirmationDep = Annotated[Confirmation, Depends(read_confirmation)]


def prefilled(request: Request, fields: Sequence[str]) -> dict[str, str]:
    """Return the values of these fields from the query of the opened URL. A missing field is empty."""
    return {name: request.query_params.get(name, "")[:_MAX_PREFILL_LENGTH] for name in fields}


def new_nonce() -> str:
    """Return a random value for a new form. If the form is sent twice, this value shows that both copies are the same form."""
    return secrets.token_urlsafe(24)


def nonce_of(values: Mapping[str, str]) -> str:
    """Return the nonce of a submitted form, or a new nonce if the form has no valid nonce."""
    nonce = values.get(NONCE, "")
    return nonce if nonce.isascii() and nonce.isprintable() and len(nonce) in _NONCE_LENGTHS else new_nonce()


def idempotency_key(nonce: str, content: BaseModel) -> str:
    """Return the idempotency key of a submitted form.

    A double click sends the form twice with the same key, so only one request is created. If the customer goes back and
    changes the form, the changed form has another key.
    """
    return f"{nonce}:{hashlib.sha256(content.model_dump_json().encode()).hexdigest()}"


def unknown_field_error(values: Mapping[str, str], fields: tuple[str, ...]) -> FieldError | None:
    """Return an error if a value belongs to no field of the form."""
    unknown = sorted(set(values) - set(fields) - {NONCE})
    return FieldError(UNKNOWN_FIELD, {"name": unknown[0][:_MAX_NAME_LENGTH]}) if unknown else None


def parse(model: type[Model], values: Mapping[str, object]) -> Model | dict[str, FieldError]:
    """Return the values as ``model``, or an error for each field that is not valid."""
    empty = {
        name: FieldError(sentence)
        for name, sentence in WHEN_EMPTY.items()
        if name in model.model_fields and not str(values.get(name, "")).strip()
    }
    try:
        parsed = model.model_validate(values)
    except ValidationError as error:
        return dict(map(_field_error, error.errors())) | empty
    return empty or parsed


def ordered_errors(parsed: BaseModel | Mapping[str, FieldError], fields: Sequence[str]) -> dict[str, FieldError]:
    """Return the errors of parse() in the order of the form's fields."""
    errors = {} if isinstance(parsed, BaseModel) else parsed
    return {name: errors[name] for name in fields if name in errors}


def _field_error(error: ErrorDetails) -> tuple[str, FieldError]:
    """Return the field's name from a pydantic error, and the error that the customer sees."""
    name = str(error["loc"][-1])
    if error["type"] == "string_too_long":
        return name, FieldError(TOO_LONG, {"most": error["ctx"]["max_length"]})
    return name, FieldError(WHEN_WRONG.get(name, INVALID_CHARACTERS))


def render_form(
    page: Page,
    template: str,
    form: SubmittedForm,
    storefront: Storefront | None,
    *,
    problem: ProblemCode | None = None,
    **values: object,
) -> Response:
    """Return the page of a form. Its HTTP status is the status of ``problem``, or 200 if there is no problem."""
    return page.render(
        template,
        status=problem.status if problem else 200,
        headers={"retry-after": DATABASE_RETRY_AFTER} if problem is ProblemCode.SERVICE_UNAVAILABLE else None,
        form=form,
        storefront=storefront,
        **values,
    )
