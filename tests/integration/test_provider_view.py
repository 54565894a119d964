"""What a provider reports about a payment now: asked while nobody waits, never in a transaction, and with a short time limit."""

import json
import socket
import time
import urllib.request
from collections.abc import Iterator

import httpx
import pytest

from config.settings import Settings
from domain.desk_roles import Role
from domain.providers import ProviderAnswer
from domain.purchases import Purchase
from domain.states import State
from producers.desk.app import app
from records import Records
from tests.integration._desk_fixtures import Desk, running_desk
from tests.integration._web_fixtures import a_case, serve
from tests.integration.test_case_screen import text_of
from tests.sample_data import a_payment, a_recent_purchase, charge_of
from worker.provider_questions import SECONDS


@pytest.fixture
def sandbox_desk(sandbox_settings: Settings, records: Records) -> Iterator[Desk]:
    """Yield a desk that can ask the sandbox."""
    with running_desk(sandbox_settings, records, totp_required=False) as desk:
        yield desk


def post_to_sandbox(settings: Settings, path: str, body: object, **headers: str) -> None:
    request = urllib.request.Request(f"{settings.sandbox_url}{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        assert response.status == 200


def ask(desk: Desk, purchase: Purchase, position: int = 0) -> httpx.Response:
    case = a_case(desk.records, State.WITH_SUPPORT, purchase=purchase)
    agent = desk.sign_in(Role.AGENT, email=f"{case}@desk.example")
    address = f"/cases/{case}/payments/{position}/provider"
    if position == 0:
        assert f'<a href="{address}">Ask Sandbox what it says now</a>' in agent.get(f"/cases/{case}").text
    return agent.get(address)


def test_the_provider_reports_the_payment_and_its_refunds_now(sandbox_desk: Desk) -> None:
    purchase = a_recent_purchase()
    charge = charge_of(purchase)
    payment = {"charge": charge, "amount": 4900, "currency": "EUR", "method": "credit_card"}
    post_to_sandbox(sandbox_desk.settings, "/v1/payments", payment)
    refund = {"charge": charge, "amount": 1000, "currency": "EUR"}
    post_to_sandbox(sandbox_desk.settings, "/v1/refunds", refund, **{"Idempotency-Key": "by hand"})
    page = text_of(ask(sandbox_desk, purchase).text)
    assert "Sandbox shows €49.00 paid, €10.00 refunded, no dispute" in page
    assert "€10.00, made," in page
    assert "This differs. Our records have €0.00 as refunded." in page


def test_a_payment_that_the_provider_does_not_know_is_a_sentence(sandbox_desk: Desk) -> None:
    answer = ask(sandbox_desk, a_recent_purchase())
    assert answer.status_code == 200
    assert "Sandbox shows no amount" in text_of(answer.text) or "does not know" in text_of(answer.text)


def test_a_hanging_provider_costs_a_few_seconds_and_breaks_nothing(settings: Settings, records: Records) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()  # the connection is accepted, and nothing is ever answered
        settings = settings.model_copy(update={"sandbox_url": f"http://127.0.0.1:{silent.getsockname()[1]}"})
        with running_desk(settings, records, totp_required=False) as desk:
            started = time.monotonic()
            answer = ask(desk, a_recent_purchase())
            elapsed = time.monotonic() - started
    assert answer.status_code == 200
    assert "Sandbox gave no answer." in text_of(answer.text)
    assert elapsed < SECONDS + 10


def test_an_account_that_is_not_connected_and_an_unknown_payment(desk: Desk) -> None:
    purchase = a_recent_purchase(payments=(a_payment(), a_payment(provider="shop", charge="gift 1")))
    assert "The account shop is not connected to this desk" in text_of(ask(desk, purchase, 1).text)
    assert ask(desk, a_recent_purchase(), 7).status_code == 404


def test_the_desk_starts_without_the_keys_of_a_provider(settings: Settings, records: Records) -> None:
    settings = settings.model_copy(update={"providers": ("stripe",)})
    with running_desk(settings, records, totp_required=False) as desk:
        purchase = a_recent_purchase(provider="stripe")
        case = a_case(desk.records, State.WITH_SUPPORT, purchase=purchase)
        page = desk.sign_in(Role.AGENT).get(f"/cases/{case}/payments/0/provider")
    assert "The account stripe is not connected to this desk" in text_of(page.text)


def test_no_transaction_is_open_while_the_provider_is_asked(desk: Desk) -> None:
    open_transactions: list[int] = []

    def ask_provider(_: str, __: str) -> ProviderAnswer | None:
        with desk.records.work() as work:
            statement = (
                "select count(*) from pg_stat_activity where datname = current_database() and xact_start is not null "
                "and pid <> pg_backend_pid() and backend_type = 'client backend'"
            )
            open_transactions.append(work.run(statement).scalar_one())
        return None

    case = a_case(desk.records, State.WITH_SUPPORT)
    client = desk.sign_in(Role.AGENT)
    with serve(app(desk.settings, ask_provider=ask_provider)) as web:
        web.cookies.set("moneyback-desk", client.cookies["moneyback-desk"], domain=web.base_url.host)
        assert web.get(f"/cases/{case}/payments/0/provider").status_code == 200
    assert open_transactions == [0]
