"""What an operation of the API may take and answer, as OpenAPI says it, with an example of each."""

import json
from collections.abc import Sequence
from typing import Any, Final

from pydantic import BaseModel

from producers.web.problems import MEDIA_TYPE, Kind, Problem, document
from producers.web.validation_errors import Wrong

Json = dict[str, Any]

TEMPLATE: Final = "#/components/schemas/{model}"
_WRONG: Final = [Wrong(detail="This is missing.", pointer="#/reference")]


def problems(*kinds: Kind) -> dict[int | str, Json]:
    """What an endpoint may answer instead, for its ``responses``."""
    return {
        status: {
            "description": " / ".join(kind.heading for kind in kinds if kind.status == status),
            "content": {
                MEDIA_TYPE: {
                    "schema": _ref(Problem),
                    "examples": {kind.value: _shown(kind) for kind in kinds if kind.status == status},
                }
            },
        }
        for status in dict.fromkeys(kind.status for kind in kinds)
    }


def lines_of(*models: type[BaseModel], example: Sequence[Json]) -> Json:
    """What a body of JSON lines holds: OpenAPI models a sequence as an array of its lines."""
    items = [_ref(model) for model in models]
    return {
        "schema": {"type": "array", "items": items[0] if len(items) == 1 else {"anyOf": items}},
        "example": "".join(f"{json.dumps(line)}\n" for line in example),
    }


def _shown(kind: Kind) -> Json:
    errors = _WRONG if kind is Kind.INVALID else ()
    return {"summary": kind.heading, "value": document(kind, errors=errors)}


def _ref(model: type[BaseModel]) -> Json:
    return {"$ref": TEMPLATE.format(model=model.__name__)}
