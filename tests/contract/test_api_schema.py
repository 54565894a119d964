"""The API is what its OpenAPI document says: schemathesis asks what the document allows and what it does not, and checks."""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from fastapi.routing import APIRoute
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events, from_schema

from console.servers import Servers
from producers.web import health, metrics, webhooks
from producers.web.api import bulk, purchases, refund_requests
from producers.web.api.ndjson import NDJSON
from producers.web.app import app
from producers.web.problems import ProblemCode
from records import Records
from tests.integration._web_fixtures import serve
from tests.sample_data import store_seller_and_purchases
from tests.services import create_settings, fresh_database

BEYOND = (
    "This text contains control characters",
    "This text contains line breaks or control characters",
    "This text contains invalid characters",
    "This is not an e-mail address",
    "This must be an https URL",
    "This reference has no letter and no digit",
    "This date is before 1970 or after 2999",
    "This must not be empty",  # nothing but spaces
)
"""What JSON Schema cannot say, or only in patterns that nobody reads: for this a body that it allows may be refused."""


@pytest.fixture(scope="module")
def taught() -> None:
    """What schemathesis does not know by itself: bodies of many lines."""

    @schemathesis.serializer(NDJSON)
    def to_lines(_: Any, lines: Any) -> bytes:
        return b"".join(json.dumps(line).encode() + b"\n" for line in (lines if isinstance(lines, list) else [lines]))

    @schemathesis.deserializer(NDJSON)
    def from_lines(_: Any, response: Any) -> list[Any]:
        return [json.loads(line) for line in response.text.splitlines()]


@pytest.fixture(scope="module")
def web(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[httpx.Client, str]]:
    """A web with one seller, and a key of this one that may do everything that needs one."""
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


@pytest.mark.usefixtures("taught")
@pytest.mark.slow
def test_schemathesis_finds_nothing(web: tuple[httpx.Client, str]) -> None:
    client, key = web
    config = SchemathesisConfig.from_dict(
        {
            "seed": 1,
            "base-url": str(client.base_url),
            "auth": {"openapi": {"sellerApiKey": {"bearer": key}}},
            "generation": {"max-examples": 15, "deterministic": True, "database": "none", "no-shrink": True},
            "cache": {"enabled": False},
            "operations": [
                {  # a line that is wrong is refused in its place, in an answer of 200
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
    answered: Counter[tuple[str, int]] = Counter()
    phases: set[str] = set()
    for event in from_schema(schema).execute():
        if isinstance(event, events.ScenarioFinished):
            failures += failed(event)
            for interaction in event.recorder.interactions.values():
                if interaction.response is not None:
                    answered[event.recorder.label, interaction.response.status_code] += 1
        elif isinstance(event, events.PhaseFinished):
            phases.add(event.phase.name.value)
        assert not isinstance(event, events.NonFatalError | events.FatalError | events.Interrupted), event
    assert failures == []
    assert {"examples", "coverage", "fuzzing", "stateful"} <= phases
    for reached in (
        ("POST /v1/refund-requests", 202),
        ("POST /v1/refund-requests", 422),
        ("POST /v1/refund-requests/bulk", 200),
        ("GET /v1/refund-requests/{id}", 200),
        ("GET /v1/refund-requests/{id}", 404),
        ("PUT /v1/purchases/{reference}", 201),
        ("PUT /v1/purchases/{reference}", 422),
    ):
        assert answered[reached], f"{reached} was never answered: {answered}"


def failed(scenario: events.ScenarioFinished) -> list[str]:
    """What the checks found wrong, each with what was asked and answered."""
    found = []
    for case_id, checks in scenario.recorder.checks.items():
        for check in checks:
            response = scenario.recorder.interactions[case_id].response
            if check.failure_info is not None and not (check.name == "positive_data_acceptance" and beyond(response)):
                case = scenario.recorder.cases[case_id].value
                said = response and (response.status_code, response.content[:300])
                asked = f"{case.method} {case.formatted_path} {dict(case.headers or {})} {case.body!r}"[:500]
                found.append(f"{check.name}: {check.failure_info.failure.message[:300]} | {asked} | {said}")
    return found


def beyond(response: Any) -> bool:
    """Whether all that was wrong is beyond what JSON Schema can say; so is a key that was used before."""
    problem = json.loads(response.content)
    if problem["type"].endswith(f"/problems/{ProblemCode.IDEMPOTENCY_KEY_REUSED}"):
        return True
    errors = problem.get("errors", [])
    return bool(errors) and all(error["detail"].startswith(BEYOND) for error in errors)


def test_every_operation_shows_what_it_takes_and_answers_and_each_example_is_true(
    web: tuple[httpx.Client, str],
) -> None:
    document = web[0].get("/openapi.json").json()
    shown = 0
    for path, methods in document["paths"].items():
        for operation in methods.values():
            holders = [operation.get("requestBody", {}), *operation["responses"].values()]
            for media, content in ((m, c) for holder in holders for m, c in holder.get("content", {}).items()):
                if "schema" not in content:
                    assert path == "/v1/webhooks/{provider}", f"{path} does not say what {media} holds."
                    continue
                examples = [one["value"] for one in content.get("examples", {}).values()] or [content["example"]]
                for example in examples:
                    Draft202012Validator(content["schema"] | {"components": document["components"]}).validate(example)
                    shown += 1
    assert shown > 30


def test_the_document_is_valid_openapi(web: tuple[httpx.Client, str]) -> None:
    document = web[0].get("/openapi.json").json()
    assert document["openapi"].startswith("3.1.")
    OpenAPIV31SpecValidator(document).validate()
    with pytest.raises(OpenAPIValidationError):
        OpenAPIV31SpecValidator(document | {"components": {"securitySchemes": {"seller's key": {}}}}).validate()


def test_every_operation_has_an_id_of_its_own_that_is_a_verb_and_a_noun(web: tuple[httpx.Client, str]) -> None:
    document = web[0].get("/openapi.json").json()
    ids = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert sorted(ids) == [
        "createRefundRequest", "createRefundRequestsInBulk", "getLiveness", "getMetrics", "getReadiness",
        "getRefundRequest", "receiveProviderWebhook", "upsertPurchase",
    ]  # fmt: skip
    assert all(re.match("(create|get|list|update|upsert|delete|cancel|receive)[A-Z]", id_) for id_ in ids)


def test_no_operation_takes_its_id_from_the_name_of_a_function() -> None:
    for module in (bulk, refund_requests, purchases, webhooks, health, metrics):
        shown = [route for route in module.router.routes if isinstance(route, APIRoute) and route.include_in_schema]
        assert shown
        assert all(route.operation_id for route in shown)


def test_the_tags_of_the_operations_are_explained(web: tuple[httpx.Client, str]) -> None:
    document = web[0].get("/openapi.json").json()
    used = [
        tag for methods in document["paths"].values() for operation in methods.values() for tag in operation["tags"]
    ]
    assert {tag["name"] for tag in document["tags"]} == set(used)
    assert len(used) == sum(len(methods) for methods in document["paths"].values())
