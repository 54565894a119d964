"""Turns pydantic's validation errors into sentences that name the field and say what to change."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails

MAX_ERRORS = 20  # the maximum number of errors in a response, so that the response stays short
_MAX_NAME_LENGTH = 100


class FieldError(BaseModel):
    """An error of one field: where the field is, and what is wrong."""

    detail: str = Field(description="what is wrong, as a sentence")
    pointer: str | None = Field(None, description="a JSON pointer into the body", examples=["#/email"])
    parameter: str | None = Field(None, description="the name of the header or of the path parameter")


def field_errors(errors: Sequence[ErrorDetails] | Sequence[Any]) -> list[FieldError]:
    """Convert pydantic's errors to field errors, at most MAX_ERRORS."""
    return [
        FieldError(detail=error_message(error), **_location(tuple(error["loc"]))) for error in list(errors)[:MAX_ERRORS]
    ]


def error_message(error: ErrorDetails | Mapping[str, Any]) -> str:
    """Return one of pydantic's errors as a sentence that says what to change."""
    message = _MESSAGES.get(error["type"])
    if message is None:
        return f"{str(error['msg']).removeprefix('Value error, ').rstrip('.')}."
    return message.format_map(error.get("ctx") or {})


_NOT_AN_OBJECT = "The body must be one JSON object, sent as application/json."
_MESSAGES = {
    "missing": "This is missing.",
    "extra_forbidden": "This field is unknown. Leave it out.",
    "string_type": "This must be text.",
    "string_too_short": "This must not be empty.",
    "string_too_long": "This is too long: at most {max_length} characters.",
    "too_short": "This must not be empty.",
    "too_long": "This has too many entries: at most {max_length}.",
    "string_pattern_mismatch": "This does not match the pattern {pattern}",
    "string_unicode": "This text contains invalid characters.",
    "enum": "This must be one of {expected}.",
    "int_type": "This must be a whole number.",
    "int_from_float": "This must be a whole number.",
    "int_parsing": "This must be a whole number.",
    "greater_than_equal": "This must be {ge} or more.",
    "less_than_equal": "This must be {le} or less.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "uuid_parsing": "This is not a valid id.",
    "model_attributes_type": _NOT_AN_OBJECT,
    "model_type": _NOT_AN_OBJECT,
    "dict_type": _NOT_AN_OBJECT,
    "json_invalid": "The body is not JSON: {error}.",
    "timezone_aware": "This time must have an offset from UTC, such as 2026-04-17T14:05:00+02:00.",
}


def _location(loc: tuple[int | str, ...]) -> dict[str, str]:
    part, *names = loc or ("body",)
    if part != "body":
        return {"parameter": str(names[-1] if names else part)[:_MAX_NAME_LENGTH]}
    escaped = (str(name)[:_MAX_NAME_LENGTH].replace("~", "~0").replace("/", "~1") for name in names)
    return {"pointer": "#" + "".join(f"/{name}" for name in escaped)}
