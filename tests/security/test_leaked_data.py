"""What customers tell us is in the database, and nowhere else: not in a log, not in the broker, not among the numbers."""

import base64
import mailbox
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import httpx
import pytest
import redis

from config.broker import QUEUES, connect, redis_url
from config.settings import Settings
from config.signed_links import Links, Purpose
from console.stack import free_port
from domain.messages import IncomingRequest
from domain.requests import Channel
from records import Records
from tests.integration._mail_fixtures import a_mail
from tests.sample_data import a_recent_purchase, settle_in
from tests.services import Child, eventually

WORDS = ("canaryperson", "canary-4711", "canarycomment", "canarykey", "canary.example")
"""Whoever reads one of these where it must not be has found personal data. They are compared without regard to case."""
PARTS = ("web", "worker", "relay", "mail", "consume")


def address(number: int) -> str:
    return f"canaryperson{number}@canary.example"


def reference(number: int) -> str:
    return f"CANARY-4711-{number}"


def found_in(text: str, *more: str) -> list[str]:
    return [word for word in (*WORDS, *more) if word.lower() in text.lower()]


@contextmanager
def overhearing(settings: Settings) -> Iterator[list[str]]:
    """Everything that is said to the broker meanwhile, but for what strangers put on the queue that is theirs."""
    url = redis_url(settings)
    assert url
    heard: list[str] = []
    with redis.Redis.from_url(url) as client, client.monitor() as monitor:

        def listen() -> None:
            with suppress(Exception):  # the connection is closed under it at the end
                heard.extend(str(said["command"]) for said in monitor.listen())

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        yield heard
        monitor.connection.disconnect()
        listener.join(5)


@pytest.fixture
def installation(start: Callable[..., Child], sandbox_url: str) -> Iterator[httpx.Client]:
    """Every part as a process of its own, and a way to its web."""
    port = free_port()
    for part in PARTS:
        start(part, part, *(("--port", str(port)) if part == "web" else ()), MONEYBACK_SANDBOX_URL=sandbox_url)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as web:
        eventually(lambda: _answers(web), seconds=120)
        yield web


def _answers(web: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return web.get("/readyz").status_code == 200
    return False


def ask_by_every_way_in(web: httpx.Client, settings: Settings, key: str) -> None:
    """What can be read and what cannot, by form, API, mail and queue; and what is private about a purchase."""
    form = {"reason": "other", "refund_scope": "full", "comment": "CanaryComment", "nonce": "n" * 24}
    bearer = {"authorization": f"Bearer {key}"}
    asked = {"email": address(1), "reference": reference(1)}
    bought = {
        "email": address(1), "product": "Engine", "amount": 4900, "currency": "EUR", "method": "credit_card",
        "provider": "sandbox", "charge": "ok_canary", "purchased_at": "2026-04-17T14:05:00+02:00",
        "details": {"licence_key": "CanaryKey-1"},
    }  # fmt: skip
    answers = [
        web.put(f"/v1/purchases/{reference(1)}", json=bought, headers=bearer),
        web.put(f"/v1/purchases/{reference(2)}", json=bought | {"amount": "CanaryComment"}, headers=bearer),
        web.post("/refund", data=form | asked),
        web.post("/refund", data=form | asked | {"reason": "CanaryComment"}),
        web.post("/lookup", data=asked),
        web.post("/withdraw", data=asked | {"name": "CanaryPerson", "step": "confirm", "nonce": "w" * 24}),
        web.post("/v1/refund-requests", json={"email": address(3), "reference": reference(3), "reason": "other"}, headers=bearer),
        web.post("/v1/refund-requests", json={"email": "CanaryPerson", "reference": reference(3)}, headers=bearer),
        web.post("/v1/webhooks/sandbox", content=b'{"id": "CanaryKey"}'),
        web.get("/status/CanaryKey", params={"email": address(1)}),
        web.get(f"/CanaryPerson/{address(1)}"),
    ]  # fmt: skip
    assert 500 not in {answer.status_code for answer in answers}
    assert settings.incoming_mail_dir
    inbox = mailbox.Maildir(settings.incoming_mail_dir)
    inbox.add(a_mail(f"CanaryComment: please refund {reference(4)}", who=address(4)))
    inbox.add(b"From: CanaryPerson\xff\r\nSubject: CanaryComment \xff\r\n\r\n" + b"\xff" * 100)
    event = {
        "specversion": "1.0", "id": "canary", "source": "form", "type": "moneyback.refund_requested.v1",
        "data": {
            "seller": "aurora",
            "request": {"email": address(5), "reference": reference(5), "reason": "other", "comment": "CanaryComment"},
        },
    }  # fmt: skip
    with connect(settings) as connection:
        producer = connection.Producer()
        for message in (event, event | {"data": {"CanaryPerson": "CanaryComment"}}):
            producer.publish(message, routing_key=QUEUES[IncomingRequest.queue].name, serializer="json")


def test_what_customers_tell_is_in_no_log_in_no_message_and_among_no_numbers(
    settings: Settings, records: Records, installation: httpx.Client
) -> None:
    settle_in(records, a_recent_purchase(email=address(9), reference=reference(9)))
    with records.work() as work:
        key = work.api_keys.create("aurora")[1]
    with overhearing(settings) as heard:
        ask_by_every_way_in(installation, settings, key)

        def all_done() -> bool:
            with records.work() as work:
                channels = {view.channel for view in work.case_views.search()}
                states = {view.state for view in work.case_views.search()}
                dead, letters = len(work.dead_letters.list_all()), work.case_emails.count_unsent()
                notes = work.run("select count(*) from inquiry_emails where sent_at is null").scalar_one()
            return channels == set(Channel) and "received" not in states and dead >= 1 and not letters and not notes

        eventually(all_done, seconds=180)
        links = Links.of(settings)
        with records.work() as work:
            cases = [view.id for view in work.case_views.search()]
            notes = [row.id for row in work.run("select id from inquiry_emails")]
        tokens = [links.to(purpose, one).rpartition("/")[2] for purpose in Purpose for one in (*cases, *notes)]
        for token in tokens:
            installation.get(f"/status/{token}")
            installation.post(f"/confirm/{token}")
            installation.post(f"/open/{token}")
        numbers = installation.get("/metrics").text

    secrets = (*tokens, *(token.rpartition(".")[2] for token in tokens), key, key.split("_", 2)[2])
    logs = {part: _log_of(settings, part) for part in PARTS}
    assert all(logs[part] for part in PARTS if part != "relay"), "Nothing was logged: this test would find nothing."
    assert {part: said for part, log in logs.items() if (said := found_in(log, *secrets))} == {}
    assert found_in(numbers, *secrets) == []
    ours = [said for said in heard if IncomingRequest.queue not in said]
    assert len(ours) > 20
    assert [said for said in ours if found_in(said + _unpacked(said), *secrets)] == []


def test_the_database_holds_nothing_that_opens_a_door(settings: Settings, records: Records) -> None:
    """Not even somebody who reads every table can follow a link or call the API."""
    settle_in(records)
    with records.work() as work:
        key = work.api_keys.create("aurora")[1]
        note = work.inquiry_emails.enqueue(kind="purchase", email=address(1), locale="en", reference=reference(1))  # type: ignore[arg-type]
        tables = [row[0] for row in work.run("select tablename from pg_tables where schemaname = 'public'")]
        held = "\n".join(row[0] for table in tables for row in work.run(f"select t::text from {table} t"))
    links = Links.of(settings)
    assert str(note) in held
    assert address(1) in held
    for token in (links.to(purpose, note).rpartition("/")[2] for purpose in Purpose):
        payload, _, signature = token.rpartition(".")
        assert signature not in held
        assert token not in held
        assert payload
    assert key not in held
    assert key.encode().hex() not in held
    assert key.split("_", 2)[2] not in held


def test_nothing_that_opens_a_door_can_be_guessed(settings: Settings, records: Records) -> None:
    settle_in(records)
    with records.work() as work:
        keys = {work.api_keys.create("aurora")[1].split("_", 2)[2] for _ in range(20)}
        ids = {work.inquiry_emails.enqueue(kind="references", email=address(1), locale="en") for _ in range(20)}  # type: ignore[arg-type]
    links = Links.of(settings)
    signatures = {links.to(purpose, one).rpartition(".")[2] for purpose in Purpose for one in ids}
    assert len(signatures) == 20 * len(Purpose)  # each for one thing and one purpose
    assert {len(_bytes(signature)) * 8 for signature in signatures} == {256}
    assert len(keys) == 20
    assert all(len(_bytes(key)) * 8 >= 128 for key in keys)
    assert {one.version for one in ids} == {4}


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _unpacked(said: str) -> str:
    """What stands in a message, which travels as base64 inside of JSON."""
    found = []
    for part in said.split('"body": "')[1:]:
        with suppress(ValueError):
            found.append(base64.b64decode(part.partition('"')[0].encode()).decode(errors="replace"))
    return " ".join(found)


def _log_of(settings: Settings, part: str) -> str:
    assert settings.incoming_mail_dir
    return (settings.incoming_mail_dir.parent / f"{part}.log").read_text(errors="replace")
