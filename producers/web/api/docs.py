"""The documentation as pages: every operation, schema and problem, without a script."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from producers.web.api.ndjson import NDJSON
from producers.web.api.openapi import Json, openapi_document, operations_of, ref_name, schema_name
from producers.web.dependencies import ThePaper
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import SEEN

_CACHE = {"cache-control": "public, max-age=300"}
_PROBLEMS = {code.value: code for code in ProblemCode}

router = APIRouter(include_in_schema=False)


@router.api_route("/docs", methods=SEEN)
async def docs(request: Request, paper: ThePaper) -> Response:
    """Shows every operation, every schema and every problem."""
    document = openapi_document(request.app)
    return paper.render(
        "docs.html",
        headers=_CACHE,
        document=document,
        operations=[_operation(*found) for found in operations_of(document)],
        schemas=[_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())],
        problems=_PROBLEMS.values(),
    )


@router.api_route("/problems/{code}", methods=SEEN)
async def problem(code: str, paper: ThePaper) -> Response:
    """Explains a problem: what happened, and what the client does."""
    found = _PROBLEMS.get(code)
    if found is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    return paper.render("problem_type.html", problem=found)


def _operation(path: str, method: str, operation: Json) -> Json:
    body = operation.get("requestBody", {})
    success = next(response for code, response in operation["responses"].items() if code.startswith("2"))
    return {
        "method": method.upper(),
        "path": path,
        "id": operation["operationId"],
        "summary": operation["summary"],
        "description": operation["description"],
        "scopes": [scope for needed in operation.get("security", []) for scopes in needed.values() for scope in scopes],
        "parameters": [p | {"type": _type(p["schema"])} for p in operation.get("parameters", [])],
        "body": schema_name(body),
        "body_example": _example(body),
        "success_example": _example(success),
        "responses": [
            {"status": code, "description": response["description"], "schema": schema_name(response)}
            for code, response in sorted(operation["responses"].items())
        ],
    }


def _schema(name: str, schema: Json) -> Json:
    required = schema.get("required", [])
    return {
        "name": name,
        "description": schema.get("description", ""),
        "values": schema.get("enum", []),
        "fields": [
            {
                "name": field,
                "type": _type(properties),
                "required": field in required,
                "description": properties.get("description", ""),
            }
            for field, properties in schema.get("properties", {}).items()
        ],
    }


def _type(schema: Mapping[str, Any]) -> str:
    """Returns the type of a field in a few words."""
    if "$ref" in schema:
        return ref_name(dict(schema))
    if "anyOf" in schema:
        return " or ".join(_type(alternative) for alternative in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type(schema['items'])}"
    name = str(schema.get("format") or schema.get("type", "anything"))
    return f"{name}, at most {schema['maxLength']} characters" if "maxLength" in schema else name


def _example(holder: Json) -> str | None:
    """Returns the first example of a request body or a response."""
    for media_type, content in holder.get("content", {}).items():
        examples = [example["value"] for example in content.get("examples", {}).values()]
        example = next(iter(examples), content.get("example"))
        if example is not None:
            return "\n".join(map(json.dumps, example)) if media_type == NDJSON else json.dumps(example, indent=2)
    return None
