"""Tests that no request is lost while the broker's password is wrong, and that no log contains the password."""

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
import redis
from pydantic import SecretStr

from config.rate_limits import Limits
from config.settings import Settings
from console.servers import Servers
from domain.api_scopes import ALL_SCOPES
from domain.purchases import Purchase
from producers.web.app import app
from records import Records
from tests.fault_proxy import Proxy, redis_frame_length
from tests.integration._web_fixtures import serve
from tests.integration.test_api import REQUESTS_PATH
from tests.sample_data import a_recent_purchase, store_seller_and_purchases
from tests.services import ChildProcess, eventually

USER, PASSWORD, NEW_PASSWORD = "moneyback", "swordfish-4711", "marlin-0815"


class BrokerAccount:
    """A user account of the broker, with a password that the test changes."""

    def __init__(self, broker: redis.Redis, port: int) -> None:
        self._broker = broker
        self.url = SecretStr(f"redis://{USER}:{PASSWORD}@127.0.0.1:{port}/0")

    def set_password(self, password: str) -> None:
        """Change the password, and close all open connections of the user."""
        broker: Any = self._broker  # redis-py has no types for these commands
        broker.execute_command("ACL", "SETUSER", USER, "on", "resetpass", f">{password}", "~*", "&*", "+@all")
        broker.execute_command("CLIENT", "KILL", "USER", USER)


@pytest.fixture
def account(servers: Servers, settings: Settings) -> Iterator[BrokerAccount]:  # noqa: ARG001  # the fixture `settings` empties the broker
    with (
        redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker,
        Proxy(servers.valkey.socket, redis_frame_length) as proxy,
    ):
        account = BrokerAccount(broker, proxy.port)
        account.set_password(PASSWORD)
        yield account
        broker.acl_deluser(USER)


@pytest.fixture
def web(settings: Settings, account: BrokerAccount) -> Iterator[httpx.Client]:
    """Yield an HTTP client. The web server stores the counters of the rate limits in the broker."""
    with serve(app(settings.model_copy(update={"broker_url": account.url, "limits": Limits()}))) as web:
        yield web


@pytest.fixture
def start_service(
    start: Callable[..., ChildProcess], account: BrokerAccount, sandbox_url: str
) -> Callable[..., ChildProcess]:
    """Return a function that starts a service. The service uses PASSWORD, even after the password of the account was changed.

    If the broker is unavailable for a second, the relay starts brokerless mode.
    """
    url = account.url.get_secret_value()
    env = {
        "MONEYBACK_BROKER_URL": url,
        "MONEYBACK_SANDBOX_URL": sandbox_url,
        "MONEYBACK_BROKERLESS_AFTER_SECONDS": "1",
    }
    return lambda *verb: start(verb[0], *verb, **env)


@pytest.fixture
def request_refund(records: Records, web: httpx.Client) -> Callable[[str], UUID]:
    """Return a function that requests a refund over the API. `behaviour` selects how the sandbox responds to the refund."""
    store_seller_and_purchases(records)
    with records.work() as work:
        key = work.api_keys.create("aurora", ALL_SCOPES)[1]

    def request_refund(behaviour: str) -> UUID:
        purchase: Purchase = a_recent_purchase(charge=f"{behaviour}_{uuid4().hex}")
        store_seller_and_purchases(records, purchase)
        request = {"email": purchase.email, "reference": purchase.reference, "reason": "other"}
        response = web.post(REQUESTS_PATH, json=request, headers={"authorization": f"Bearer {key}"})
        assert response.status_code == 202, response.text
        return UUID(response.json()["id"])

    return request_refund


def states_of(records: Records, *cases: UUID) -> list[str]:
    with records.work() as work:
        views = work.case_views.get_many(cases)
    return [views[case].state for case in cases]


def count_unpublished_tasks(records: Records) -> int:
    with records.work() as work:
        return work.support_tasks.count_unpublished()


@pytest.mark.slow
def test_services_lose_no_request_while_the_broker_password_is_wrong(
    records: Records,
    account: BrokerAccount,
    start_service: Callable[..., ChildProcess],
    request_refund: Callable[[str], UUID],
    capfd: pytest.CaptureFixture[str],
) -> None:
    worker, relay = start_service("worker", "-c", "1"), start_service("relay")
    before = request_refund("ok")
    eventually(lambda: states_of(records, before) == ["refunded"])
    account.set_password(NEW_PASSWORD)
    paid, declined = request_refund("ok"), request_refund("declined")
    eventually(lambda: states_of(records, paid, declined) == ["refunded", "with_support"])
    assert "brokerless_batch_processed" in relay.read_log()
    assert count_unpublished_tasks(records) == 1
    account.set_password(PASSWORD)
    after = request_refund("ok")
    eventually(lambda: states_of(records, after) == ["refunded"])
    eventually(lambda: count_unpublished_tasks(records) == 0)
    assert [child.process.poll() for child in (worker, relay)] == [None, None]
    logs = worker.read_log() + relay.read_log() + "".join(capfd.readouterr())
    for expected in ("invalid username-password pair", "rate_limit_store_unavailable", f"{USER}:**@"):
        assert expected in logs
    assert [password for password in (PASSWORD, NEW_PASSWORD) if password in logs] == []
