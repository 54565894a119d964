"""Forms: what was typed, read strictly, and what is wrong with it in sentences of our own."""

import hashlib
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from producers.web.problems import ProblemCode, ProblemError

NONCE: Final = "nonce"
_MOST_FIELDS = 50  # more than any form of ours has, fewer than would cost anything
_NONCE_LENGTHS = range(16, 101)
_LONGEST_NAME = 100  # characters of a field's name that are shown again

WHEN_EMPTY: Final = {
    "email": "Enter the email address you used for the purchase.",
    "reference": "Enter the reference number of your purchase.",
    "reason": "Choose a reason.",
    "name": "Enter your name.",
}
WHEN_WRONG: Final = {
    "email": "Enter a complete email address, like name@example.com.",
    "reference": "This doesn’t look like a reference number. Copy it from your order confirmation.",
    "reason": "Choose a reason from the list.",
    "refund_scope": "Choose one of the three options.",
    "name": "Enter only your name.",
}
NOT_PLAIN: Final = "This contains characters that can’t be displayed. Please type it again."
TOO_LONG: Final = "This is too long. Use up to {most} characters."
NO_SUCH_FIELD: Final = "This form contains an unknown field: {name}. Nothing was changed."

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class FieldError:
    """What is wrong, as a sentence of the catalogues and the facts in it."""

    sentence: str
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SubmittedForm:
    """A form as it is shown: what is in its fields, and what is wrong with them."""

    values: Mapping[str, str]
    nonce: str
    errors: Mapping[str, FieldError] = field(default_factory=dict)
    """In the order of the fields."""
    trouble: FieldError | None = None
    """What is wrong with the whole of it."""

    @property
    def first_bad(self) -> str | None:
        """The field that wants the customer's eye."""
        return next(iter(self.errors), None)


async def typed(request: Request) -> dict[str, str]:
    """The fields of a form as they came; line breaks as we write them, not as browsers do."""
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        raise ProblemError(ProblemCode.MALFORMED_BODY, "Please use the form on this site.")
    try:
        body = (await request.body()).decode("ascii")
        pairs = parse_qsl(body, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:  # not ASCII, not UTF-8, or more fields than any form of ours
        raise ProblemError(ProblemCode.MALFORMED_BODY, "We couldn’t read this form. Please open it again.") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ProblemError(ProblemCode.MALFORMED_BODY, "This form contains a field twice. Please open it again.")
    return {name: value.replace("\r\n", "\n") for name, value in values.items()}


async def ticked(request: Request) -> bool:
    """A form of one box to tick: whether it was. A browser sends nothing of a box that was not, and so do many scanners."""
    values = await typed(request) if await request.body() else {}
    _nothing_but(values, ("sure",))
    return values.get("sure") == "yes"


async def nothing_typed(request: Request) -> None:
    """A form of one button: it has no fields."""
    if await request.body():
        _nothing_but(await typed(request), ())


def _nothing_but(values: Mapping[str, str], fields: tuple[str, ...]) -> None:
    if set(values) - set(fields):
        raise ProblemError(ProblemCode.VALIDATION_FAILED, "This form contains an unknown field. Nothing was changed.")


def new_nonce() -> str:
    """What tells this form from every other: sent twice, it counts once."""
    return secrets.token_urlsafe(24)


def nonce_of(values: Mapping[str, str]) -> str:
    """The nonce that a form came with; a new one where that is none."""
    nonce = values.get(NONCE, "")
    return nonce if nonce.isascii() and nonce.isprintable() and len(nonce) in _NONCE_LENGTHS else new_nonce()


def key_of(nonce: str, said: BaseModel) -> str:
    """A double click is one request; a form that was changed after going back is another one."""
    return f"{nonce}:{hashlib.sha256(said.model_dump_json().encode()).hexdigest()}"


def unknown(values: Mapping[str, str], fields: tuple[str, ...]) -> FieldError | None:
    """A field that the form does not have."""
    others = sorted(set(values) - set(fields) - {NONCE})
    return FieldError(NO_SUCH_FIELD, {"name": others[0][:_LONGEST_NAME]}) if others else None


def read(model: type[Model], asked: Mapping[str, object]) -> Model | dict[str, FieldError]:
    """What was asked, or a sentence for each field that is not right, by the name the form gives it."""
    empty = {
        name: FieldError(sentence)
        for name, sentence in WHEN_EMPTY.items()
        if name in model.model_fields and not str(asked.get(name, "")).strip()
    }
    try:
        said = model.model_validate(asked)
    except ValidationError as error:
        found = {str(e["loc"][-1]): _wrong(str(e["loc"][-1]), e["type"], e.get("ctx") or {}) for e in error.errors()}
        return found | empty
    return empty or said


def errors_of(said: BaseModel | Mapping[str, FieldError], fields: Sequence[str]) -> dict[str, FieldError]:
    """What read() found wrong, in the order of the form's fields."""
    wrong = {} if isinstance(said, BaseModel) else said
    return {name: wrong[name] for name in fields if name in wrong}


def _wrong(name: str, kind: str, facts: Mapping[str, object]) -> FieldError:
    if kind == "string_too_long":
        return FieldError(TOO_LONG, {"most": facts["max_length"]})
    return FieldError(WHEN_WRONG.get(name, NOT_PLAIN))
