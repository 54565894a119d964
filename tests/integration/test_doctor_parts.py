"""Tests that `moneyback doctor` checks every part of an installation, even if other parts are unavailable."""

import json
import os

import pytest

from config.settings import Settings
from tests import fork_server
from tests.doubles.stripe import API_KEY, run_fake_stripe
from tests.services import environment

NO_DATABASE = {"MONEYBACK_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/nothing"}
NO_BROKER = {"MONEYBACK_BROKER_URL": "redis://127.0.0.1:1/0"}
NO_KEY = {"MONEYBACK_PROVIDERS": "stripe"}
DATABASE, RELAY = {"database"}, {"relay", "sweep", "dead-letters"}


def checks(settings: Settings, **changes: str) -> tuple[int, dict[str, bool], str]:
    """Run the doctor. Return its exit code, whether each check passed, and all messages."""
    env = {**os.environ, **environment(settings), **changes}
    ended = fork_server.run("console", "doctor", "--json", env=env)
    found = json.loads(ended.stdout)["checks"]
    messages = " ".join(check["message"] for check in found)
    return ended.returncode, {check["name"]: check["ok"] for check in found}, messages


@pytest.mark.parametrize(
    ("changes", "failed", "passed"),
    [
        (NO_DATABASE, DATABASE, {"broker"}),
        (NO_BROKER, {"broker"}, DATABASE | RELAY),
        (NO_KEY, {"providers", "webhooks"}, DATABASE | RELAY | {"broker"}),
        (NO_DATABASE | NO_BROKER | NO_KEY, DATABASE | {"broker", "providers", "webhooks"}, set()),
    ],
)
def test_each_part_is_checked_if_others_are_unavailable(
    settings: Settings, changes: dict[str, str], failed: set[str], passed: set[str]
) -> None:
    code, results, _ = checks(settings, **changes)
    assert (code, {name for name, ok in results.items() if not ok}) == (1, failed)
    assert passed <= results.keys()


def test_a_missing_setting_of_a_provider_is_named(settings: Settings) -> None:
    *_, messages = checks(settings, **NO_KEY)
    assert "MONEYBACK_STRIPE_API_KEY is not set; docs/settings.md explains it." in messages


def test_the_account_with_each_connected_provider_is_one_check(settings: Settings) -> None:
    keys = {"MONEYBACK_MOLLIE_API_KEY": "live_key", "MONEYBACK_MOLLIE_API_BASE": "http://127.0.0.1:1"}
    _, results, _ = checks(settings, MONEYBACK_PROVIDERS="mollie", MONEYBACK_SANDBOX_URL="http://127.0.0.1:1", **keys)
    assert {"account at mollie", "account at sandbox"} <= results.keys()


RIGHTS = {
    "all rights": ((), "Could read refunds, disputes and payments."),
    "no right to read disputes": (("dispute_read",), "read disputes"),
    "no right to read charges": (("charge_read",), "read refunds"),
    "no right to read payment intents": (("payment_intent_read",), "read payments"),
    "no right at all": (("charge_read", "dispute_read", "payment_intent_read"), "read disputes"),
}


@pytest.mark.parametrize(("missing", "words"), RIGHTS.values(), ids=RIGHTS)
def test_a_restricted_key_of_stripe_is_checked_right_by_right(
    settings: Settings, missing: tuple[str, ...], words: str
) -> None:
    with run_fake_stripe() as stripe:
        stripe.missing_permissions.update(missing)
        account = {"MONEYBACK_STRIPE_API_KEY": API_KEY, "MONEYBACK_STRIPE_API_BASE": stripe.url}
        code, results, messages = checks(settings, **NO_KEY, **account, MONEYBACK_STRIPE_WEBHOOK_SECRET="whsec_1")
        assert {method for method, *_ in stripe.calls} == {"GET"}
    assert (code, results["account at stripe"]) == (bool(missing), not missing)
    assert words in messages
