"""A provider may have several accounts. Each account has its own settings, and belongs to sellers."""

from collections.abc import Mapping
from pathlib import Path

import pytest
from pydantic import ValidationError

from config.connected_providers import ProviderSettings, account_variables, connected_accounts, sellers_of
from config.extras import wanted_by
from config.provider_accounts import PROVIDERS, StripeAccount
from config.settings import Settings
from domain.providers import provider_of, refund_window
from worker.providers import capabilities, connect_providers, create_webhook_parsers

TWO_ACCOUNTS = {
    "MONEYBACK_PROVIDERS": "stripe,stripe:aurora",
    "MONEYBACK_STRIPE_API_KEY": "sk_test_1",
    "MONEYBACK_STRIPE_WEBHOOK_SECRET": "whsec_1",
    "MONEYBACK_STRIPE_AURORA_API_KEY": "sk_test_2",
}


def settings_of(monkeypatch: pytest.MonkeyPatch, env: Mapping[str, str]) -> ProviderSettings:
    for variable, value in env.items():
        monkeypatch.setenv(variable, value)
    return ProviderSettings()


def stripe_accounts(settings: ProviderSettings) -> dict[str, StripeAccount]:
    accounts = connected_accounts(settings)
    return {name: account for name, account in accounts.items() if isinstance(account, StripeAccount)}


@pytest.mark.parametrize("name", ["stripe", "stripe:aurora", "stripe:aurora-eu", "stripe:2"])
def test_the_provider_of_an_account_is_before_the_colon(name: str) -> None:
    assert provider_of(name) == "stripe"


def test_each_account_has_its_own_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = stripe_accounts(settings_of(monkeypatch, TWO_ACCOUNTS))
    keys = {name: account.api_key.get_secret_value() for name, account in accounts.items()}
    assert keys == {"stripe": "sk_test_1", "stripe:aurora": "sk_test_2"}
    assert accounts["stripe"].webhook_secret
    assert accounts["stripe:aurora"].webhook_secret is None, "an account must not use the secret of another account"


@pytest.mark.parametrize(
    ("name", "variable"),
    [
        ("stripe", "MONEYBACK_STRIPE_API_KEY"),
        ("stripe:aurora", "MONEYBACK_STRIPE_AURORA_API_KEY"),
        ("stripe:aurora-eu-2", "MONEYBACK_STRIPE_AURORA_EU_2_API_KEY"),
        ("mollie:7", "MONEYBACK_MOLLIE_7_API_KEY"),
        ("adyen:a-b", "MONEYBACK_ADYEN_A_B_API_KEY"),
    ],
)
def test_the_variables_of_an_account_start_with_its_name(name: str, variable: str) -> None:
    assert account_variables(name)["api_key"] == variable


def test_a_setting_of_an_account_can_be_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("sk_test_3\n")
    env = {"MONEYBACK_PROVIDERS": "stripe:aurora", "MONEYBACK_STRIPE_AURORA_API_KEY_FILE": str(file)}
    accounts = stripe_accounts(settings_of(monkeypatch, env))
    assert accounts["stripe:aurora"].api_key.get_secret_value() == "sk_test_3"


@pytest.mark.parametrize(
    ("variable", "providers"),
    [
        ("moneyback_stripe_aurora_api_key", "stripe:aurora"),
        ("Moneyback_Stripe_Aurora_Api_Key", "Stripe:Aurora"),
        ("MONEYBACK_STRIPE_AURORA_API_KEY", " STRIPE:AURORA ,"),
    ],
)
def test_capital_and_small_letters_are_equal_in_names_and_variables(
    monkeypatch: pytest.MonkeyPatch, variable: str, providers: str
) -> None:
    settings = settings_of(monkeypatch, {"MONEYBACK_PROVIDERS": providers, variable: "sk_test_2"})
    assert [*connected_accounts(settings)] == ["stripe:aurora"]


@pytest.mark.parametrize(
    "name",
    [
        "stripe:",
        ":aurora",
        "stripe:aurora:eu",
        "stripe:aurora_eu",
        "stripe:aurora--eu",
        "stripe:-aurora",
        "stripe:ä",
        "stripe: aurora",
        "stripe/aurora",
        "stripe:" + "a" * 94,
    ],
)
def test_an_invalid_name_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match="is not a valid name"):
        ProviderSettings.model_validate({"providers": f"paypal,{name}"})


@pytest.mark.parametrize("name", ["square", "square:aurora", "strip", "stripe-aurora"])
def test_a_provider_that_is_not_installed_is_refused(name: str) -> None:
    with pytest.raises(ValidationError, match=rf"provides the payment provider {provider_of(name)}\. Install"):
        ProviderSettings.model_validate({"providers": name})


def test_each_account_has_its_own_adapter_and_webhook_parser(monkeypatch: pytest.MonkeyPatch) -> None:
    settings_of(monkeypatch, TWO_ACCOUNTS)
    settings = Settings.model_validate(
        {"database_url": "postgresql://x", "broker_url": "redis://x", "secret_key": "x" * 32}
    )
    adapters = connect_providers(settings)
    assert [*adapters] == [*create_webhook_parsers(settings)] == ["stripe", "stripe:aurora"]
    assert adapters["stripe"] is not adapters["stripe:aurora"]
    assert set(wanted_by(settings)) == {"stripe"}


@pytest.mark.parametrize("provider", ["stripe", "paypal", "adyen", "braintree", "mollie", "sandbox"])
def test_an_account_has_the_capabilities_of_its_provider(provider: str) -> None:
    assert capabilities(f"{provider}:aurora") is capabilities(provider)


@pytest.mark.parametrize(
    ("provider", "method"), [("stripe", "amazon_pay"), ("stripe", "paypal"), ("mollie", "paypal"), ("adyen", "alipay")]
)
def test_an_account_has_the_refund_windows_of_its_provider(provider: str, method: str) -> None:
    assert refund_window(None, f"{provider}:aurora", method) == refund_window(None, provider, method)


@pytest.mark.parametrize(
    ("sellers", "found"),
    [
        ("aurora", {"aurora"}),
        ("aurora, atelier,", {"aurora", "atelier"}),
        ("aurora,aurora", {"aurora"}),
        ("", set()),
        (" , ", set()),
    ],
)
def test_an_account_belongs_to_the_sellers_that_its_settings_name(
    monkeypatch: pytest.MonkeyPatch, sellers: str, found: set[str]
) -> None:
    settings = settings_of(monkeypatch, TWO_ACCOUNTS | {"MONEYBACK_STRIPE_AURORA_SELLERS": sellers})
    assert sellers_of(settings) == {"stripe": frozenset(), "stripe:aurora": frozenset(found)}


@pytest.mark.parametrize(
    ("metadata", "seller"),
    [
        ({"shop": "aurora"}, "aurora"),
        ({"shop": " aurora "}, "aurora"),
        ({"shop": ""}, None),
        ({"shop": 7}, None),
        ({"seller": "aurora"}, None),
        ({}, None),
        (None, None),
        (["shop"], None),
    ],
)
def test_a_payment_belongs_to_the_seller_in_its_metadata(metadata: object, seller: str | None) -> None:
    account = StripeAccount.model_validate({"api_key": "sk_test_1", "seller_metadata": "shop"})
    assert account.seller_in(metadata) == seller


def test_without_the_setting_no_metadata_names_a_seller() -> None:
    assert StripeAccount.model_validate({"api_key": "sk_test_1"}).seller_in({"shop": "aurora", "": "x"}) is None


def test_the_sandbox_is_connected_by_its_address_and_may_have_accounts(monkeypatch: pytest.MonkeyPatch) -> None:
    env = {
        "MONEYBACK_PROVIDERS": "sandbox:aurora",
        "MONEYBACK_SANDBOX_AURORA_URL": "http://127.0.0.1:2",
        "MONEYBACK_SANDBOX_URL": "http://127.0.0.1:1",
        "MONEYBACK_SANDBOX_SELLERS": "atelier",
    }
    settings = settings_of(monkeypatch, env)
    assert sellers_of(settings) == {"sandbox:aurora": frozenset(), "sandbox": {"atelier"}}
    assert all(PROVIDERS["sandbox"].is_test_account(account) for account in connected_accounts(settings).values())
