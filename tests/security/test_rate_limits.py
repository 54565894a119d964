"""Tests of the rate limits of forms, links and API calls."""

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
from records.purchase_reports import store_purchases
from tests.integration._web_fixtures import serve
from tests.sample_data import a_recent_purchase, store_seller_and_purchases

FORM = {
    "email": "ada@example.com",
    "reference": "MB-1",
    "reason": "other",
    "refund_scope": "full",
    "comment": "",
    "nonce": "n" * 24,
}


def with_limits(settings: Settings, **limits: Any) -> Settings:
    """Return the settings with rate limits. The limit per network is high, because most tests do not test it."""
    values = {"rate_limits_enabled": True, "rate_limit_network_per_minute": 1_000, **limits}
    return settings.model_copy(update={"limits": Limits(**values)})


@contextmanager
def limited_web(settings: Settings, **limits: Any) -> Iterator[httpx.Client]:
    with serve(app(with_limits(settings, **limits))) as web:
        yield web


def send(web: httpx.Client, **changes: str) -> httpx.Response:
    return web.post("/refund", data=FORM | changes)


def broker(settings: Settings) -> redis.Redis:
    url = redis_url(settings)
    assert url
    return redis.Redis.from_url(url)


def test_rate_limits_are_on_by_default() -> None:
    assert Limits.model_fields["rate_limits_enabled"].default is True
    assert Limits().rate_limits_enabled


def test_an_application_with_default_settings_has_rate_limits(settings: Settings) -> None:
    assert app(settings.model_copy(update={"limits": Limits()})).state.rate_limits
    assert app(settings).state.rate_limits is None


def test_the_eleventh_form_for_one_address_in_an_hour_is_refused(settings: Settings) -> None:
    with limited_web(settings) as web:
        assert [send(web, reference=f"MB-{n}").status_code for n in range(10)] == [303] * 10
        refused = send(web, reference="MB-11", email=" ADA@Example.com ")
        assert refused.status_code == 429
        assert 3_500 < int(refused.headers["retry-after"]) <= 3_600
        assert "Please wait about an hour" in refused.text
        assert send(web, email="grace@example.com", reference="MB-12").status_code == 303


def test_spellings_of_one_reference_are_counted_together(settings: Settings) -> None:
    with limited_web(settings, rate_limit_reference_per_hour=2) as web:
        spellings = ("mb-1", "MB 1", "#MB.1", "ｍｂ１")
        responses = [send(web, email=f"c{n}@example.com", reference=spelling) for n, spelling in enumerate(spellings)]
        assert [response.status_code for response in responses] == [303, 303, 429, 429]


def test_all_forms_of_a_network_are_counted_together(settings: Settings) -> None:
    with limited_web(settings, rate_limit_network_per_minute=3) as web:
        responses = [send(web, email=f"c{n}@example.com", reference=f"MB-{n}") for n in range(4)]
        assert [response.status_code for response in responses] == [303, 303, 303, 429]
        assert int(responses[-1].headers["retry-after"]) <= 60
        assert web.post("/lookup", data={"email": "x@example.com", "reference": "y"}).status_code == 429
        assert web.get("/refund").status_code == 200  # reading a page is not limited


def test_lookups_and_refund_requests_are_counted_together(settings: Settings) -> None:
    with limited_web(settings, rate_limit_email_per_hour=2) as web:
        responses = [web.post("/lookup", data={"email": "ada@example.com", "reference": f"MB-{n}"}) for n in range(2)]
        assert [response.status_code for response in responses] == [303, 303]
        assert send(web).status_code == 429


def test_each_link_has_its_own_rate_limit(settings: Settings) -> None:
    with limited_web(settings, rate_limit_reference_per_hour=2) as web:
        assert [web.post("/open/nonsense").status_code for _ in range(3)] == [404, 404, 429]
        assert web.post("/confirm/else").status_code == 404


def test_api_calls_are_limited_by_api_key_and_the_response_contains_the_limit(
    settings: Settings, records: Records
) -> None:
    store_seller_and_purchases(records)
    with records.work() as work:
        key = work.api_keys.create("aurora")[1]
    request = {"email": "ada@example.com", "reference": "MB-1", "reason": "other"}
    headers = {"authorization": f"Bearer {key}"}
    with limited_web(settings, rate_limit_api_key_per_minute=2, rate_limit_network_per_minute=1) as web:
        responses = [web.post("/v1/refund-requests", json=request, headers=headers) for _ in range(3)]
        assert [response.status_code for response in responses] == [202, 202, 429]
        limited = responses[-1]
        assert limited.headers["content-type"] == "application/problem+json"
        assert limited.json()["type"] == "http://testserver/problems/rate_limited"
        seconds = limited.headers["retry-after"]
        assert limited.headers["ratelimit"] in {f'"key";r=0;t={seconds}', f'"calls";r=0;t={seconds}'}
        assert limited.headers["ratelimit-policy"].endswith(";q=2;w=60")
        assert send(web).status_code == 303


def test_wrong_api_keys_are_counted_by_network(settings: Settings) -> None:
    with limited_web(settings, rate_limit_api_key_per_minute=2) as web:
        responses = [web.get("/v1/refund-requests/x", headers={"authorization": f"Bearer mb_{n}"}) for n in range(3)]
        assert [response.status_code for response in responses][-1] == 429
        assert 429 not in {response.status_code for response in responses[:2]}


def test_webhooks_are_not_rate_limited(settings: Settings) -> None:
    with limited_web(settings, rate_limit_api_key_per_minute=1, rate_limit_network_per_minute=1) as web:
        assert {web.post("/v1/webhooks/stripe").status_code for _ in range(5)} == {404}


def test_a_rate_limit_does_not_reveal_which_purchases_exist(settings: Settings, records: Records) -> None:
    store_seller_and_purchases(records)
    purchase = a_recent_purchase(email="ada@example.com")
    with records.work() as work:
        store_purchases(work, [purchase])
    with limited_web(settings, rate_limit_email_per_hour=1) as web:
        refusals = []
        for email, reference in ((purchase.email, purchase.reference), ("nobody@example.com", "MB-none")):
            send(web, email=email, reference=reference)
            refused = send(web, email=email, reference=f"{reference}x")
            refusals.append((refused.status_code, refused.content, refused.headers["retry-after"][:2]))
        assert refusals[0] == refusals[1]
        assert refusals[0][0] == 429


def test_all_processes_share_the_counters(settings: Settings) -> None:
    with (
        limited_web(settings, rate_limit_email_per_hour=3) as first,
        limited_web(settings, rate_limit_email_per_hour=3) as second,
    ):
        responses = [send(web, reference=f"MB-{n}") for n, web in enumerate((first, second, first, second))]
        assert [response.status_code for response in responses] == [303, 303, 303, 429]


def test_rate_limit_counters_contain_no_personal_data_and_expire(settings: Settings) -> None:
    with limited_web(settings) as web:
        send(web, email="canary@example.com", reference="QUOKKA-4711")
        web.get("/v1/refund-requests/x", headers={"authorization": "Bearer mb_canary"})
    with broker(settings) as client:
        names = [name.decode() for name in client.keys(f"{KEY_PREFIX}*")]
        assert len(names) == 5  # the form: network, address and reference; the API call: network and API key
        stored = "".join(names).lower() + "".join(str(client.lrange(name, 0, -1)) for name in names)
        # none of these can be a part of a hexadecimal hash or of a time, as "4711" can
        for secret in ("canary", "example", "quokka", "127.0.0"):
            assert secret not in stored
        assert all(0 < client.ttl(name) <= 3_600 for name in names)


@pytest.mark.parametrize("url", ["amqp://127.0.0.1:1//", "redis://127.0.0.1:1/0", "redis+socket:///nowhere.sock"])
def test_without_redis_each_process_counts_requests_itself(settings: Settings, url: str) -> None:
    unavailable = settings.model_copy(update={"broker_url": SecretStr(url)})
    with limited_web(unavailable, rate_limit_email_per_hour=2) as web:
        assert [send(web, reference=f"MB-{n}").status_code for n in range(3)] == [303, 303, 429]


def test_an_unavailable_redis_delays_only_the_first_request(settings: Settings) -> None:
    rate_limits = RateLimits(
        "redis://127.0.0.1:1/0", "secret", with_limits(settings, rate_limit_email_per_hour=500).limits
    )
    started = time.monotonic()
    for _ in range(200):
        rate_limits.check({RateLimit.ADDRESS: "ada@example.com"})
    assert time.monotonic() - started < STORE_RETRY_DELAY


def test_a_request_no_longer_counts_after_a_minute(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    rate_limits = RateLimits.of(with_limits(settings, rate_limit_network_per_minute=1))
    assert rate_limits
    rate_limits.check({RateLimit.NETWORK: "192.0.2.0/24"})
    with pytest.raises(RateLimitedError):
        rate_limits.check({RateLimit.NETWORK: "192.0.2.0/24"})
    now = time.time()
    monkeypatch.setattr("producers.web.rate_limits.time.time", lambda: now + 61)
    rate_limits.check({RateLimit.NETWORK: "192.0.2.0/24"})


def test_counting_continues_after_the_broker_lost_its_scripts(settings: Settings) -> None:
    rate_limits = RateLimits.of(with_limits(settings, rate_limit_network_per_minute=2))
    assert rate_limits
    rate_limits.check({RateLimit.NETWORK: "192.0.2.0/24"})
    with broker(settings) as client:
        client.script_flush()
    rate_limits.check({RateLimit.NETWORK: "192.0.2.0/24"})
    with pytest.raises(RateLimitedError):
        rate_limits.check({RateLimit.NETWORK: "192.0.2.0/24"})
    with broker(settings) as client:
        assert client.keys(f"{KEY_PREFIX}*")  # the counters are in the broker, not in this process


def test_statutory_withdrawals_are_not_limited_by_address(settings: Settings) -> None:
    with limited_web(settings, rate_limit_email_per_hour=1, rate_limit_reference_per_hour=1) as web:
        responses = [web.post("/withdraw", data={"email": "ada@example.com", "reference": "MB-1"}) for _ in range(3)]
        assert 429 not in {response.status_code for response in responses}


def test_a_request_above_the_rate_limit_creates_no_case(settings: Settings, records: Records) -> None:
    with limited_web(settings, rate_limit_email_per_hour=1) as web:
        send(web)
        send(web, reference="MB-2")
    with records.work() as work:
        assert [view.channel for view in work.case_views.search(limit=10)] == [Channel.WEB]
