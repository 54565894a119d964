"""The OpenAPI document that FastAPI generates, with the schemas and the examples that FastAPI does not add."""

from collections.abc import Iterator
from typing import Any, Final

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from producers.web.api.bulk import BulkRequestLine, BulkResultLine, BulkSummary
from producers.web.api.responses import SCHEMA_REF
from producers.web.problems import Problem

Json = dict[str, Any]

TAGS: Final = [
    {"name": "refund requests", "description": "Create refund requests and read their cases."},
    {"name": "support", "description": "Read the cases that are with support, and decide them."},
    {"name": "purchases", "description": "Create and update purchases."},
    {"name": "webhooks", "description": "For payment providers and helpdesks."},
    {"name": "health", "description": "For load balancers and orchestrators."},
    {"name": "operations", "description": "For monitoring."},
]

_EXTRA_MODELS: Final = (Problem, BulkRequestLine, BulkResultLine, BulkSummary)
"""The models that FastAPI does not find, because no operation declares them as its body or its return type."""

_REPLACED_SCHEMAS: Final = ("HTTPValidationError", "ValidationError")
"""The schemas of FastAPI's own validation errors, which Moneyback replaces with problem documents."""


def openapi_document(app: FastAPI) -> Json:
    """Return the OpenAPI document of the application. Only the first call generates the document."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title,
            version=app.version,
            summary=app.summary,
            description=app.description,
            tags=app.openapi_tags,
            routes=app.routes,
            separate_input_output_schemas=app.separate_input_output_schemas,
        )
        schemas = document["components"]["schemas"]
        _add_schemas(schemas)
        for _, _, operation in operations_of(document):
            _drop_default_validation_error(operation)
            for holder in (operation.get("requestBody", {}), *operation["responses"].values()):
                _add_example(holder, schemas)
        app.openapi_schema = document
    return app.openapi_schema


def operations_of(document: Json) -> Iterator[tuple[str, str, Json]]:
    """Yield the path, the method and the description of each operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def schema_name(holder: Json) -> str | None:
    """Return the schema name of a request body or a response.

    If the lines of an NDJSON body have several schemas, return the name of the first schema.
    """
    for content in holder.get("content", {}).values():
        schema = content.get("schema", {})
        schema = schema.get("items", schema)
        for alternative in schema.get("anyOf", [schema]):
            if "$ref" in alternative:
                return ref_name(alternative)
    return None


def ref_name(schema: Json) -> str:
    """Return the name of the schema that a reference points to."""
    return str(schema["$ref"]).rpartition("/")[2]


def _add_schemas(schemas: Json) -> None:
    for model in _EXTRA_MODELS:
        schema = model.model_json_schema(ref_template=SCHEMA_REF)
        schemas |= schema.pop("$defs", {}) | {model.__name__: schema}
    for name in _REPLACED_SCHEMAS:
        schemas.pop(name, None)


def _drop_default_validation_error(operation: Json) -> None:
    """Remove the response 422 that FastAPI adds to an operation without a declared response 422."""
    if schema_name(operation["responses"].get("422", {})) in _REPLACED_SCHEMAS:
        del operation["responses"]["422"]


def _add_example(holder: Json, schemas: Json) -> None:
    """Add the example of the schema to a request body or a response that has no example."""
    name = schema_name(holder)
    for content in holder.get("content", {}).values():
        if name and not content.keys() & {"example", "examples"}:
            content["example"] = schemas[name]["examples"][0]
