"""The refund form: what was typed, read strictly, and what to tell about it."""

import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import parse_qsl

from pydantic import ValidationError
from starlette.requests import Request

from domain.requests import RefundRequest, Wish
from producers.web.problems import Kind, ProblemError, sentence_of

FIELDS: Final = ("email", "reference", "reason", "wish", "comment")
_MOST_FIELDS = 50  # more than any form of ours has, fewer than would cost anything
_NONCE = "nonce"
_NONCE_LENGTHS = range(16, 101)

_WHEN_EMPTY = {
    "email": "Please enter the e-mail address that you used for the purchase.",
    "reference": "Please enter the reference number of the purchase.",
    "reason": "Please choose a reason.",
}
_WHEN_NOT_OFFERED = {
    "reason": "Please choose one of the reasons in the list.",
    "wish": "Please choose one of the three.",
}


@dataclass(frozen=True, slots=True)
class Filled:
    """A form as it is shown: what is in its fields, and what is wrong with them."""

    values: Mapping[str, str]
    nonce: str
    errors: Mapping[str, str] = field(default_factory=dict)
    trouble: str | None = None
    """What is wrong with the whole of it."""

    @property
    def first_bad(self) -> str | None:
        """The field that wants the customer's eye."""
        return next((name for name in FIELDS if name in self.errors), None)


@dataclass(frozen=True, slots=True)
class Sent:
    """A form that can be accepted."""

    request: RefundRequest
    key: str


def empty(prefill: Mapping[str, str]) -> Filled:
    """A new form, with the fields that a link filled in."""
    known = {name: prefill.get(name, "")[:320] for name in ("email", "reference")}
    return Filled({**dict.fromkeys(FIELDS, ""), "wish": Wish.FULL, **known}, secrets.token_urlsafe(24))


async def typed(request: Request) -> dict[str, str]:
    """The fields of a form as they came; line breaks as we write them, not as browsers do."""
    if not request.headers.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        raise ProblemError(Kind.UNREADABLE, "This address takes the form on this site only.")
    try:
        body = (await request.body()).decode("ascii")
        pairs = parse_qsl(body, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS)
    except ValueError:  # not ASCII, not UTF-8, or more fields than any form of ours
        raise ProblemError(Kind.UNREADABLE, "This form cannot be read. Please open it again.") from None
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ProblemError(Kind.UNREADABLE, "This form holds a field twice. Please open it again.")
    return {name: value.replace("\r\n", "\n") for name, value in values.items()}


async def nothing_typed(request: Request) -> None:
    """A form of one button: it has no fields."""
    if await request.body() and await typed(request):
        raise ProblemError(Kind.INVALID, "The form came with a field that it does not have. Nothing was changed.")


def read(values: Mapping[str, str]) -> Sent | Filled:
    """A request, or the form again with a sentence beside each field that is not right."""
    nonce = values.get(_NONCE, "")
    if not (nonce.isascii() and nonce.isprintable() and len(nonce) in _NONCE_LENGTHS):
        nonce = secrets.token_urlsafe(24)
    asked = {name: value for name, value in values.items() if name != _NONCE}
    found: dict[str, str] = {}
    blank = {name: sentence for name, sentence in _WHEN_EMPTY.items() if not asked.get(name, "").strip()}
    try:
        request = RefundRequest.model_validate(asked)
    except ValidationError as error:
        found = {str(e["loc"][0]): _for_people(str(e["loc"][0]), sentence_of(e), e["type"]) for e in error.errors()}
    else:
        if not blank:
            return Sent(request, _key(nonce, request))
    errors = {name: sentence for name, sentence in {**found, **blank}.items() if name in FIELDS}
    unknown = sorted(found.keys() - set(FIELDS))
    trouble = f"The form came with a field that it does not have: {unknown[0][:100]}." if unknown else None
    return Filled({name: asked.get(name, "") for name in FIELDS}, nonce, errors, trouble)


def _for_people(name: str, sentence: str, kind: str) -> str:
    return _WHEN_NOT_OFFERED.get(name, sentence) if kind == "enum" else sentence


def _key(nonce: str, request: RefundRequest) -> str:
    """A double click is one request; a form that was changed after going back is another one."""
    return f"{nonce}:{hashlib.sha256(request.model_dump_json().encode()).hexdigest()}"
