"""Two accounts of one provider: a refund, a webhook, a list and a rate limit belong to the account of the purchase."""

import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from config.settings import Settings
from console.sandbox.webhooks import Webhooks
from domain.states import State
from producers.web.app import app
from tests.doubles.sandbox import SandboxProcess, sandbox_in
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    a_refund,
    an_event,
    close_context,
    create_executed_cases,
    state_of,
    with_long_timeouts,
)
from tests.integration._web_fixtures import serve
from tests.sample_data import charge_of
from worker.context import WorkerContext, create_context
from worker.providers import create_webhook_parsers
from worker.reconciliation.run import reconcile

SECRETS = {"sandbox": "the secret of the first account", "sandbox:aurora": "the secret of the second account"}


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[dict[str, SandboxProcess]]:
    """Yield a sandbox for each account."""
    with sandbox_in(tmp_path / "first") as first, sandbox_in(tmp_path / "second") as second:
        yield {"sandbox": first, "sandbox:aurora": second}


@pytest.fixture
def account_settings(
    settings: Settings, processes: dict[str, SandboxProcess], monkeypatch: pytest.MonkeyPatch
) -> Settings:
    """Return settings with two accounts, which have their own addresses and secrets."""
    monkeypatch.setenv("MONEYBACK_SANDBOX_WEBHOOK_SECRET", SECRETS["sandbox"])
    monkeypatch.setenv("MONEYBACK_SANDBOX_AURORA_WEBHOOK_SECRET", SECRETS["sandbox:aurora"])
    monkeypatch.setenv("MONEYBACK_SANDBOX_AURORA_URL", processes["sandbox:aurora"].url)
    accounts = {"providers": ("sandbox:aurora",), "sandbox_url": processes["sandbox"].url}
    return with_long_timeouts(settings).model_copy(update=accounts)


@pytest.fixture
def context(account_settings: Settings) -> Iterator[WorkerContext]:
    context = create_context(account_settings)
    yield context
    close_context(context)


def number_of_refunds(processes: dict[str, SandboxProcess]) -> dict[str, int]:
    return {name: process.summary()["refunds"] for name, process in processes.items()}


@pytest.mark.parametrize("account", SECRETS)
def test_a_purchase_is_refunded_in_the_account_that_it_names(
    context: WorkerContext, processes: dict[str, SandboxProcess], account: str
) -> None:
    before = number_of_refunds(processes)
    [case] = create_executed_cases(context, a_charged_purchase("ok", provider=account))
    assert state_of(context.records, case) is State.REFUNDED
    assert number_of_refunds(processes) == before | {account: before[account] + 1}


def test_one_charge_id_in_two_accounts_is_two_payments(
    context: WorkerContext, processes: dict[str, SandboxProcess]
) -> None:
    first = a_charged_purchase("ok")
    before = number_of_refunds(processes)
    second = a_charged_purchase("ok", provider="sandbox:aurora", charge=charge_of(first))
    cases = create_executed_cases(context, first, second)
    assert [state_of(context.records, case) for case in cases] == [State.REFUNDED] * 2
    assert number_of_refunds(processes) == {name: refunds + 1 for name, refunds in before.items()}


def test_the_refunds_of_an_account_are_held_against_its_own_list(context: WorkerContext) -> None:
    create_executed_cases(context, *(a_charged_purchase("ok", provider=account) for account in SECRETS))
    since = datetime.now(UTC) - timedelta(hours=1)
    for account in SECRETS:
        result = reconcile(context, account, since)
        assert (result.matched, result.discrepancies, result.incomplete) == (1, {}, "")


def send(web: httpx.Client, path: str, secret: str) -> int:
    signed = Webhooks("", secret).signed(an_event("refund.updated", a_refund("ok_1")), int(time.time()))
    headers = {"content-type": "application/json", "sandbox-signature": str(signed.signature)}
    return web.post(path, content=signed.body, headers=headers).status_code


def test_each_account_has_its_own_webhook_address_and_secret(account_settings: Settings) -> None:
    with serve(app(account_settings, readers=create_webhook_parsers(account_settings))) as web:
        for account, secret in SECRETS.items():
            assert send(web, f"/v1/webhooks/{account}", secret) == 200
            assert send(web, f"/v1/webhooks/{account.replace(':', '%3A')}", secret) == 200
            other = next(value for value in SECRETS.values() if value != secret)
            assert send(web, f"/v1/webhooks/{account}", other) == 400
        for unknown in ("sandbox:atelier", "sandbox:", "sandbox:aurora:eu", "aurora"):
            assert send(web, f"/v1/webhooks/{unknown}", SECRETS["sandbox"]) == 404
