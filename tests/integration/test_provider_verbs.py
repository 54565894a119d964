"""Tests of the commands `providers`, `reconcile` and `doctor`, with the sandbox as a child process."""

import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from config import extras
from config.provider_accounts import ACCOUNTS, OWN, PROVIDERS
from config.provider_plugins import Account
from config.settings import Settings
from console.stack import Stack
from domain.errors import RefusedError
from domain.money import Money
from domain.providers import Paid
from tests import fork_server
from tests.doubles.sandbox import SandboxProcess, sandbox_in
from tests.integration._provider_fixtures import (
    a_charged_purchase,
    close_context,
    create_executed_cases,
    refund_manually,
    with_long_timeouts,
)
from tests.sample_data import charge_of, store_seller_and_purchases
from tests.services import environment
from worker.context import create_context
from worker.providers import capabilities, connect_providers, create_webhook_parsers

ROOT = Path(__file__).parent.parent.parent
AMOUNT = ("--amount", "49.00", "--currency", "EUR")

LIVE_ACCOUNTS: dict[str, dict[str, str]] = {
    "stripe": {"api_key": "sk_live_1"},
    "paypal": {"client_id": "a", "client_secret": "b"},
    "adyen": {
        "api_key": "a",
        "merchant_account": "b",
        "api_base": "https://1-x-checkout-live.adyenpayments.com/checkout",
    },
    "braintree": {"merchant_id": "a", "public_key": "b", "private_key": "c"},
    "mollie": {"api_key": "live_1"},
}
TEST_ACCOUNTS: dict[str, dict[str, str]] = {
    "stripe": {"api_key": "rk_test_1"},
    "paypal": LIVE_ACCOUNTS["paypal"] | {"api_base": "https://api-m.sandbox.paypal.com"},
    "adyen": LIVE_ACCOUNTS["adyen"] | {"api_base": "https://checkout-test.adyen.com"},
    "braintree": LIVE_ACCOUNTS["braintree"] | {"environment": "sandbox"},
    "mollie": {"api_key": "test_1"},
    "sandbox": {"url": "http://127.0.0.1:8003"},
}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SandboxProcess]:
    """Yield a sandbox process for one test."""
    with sandbox_in(tmp_path / "sandbox") as process:
        yield process


@pytest.fixture
def sandbox_settings(settings: Settings, process: SandboxProcess) -> Settings:
    return with_long_timeouts(settings).model_copy(update={"sandbox_url": process.url})


def moneyback(settings: Settings, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    return fork_server.run("console", *arguments, env={**os.environ, "COLUMNS": "240", **environment(settings), **env})


def json_output(run: subprocess.CompletedProcess[str]) -> Any:
    assert run.stdout, run.stderr
    return json.loads(run.stdout)


def variables(name: str, values: dict[str, str]) -> dict[str, str]:
    """Return the environment variables with these settings of a provider account."""
    return {f"MONEYBACK_{name.upper()}_{setting.upper()}": value for setting, value in values.items()}


def account(name: str, values: dict[str, str]) -> Account:
    return ACCOUNTS[name](**values)  # type: ignore[arg-type]  # all values are strings, as in environment variables


# providers list


def test_providers_list_shows_the_capabilities_of_every_provider(sandbox_settings: Settings) -> None:
    run = moneyback(sandbox_settings, "providers", "list", "--json")
    assert run.returncode == 0
    providers = {provider["provider"]: provider for provider in json_output(run)}
    assert set(providers) == set(PROVIDERS)
    assert providers["sandbox"]["account"] == "test"
    assert [name for name, provider in providers.items() if provider["connected"]] == ["sandbox"]
    assert providers["adyen"]["lookup"] == "never"
    assert not providers["adyen"]["lists_refunds"]
    assert providers["mollie"]["idempotency_key_ttl_seconds"] == 3_600
    assert providers["paypal"]["routes"]["*"]["window_days"] == 180
    for name, provider in providers.items():
        assert provider["calls_per_second"] == capabilities(name).calls_per_second
    table = moneyback(sandbox_settings, "providers", "list").stdout
    for name in PROVIDERS:
        assert name in table
    assert "by webhook only" in table


def bare_environment(home: Path, **env: str) -> dict[str, str]:
    """Return an environment without the settings of a database, a broker and a key."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("MONEYBACK_")}
    return {**clean, "COLUMNS": "240", "MONEYBACK_HOME": str(home), **env}


ACCOUNTS_OF_TWO_SELLERS = {
    "MONEYBACK_PROVIDERS": "stripe,stripe:aurora,mollie:atelier",
    **variables("stripe", LIVE_ACCOUNTS["stripe"]),
    **variables("stripe_aurora", TEST_ACCOUNTS["stripe"]),
    **variables("mollie_atelier", TEST_ACCOUNTS["mollie"]),
    "MONEYBACK_STRIPE_AURORA_SELLERS": "aurora,paper-boat",
}


def test_providers_list_shows_every_account_and_needs_no_other_settings(tmp_path: Path) -> None:
    env = bare_environment(tmp_path, **ACCOUNTS_OF_TWO_SELLERS)
    run = fork_server.run("console", "providers", "list", "--json", env=env)
    accounts = {row["provider"]: row for row in json_output(run)}
    assert {name: row["account"] for name, row in accounts.items() if row["connected"]} == {
        "stripe": "live",
        "stripe:aurora": "test",
        "mollie:atelier": "test",
    }
    assert accounts["stripe:aurora"]["sellers"] == ["aurora", "paper-boat"]
    assert accounts["stripe:aurora"]["webhook_path"] == "/v1/webhooks/stripe:aurora"
    assert not accounts["mollie"]["connected"]
    assert accounts["mollie:atelier"]["idempotency_key_ttl_seconds"] == 3_600
    table = fork_server.run("console", "providers", "list", env=env).stdout
    for name, state in (("stripe", "connected, live"), ("stripe:aurora", "connected, test"), ("mollie", "–")):
        assert re.search(rf"{name} +│ {state} ", table)


def test_every_provider_package_has_the_same_layout() -> None:
    folder = ROOT / "worker" / "providers"
    packages = {init.parent.name for init in folder.glob("*/__init__.py")}
    assert packages == set(OWN) == set(TEST_ACCOUNTS)
    layout = {"__init__.py", "adapter.py", "client.py", "codes.py", "resources.py", "webhooks.py"}
    for name in packages:
        modules = {file.name for file in (folder / name).glob("*.py")}
        assert layout <= modules, name


@pytest.mark.parametrize("name", PROVIDERS)
def test_the_settings_in_each_provider_spec_exist_in_its_account(name: str) -> None:
    spec = PROVIDERS[name]
    assert {spec.test_setting, spec.webhook_setting} <= set(spec.account.model_fields)


def account_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Return settings with one connected provider, which uses a test account."""
    for variable, value in variables(name, TEST_ACCOUNTS[name]).items():
        monkeypatch.setenv(variable, value)
    values = {"database_url": "postgresql://x", "broker_url": "redis://x", "secret_key": "x" * 32, "providers": name}
    return Settings.model_validate(values)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_is_connected_by_its_name(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = account_of(name, monkeypatch)
    assert [*connect_providers(settings)] == [*create_webhook_parsers(settings)] == [name]


@pytest.mark.parametrize("name", ["stripe", "braintree", "paypal"])
def test_the_error_for_a_missing_package_names_the_extra_to_install(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = account_of(name, monkeypatch)
    package = PROVIDERS[name].extra_package
    monkeypatch.setattr(extras, "find_spec", lambda module: None if module == package else module)
    for connect in (connect_providers, create_webhook_parsers):
        with pytest.raises(RefusedError, match=rf"pip install 'moneyback\[{name}\]'"):
            connect(settings)


@pytest.mark.parametrize("package", ["stripe", "braintree"])
def test_an_sdk_is_imported_only_for_its_provider(package: str) -> None:
    """If the SDK is not installed, the capabilities of all providers can be read, and the other adapters can be imported."""
    program = f"""
import sys
sys.modules["{package}"] = None  # now an import of the package fails
from config.provider_accounts import PROVIDERS
from worker.providers import capabilities
import importlib
for name in PROVIDERS:
    capabilities(name)
    for module in ("adapter", "webhooks") if name != "{package}" else ():
        importlib.import_module(f"worker.providers.{{name}}.{{module}}")
"""
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr


# providers check


def test_the_check_accepts_a_provider_that_honours_idempotency_keys(
    sandbox_settings: Settings, process: SandboxProcess
) -> None:
    run = moneyback(sandbox_settings, "providers", "check", "sandbox", "--charge", "ok_1", *AMOUNT, "--yes", "--json")
    assert run.returncode == 0, run.stderr
    report = json_output(run)
    assert (report["ok"], report["faults"]) == (True, [])
    assert [step["result"] for step in report["steps"]] == ["notfound", "paid", "paid", "paid"]
    assert len({step["details"] for step in report["steps"][1:]}) == 1
    assert all(0 <= step["seconds"] < 60 for step in report["steps"])
    assert (process.summary()["refunds"], process.summary()["replays"]) == (1, 1)


def test_the_check_accepts_a_pending_refund(sandbox_settings: Settings) -> None:
    run = moneyback(sandbox_settings, "providers", "check", "sandbox", "--charge", "pending_1", *AMOUNT, "--yes")
    assert run.returncode == 0, run.stdout
    assert "pending" in run.stdout
    assert "the provider honours the idempotency key" in run.stdout


@pytest.mark.parametrize("charge", ["declined_1", "hang_1", "elsewhere_1", "garbage_1"])
def test_the_check_fails_if_the_payment_is_not_refunded(sandbox_settings: Settings, charge: str) -> None:
    run = moneyback(sandbox_settings, "providers", "check", "sandbox", "--charge", charge, *AMOUNT, "--yes", "--json")
    assert run.returncode == 1
    assert "was not refunded" in json_output(run)["faults"][0]


def test_the_check_fails_if_the_provider_ignores_idempotency_keys(settings: Settings, tmp_path: Path) -> None:
    with sandbox_in(tmp_path / "sandbox", memory=0) as process:
        sandbox_settings = with_long_timeouts(settings).model_copy(update={"sandbox_url": process.url})
        arguments = ("providers", "check", "sandbox", "--charge", "expires_1", *AMOUNT, "--yes")
        run = moneyback(sandbox_settings, *arguments)
        assert run.returncode == 1
        assert "returned another refund" in run.stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nobody", "--charge", "ok_1", *AMOUNT, "--yes"), "not connected"),
        (("stripe", "--charge", "ok_1", *AMOUNT, "--yes"), "not connected"),
        (("sandbox", "--charge", "ok_1", "--amount", "1.999", "--currency", "EUR", "--yes"), "2 decimals"),
        (("sandbox", "--charge", "ok_1", "--amount", "-1", "--currency", "EUR", "--yes"), "must be above zero"),
        (("sandbox", "--charge", "ok_1", "--amount", "1", "--currency", "EURO", "--yes"), "ISO 4217"),
        (("sandbox", "--charge", "ok_1", *AMOUNT), "--yes"),
        (("sandbox", *AMOUNT), "--charge"),
        (("sandbox", "--charge", "ok_1"), "--amount"),
        (("sandbox:aurora", "--charge", "ok_1", *AMOUNT, "--yes"), "not connected"),
    ],
)
def test_a_check_with_invalid_arguments_is_a_usage_error(
    sandbox_settings: Settings, process: SandboxProcess, arguments: tuple[str, ...], message: str
) -> None:
    run = moneyback(sandbox_settings, "providers", "check", *arguments)
    assert run.returncode == 2
    assert message in run.stderr
    assert process.summary()["calls"] == 0


@pytest.mark.parametrize("name", LIVE_ACCOUNTS)
def test_the_check_refuses_a_live_account(settings: Settings, name: str) -> None:
    env = variables(name, LIVE_ACCOUNTS[name]) | {"MONEYBACK_PROVIDERS": name}
    run = moneyback(settings, "providers", "check", name, "--charge", "c_1", *AMOUNT, "--yes", **env)
    assert run.returncode == 2
    assert "real money" in run.stderr


def test_the_check_of_an_account_that_is_read_needs_no_payment(process: SandboxProcess, tmp_path: Path) -> None:
    env = bare_environment(tmp_path, MONEYBACK_PROVIDERS="sandbox:aurora", MONEYBACK_SANDBOX_AURORA_URL=process.url)
    run = fork_server.run("console", "providers", "check", "sandbox:aurora", "--json", env=env)
    assert run.returncode == 0, run.stderr
    report = json_output(run)
    assert (report["ok"], report["account"], report["steps"]) == (True, "test", [])
    assert report["sentences"][0].startswith("Could read refunds, disputes and payments.")
    assert process.summary()["refunds"] == 0
    text = fork_server.run("console", "providers", "check", "sandbox:aurora", env=env).stdout
    assert "No refund was made." in text


def test_the_check_of_a_live_account_only_reads_and_names_what_it_cannot_read(tmp_path: Path) -> None:
    """The address of the live account has no host in the test, so the read fails."""
    address = {"api_base": "https://checkout-live.invalid/checkout"}
    live = variables("adyen", LIVE_ACCOUNTS["adyen"] | address) | {"MONEYBACK_PROVIDERS": "adyen"}
    run = fork_server.run("console", "providers", "check", "adyen", env=bare_environment(tmp_path, **live))
    assert run.returncode == 1, run.stderr
    text = " ".join((run.stdout + run.stderr).split())
    assert "Cannot read payments (" in text
    assert "The live account moves real money, so no refund was made." in text


@pytest.mark.parametrize("name", ["mollie", "stripe", "braintree"])
def test_the_check_names_each_list_that_cannot_be_read(tmp_path: Path, name: str) -> None:
    unreachable = variables(name, TEST_ACCOUNTS[name] | {"api_base": "http://127.0.0.1:1"}) | {
        "MONEYBACK_PROVIDERS": name
    }
    run = fork_server.run(
        "console", "providers", "check", name, "--json", env=bare_environment(tmp_path, **unreachable)
    )
    report = json_output(run)
    assert (run.returncode, report["ok"]) == (1, False)
    assert report["faults"][0].startswith("Cannot read refunds (")


@pytest.mark.parametrize("name", TEST_ACCOUNTS)
def test_test_accounts_and_live_accounts_are_distinguished(name: str) -> None:
    spec = PROVIDERS[name]
    assert spec.is_test_account(account(name, TEST_ACCOUNTS[name]))
    if name in LIVE_ACCOUNTS:
        assert not spec.is_test_account(account(name, LIVE_ACCOUNTS[name]))


def test_the_check_asks_for_confirmation_at_a_terminal(sandbox_settings: Settings, process: SandboxProcess) -> None:
    arguments = ("providers", "check", "sandbox", "--charge", "ok_1", *AMOUNT)
    for typed, code, refunds in ((b"n\n", 1, 0), (b"y\n", 0, 1)):
        controller, terminal = pty.openpty()
        os.write(controller, typed)
        run = fork_server.run(
            "console", *arguments, env={**os.environ, **environment(sandbox_settings)}, stdin=terminal
        )
        os.close(controller)
        os.close(terminal)
        assert (run.returncode, "Refund 49.00 EUR of ok_1 at sandbox?" in run.stdout + run.stderr) == (code, True)
        assert process.summary()["refunds"] == refunds


# reconcile


def test_reconciliation_without_discrepancies_has_exit_code_0(sandbox_settings: Settings) -> None:
    context = create_context(sandbox_settings)
    create_executed_cases(context, *(a_charged_purchase("ok") for _ in range(3)))
    close_context(context)
    run = moneyback(sandbox_settings, "reconcile", "--json")
    assert run.returncode == 0, run.stderr
    (report,) = json_output(run)["providers"]
    assert (report["provider"], report["listed"], report["ours"], report["discrepancies"]) == ("sandbox", 3, 3, {})


def test_reconciliation_with_discrepancies_has_exit_code_1_and_a_table(sandbox_settings: Settings) -> None:
    context = create_context(sandbox_settings)
    purchase = a_charged_purchase("ok")
    store_seller_and_purchases(context.records, purchase)
    refund_manually(context, purchase)
    refund = context.providers["sandbox"].refund("ok_forgotten", Money(100, "EUR"), key=f"mb_{uuid4().hex}_1")
    assert isinstance(refund, Paid)
    close_context(context)
    run = moneyback(sandbox_settings, "reconcile", "--provider", "sandbox", "--since", "2026-01-01")
    assert run.returncode == 1
    assert charge_of(purchase) in run.stdout.replace("\n", "")
    assert run.stdout.count("unexpected_refund") == 2
    second_run = moneyback(sandbox_settings, "reconcile", "--since", "2026-01-01T00:00:00+02:00", "--json")
    assert second_run.returncode == 1
    (report,) = json_output(second_run)["providers"]
    assert (report["discrepancies"], len(report["first"])) == ({"unexpected_refund": 2}, 2)


@pytest.mark.slow
def test_reconciliation_with_an_unreachable_provider_has_exit_code_1(
    sandbox_settings: Settings, process: SandboxProcess
) -> None:
    process.end()
    run = moneyback(sandbox_settings, "reconcile", "--json")
    assert run.returncode == 1
    assert json_output(run)["providers"][0]["incomplete"] == "The sandbox cannot be reached."
    assert "incomplete" in moneyback(sandbox_settings, "reconcile").stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--provider", "stripe"), "not connected"),
        (("--since", "yesterday"), "2026-11-01"),
        (("--since", "2026-13-01"), "2026-11-01"),
    ],
)
def test_a_reconciliation_with_invalid_arguments_is_a_usage_error(
    sandbox_settings: Settings, arguments: tuple[str, ...], message: str
) -> None:
    run = moneyback(sandbox_settings, "reconcile", *arguments)
    assert run.returncode == 2
    assert message in run.stderr


def test_reconciliation_needs_a_provider_that_lists_refunds(settings: Settings) -> None:
    env = variables("adyen", TEST_ACCOUNTS["adyen"]) | {"MONEYBACK_PROVIDERS": "adyen"}
    run = moneyback(settings, "reconcile", **env)
    assert run.returncode == 2
    assert "can list its refunds" in run.stderr


def test_log_lines_are_not_part_of_the_json_output(settings: Settings) -> None:
    """The broker and the provider are unavailable. Log lines on stderr report this, and stdout contains only JSON."""
    unavailable = variables("mollie", TEST_ACCOUNTS["mollie"]) | {"MONEYBACK_MOLLIE_API_BASE": "http://127.0.0.1:1"}
    run = moneyback(
        settings,
        "reconcile",
        "--json",
        MONEYBACK_PROVIDERS="mollie",
        MONEYBACK_BROKER_URL="redis://127.0.0.1:1/0",
        **unavailable,
    )
    assert run.returncode == 1, run.stderr
    assert json_output(run)["providers"][0]["incomplete"]
    assert "provider_rate_limit_store_unavailable" in run.stderr


# doctor, errors about missing settings, and help texts


@pytest.mark.parametrize(
    ("name", "variable", "optional"),
    [
        ("stripe", "MONEYBACK_STRIPE_WEBHOOK_SECRET", False),
        ("paypal", "MONEYBACK_PAYPAL_WEBHOOK_ID", False),
        ("adyen", "MONEYBACK_ADYEN_HMAC_KEY", False),
        ("mollie", "MONEYBACK_MOLLIE_WEBHOOK_SECRET", True),
    ],
)
def test_the_doctor_names_a_missing_webhook_secret(
    settings: Settings, name: str, variable: str, optional: bool
) -> None:
    env = variables(name, TEST_ACCOUNTS[name]) | {"MONEYBACK_PROVIDERS": name}
    for secret, is_set in ((None, False), ("ab" * 32, True)):
        run = moneyback(settings, "doctor", "--json", **env, **({variable: secret} if secret else {}))
        (check,) = [check for check in json_output(run)["checks"] if check["name"] == f"webhooks of {name}"]
        assert (check["ok"], variable in check["message"]) == (optional or is_set, True)


@pytest.mark.parametrize("name", ["sandbox", "braintree"])
def test_the_sandbox_and_braintree_verify_webhooks_without_a_separate_secret(name: str) -> None:
    assert PROVIDERS[name].can_verify_webhooks(account(name, TEST_ACCOUNTS[name]))


def test_the_error_for_a_missing_setting_names_its_environment_variable(settings: Settings) -> None:
    run = moneyback(settings, "reconcile", MONEYBACK_PROVIDERS="stripe")
    assert run.returncode == 2
    assert "MONEYBACK_STRIPE_API_KEY" in run.stderr


@pytest.mark.parametrize(
    "arguments", [("providers",), ("providers", "list"), ("providers", "check"), ("reconcile",)], ids=" ".join
)
def test_every_command_has_a_help_text(settings: Settings, arguments: tuple[str, ...]) -> None:
    run = moneyback(settings, *arguments, "--help")
    assert run.returncode == 0
    assert len(run.stdout) > 400


def test_the_sandbox_of_a_stack_sends_webhooks_to_the_web_server(tmp_path: Path) -> None:
    data_dir: Any = SimpleNamespace(path=tmp_path)
    stack = Stack(data_dir, SimpleNamespace(env={}))  # type: ignore[arg-type]  # the test starts no server
    services = stack.services(("sandbox", "web"))
    argv = services["sandbox"].argv
    assert argv[argv.index("--webhooks") + 1] == f"{stack.public_url}/v1/webhooks/sandbox"
    secrets = {service.env["MONEYBACK_SANDBOX_WEBHOOK_SECRET"] for service in services.values()}
    assert len(secrets) == 1
    assert len(secrets.pop()) >= 32
    assert "--webhooks" not in stack.services(("sandbox", "worker"))["sandbox"].argv
