"""Problem documents and the customer's words, without a server."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

import pytest
from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.types import Message, Receive, Scope, Send

from domain.findings import Code
from domain.requests import RefundRequest
from domain.states import Event, State
from producers.web import guard, words
from producers.web.paper import Paper
from producers.web.problems import Kind, answer
from producers.web.wrongs import MOST_ERRORS, wrongs_of

GOOD: Mapping[str, Any] = {"email": "ada@example.com", "reference": "MB-1", "reason": "other"}


def a_scope(path: str, *headers: tuple[bytes, bytes]) -> Scope:
    application = Starlette()
    application.state.paper = Paper()
    return {
        "type": "http", "method": "POST", "path": path, "query_string": b"", "headers": list(headers), "app": application,
        "server": ("testserver", 80), "scheme": "http", "root_path": "",
    }  # fmt: skip


def errors_of(body: object) -> list[dict[str, str | None]]:
    with pytest.raises(ValidationError) as caught:
        RefundRequest.model_validate(body)
    return [
        wrong.model_dump() for wrong in wrongs_of([{**e, "loc": ("body", *e["loc"])} for e in caught.value.errors()])
    ]


def test_a_program_gets_a_problem_document_and_a_person_a_page() -> None:
    for_a_program = answer(Request(a_scope("/v1/nothing")), Kind.NOT_FOUND)
    for_a_person = answer(Request(a_scope("/nothing")), Kind.NOT_FOUND)
    assert for_a_program.media_type == "application/problem+json"
    assert json.loads(bytes(for_a_program.body))["type"] == "/docs#not_found"
    assert "There is nothing here" in bytes(for_a_person.body).decode()


def test_each_error_points_at_its_field_and_says_what_to_change() -> None:
    assert errors_of({**GOOD, "reason": "boredom", "extra": 1}) == [
        {
            "detail": "This must be one of 'unwanted_renewal', 'dissatisfied', 'wrong_product', 'technical_issue', "
            "'duplicate_order', 'poor_support', 'not_delivered' or 'other'.",
            "pointer": "#/reason",
            "parameter": None,
        },
        {"detail": "This field is not known here. Please leave it out.", "pointer": "#/extra", "parameter": None},
    ]


def test_a_pointer_escapes_slashes_and_tildes_and_stays_short() -> None:
    (strange, long) = errors_of({**GOOD, "a/b~c": 1, "x" * 5_000: 1})
    assert strange["pointer"] == "#/a~1b~0c"
    assert len(long["pointer"] or "") == 102


def test_a_body_full_of_nonsense_gets_a_short_answer() -> None:
    assert len(errors_of({str(n): n for n in range(1_000)})) == MOST_ERRORS


def test_half_a_surrogate_pair_can_be_told() -> None:
    errors = wrongs_of([{"type": "extra_forbidden", "loc": ("body", "\ud800"), "msg": ""}])
    body = answer(Request(a_scope("/v1/x")), Kind.INVALID, errors=errors).body
    assert b"\\ud800" in bytes(body)


@pytest.mark.parametrize("kind", Kind)
def test_every_kind_of_problem_is_told_in_sentences(kind: Kind) -> None:
    assert kind.sentence.endswith((".", "migrate"))
    assert 400 <= kind.status < 600


@pytest.mark.parametrize("state", State)
def test_every_state_has_words(state: State) -> None:
    standing = words.STANDINGS[state]
    assert standing.sentence.endswith(".")


@pytest.mark.parametrize("state", sorted(set(State) - {State.REFUNDED}))
def test_only_a_refund_that_was_made_is_called_one(state: State) -> None:
    standing = words.STANDINGS[state]
    told = f"{standing.heading} {standing.sentence}".lower()
    assert "your refund was sent" not in told
    assert "has sent the refund" not in told


@pytest.mark.parametrize("event", Event)
def test_every_step_has_words(event: Event) -> None:
    assert words.STEPS[event].endswith(".")


def test_the_customer_reads_each_reason_once_and_no_secret_one() -> None:
    reasons = [{"code": code.value} for code in (Code.SERIAL_REFUNDS, Code.OVER_CEILING, Code.OUTSIDE_WINDOW)]
    assert words.sentences_for_customer([*reasons, {"code": "of a later version"}]) == [
        "This purchase needs a manual check.",
        Code.OUTSIDE_WINDOW.customer,
    ]


def test_a_body_larger_than_it_said_is_refused_while_it_comes() -> None:
    taken = 0

    async def endless() -> Message:
        nonlocal taken
        taken += 1
        return {"type": "http.request", "body": b"x" * 10_000, "more_body": True}

    async def reader(_: Scope, receive: Receive, __: Send) -> None:
        while True:
            await receive()

    async def nowhere(message: Message) -> None:
        raise AssertionError(message)

    limit = guard.BodyLimit(reader)
    with pytest.raises(Exception, match="413"):
        asyncio.run(limit(a_scope("/v1/x", (b"content-length", b"10")), endless, nowhere))
    assert taken == guard.LARGEST_BODY // 10_000 + 1


def test_a_body_that_says_it_is_too_large_is_not_read_at_all() -> None:
    sent: list[Message] = []

    async def unread() -> Message:
        raise AssertionError("nobody reads this")

    async def keep(message: Message) -> None:
        sent.append(message)

    limit = guard.BodyLimit(guard.Apology(Starlette()))
    asyncio.run(limit(a_scope("/v1/x", (b"content-length", b"10485760")), unread, keep))
    assert sent[0]["status"] == 413


def test_a_mistake_of_ours_is_answered_without_a_word_of_it() -> None:
    sent: list[Message] = []

    async def broken(_: Scope, __: Receive, ___: Send) -> None:
        raise RuntimeError("password=hunter2")

    async def keep(message: Message) -> None:
        sent.append(message)

    async def nothing() -> Message:
        return {"type": "http.request"}

    asyncio.run(guard.Apology(broken)(a_scope("/v1/x"), nothing, keep))
    assert sent[0]["status"] == 500
    assert b"hunter2" not in sent[1]["body"]
