"""Tests of problem documents, error pages and texts for customers. No server runs."""

import asyncio
import json
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from domain.reason_codes import ReasonCode
from domain.requests import RefundRequest
from domain.states import Event, State
from producers.web import middleware
from producers.web.pages import case_copy
from producers.web.problems import CUSTOMER_TEXTS, ProblemCode, problem_response, problem_type
from producers.web.templating import Templates
from producers.web.validation_errors import MAX_ERRORS, field_errors

VALID_BODY: Mapping[str, Any] = {"email": "ada@example.com", "reference": "MB-1", "reason": "other"}


def a_scope(path: str, *headers: tuple[bytes, bytes]) -> Scope:
    application = Starlette()
    application.state.templates = Templates()
    application.state.settings = SimpleNamespace(public_url="https://refunds.example/")
    return {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "headers": list(headers), "app": application,
        "server": ("testserver", 80), "scheme": "http", "root_path": "",
    }  # fmt: skip


def errors_of(body: object) -> list[dict[str, str | None]]:
    with pytest.raises(ValidationError) as caught:
        RefundRequest.model_validate(body)
    return [
        error.model_dump() for error in field_errors([{**e, "loc": ("body", *e["loc"])} for e in caught.value.errors()])
    ]


def test_the_api_answers_with_a_problem_document_and_the_website_with_a_page() -> None:
    for_a_program = problem_response(Request(a_scope("/v1/nothing")), ProblemCode.NOT_FOUND)
    for_a_person = problem_response(Request(a_scope("/nothing")), ProblemCode.NOT_FOUND)
    assert for_a_program.media_type == "application/problem+json"
    assert json.loads(bytes(for_a_program.body))["type"] == "https://refunds.example/problems/not_found"
    assert CUSTOMER_TEXTS[ProblemCode.NOT_FOUND].heading in bytes(for_a_person.body).decode()


def test_each_error_names_its_field_and_the_correction() -> None:
    assert errors_of({**VALID_BODY, "reason": "boredom", "extra": 1}) == [
        {
            "detail": "This must be one of 'unwanted_renewal', 'dissatisfied', 'wrong_product', 'technical_issue', "
            "'duplicate_order', 'poor_support', 'not_delivered' or 'other'.",
            "pointer": "#/reason",
            "parameter": None,
        },
        {"detail": "This field is unknown. Leave it out.", "pointer": "#/extra", "parameter": None},
    ]


def test_a_pointer_escapes_slashes_and_tildes_and_stays_short() -> None:
    (escaped, long) = errors_of({**VALID_BODY, "a/b~c": 1, "x" * 5_000: 1})
    assert escaped["pointer"] == "#/a~1b~0c"
    assert len(long["pointer"] or "") == 102


def test_the_number_of_errors_is_limited() -> None:
    assert len(errors_of({str(n): n for n in range(1_000)})) == MAX_ERRORS


def test_a_field_name_with_a_lone_surrogate_can_be_encoded() -> None:
    errors = field_errors([{"type": "extra_forbidden", "loc": ("body", "\ud800"), "msg": ""}])
    body = problem_response(Request(a_scope("/v1/x")), ProblemCode.VALIDATION_FAILED, errors=errors).body
    assert b"\\ud800" in bytes(body)


@pytest.mark.parametrize("code", ProblemCode)
def test_every_problem_has_a_cause_and_a_remedy(code: ProblemCode) -> None:
    assert code.cause.endswith(".")
    assert code.remedy.endswith((".", "migrate"))
    assert code.detail == f"{code.cause} {code.remedy}"
    assert not code.heading.endswith(".")
    assert 400 <= code.status < 600


@pytest.mark.parametrize("public_url", ["https://refunds.example", "https://refunds.example/"])
def test_the_type_of_a_problem_is_an_absolute_url(public_url: str) -> None:
    assert problem_type(public_url, ProblemCode.RATE_LIMITED) == "https://refunds.example/problems/rate_limited"


@pytest.mark.parametrize("state", State)
def test_every_state_has_a_sentence(state: State) -> None:
    headline = case_copy.HEADLINES[state]
    assert headline.sentence.endswith(".")


@pytest.mark.parametrize("state", sorted(set(State) - {State.REFUNDED}))
def test_no_state_except_refunded_says_that_the_refund_was_sent(state: State) -> None:
    headline = case_copy.HEADLINES[state]
    text = f"{headline.heading} {headline.sentence}".lower()
    assert "your refund was sent" not in text
    assert "has sent the refund" not in text


@pytest.mark.parametrize("event", Event)
def test_every_event_has_a_sentence(event: Event) -> None:
    assert case_copy.STEPS[event].endswith(".")


def test_the_customer_reads_each_reason_once_and_no_internal_reason() -> None:
    reasons = [
        {"code": code.value} for code in (ReasonCode.SERIAL_REFUNDS, ReasonCode.OVER_CEILING, ReasonCode.OUTSIDE_WINDOW)
    ]
    assert case_copy.sentences_for_customer([*reasons, {"code": "of a later version"}]) == [
        "This purchase needs a manual check.",
        ReasonCode.OUTSIDE_WINDOW.customer,
    ]


def test_reading_stops_when_the_body_exceeds_the_limit() -> None:
    chunks = 0

    async def endless() -> Message:
        nonlocal chunks
        chunks += 1
        return {"type": "http.request", "body": b"x" * 10_000, "more_body": True}

    async def read_everything(_: Scope, receive: Receive, __: Send) -> None:
        while True:
            await receive()

    async def send_nothing(message: Message) -> None:
        raise AssertionError(message)

    limit = middleware.BodySizeLimitMiddleware(read_everything)
    with pytest.raises(Exception, match="413"):
        asyncio.run(limit(a_scope("/v1/x", (b"content-length", b"10")), endless, send_nothing))
    assert chunks == middleware.MAX_BODY_BYTES // 10_000 + 1


def test_a_body_with_a_too_large_content_length_is_not_read() -> None:
    sent: list[Message] = []

    async def never_called() -> Message:
        raise AssertionError("The body was read.")

    async def keep(message: Message) -> None:
        sent.append(message)

    limit = middleware.BodySizeLimitMiddleware(middleware.ErrorPageMiddleware(Starlette()))
    asyncio.run(limit(a_scope("/v1/x", (b"content-length", b"10485760")), never_called, keep))
    assert sent[0]["status"] == 413


def test_an_internal_error_does_not_leak_its_message() -> None:
    sent: list[Message] = []

    async def broken(_: Scope, __: Receive, ___: Send) -> None:
        raise RuntimeError("password=hunter2")

    async def keep(message: Message) -> None:
        sent.append(message)

    async def empty_body() -> Message:
        return {"type": "http.request"}

    asyncio.run(middleware.ErrorPageMiddleware(broken)(a_scope("/v1/x"), empty_body, keep))
    assert sent[0]["status"] == 500
    assert b"hunter2" not in sent[1]["body"]
