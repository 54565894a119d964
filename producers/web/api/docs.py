"""The API documentation as pages without scripts: operations, schemas and problems."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from producers.web.api.ndjson import NDJSON
from producers.web.api.openapi import Json, openapi_document, operations_of, ref_name, schema_name
from producers.web.dependencies import PageDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS

_CACHE = {"cache-control": "public, max-age=300"}
_PROBLEMS = {code.value: code for code in ProblemCode}

router = APIRouter(include_in_schema=False)


@router.api_route("/docs", methods=READ_METHODS)
async def show_docs(request: Request, page: PageDep) -> Response:
    """Show every operation, schema and problem."""
    document = openapi_document(request.app)
    return page.render(
        "docs.html",
        headers=_CACHE,
        document=document,
        operations=[_operation_values(*operation) for operation in operations_of(document)],
        schemas=[_schema_values(name, schema) for name, schema in sorted(document["components"]["schemas"].items())],
        problems=_PROBLEMS.values(),
    )


@router.api_route("/problems/{code}", methods=READ_METHODS)
async def show_problem(code: str, page: PageDep) -> Response:
    """Explain a problem: what happened, and what the client must do."""
    problem = _PROBLEMS.get(code)
    if problem is None:
        raise ProblemError(ProblemCode.NOT_FOUND)
    return page.render("problem_type.html", problem=problem)


def _operation_values(path: str, method: str, operation: Json) -> Json:
    body = operation.get("requestBody", {})
    success = next(response for status, response in operation["responses"].items() if status.startswith("2"))
    return {
        "method": method.upper(),
        "path": path,
        "id": operation["operationId"],
        "summary": operation["summary"],
        "description": operation["description"],
        "scopes": [scope for scheme in operation.get("security", []) for scopes in scheme.values() for scope in scopes],
        "parameters": [item | {"type": _type_name(item["schema"])} for item in operation.get("parameters", [])],
        "body": schema_name(body),
        "body_example": _example(body),
        "success_example": _example(success),
        "responses": [
            {"status": status, "description": response["description"], "schema": schema_name(response)}
            for status, response in sorted(operation["responses"].items())
        ],
    }


def _schema_values(name: str, schema: Json) -> Json:
    required = schema.get("required", [])
    return {
        "name": name,
        "description": schema.get("description", ""),
        "values": schema.get("enum", []),
        "fields": [
            {
                "name": field,
                "type": _type_name(properties),
                "required": field in required,
                "description": properties.get("description", ""),
            }
            for field, properties in schema.get("properties", {}).items()
        ],
    }


def _type_name(schema: Mapping[str, Any]) -> str:
    """Return the type of a field in a few words."""
    if "$ref" in schema:
        return ref_name(dict(schema))
    if "anyOf" in schema:
        return " or ".join(_type_name(alternative) for alternative in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {_type_name(schema['items'])}"
    name = str(schema.get("format") or schema.get("type", "anything"))
    return f"{name}, at most {schema['maxLength']} characters" if "maxLength" in schema else name


def _example(holder: Json) -> str | None:
    """Return the first example of a request body or a response."""
    for media_type, content in holder.get("content", {}).items():
        examples = [example["value"] for example in content.get("examples", {}).values()]
        example = next(iter(examples), content.get("example"))
        if example is not None:
            return "\n".join(map(json.dumps, example)) if media_type == NDJSON else json.dumps(example, indent=2)
    return None
