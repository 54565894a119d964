"""The API's documentation: OpenAPI for programs, and the same as a page that asks nobody else for a script."""

import json
from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.openapi.utils import get_openapi
from starlette.requests import Request
from starlette.responses import Response

from producers.web.pages import SEEN
from producers.web.problems import MEDIA_TYPE, Kind, Problem
from producers.web.state import ThePaper

Json = dict[str, Any]

_TEMPLATE = "#/components/schemas/{model}"

reference = APIRouter(include_in_schema=False)


def problems(*kinds: Kind) -> dict[int | str, Json]:
    """What an endpoint may answer instead, for its ``responses``."""
    content = {MEDIA_TYPE: {"schema": {"$ref": _TEMPLATE.format(model="Problem")}}}
    return {
        kind.status: {
            "description": " / ".join(k.heading for k in kinds if k.status == kind.status),
            "content": content,
        }
        for kind in kinds
    }


def openapi_of(app: FastAPI) -> Json:
    """The API as OpenAPI says it, with the problem documents in it."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, description=app.description, routes=app.routes,
            separate_input_output_schemas=app.separate_input_output_schemas,
        )  # fmt: skip
        schemas = document["components"]["schemas"]
        problem = Problem.model_json_schema(ref_template=_TEMPLATE)
        schemas |= problem.pop("$defs", {}) | {"Problem": problem}
        for theirs in ("HTTPValidationError", "ValidationError"):  # ours are problem documents
            schemas.pop(theirs, None)
        for _, _, operation in _operations(document):
            ours = problems(Kind.INVALID)[Kind.INVALID.status]
            if "422" in operation["responses"]:
                operation["responses"]["422"] = ours
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
                "needs_key": bool(operation.get("security")),
                "parameters": [p | {"words": _type(p["schema"])} for p in operation.get("parameters", [])],
                "body": _body(operation),
                "example": _example(document, _body(operation)),
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


def _operations(document: Json) -> list[tuple[str, str, Json]]:
    return [(path, method, op) for path, methods in document["paths"].items() for method, op in methods.items()]


def _body(operation: Json) -> str | None:
    return _schema_name(operation["requestBody"]) if "requestBody" in operation else None


def _schema_name(holder: Json) -> str | None:
    for content in holder.get("content", {}).values():
        ref = content.get("schema", {}).get("$ref")
        if ref:
            return str(ref).rpartition("/")[2]
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


def _example(document: Json, name: str | None) -> str | None:
    """A body to try: the model's own example, or one made of its fields' examples and first choices."""
    if name is None:
        return None
    schemas = document["components"]["schemas"]
    schema = schemas[name]
    if schema.get("examples"):
        return json.dumps(schema["examples"][0], indent=2)
    made: Json = {}
    for field, facts in schema["properties"].items():
        choices = schemas.get(_type(facts), {}).get("enum", [])
        if facts.get("examples"):
            made[field] = facts["examples"][0]
        elif choices and field in schema.get("required", []):
            made[field] = choices[0]
    return json.dumps(made, indent=2)
