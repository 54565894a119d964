"""The API behaves as its OpenAPI document describes. Schemathesis sends valid and invalid requests and checks the responses."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi.routing import APIRoute
from jsonschema_rs import Draft202012Validator
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from console.servers import Servers
from producers.web import health, helpdesks, metrics, webhooks
from producers.web.api import bulk, purchases, refund_requests, support_cases
from producers.web.api.ndjson import NDJSON
from producers.web.app import app
from producers.web.problems import ProblemCode
from records import Records
from tests.integration._web_fixtures import serve
from tests.sample_data import store_seller_and_purchases
from tests.services import create_settings, fresh_database

NOT_IN_JSON_SCHEMA = (
    "This text contains control characters",
    "This text contains line breaks or control characters",
    "This text contains invalid characters",
    "This is not an e-mail address",
    "This must be an https URL",
    "This reference has no letter and no digit",
    "This date is before 1970 or after 2999",
    "This must not be empty",  # for a text of spaces
    "This must be a whole number",  # for 13.0, which is an integer in JSON Schema
    "Two items have the id",
    "The tax of the item is more than its amount",
)
"""The errors of rules that JSON Schema cannot describe, or can describe only with unreadable patterns.

The API may refuse a body with these errors although the body matches its schema.
"""


@pytest.fixture(scope="module")
def ndjson_support() -> None:
    """Add NDJSON to the formats that schemathesis can send and read."""

    @schemathesis.serializer(NDJSON)
    def to_lines(_: Any, lines: Any) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in (lines if isinstance(lines, list) else [lines]))

    @schemathesis.deserializer(NDJSON)
    def from_lines(_: Any, response: Any) -> list[Any]:
        return [json.loads(line) for line in response.text.splitlines()]


@pytest.fixture(scope="module")
def web(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, str]]:
    """Run the web application with one seller. Yield a client and the seller's API key, which has the default scopes."""
    with fresh_database(servers) as database:
        settings = create_settings(servers, database, tmp_path_factory.mktemp("web"))
        settings = settings.model_copy(
            update={"limits": settings.limits.model_copy(update={"rate_limits_enabled": False})}
        )
        records = Records.of(settings)
        store_seller_and_purchases(records)
        with records.work() as work:
            _, key = work.api_keys.create("aurora")
        with serve(app(settings)) as client:
            yield client, key
        records.engine.dispose()


@pytest.mark.usefixtures("ndjson_support")
@pytest.mark.slow
def test_schemathesis_finds_no_difference_from_the_openapi_document(web: tuple[httpx.Client, str]) -> None:
    client, key = web
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "base-url": str(client.base_url),
            "auth": {"openapi": {"sellerApiKey": {"bearer": key}}},
            "generation": {"max-examples": 15, "deterministic": True, "database": "none", "no-shrink": True},
            "cache": {"enabled": False},
            "operations": [
                {  # the response has the status 200 even if a line is refused
                    "include-operation-id": "createRefundRequestsInBulk",
                    "checks": {
                        "negative_data_rejection": {"expected-statuses": [200, 401, 403, 404, 405, 413, 415, 422]}
                    },
                }
            ],
        }
    )
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json(), config=config)
    failures: list[str] = []
    responses: Counter[tuple[str, int]] = Counter()
    phases: set[str] = set()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            failures += failed_checks(event)
            for interaction in event.recorder.interactions.values():
                if interaction.response is not None:
                    responses[event.recorder.label, interaction.response.status_code] += 1
        elif isinstance(event, events.PhaseFinished):
            phases.add(event.phase.name.value)
        assert not isinstance(event, events.NonFatalError | events.FatalError | events.Interrupted), event
    assert failures == []
    assert {"examples", "coverage", "fuzzing", "stateful"} <= phases
    for expected in (
        ("POST /v1/refund-requests", 202),
        ("POST /v1/refund-requests", 422),
        ("POST /v1/refund-requests/bulk", 200),
        ("GET /v1/refund-requests/{id}", 200),
        ("GET /v1/refund-requests/{id}", 404),
        ("PUT /v1/purchases/{reference}", 201),
        ("PUT /v1/purchases/{reference}", 422),
    ):
        assert responses[expected], f"No call had the result {expected}. The results were {responses}."


def failed_checks(scenario: events.ScenarioFinished) -> list[str]:
    """Return the failed checks of a scenario, each with its request and response."""
    failures = []
    for case_id, checks in scenario.recorder.checks.items():
        for check in checks:
            response = scenario.recorder.interactions[case_id].response
            if check.failure_info is not None and not (
                check.name == "positive_data_acceptance" and is_not_in_json_schema(response)
            ):
                case = scenario.recorder.cases[case_id].value
                answer = response and (response.status_code, response.content[:300])
                request = f"{case.method} {case.formatted_path} {dict(case.headers or {})} {case.body!r}"[:500]
                failures.append(f"{check.name}: {check.failure_info.failure.message[:300]} | {request} | {answer}")
    return failures


def is_not_in_json_schema(response: Any) -> bool:
    """Return True if JSON Schema cannot describe why the request was refused.

    Either all errors are in NOT_IN_JSON_SCHEMA, or the answer depends on what is stored: the idempotency key was already used
    with another body, or the purchase is new and lacks a field that a known purchase may leave out.
    """
    problem = json.loads(response.content)
    if problem["type"].endswith(f"/problems/{ProblemCode.IDEMPOTENCY_KEY_REUSED}") or re.search(
        r"^The purchase .* is new, and a new purchase needs the field ", problem["detail"]
    ):
        return True
    errors = problem.get("errors", [])
    return bool(errors) and all(error["detail"].startswith(NOT_IN_JSON_SCHEMA) for error in errors)


def test_every_request_and_response_has_a_schema_and_a_valid_example(
    web: tuple[httpx.Client, str],
) -> None:
    document = web[0].get("/openapi.json").json()
    checked = 0
    for path, methods in document["paths"].items():
        for operation in methods.values():
            described = [operation.get("requestBody", {}), *operation["responses"].values()]
            for media, content in ((m, c) for part in described for m, c in part.get("content", {}).items()):
                if "schema" not in content:
                    assert path in {"/v1/webhooks/{provider}", "/v1/helpdesks/{target}"}, (
                        f"{path} has no schema for {media}."
                    )
                    continue
                examples = [example["value"] for example in content.get("examples", {}).values()] or [
                    content["example"]
                ]
                for example in examples:
                    Draft202012Validator(content["schema"] | {"components": document["components"]}).validate(example)
                    checked += 1
    assert checked > 30


@pytest.mark.slow
def test_the_document_is_valid_openapi(web: tuple[httpx.Client, str]) -> None:
    openapi = import_module("openapi_spec_validator")  # imported only here, because the import takes seconds
    document = web[0].get("/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    openapi.OpenAPIV31SpecValidator(document).validate()
    with pytest.raises(openapi.validation.exceptions.OpenAPIValidationError):
        openapi.OpenAPIV31SpecValidator(document | {"components": {"securitySchemes": {"seller's key": {}}}}).validate()


def test_every_operation_id_is_unique_and_begins_with_a_verb(web: tuple[httpx.Client, str]) -> None:
    document = web[0].get("/openapi.json").json()
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert sorted(ids) == [
        "createAnswer", "createRefundRequest", "createRefundRequestsInBulk", "createSupportDecision", "getLiveness",
        "getMetrics", "getReadiness", "getRefundRequest", "getSupportCase", "receiveHelpdeskWebhook",
        "receiveProviderWebhook", "upsertPurchase",
    ]  # fmt: skip
    assert all(re.match("(create|get|list|update|upsert|delete|cancel|receive)[A-Z]", id_) for id_ in ids)


def test_no_operation_has_a_generated_operation_id() -> None:
    for module in (bulk, refund_requests, purchases, support_cases, webhooks, helpdesks, health, metrics):
        routes = [route for route in module.router.routes if isinstance(route, APIRoute) and route.include_in_schema]
        assert routes
        assert all(route.operation_id for route in routes)


def test_every_tag_is_described_and_every_operation_has_one_tag(web: tuple[httpx.Client, str]) -> None:
    document = web[0].get("/openapi.json").json()
    used = [
        tag for methods in document["paths"].values() for operation in methods.values() for tag in operation["tags"]
    ]
    assert {tag["name"] for tag in document["tags"]} == set(used)
    assert len(used) == sum(len(methods) for methods in document["paths"].values())
