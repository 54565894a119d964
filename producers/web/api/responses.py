"""The responses of an operation in the OpenAPI document, each with an example."""

from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel

from producers.web.problems import MEDIA_TYPE, Problem, ProblemCode, problem_document
from producers.web.validation_errors import FieldError

Json = dict[str, Any]

SCHEMA_REF: Final = "#/components/schemas/{model}"
EXAMPLE_URL: Final = "https://refunds.example.com"
"""The public URL in the examples."""
EXAMPLE_ID: Final = "0198a6f0-0000-7000-8000-000000000001"


def problem_responses(*codes: ProblemCode) -> dict[int | str, Json]:
    """Return the ``responses`` of an operation for these problems, one entry for each status."""
    return {
        status: {
            "description": " / ".join(code.heading for code in codes if code.status == status),
            "content": {
                MEDIA_TYPE: {
                    "schema": _schema_ref(Problem),
                    "examples": {code.value: _example(code) for code in codes if code.status == status},
                }
            },
        }
        for status in dict.fromkeys(code.status for code in codes)
    }


def ndjson_content(*models: type[BaseModel], example: Sequence[Json]) -> Json:
    """Return the content of a body of JSON lines. OpenAPI 3.1 can describe such a body only as an array of the lines."""
    items = [_schema_ref(model) for model in models]
    return {
        "schema": {"type": "array", "items": items[0] if len(items) == 1 else {"anyOf": items}},
        "example": list(example),
    }


def example_problem(code: ProblemCode) -> Json:
    """Return a problem document as an example."""
    errors = (
        [FieldError(detail="This is missing.", pointer="#/reference")] if code is ProblemCode.VALIDATION_FAILED else []
    )
    return problem_document(EXAMPLE_URL, code, errors=errors)


def _example(code: ProblemCode) -> Json:
    return {"summary": code.heading, "value": example_problem(code)}


def _schema_ref(model: type[BaseModel]) -> Json:
    return {"$ref": SCHEMA_REF.format(model=model.__name__)}
