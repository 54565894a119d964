"""Tests that the text, headers, length and time of a response do not reveal whether a purchase exists."""

import json
import random
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from http.client import HTTPConnection
from statistics import median, quantiles
from typing import NamedTuple
from urllib.parse import urlencode
from uuid import uuid4

import anyio
import pytest
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from domain.states import State
from producers.web.app import app
from records.purchase_reports import store_purchases
from tests.integration._web_fixtures import Site, a_case, serve
from tests.sample_data import a_recent_purchase

LOOKUP_SECONDS = 0.002  # seconds; about the time that an index lookup of a purchase takes
MAX_DIFFERENCE = (
    LOOKUP_SECONDS / 2
)  # the largest allowed difference between the medians of two kinds of input, in seconds
MIN_REQUESTS, MAX_REQUESTS = 300, 4_000  # the minimum and maximum number of requests for each kind of input
MAX_ERROR = (
    MAX_DIFFERENCE / 4
)  # the largest allowed standard error, in seconds; MAX_DIFFERENCE is four times as large, so false alarms are rare

Response = tuple[int, dict[str, str], str]


class Input(NamedTuple):
    """The input of a customer: an address and a reference."""

    email: str
    reference: str


class Endpoint(NamedTuple):
    """A path that accepts an input, and the status of a normal response."""

    path: str
    body: Callable[[Input], str]
    type: str
    status: int


def _refund(typed: Input) -> str:
    return urlencode(
        {**typed._asdict(), "reason": "other", "refund_scope": "full", "comment": "", "nonce": uuid4().hex}
    )


def _lookup(typed: Input) -> str:
    return urlencode({**typed._asdict(), "ask": "purchase"})


def _call(typed: Input) -> str:
    return json.dumps({**typed._asdict(), "reason": "other"})


_FORM = "application/x-www-form-urlencoded"
ENDPOINTS = {
    "refund": Endpoint("/refund", _refund, _FORM, 303),
    "lookup": Endpoint("/lookup", _lookup, _FORM, 303),
    "API": Endpoint("/v1/refund-requests", _call, "application/json", 202),
}


@pytest.fixture
def inputs(site: Site) -> dict[str, Input]:
    """Store purchases in all relevant states. Return an input for each purchase, and inputs for which no purchase exists.

    All inputs have the same length.
    """
    known, of_other_customer, refunded, live = (
        a_recent_purchase(email=f"{name}@example.com") for name in ("aaaa", "bbbb", "cccc", "dddd")
    )
    of_other_seller = a_recent_purchase(email="eeee@example.com", seller_id="babbage")
    with site.records.work() as work:
        store_purchases(work, [known, of_other_customer, of_other_seller])
    a_case(site.records, State.REFUNDED, purchase=refunded)
    a_case(site.records, State.AWAITING_CONFIRMATION, purchase=live)
    return {
        "known": Input(known.email, known.reference),
        "unknown": Input("ffff@example.com", "MB-2026-99999"),
        "unknown again": Input("gggg@example.com", "MB-2026-99998"),
        "another customer's": Input("hhhh@example.com", of_other_customer.reference),
        "another seller's": Input(of_other_seller.email, of_other_seller.reference),
        "already refunded": Input(refunded.email, refunded.reference),
        "being refunded": Input(live.email, live.reference),
    }


@contextmanager
def timed_sender(site: Site, application: ASGIApp) -> Iterator[Callable[[Endpoint, Input], tuple[Response, float]]]:
    """Yield a function that sends an input, and returns the response and the seconds until it arrived.

    All inputs are sent over one connection.
    """
    with serve(application) as web:  # type: ignore[arg-type]  # any ASGI application
        connection = HTTPConnection(web.base_url.host, web.base_url.port)
        key = f"Bearer {site.api_key}"

        def send(endpoint: Endpoint, typed: Input) -> tuple[Response, float]:
            body = endpoint.body(typed)
            headers = {"content-type": endpoint.type} | (
                {"authorization": key} if endpoint.path.startswith("/v1") else {}
            )
            started = time.perf_counter()
            connection.request("POST", endpoint.path, body, headers)
            response = connection.getresponse()
            text = response.read().decode()
            seconds = time.perf_counter() - started
            return (response.status, {name.lower(): value for name, value in response.getheaders()}, text), seconds

        with closing(connection):
            yield send


def without_ids(text: str) -> str:
    """Return the text with each id, case number and token replaced by asterisks of the same length."""
    ids = r'(?<=")[\w-]{36}(?=")|[\dA-Z]{4}-[\dA-Z]{4}-[\dA-Z]\b|(?<=/status/)[\w.-]+|(?<=/refund-requests/)[\w-]{36}$'
    return re.sub(ids, lambda match: "*" * len(match[0]), text)


@pytest.mark.parametrize("name", ENDPOINTS)
def test_all_responses_are_equal_byte_for_byte(site: Site, inputs: Mapping[str, Input], name: str) -> None:
    endpoint = ENDPOINTS[name]
    responses = {}
    with timed_sender(site, app(site.settings)) as send:
        for kind, typed in inputs.items():
            (status, headers, text), _ = send(endpoint, typed)
            assert status == endpoint.status
            del headers["date"]
            responses[kind] = ({name: without_ids(value) for name, value in headers.items()}, without_ids(text))
    assert all(response == responses["unknown"] for response in responses.values()), responses


@pytest.mark.slow
@pytest.mark.parametrize("name", ENDPOINTS)
def test_no_response_takes_longer_for_an_existing_purchase(site: Site, inputs: Mapping[str, Input], name: str) -> None:
    with timed_sender(site, app(site.settings)) as send:
        delays = median_delays(send, ENDPOINTS[name], inputs)
    assert {kind: delay for kind, delay in delays.items() if abs(delay) > MAX_DIFFERENCE} == {}


@pytest.mark.slow
def test_a_delay_of_two_milliseconds_for_a_known_purchase_is_detected(site: Site, inputs: Mapping[str, Input]) -> None:
    with timed_sender(site, SlowForKnownPurchase(app(site.settings), inputs["known"].reference)) as send:
        delays = median_delays(send, ENDPOINTS["refund"], inputs)
    assert [kind for kind, delay in delays.items() if abs(delay) > MAX_DIFFERENCE] == ["known"]


class SlowForKnownPurchase:
    """A web application with an intentional mistake: requests for one existing purchase take longer."""

    def __init__(self, inner: ASGIApp, reference: str) -> None:
        self._inner = inner
        self._reference = reference.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def slow() -> Message:
            message = await receive()
            if self._reference in message.get("body", b""):
                await anyio.sleep(LOOKUP_SECONDS)
            return message

        await self._inner(scope, slow, send)


def median_delays(
    send: Callable[[Endpoint, Input], tuple[Response, float]], endpoint: Endpoint, inputs: Mapping[str, Input]
) -> dict[str, float]:
    """Return, for each kind of input, by how many seconds its responses are slower than for an unknown purchase (median).

    Each round sends every input once, in random order, so a slow machine slows all inputs alike. The rounds end when the
    difference between two unknown purchases has a standard error of at most `MAX_ERROR`.
    """
    rounds: dict[str, list[float]] = {kind: [] for kind in inputs}
    order = list(inputs)
    for _ in range(20):  # a warm-up, which compiles, connects and fills caches
        send(endpoint, inputs["unknown"])
    while len(rounds["unknown"]) < MAX_REQUESTS:
        random.shuffle(order)
        for kind in order:
            rounds[kind].append(send(endpoint, inputs[kind])[1])
        if len(rounds["unknown"]) >= MIN_REQUESTS and standard_error(differences(rounds, "unknown again")) <= MAX_ERROR:
            return {kind: median(differences(rounds, kind)) for kind in inputs if kind != "unknown"}
    raise AssertionError(
        f"The times vary too much: {MAX_REQUESTS} requests cannot show a difference of {MAX_DIFFERENCE * 1_000:g} ms."
    )


def differences(rounds: Mapping[str, Sequence[float]], kind: str) -> list[float]:
    return [measured - unknown for measured, unknown in zip(rounds[kind], rounds["unknown"], strict=True)]


def standard_error(differences: Sequence[float]) -> float:
    """Return the standard error of the median, estimated from the quartiles, so a few very slow responses have no effect."""
    low, _, high = quantiles(differences, n=4)
    return float(1.2533 * (high - low) / 1.349 / len(differences) ** 0.5)
