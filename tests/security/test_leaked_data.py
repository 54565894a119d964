"""Tests that personal data is only in the database: not in a log, the broker or the metrics."""

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
from tests.sample_data import a_recent_purchase, store_seller_and_purchases
from tests.services import ChildProcess, eventually

CANARY_WORDS = ("canaryperson", "canary-4711", "canarycomment", "canarykey", "canary.example")
"""Words in the personal data of these tests, in upper or lower case.

If one of these words is found outside the database, personal data has leaked.
"""
SERVICES = ("web", "worker", "relay", "mail", "consume")


def address(number: int) -> str:
    return f"canaryperson{number}@canary.example"


def reference(number: int) -> str:
    return f"CANARY-4711-{number}"


def canaries_in(text: str, *extra_words: str) -> list[str]:
    return [word for word in (*CANARY_WORDS, *extra_words) if word.lower() in text.lower()]


@contextmanager
def record_broker_commands(settings: Settings) -> Iterator[list[str]]:
    """Yield a list that receives every command to the broker while the block runs."""
    url = redis_url(settings)
    assert url
    commands: list[str] = []
    with redis.Redis.from_url(url) as client, client.monitor() as monitor:

        def listen() -> None:
            with suppress(Exception):  # the connection is closed while this thread reads from it
                commands.extend(str(command["command"]) for command in monitor.listen())

        recorder = threading.Thread(target=listen, daemon=True)
        recorder.start()
        yield commands
        monitor.connection.disconnect()
        recorder.join(5)


@pytest.fixture
def installation(start: Callable[..., ChildProcess], sandbox_url: str) -> Iterator[httpx.Client]:
    """Start every service as a process, and yield a client of the web server."""
    port = free_port()
    for service in SERVICES:
        start(service, service, *(("--port", str(port)) if service == "web" else ()), MONEYBACK_SANDBOX_URL=sandbox_url)
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30) as web:
        eventually(lambda: _is_ready(web), seconds=120)
        yield web


def _is_ready(web: httpx.Client) -> bool:
    with suppress(httpx.TransportError):
        return web.get("/readyz").status_code == 200
    return False


def send_requests_by_every_channel(web: httpx.Client, settings: Settings, key: str) -> None:
    """Send valid and invalid requests by form, API, e-mail and queue. Also store a purchase with private details."""
    form = {"reason": "other", "refund_scope": "full", "comment": "CanaryComment", "nonce": "n" * 24}
    bearer = {"authorization": f"Bearer {key}"}
    typed = {"email": address(1), "reference": reference(1)}
    purchase = {
        "email": address(1), "product": "Engine", "amount": 4900, "currency": "EUR", "method": "credit_card",
        "provider": "sandbox", "charge": "ok_canary", "purchased_at": "2026-04-17T14:05:00+02:00",
        "details": {"licence_key": "CanaryKey-1"},
    }  # fmt: skip
    responses = [
        web.put(f"/v1/purchases/{reference(1)}", json=purchase, headers=bearer),
        web.put(f"/v1/purchases/{reference(2)}", json=purchase | {"amount": "CanaryComment"}, headers=bearer),
        web.post("/refund", data=form | typed),
        web.post("/refund", data=form | typed | {"reason": "CanaryComment"}),
        web.post("/lookup", data=typed),
        web.post("/withdraw", data=typed | {"name": "CanaryPerson", "step": "confirm", "nonce": "w" * 24}),
        web.post("/v1/refund-requests", json={"email": address(3), "reference": reference(3), "reason": "other"}, headers=bearer),
        web.post("/v1/refund-requests", json={"email": "CanaryPerson", "reference": reference(3)}, headers=bearer),
        web.post("/v1/webhooks/sandbox", content=b'{"id": "CanaryKey"}'),
        web.get("/status/CanaryKey", params={"email": address(1)}),
        web.get(f"/CanaryPerson/{address(1)}"),
    ]  # fmt: skip
    assert 500 not in {response.status_code for response in responses}
    assert settings.incoming_mail_dir
    inbox = mailbox.Maildir(settings.incoming_mail_dir)
    inbox.add(a_mail(f"CanaryComment: please refund {reference(4)}", sender=address(4)))
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


def test_personal_data_is_in_no_log_broker_message_or_metric(
    settings: Settings, records: Records, installation: httpx.Client
) -> None:
    store_seller_and_purchases(records, a_recent_purchase(email=address(9), reference=reference(9)))
    with records.work() as work:
        key = work.api_keys.create("aurora")[1]
    with record_broker_commands(settings) as commands:
        send_requests_by_every_channel(installation, settings, key)

        def all_processed() -> bool:
            with records.work() as work:
                channels = {view.channel for view in work.case_views.search()}
                states = {view.state for view in work.case_views.search()}
                dead_letters, unsent_emails = len(work.dead_letters.list_all()), work.case_emails.count_unsent()
                unsent_emails += work.run("select count(*) from inquiry_emails where sent_at is null").scalar_one()
            return channels == set(Channel) and "received" not in states and dead_letters >= 1 and not unsent_emails

        eventually(all_processed, seconds=180)
        links = Links.of(settings)
        with records.work() as work:
            cases = [view.id for view in work.case_views.search()]
            inquiry_emails = [row.id for row in work.run("select id from inquiry_emails")]
        tokens = [
            links.to(purpose, row_id).rpartition("/")[2] for purpose in Purpose for row_id in (*cases, *inquiry_emails)
        ]
        for token in tokens:
            installation.get(f"/status/{token}")
            installation.post(f"/confirm/{token}")
            installation.post(f"/open/{token}")
        metrics = installation.get("/metrics").text

    secrets = (*tokens, *(token.rpartition(".")[2] for token in tokens), key, key.split("_", 2)[2])
    logs = {service: _log_of(settings, service) for service in SERVICES}
    assert all(logs[service] for service in SERVICES if service != "relay"), (
        "A service wrote no log, so this test would find no leak."
    )
    assert {service: leaks for service, log in logs.items() if (leaks := canaries_in(log, *secrets))} == {}
    assert canaries_in(metrics, *secrets) == []
    internal_commands = [command for command in commands if IncomingRequest.queue not in command]
    assert len(internal_commands) > 20
    assert [command for command in internal_commands if canaries_in(command + _unpacked(command), *secrets)] == []


def test_the_database_contains_no_usable_link_or_api_key(settings: Settings, records: Records) -> None:
    """Someone who reads all tables still cannot open a customer's link or call the API."""
    store_seller_and_purchases(records)
    with records.work() as work:
        key = work.api_keys.create("aurora")[1]
        email_id = work.inquiry_emails.enqueue(kind="purchase", email=address(1), locale="en", reference=reference(1))  # type: ignore[arg-type]
        tables = [row[0] for row in work.run("select tablename from pg_tables where schemaname = 'public'")]
        database_text = "\n".join(row[0] for table in tables for row in work.run(f"select t::text from {table} t"))
    links = Links.of(settings)
    assert str(email_id) in database_text
    assert address(1) in database_text
    for token in (links.to(purpose, email_id).rpartition("/")[2] for purpose in Purpose):
        payload, _, signature = token.rpartition(".")
        assert signature not in database_text
        assert token not in database_text
        assert payload
    assert key not in database_text
    assert key.encode().hex() not in database_text
    assert key.split("_", 2)[2] not in database_text


def test_links_and_api_keys_cannot_be_guessed(settings: Settings, records: Records) -> None:
    store_seller_and_purchases(records)
    with records.work() as work:
        keys = {work.api_keys.create("aurora")[1].split("_", 2)[2] for _ in range(20)}
        ids = {work.inquiry_emails.enqueue(kind="references", email=address(1), locale="en") for _ in range(20)}  # type: ignore[arg-type]
    links = Links.of(settings)
    signatures = {links.to(purpose, row_id).rpartition(".")[2] for purpose in Purpose for row_id in ids}
    assert len(signatures) == 20 * len(Purpose)  # one signature for each e-mail and purpose
    assert {len(_bytes(signature)) * 8 for signature in signatures} == {256}
    assert len(keys) == 20
    assert all(len(_bytes(key)) * 8 >= 128 for key in keys)
    assert {row_id.version for row_id in ids} == {4}


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _unpacked(command: str) -> str:
    """Return the decoded message bodies of a broker command. In the command, each body is base64 inside JSON."""
    found = []
    for part in command.split('"body": "')[1:]:
        with suppress(ValueError):
            found.append(base64.b64decode(part.partition('"')[0].encode()).decode(errors="replace"))
    return " ".join(found)


def _log_of(settings: Settings, service: str) -> str:
    assert settings.incoming_mail_dir
    return (settings.incoming_mail_dir.parent / f"{service}.log").read_text(errors="replace")
