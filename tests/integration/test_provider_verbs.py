"""The verbs about payment providers, as people and machines use them, against the sandbox as a process."""

import json
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest

from config import provider_accounts
from config.connected_providers import MissingExtraError, missing_extras
from config.provider_accounts import ACCOUNTS, PROVIDERS, Account
from config.settings import Settings
from console.stack import Stack
from domain.money import Money
from domain.providers import Paid
from tests import fork_server
from tests.doubles.sandbox import SandboxProcess, sandbox_in
from tests.integration._provider_fixtures import charged, closed, made_by_hand, paid, patient
from tests.sample_data import settle_in
from tests.services import environment
from worker.context import create_context
from worker.providers import capabilities, connect_providers, create_webhook_parsers

ROOT = Path(__file__).parent.parent.parent
AMOUNT = ("--amount", "49.00", "--currency", "EUR")

LIVE: dict[str, dict[str, str]] = {
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
TEST: dict[str, dict[str, str]] = {
    "stripe": {"api_key": "rk_test_1"},
    "paypal": LIVE["paypal"] | {"api_base": "https://api-m.sandbox.paypal.com"},
    "adyen": LIVE["adyen"] | {"api_base": "https://checkout-test.adyen.com"},
    "braintree": LIVE["braintree"] | {"environment": "sandbox"},
    "mollie": {"api_key": "test_1"},
    "sandbox": {"url": "http://127.0.0.1:8003"},
}


@pytest.fixture
def process(tmp_path: Path) -> Iterator[SandboxProcess]:
    """A sandbox that nobody else refunds at."""
    with sandbox_in(tmp_path / "sandbox") as process:
        yield process


@pytest.fixture
def wired(settings: Settings, process: SandboxProcess) -> Settings:
    return patient(settings).model_copy(update={"sandbox_url": process.url})


def moneyback(settings: Settings, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return fork_server.run("console", *words, env={**os.environ, "COLUMNS": "240", **environment(settings), **env})


def told(run: subprocess.CompletedProcess[str]) -> Any:
    assert run.stdout, run.stderr
    return json.loads(run.stdout)


def variables(name: str, values: dict[str, str]) -> dict[str, str]:
    """An account's settings as the environment has them."""
    return {f"MONEYBACK_{name.upper()}_{setting.upper()}": value for setting, value in values.items()}


def account(name: str, values: dict[str, str]) -> Account:
    return ACCOUNTS[name](**values)  # type: ignore[arg-type]  # as the environment says them


# providers list


def test_every_provider_is_listed_with_what_it_can_do(wired: Settings) -> None:
    run = moneyback(wired, "providers", "list", "--json")
    assert run.returncode == 0
    listed = {one["provider"]: one for one in told(run)}
    assert set(listed) == set(PROVIDERS)
    assert [name for name, one in listed.items() if one["connected"]] == ["sandbox"]
    assert listed["adyen"]["lookup"] == "never"
    assert not listed["adyen"]["lists_refunds"]
    assert listed["mollie"]["idempotency_key_ttl_seconds"] == 3_600
    assert listed["paypal"]["routes"]["*"]["window_days"] == 180
    for name, one in listed.items():
        assert one["calls_per_second"] == capabilities(name).calls_per_second
    table = moneyback(wired, "providers", "list").stdout
    for name in PROVIDERS:
        assert name in table
    assert "by webhook only" in table


def test_every_provider_has_a_package_of_one_layout() -> None:
    folder = ROOT / "worker" / "providers"
    packages = {init.parent.name for init in folder.glob("*/__init__.py")}
    assert packages == set(PROVIDERS) == set(TEST)
    layout = {"__init__.py", "adapter.py", "client.py", "codes.py", "resources.py", "webhooks.py"}
    optional = {"amounts.py"}
    more = {"paypal": {"access_token.py", "transaction_search.py", "webhook_certificates.py"}}
    for name in packages:
        modules = {file.name for file in (folder / name).glob("*.py")}
        assert modules - optional == layout | more.get(name, set()), name


@pytest.mark.parametrize("name", PROVIDERS)
def test_every_provider_names_settings_that_its_account_has(name: str) -> None:
    spec = PROVIDERS[name]
    assert {spec.test_setting, spec.webhook_setting} <= set(spec.account.model_fields)


def account_of(name: str, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings that connect this provider, by a test account."""
    for variable, value in variables(name, TEST[name]).items():
        monkeypatch.setenv(variable, value)
    words = {"database_url": "postgresql://x", "broker_url": "redis://x", "secret_key": "x" * 32, "providers": name}
    return Settings.model_validate(words)


@pytest.mark.parametrize("name", PROVIDERS)
def test_a_provider_is_connected_by_its_name_alone(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = account_of(name, monkeypatch)
    assert [*connect_providers(settings)] == [*create_webhook_parsers(settings)] == [name]
    assert missing_extras(settings) == []


@pytest.mark.parametrize("name", ["stripe", "braintree", "paypal"])
def test_a_package_that_is_missing_is_named_with_the_extra_that_installs_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = account_of(name, monkeypatch)
    package = PROVIDERS[name].extra_package
    monkeypatch.setattr(provider_accounts, "find_spec", lambda asked: None if asked == package else asked)
    assert missing_extras(settings) == [name]
    for connect in (connect_providers, create_webhook_parsers):
        with pytest.raises(MissingExtraError, match=rf"pip install 'moneyback\[{name}\]'"):
            connect(settings)


@pytest.mark.parametrize("package", ["stripe", "braintree"])
def test_an_sdk_is_imported_only_for_its_own_provider(package: str) -> None:
    """What providers can do is read without it, and so are the others connected."""
    program = f"""
import sys
sys.modules["{package}"] = None  # an import of it fails
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


def test_a_provider_that_keeps_our_key_is_well(wired: Settings, process: SandboxProcess) -> None:
    run = moneyback(wired, "providers", "check", "sandbox", "--charge", "ok_1", *AMOUNT, "--yes", "--json")
    assert run.returncode == 0, run.stderr
    found = told(run)
    assert (found["ok"], found["faults"]) == (True, [])
    assert [step["result"] for step in found["steps"]] == ["notfound", "paid", "paid", "paid"]
    assert len({step["details"] for step in found["steps"][1:]}) == 1
    assert all(0 <= step["seconds"] < 60 for step in found["steps"])
    assert (process.summary()["refunds"], process.summary()["replays"]) == (1, 1)


def test_a_refund_that_is_only_accepted_is_well_too(wired: Settings) -> None:
    run = moneyback(wired, "providers", "check", "sandbox", "--charge", "pending_1", *AMOUNT, "--yes")
    assert run.returncode == 0, run.stdout
    assert "pending" in run.stdout
    assert "the provider honours the idempotency key" in run.stdout


@pytest.mark.parametrize("charge", ["declined_1", "hang_1", "elsewhere_1", "garbage_1"])
def test_a_payment_that_is_not_refunded_is_wrong(wired: Settings, charge: str) -> None:
    run = moneyback(wired, "providers", "check", "sandbox", "--charge", charge, *AMOUNT, "--yes", "--json")
    assert run.returncode == 1
    assert "was not refunded" in told(run)["faults"][0]


def test_a_provider_that_forgets_our_key_at_once_is_found_out(settings: Settings, tmp_path: Path) -> None:
    with sandbox_in(tmp_path / "sandbox", memory=0) as process:
        forgetful = patient(settings).model_copy(update={"sandbox_url": process.url})
        words = ("providers", "check", "sandbox", "--charge", "expires_1", *AMOUNT, "--yes")
        run = moneyback(forgetful, *words)
        assert run.returncode == 1
        assert "is another refund" in run.stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("nobody", "--charge", "ok_1", *AMOUNT, "--yes"), "not connected"),
        (("stripe", "--charge", "ok_1", *AMOUNT, "--yes"), "not connected"),
        (("sandbox", "--charge", "ok_1", "--amount", "1.999", "--currency", "EUR", "--yes"), "2 decimals"),
        (("sandbox", "--charge", "ok_1", "--amount", "-1", "--currency", "EUR", "--yes"), "nothing to refund"),
        (("sandbox", "--charge", "ok_1", "--amount", "1", "--currency", "EURO", "--yes"), "ISO 4217"),
        (("sandbox", "--charge", "ok_1", *AMOUNT), "--yes"),
        (("sandbox", *AMOUNT), "--charge"),
    ],
)
def test_a_check_that_cannot_be_made_is_bad_usage(
    wired: Settings, process: SandboxProcess, words: tuple[str, ...], says: str
) -> None:
    run = moneyback(wired, "providers", "check", *words)
    assert run.returncode == 2
    assert says in run.stderr
    assert process.summary()["calls"] == 0


@pytest.mark.parametrize("name", LIVE)
def test_an_account_that_moves_real_money_is_refused(settings: Settings, name: str) -> None:
    env = variables(name, LIVE[name]) | {"MONEYBACK_PROVIDERS": name}
    run = moneyback(settings, "providers", "check", name, "--charge", "c_1", *AMOUNT, "--yes", **env)
    assert run.returncode == 2
    assert "real money" in run.stderr


@pytest.mark.parametrize("name", TEST)
def test_what_a_test_account_is(name: str) -> None:
    spec = PROVIDERS[name]
    assert spec.is_test_account(account(name, TEST[name]))
    if name in LIVE:
        assert not spec.is_test_account(account(name, LIVE[name]))


def test_a_person_at_a_terminal_is_asked_first(wired: Settings, process: SandboxProcess) -> None:
    words = ("providers", "check", "sandbox", "--charge", "ok_1", *AMOUNT)
    for says, code, refunds in ((b"n\n", 1, 0), (b"y\n", 0, 1)):
        ours, theirs = pty.openpty()
        os.write(ours, says)
        ran = fork_server.run("console", *words, env={**os.environ, **environment(wired)}, stdin=theirs)
        os.close(ours)
        os.close(theirs)
        assert (ran.returncode, "Refund 49.00 EUR of ok_1 at sandbox?" in ran.stdout + ran.stderr) == (code, True)
        assert process.summary()["refunds"] == refunds


# reconcile


def test_what_agrees_is_exit_code_0(wired: Settings) -> None:
    context = create_context(wired)
    paid(context, *(charged("ok") for _ in range(3)))
    closed(context)
    run = moneyback(wired, "reconcile", "--json")
    assert run.returncode == 0, run.stderr
    (found,) = told(run)["providers"]
    assert (found["provider"], found["listed"], found["ours"], found["discrepancies"]) == ("sandbox", 3, 3, {})


def test_what_differs_is_exit_code_1_and_a_table(wired: Settings) -> None:
    context = create_context(wired)
    bought = charged("ok")
    settle_in(context.records, bought)
    made_by_hand(context, bought)
    forgotten = context.providers["sandbox"].refund("ok_forgotten", Money(100, "EUR"), key=f"mb_{uuid4().hex}_1")
    assert isinstance(forgotten, Paid)
    closed(context)
    run = moneyback(wired, "reconcile", "--provider", "sandbox", "--since", "2026-01-01")
    assert run.returncode == 1
    assert bought.charge in run.stdout.replace("\n", "")
    assert run.stdout.count("unexpected_refund") == 2
    again = moneyback(wired, "reconcile", "--since", "2026-01-01T00:00:00+02:00", "--json")
    assert again.returncode == 1
    (found,) = told(again)["providers"]
    assert (found["discrepancies"], len(found["first"])) == ({"unexpected_refund": 2}, 2)


def test_a_list_that_cannot_be_read_is_exit_code_1(wired: Settings, process: SandboxProcess) -> None:
    process.end()
    run = moneyback(wired, "reconcile", "--json")
    assert run.returncode == 1
    assert told(run)["providers"][0]["incomplete"] == "The sandbox cannot be reached."
    assert "incomplete" in moneyback(wired, "reconcile").stdout


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--provider", "stripe"), "not connected"),
        (("--since", "yesterday"), "2026-11-01"),
        (("--since", "2026-13-01"), "2026-11-01"),
    ],
)
def test_a_reconciliation_that_cannot_be_made_is_bad_usage(wired: Settings, words: tuple[str, ...], says: str) -> None:
    run = moneyback(wired, "reconcile", *words)
    assert run.returncode == 2
    assert says in run.stderr


def test_where_nobody_can_list_there_is_nothing_to_reconcile(settings: Settings) -> None:
    env = variables("adyen", TEST["adyen"]) | {"MONEYBACK_PROVIDERS": "adyen"}
    run = moneyback(settings, "reconcile", **env)
    assert run.returncode == 2
    assert "can list its refunds" in run.stderr


def test_what_is_logged_does_not_stand_in_what_is_printed(settings: Settings) -> None:
    """The pace cannot be shared, and the provider is not there: both are said beside the JSON."""
    away = variables("mollie", TEST["mollie"]) | {"MONEYBACK_MOLLIE_API_BASE": "http://127.0.0.1:1"}
    run = moneyback(
        settings,
        "reconcile",
        "--json",
        MONEYBACK_PROVIDERS="mollie",
        MONEYBACK_BROKER_URL="redis://127.0.0.1:1/0",
        **away,
    )
    assert run.returncode == 1, run.stderr
    assert told(run)["providers"][0]["incomplete"]
    assert "provider_rate_limit_store_unavailable" in run.stderr


# doctor, and the words for what is missing


@pytest.mark.parametrize(
    ("name", "lacking", "well"),
    [
        ("stripe", "MONEYBACK_STRIPE_WEBHOOK_SECRET", False),
        ("paypal", "MONEYBACK_PAYPAL_WEBHOOK_ID", False),
        ("adyen", "MONEYBACK_ADYEN_HMAC_KEY", False),
        ("mollie", "MONEYBACK_MOLLIE_WEBHOOK_SECRET", True),
    ],
)
def test_the_doctor_says_whose_webhooks_nobody_can_prove(
    settings: Settings, name: str, lacking: str, well: bool
) -> None:
    env = variables(name, TEST[name]) | {"MONEYBACK_PROVIDERS": name}
    for proof, is_set in ((None, False), ("ab" * 32, True)):
        run = moneyback(settings, "doctor", "--json", **env, **({lacking: proof} if proof else {}))
        (check,) = [one for one in told(run)["checks"] if one["name"] == f"webhooks of {name}"]
        assert (check["ok"], lacking in check["message"]) == (well or is_set, True)


@pytest.mark.parametrize("name", ["sandbox", "braintree"])
def test_webhooks_that_need_no_secret_of_their_own_are_proven(name: str) -> None:
    assert PROVIDERS[name].can_verify_webhooks(account(name, TEST[name]))


def test_a_setting_that_is_missing_is_named_as_the_environment_has_it(settings: Settings) -> None:
    run = moneyback(settings, "doctor", MONEYBACK_PROVIDERS="stripe")
    assert run.returncode == 2
    assert "MONEYBACK_STRIPE_API_KEY" in run.stderr


@pytest.mark.parametrize(
    "words", [("providers",), ("providers", "list"), ("providers", "check"), ("reconcile",)], ids=" ".join
)
def test_every_verb_teaches(settings: Settings, words: tuple[str, ...]) -> None:
    run = moneyback(settings, *words, "--help")
    assert run.returncode == 0
    assert len(run.stdout) > 400


def test_the_sandbox_of_a_stack_tells_the_web_where_there_is_one(tmp_path: Path) -> None:
    data_dir: Any = SimpleNamespace(path=tmp_path)
    stack = Stack(data_dir, SimpleNamespace(env={}))  # type: ignore[arg-type]  # nothing is started
    parts = stack.services(("sandbox", "web"))
    told = list(parts["sandbox"].argv)
    assert told[told.index("--webhooks") + 1] == f"{stack.public_url}/v1/webhooks/sandbox"
    secrets = {part.env["MONEYBACK_SANDBOX_WEBHOOK_SECRET"] for part in parts.values()}
    assert len(secrets) == 1
    assert len(secrets.pop()) >= 32
    assert "--webhooks" not in stack.services(("sandbox", "worker"))["sandbox"].argv
