"""The API's documentation: OpenAPI for programs, and the same as a page that asks nobody else for a script."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

from producers.web.api.bulk import BulkAnswer, BulkRequest, BulkSummary
from producers.web.api.responses import TEMPLATE, problems
from producers.web.dependencies import ThePaper
from producers.web.paper import SEEN
from producers.web.problems import Kind, Problem

Json = dict[str, Any]

_BESIDES = (Problem, BulkRequest, BulkAnswer, BulkSummary)
"""The models that no operation takes or answers as its whole body."""

reference = APIRouter(include_in_schema=False)


def openapi_of(app: FastAPI) -> Json:
    """The API as OpenAPI says it, with the problem documents in it."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes,
            separate_input_output_schemas=app.separate_input_output_schemas,
        )  # fmt: skip
        schemas = document["components"]["schemas"]
        for model in _BESIDES:
            schema = model.model_json_schema(ref_template=TEMPLATE)
            schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
        for theirs in ("HTTPValidationError", "ValidationError"):  # ours are problem documents
            schemas.pop(theirs, None)
        for _, _, operation in _operations(document):
            if "422" in operation["responses"]:
                operation["responses"]["422"] = problems(Kind.INVALID)[Kind.INVALID.status]
            for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
                _illustrate(holder, schemas)
        app.openapi_schema = document
    return app.openapi_schema


@reference.api_route("/docs", methods=SEEN)
async def docs(request: Request, paper: ThePaper) -> Response:
    """Every operation, every schema, every problem."""
    document = openapi_of(request.app)
    return paper.page(
        "docs.html",
        document=document,
        operations=[
            {
                "method": method.upper(),
                "path": path,
                "id": operation["operationId"],
                "summary": operation.get("summary", ""),
                "description": operation.get("description", ""),
                "scopes": [scope for needs in operation.get("security", []) for one in needs.values() for scope in one],
                "parameters": [p | {"words": _type(p["schema"])} for p in operation.get("parameters", [])],
                "body": _body(operation),
                "example": _example(operation.get("requestBody", {})),
                "answer": _example(next(r for s, r in operation["responses"].items() if s.startswith("2"))),
                "responses": [
                    {"status": s, "description": r["description"], "schema": _schema_name(r)}
                    for s, r in sorted(operation["responses"].items())
                ],
            }
            for path, method, operation in _operations(document)
        ],
        schemas=[
            {
                "name": name,
                "description": schema.get("description", ""),
                "values": schema.get("enum", []),
                "fields": [
                    {
                        "name": field,
                        "type": _type(facts),
                        "needed": field in schema.get("required", []),
                        "description": facts.get("description", ""),
                    }
                    for field, facts in schema.get("properties", {}).items()
                ],
            }
            for name, schema in sorted(document["components"]["schemas"].items())
        ],
        kinds=list(Kind),
        headers={"cache-control": "public, max-age=300"},
    )


def _illustrate(holder: Json, schemas: Json) -> None:
    """A body without an example of its own shows its model's."""
    name = _schema_name(holder)
    for content in holder.get("content", {}).values():
        if name and not content.keys() & {"example", "examples"}:
            content["example"] = schemas[name]["examples"][0]


def _operations(document: Json) -> list[tuple[str, str, Json]]:
    return [(path, method, op) for path, methods in document["paths"].items() for method, op in methods.items()]


def _body(operation: Json) -> str | None:
    return _schema_name(operation["requestBody"]) if "requestBody" in operation else None


def _schema_name(holder: Json) -> str | None:
    """The model of a body; of a body of lines that of the first ones."""
    for content in holder.get("content", {}).values():
        schema = content.get("schema", {})
        schema = schema.get("items", schema)
        for one in schema.get("anyOf", [schema]):
            if "$ref" in one:
                return str(one["$ref"]).rpartition("/")[2]
    return None


def _type(facts: Mapping[str, Any]) -> str:
    """A field's type in a few words."""
    if "$ref" in facts:
        return str(facts["$ref"]).rpartition("/")[2]
    if "anyOf" in facts:
        return " or ".join(_type(one) for one in facts["anyOf"])
    if facts.get("type") == "array":
        return f"list of {_type(facts['items'])}"
    words = str(facts.get("format") or facts.get("type", "anything"))
    if "maxLength" in facts:
        words += f", {facts['maxLength']} characters at the most"
    return words


def _example(holder: Json) -> str | None:
    """What a body looks like."""
    for content in holder.get("content", {}).values():
        examples = [one["value"] for one in content.get("examples", {}).values()] or [content.get("example")]
        if examples[0] is not None:
            return examples[0] if isinstance(examples[0], str) else json.dumps(examples[0], indent=2)
    return None
