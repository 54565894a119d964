"""The broker's password changes under way: requests are accepted and end all the same, and no log tells the password."""

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
from tests.fault_proxy import Proxy, resp
from tests.integration._web_fixtures import served
from tests.integration.test_api import ASK
from tests.sample_data import a_recent_purchase, settle_in
from tests.services import Child, eventually

USER, OURS, THEIRS = "moneyback", "swordfish-4711", "marlin-0815"


class Door:
    """The way into the broker, for those who know the password."""

    def __init__(self, broker: redis.Redis, port: int) -> None:
        self._broker = broker
        self.url = SecretStr(f"redis://{USER}:{OURS}@127.0.0.1:{port}/0")

    def lock(self, password: str) -> None:
        """From now on with this password, and who came in with another one is out."""
        broker: Any = self._broker  # its types lag
        broker.execute_command("ACL", "SETUSER", USER, "on", "resetpass", f">{password}", "~*", "&*", "+@all")
        broker.execute_command("CLIENT", "KILL", "USER", USER)


@pytest.fixture
def door(servers: Servers, settings: Settings) -> Iterator[Door]:  # noqa: ARG001  # the settings empty the broker
    with redis.Redis(unix_socket_path=str(servers.valkey.socket)) as broker, Proxy(servers.valkey.socket, resp) as way:
        door = Door(broker, way.port)
        door.lock(OURS)
        yield door
        broker.acl_deluser(USER)


@pytest.fixture
def web(settings: Settings, door: Door) -> Iterator[httpx.Client]:
    """The web, which has its brakes in the broker."""
    with served(app(settings.model_copy(update={"broker_url": door.url, "limits": Limits()}))) as web:
        yield web


@pytest.fixture
def part(start: Callable[..., Child], door: Door, sandbox_url: str) -> Callable[..., Child]:
    """Starts a part that knows the password; without a broker it waits for a second only."""
    url = door.url.get_secret_value()
    told = {
        "MONEYBACK_BROKER_URL": url,
        "MONEYBACK_SANDBOX_URL": sandbox_url,
        "MONEYBACK_BROKERLESS_AFTER_SECONDS": "1",
    }
    return lambda *verb: start(verb[0], *verb, **told)


@pytest.fixture
def ask(records: Records, web: httpx.Client) -> Callable[[str], UUID]:
    """Somebody asks for a refund that goes like this; the web accepts it."""
    settle_in(records)
    with records.work() as work:
        key = work.api_keys.create("aurora", ALL_SCOPES)[1]

    def ask(behaviour: str) -> UUID:
        bought: Purchase = a_recent_purchase(charge=f"{behaviour}_{uuid4().hex}")
        settle_in(records, bought)
        said = {"email": bought.email, "reference": bought.reference, "reason": "other"}
        answer = web.post(ASK, json=said, headers={"authorization": f"Bearer {key}"})
        assert answer.status_code == 202, answer.text
        return UUID(answer.json()["id"])

    return ask


def states(records: Records, *cases: UUID) -> list[str]:
    with records.work() as work:
        views = work.case_views.get_many(cases)
    return [views[case].state for case in cases]


def tasks_unpublished(records: Records) -> int:
    with records.work() as work:
        return work.support_tasks.count_unpublished()


def test_who_is_locked_out_of_the_broker_loses_no_request_and_goes_on_once_the_password_is_right_again(
    records: Records,
    door: Door,
    part: Callable[..., Child],
    ask: Callable[[str], UUID],
    capfd: pytest.CaptureFixture[str],
) -> None:
    worker, relay = part("worker", "-c", "1"), part("relay")
    before = ask("ok")
    eventually(lambda: states(records, before) == ["refunded"])
    door.lock(THEIRS)
    paid, declined = ask("ok"), ask("declined")
    eventually(lambda: states(records, paid, declined) == ["refunded", "with_support"])
    assert "brokerless_batch_processed" in relay.said()
    assert tasks_unpublished(records) == 1
    door.lock(OURS)
    after = ask("ok")
    eventually(lambda: states(records, after) == ["refunded"])
    eventually(lambda: tasks_unpublished(records) == 0)
    assert [part.process.poll() for part in (worker, relay)] == [None, None]
    logs = worker.said() + relay.said() + "".join(capfd.readouterr())
    for said in ("invalid username-password pair", "rate_limit_store_unavailable", f"{USER}:**@"):
        assert said in logs
    assert [password for password in (OURS, THEIRS) if password in logs] == []
