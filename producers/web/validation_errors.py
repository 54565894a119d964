"""What is wrong with what a stranger sent: each thing with its place and a sentence for the one who can mend it."""

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, Field
from pydantic_core import ErrorDetails

MOST_ERRORS = 20  # enough to mend a form; a body full of nonsense gets no answer larger than itself
_LONGEST_NAME = 100


class Wrong(BaseModel):
    """One thing to change: where it stands, and what is wrong with it."""

    detail: str = Field(description="what is wrong, as a sentence")
    pointer: str | None = Field(None, description="a JSON pointer into the body", examples=["#/email"])
    parameter: str | None = Field(None, description="the header or the part of the address")


def wrongs_of(errors: Sequence[ErrorDetails] | Sequence[Any]) -> list[Wrong]:
    """What pydantic found, as sentences."""
    return [Wrong(detail=sentence_of(error), **_place(tuple(error["loc"]))) for error in list(errors)[:MOST_ERRORS]]


def sentence_of(error: ErrorDetails | Mapping[str, Any]) -> str:
    """One error of pydantic's as a sentence for the one who can mend it."""
    sentence = _SENTENCES.get(error["type"])
    if sentence is None:
        return f"{str(error['msg']).removeprefix('Value error, ').rstrip('.')}."
    return sentence.format_map(error.get("ctx") or {})


_SENTENCES = {
    "missing": "This is missing.",
    "extra_forbidden": "This field is not known here. Please leave it out.",
    "string_type": "This must be text.",
    "string_too_short": "This must not be empty.",
    "string_too_long": "This is too long: {max_length} characters at the most.",
    "too_short": "This must not be empty.",
    "too_long": "This is too long: {max_length} characters at the most.",
    "string_pattern_mismatch": "This is not written as it must be: {pattern}",
    "string_unicode": "This text holds characters that are none.",
    "enum": "This must be one of {expected}.",
    "int_type": "This must be a whole number.",
    "int_from_float": "This must be a whole number.",
    "int_parsing": "This must be a whole number.",
    "greater_than_equal": "This must be {ge} or more.",
    "less_than_equal": "This must be {le} or less.",
    "bool_type": "This must be true or false.",
    "bool_parsing": "This must be true or false.",
    "uuid_parsing": "This is not an id of ours.",
    "model_attributes_type": "The body must be one JSON object, sent as application/json.",
    "model_type": "The body must be one JSON object, sent as application/json.",
    "dict_type": "The body must be one JSON object, sent as application/json.",
    "json_invalid": "The body is not JSON: {error}.",
    "timezone_aware": "This instant must say its offset from UTC, such as 2026-04-17T14:05:00+02:00.",
}


def _place(loc: tuple[int | str, ...]) -> dict[str, str]:
    where, *rest = loc or ("body",)
    if where != "body":
        return {"parameter": str(rest[-1] if rest else where)[:_LONGEST_NAME]}
    parts = (str(part)[:_LONGEST_NAME].replace("~", "~0").replace("/", "~1") for part in rest)
    return {"pointer": "#" + "".join(f"/{part}" for part in parts)}
