"""Brakes: whoever asks too often waits, whoever they are and whatever there is to be found."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import redis
from pydantic import SecretStr

from config.broker import redis_url
from config.rate_limits import Limits
from config.settings import Settings
from domain.requests import Channel
from producers.web.app import app
from producers.web.rate_limits import KEY_PREFIX, STORE_RETRY_DELAY, RateLimit, RateLimitedError, RateLimits
from records import Records
from tests.integration._web_fixtures import served
from tests.sample_data import a_recent_purchase, settle_in

FORM = {
    "email": "ada@example.com",
    "reference": "MB-1",
    "reason": "other",
    "refund_scope": "full",
    "comment": "",
    "nonce": "n" * 24,
}


def slow(settings: Settings, **limits: Any) -> Settings:
    """These settings with their brakes on; the network's is far away unless a test wants it near."""
    values = {"rate_limits_enabled": True, "rate_limit_network_per_minute": 1_000, **limits}
    return settings.model_copy(update={"limits": Limits(**values)})


@contextmanager
def a_web(settings: Settings, **limits: Any) -> Iterator[httpx.Client]:
    with served(app(slow(settings, **limits))) as web:
        yield web


def send(web: httpx.Client, **changes: str) -> httpx.Response:
    return web.post("/refund", data=FORM | changes)


def broker(settings: Settings) -> redis.Redis:
    url = redis_url(settings)
    assert url
    return redis.Redis.from_url(url)


def test_brakes_are_on_unless_somebody_turns_them_off() -> None:
    assert Limits.model_fields["rate_limits_enabled"].default is True
    assert Limits().rate_limits_enabled


def test_an_application_of_the_settings_as_they_come_has_its_brakes(settings: Settings) -> None:
    assert app(settings.model_copy(update={"limits": Limits()})).state.rate_limits
    assert app(settings).state.rate_limits is None


def test_the_eleventh_form_about_one_address_in_an_hour_is_told_to_wait(settings: Settings) -> None:
    with a_web(settings) as web:
        assert [send(web, reference=f"MB-{n}").status_code for n in range(10)] == [303] * 10
        refused = send(web, reference="MB-11", email=" ADA@Example.com ")
        assert refused.status_code == 429
        assert 3_500 < int(refused.headers["retry-after"]) <= 3_600
        assert "Please wait about an hour" in refused.text
        assert send(web, email="grace@example.com", reference="MB-12").status_code == 303


def test_a_reference_is_counted_as_it_is_compared(settings: Settings) -> None:
    with a_web(settings, rate_limit_reference_per_hour=2) as web:
        spelt = ("mb-1", "MB 1", "#MB.1", "ｍｂ１")
        answers = [send(web, email=f"c{n}@example.com", reference=spelling) for n, spelling in enumerate(spelt)]
        assert [answer.status_code for answer in answers] == [303, 303, 429, 429]


def test_a_network_is_counted_whatever_it_asks_for(settings: Settings) -> None:
    with a_web(settings, rate_limit_network_per_minute=3) as web:
        asked = [send(web, email=f"c{n}@example.com", reference=f"MB-{n}") for n in range(4)]
        assert [answer.status_code for answer in asked] == [303, 303, 303, 429]
        assert int(asked[-1].headers["retry-after"]) <= 60
        assert web.post("/lookup", data={"email": "x@example.com", "reference": "y"}).status_code == 429
        assert web.get("/refund").status_code == 200  # looking is free


def test_lookup_and_refund_count_together_so_that_one_is_no_way_around_the_other(settings: Settings) -> None:
    with a_web(settings, rate_limit_email_per_hour=2) as web:
        looked = [web.post("/lookup", data={"email": "ada@example.com", "reference": f"MB-{n}"}) for n in range(2)]
        assert [answer.status_code for answer in looked] == [303, 303]
        assert send(web).status_code == 429


def test_a_link_is_counted_by_itself(settings: Settings) -> None:
    with a_web(settings, rate_limit_reference_per_hour=2) as web:
        assert [web.post("/open/nonsense").status_code for _ in range(3)] == [404, 404, 429]
        assert web.post("/confirm/else").status_code == 404


def test_a_key_is_counted_apart_from_forms_and_its_programs_read_when_to_come_again(
    settings: Settings, records: Records
) -> None:
    settle_in(records)
    with records.work() as work:
        key = work.api_keys.create("aurora")[1]
    request = {"email": "ada@example.com", "reference": "MB-1", "reason": "other"}
    headers = {"authorization": f"Bearer {key}"}
    with a_web(settings, rate_limit_api_key_per_minute=2, rate_limit_network_per_minute=1) as web:
        answers = [web.post("/v1/refund-requests", json=request, headers=headers) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [202, 202, 429]
        last = answers[-1]
        assert last.headers["content-type"] == "application/problem+json"
        assert last.json()["type"] == "http://testserver/problems/rate_limited"
        seconds = last.headers["retry-after"]
        assert last.headers["ratelimit"] in {f'"key";r=0;t={seconds}', f'"calls";r=0;t={seconds}'}
        assert last.headers["ratelimit-policy"].endswith(";q=2;w=60")
        assert send(web).status_code == 303


def test_wrong_keys_are_counted_by_where_they_come_from(settings: Settings) -> None:
    with a_web(settings, rate_limit_api_key_per_minute=2) as web:
        asked = [web.get("/v1/refund-requests/x", headers={"authorization": f"Bearer mb_{n}"}) for n in range(3)]
        assert [answer.status_code for answer in asked][-1] == 429
        assert 429 not in {answer.status_code for answer in asked[:2]}


def test_a_webhook_is_never_braked(settings: Settings) -> None:
    with a_web(settings, rate_limit_api_key_per_minute=1, rate_limit_network_per_minute=1) as web:
        assert {web.post("/v1/webhooks/stripe").status_code for _ in range(5)} == {404}


def test_a_limit_tells_nothing_of_what_exists(settings: Settings, records: Records) -> None:
    settle_in(records)
    bought = a_recent_purchase(email="ada@example.com")
    with records.work() as work:
        work.purchases.upsert([bought])
    with a_web(settings, rate_limit_email_per_hour=1) as web:
        seen = []
        for email, reference in ((bought.email, bought.reference), ("nobody@example.com", "MB-none")):
            send(web, email=email, reference=reference)
            refused = send(web, email=email, reference=f"{reference}x")
            seen.append((refused.status_code, refused.content, refused.headers["retry-after"][:2]))
        assert seen[0] == seen[1]
        assert seen[0][0] == 429


def test_all_processes_count_together(settings: Settings) -> None:
    with a_web(settings, rate_limit_email_per_hour=3) as one, a_web(settings, rate_limit_email_per_hour=3) as other:
        answers = [send(web, reference=f"MB-{n}") for n, web in enumerate((one, other, one, other))]
        assert [answer.status_code for answer in answers] == [303, 303, 303, 429]


def test_the_broker_holds_no_address_no_reference_and_no_key_and_forgets_in_time(settings: Settings) -> None:
    with a_web(settings) as web:
        send(web, email="canary@example.com", reference="CANARY-4711")
        web.get("/v1/refund-requests/x", headers={"authorization": "Bearer mb_canary"})
    with broker(settings) as held:
        names = [name.decode() for name in held.keys(f"{KEY_PREFIX}*")]
        assert len(names) == 5  # network, address, reference; network and key of the call
        written = "".join(names).lower() + "".join(str(held.lrange(name, 0, -1)) for name in names)
        for secret in ("canary", "example", "4711", "127.0.0"):
            assert secret not in written
        assert all(0 < held.ttl(name) <= 3_600 for name in names)


@pytest.mark.parametrize("url", ["amqp://127.0.0.1:1//", "redis://127.0.0.1:1/0", "redis+socket:///nowhere.sock"])
def test_without_its_redis_a_customer_is_served_and_each_process_counts_for_itself(
    settings: Settings, url: str
) -> None:
    away = settings.model_copy(update={"broker_url": SecretStr(url)})
    with a_web(away, rate_limit_email_per_hour=2) as web:
        assert [send(web, reference=f"MB-{n}").status_code for n in range(3)] == [303, 303, 429]


def test_a_redis_that_is_away_costs_one_request_its_patience_and_not_every_one(settings: Settings) -> None:
    brakes = RateLimits("redis://127.0.0.1:1/0", "secret", slow(settings, rate_limit_email_per_hour=500).limits)
    began = time.monotonic()
    for _ in range(200):
        brakes.check({RateLimit.ADDRESS: "ada@example.com"})
    assert time.monotonic() - began < STORE_RETRY_DELAY


def test_what_was_counted_leaves_the_window_by_itself(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    brakes = RateLimits.of(slow(settings, rate_limit_network_per_minute=1))
    assert brakes
    brakes.check({RateLimit.NETWORK: "192.0.2.0/24"})
    with pytest.raises(RateLimitedError):
        brakes.check({RateLimit.NETWORK: "192.0.2.0/24"})
    now = time.time()
    monkeypatch.setattr("producers.web.rate_limits.time.time", lambda: now + 61)
    brakes.check({RateLimit.NETWORK: "192.0.2.0/24"})


def test_a_broker_that_was_started_anew_counts_on(settings: Settings) -> None:
    brakes = RateLimits.of(slow(settings, rate_limit_network_per_minute=2))
    assert brakes
    brakes.check({RateLimit.NETWORK: "192.0.2.0/24"})
    with broker(settings) as held:
        held.script_flush()
    brakes.check({RateLimit.NETWORK: "192.0.2.0/24"})
    with pytest.raises(RateLimitedError):
        brakes.check({RateLimit.NETWORK: "192.0.2.0/24"})
    with broker(settings) as held:
        assert held.keys(f"{KEY_PREFIX}*")  # it was the broker that counted


def test_the_law_lets_nobody_be_braked_by_their_own_address(settings: Settings) -> None:
    with a_web(settings, rate_limit_email_per_hour=1, rate_limit_reference_per_hour=1) as web:
        answers = [web.post("/withdraw", data={"email": "ada@example.com", "reference": "MB-1"}) for _ in range(3)]
        assert 429 not in {answer.status_code for answer in answers}


def test_a_channel_that_is_braked_accepts_nothing(settings: Settings, records: Records) -> None:
    with a_web(settings, rate_limit_email_per_hour=1) as web:
        send(web)
        send(web, reference="MB-2")
    with records.work() as work:
        assert [view.channel for view in work.case_views.search(limit=10)] == [Channel.WEB]
