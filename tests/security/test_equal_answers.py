"""Whoever asks learns nothing from the answer: not by its words, not by its headers, not by its length, not by its time."""

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
from tests.integration._web_fixtures import World, a_case, served
from tests.sample_data import a_recent_purchase

ORACLE = 0.002  # seconds; a purchase that is looked up by an index and read costs about as much
AUDIBLE = ORACLE / 2
FEWEST, MOST = 300, 4_000  # requests of each kind
SURE = AUDIBLE / 4  # a median that errs by no more than this is on the right side of AUDIBLE: four deviations

Answer = tuple[int, dict[str, str], str]


class Asked(NamedTuple):
    """What somebody types."""

    email: str
    reference: str


class Door(NamedTuple):
    """One way to ask."""

    path: str
    body: Callable[[Asked], str]
    type: str
    status: int


def _refund(asked: Asked) -> str:
    return urlencode(
        {**asked._asdict(), "reason": "other", "refund_scope": "full", "comment": "", "nonce": uuid4().hex}
    )


def _lookup(asked: Asked) -> str:
    return urlencode({**asked._asdict(), "ask": "purchase"})


def _call(asked: Asked) -> str:
    return json.dumps({**asked._asdict(), "reason": "other"})


_FORM = "application/x-www-form-urlencoded"
DOORS = {
    "refund": Door("/refund", _refund, _FORM, 303),
    "lookup": Door("/lookup", _lookup, _FORM, 303),
    "API": Door("/v1/refund-requests", _call, "application/json", 202),
}


@pytest.fixture
def kinds(world: World) -> dict[str, Asked]:
    """Every way in which a purchase may be there or not; each is typed in as many characters."""
    known, foreign, refunded, live = (
        a_recent_purchase(email=f"{name}@example.com") for name in ("aaaa", "bbbb", "cccc", "dddd")
    )
    elsewhere = a_recent_purchase(email="eeee@example.com", seller_id="babbage")
    with world.records.work() as work:
        work.purchases.upsert([known, foreign, elsewhere])
    a_case(world.records, State.REFUNDED, purchase=refunded)
    a_case(world.records, State.AWAITING_CONFIRMATION, purchase=live)
    return {
        "known": Asked(known.email, known.reference),
        "unknown": Asked("ffff@example.com", "MB-2026-99999"),
        "unknown again": Asked("gggg@example.com", "MB-2026-99998"),
        "somebody else's": Asked("hhhh@example.com", foreign.reference),
        "another seller's": Asked(elsewhere.email, elsewhere.reference),
        "already refunded": Asked(refunded.email, refunded.reference),
        "being refunded": Asked(live.email, live.reference),
    }


@contextmanager
def asking(world: World, application: ASGIApp) -> Iterator[Callable[[Door, Asked], tuple[Answer, float]]]:
    """Asks over one connection; the answer, and the seconds until it was there."""
    with served(application) as web:  # type: ignore[arg-type]  # anything that speaks ASGI
        connection = HTTPConnection(web.base_url.host, web.base_url.port)
        key = f"Bearer {world.key}"

        def ask(door: Door, asked: Asked) -> tuple[Answer, float]:
            body = door.body(asked)
            headers = {"content-type": door.type} | ({"authorization": key} if door.path.startswith("/v1") else {})
            began = time.perf_counter()
            connection.request("POST", door.path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode()
            took = time.perf_counter() - began
            return (answer.status, {name.lower(): value for name, value in answer.getheaders()}, text), took

        with closing(connection):
            yield ask


def without_ids(text: str) -> str:
    """The text, with a mark as long as each id and token in it."""
    ids = r'(?<=")[\w-]{36}(?=")|(?<=/status/)[\w.-]+|(?<=/refund-requests/)[\w-]{36}$'
    return re.sub(ids, lambda found: "*" * len(found[0]), text)


@pytest.mark.parametrize("name", DOORS)
def test_every_answer_is_the_same_byte_for_byte(world: World, kinds: Mapping[str, Asked], name: str) -> None:
    door = DOORS[name]
    seen = {}
    with asking(world, app(world.settings)) as ask:
        for kind, asked in kinds.items():
            (status, headers, text), _ = ask(door, asked)
            assert status == door.status
            del headers["date"]
            seen[kind] = ({name: without_ids(value) for name, value in headers.items()}, without_ids(text))
    assert all(answer == seen["unknown"] for answer in seen.values()), seen


@pytest.mark.slow
@pytest.mark.parametrize("name", DOORS)
def test_no_answer_takes_longer_for_what_there_is(world: World, kinds: Mapping[str, Asked], name: str) -> None:
    with asking(world, app(world.settings)) as ask:
        heard = listen(ask, DOORS[name], kinds)
    assert {kind: late for kind, late in heard.items() if abs(late) > AUDIBLE} == {}


@pytest.mark.slow
def test_a_look_up_of_two_milliseconds_would_have_been_heard(world: World, kinds: Mapping[str, Asked]) -> None:
    with asking(world, Telltale(app(world.settings), kinds["known"].reference)) as ask:
        heard = listen(ask, DOORS["refund"], kinds)
    assert [kind for kind, late in heard.items() if abs(late) > AUDIBLE] == ["known"]


class Telltale:
    """A mistake to be found: it takes its time where a purchase is there."""

    def __init__(self, inner: ASGIApp, reference: str) -> None:
        self._inner = inner
        self._reference = reference.encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def slow() -> Message:
            message = await receive()
            if self._reference in message.get("body", b""):
                await anyio.sleep(ORACLE)
            return message

        await self._inner(scope, slow, send)


def listen(
    ask: Callable[[Door, Asked], tuple[Answer, float]], door: Door, kinds: Mapping[str, Asked]
) -> dict[str, float]:
    """By how many seconds each kind is answered later than the unknown one, at the median.

    Each round asks for every kind once, in an order of its own, so that whatever slows the machine slows them alike. It
    goes on until two kinds that are both unknown show, by how they differ, that the medians are sure.
    """
    rounds: dict[str, list[float]] = {kind: [] for kind in kinds}
    order = list(kinds)
    for _ in range(20):  # until everything is compiled, connected and cached
        ask(door, kinds["unknown"])
    while len(rounds["unknown"]) < MOST:
        random.shuffle(order)
        for kind in order:
            rounds[kind].append(ask(door, kinds[kind])[1])
        if len(rounds["unknown"]) >= FEWEST and error(later(rounds, "unknown again")) <= SURE:
            return {kind: median(later(rounds, kind)) for kind in kinds if kind != "unknown"}
    raise AssertionError(f"This machine is too noisy to hear {AUDIBLE * 1_000:g} ms in {MOST} requests.")


def later(rounds: Mapping[str, Sequence[float]], kind: str) -> list[float]:
    return [mine - unknown for mine, unknown in zip(rounds[kind], rounds["unknown"], strict=True)]


def error(differences: Sequence[float]) -> float:
    """The standard error of their median, by their quartiles: a few answers that took an age say nothing."""
    low, _, high = quantiles(differences, n=4)
    return float(1.2533 * (high - low) / 1.349 / len(differences) ** 0.5)
