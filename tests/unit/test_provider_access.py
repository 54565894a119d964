"""Tests of the check of our accounts with providers, which `moneyback doctor` makes."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from threading import Event
from typing import cast

import pytest

from console.program import LAUNCHER, as_typed
from console.provider_access import check_access
from domain.providers import AccessRight, Capabilities, PaymentProvider
from worker.providers.capability_defaults import CapabilityDefaults

ALL = Capabilities(timedelta(1), shows_payments=True, lists_disputes=True)


@dataclass
class Account(CapabilityDefaults):
    """An account with a provider. The key of the account lacks the rights in `missing`."""

    capabilities: Capabilities = ALL
    missing: Mapping[AccessRight, str] = field(default_factory=dict)

    def check_access(self) -> Mapping[AccessRight, str]:
        return self.missing


@dataclass
class HangingAccount(Account):
    """An account with a provider that answers only after the test."""

    released: Event = field(default_factory=Event)

    def check_access(self) -> Mapping[AccessRight, str]:
        self.released.wait()
        return {}


class SilentAccount(CapabilityDefaults):
    """An account with a provider that has nothing to read."""

    capabilities = Capabilities(timedelta(1), lists_refunds=False)


def message_for(account: object, seconds: float = 20) -> tuple[bool, str]:
    (access,) = check_access({"stripe": cast("PaymentProvider", account)}, seconds=seconds)
    return access.ok, access.message


@pytest.mark.parametrize(
    ("missing", "faults"),
    [
        ({AccessRight.READ_DISPUTES: "more_permissions_required"}, "read disputes (more_permissions_required)"),
        ({AccessRight.READ_REFUNDS: "The key has expired."}, "read refunds (The key has expired)"),
        ({AccessRight.READ_PAYMENTS: "403"}, "read payments (403)"),
        ({AccessRight.IDEMPOTENCY_KEYS: "915231"}, "use idempotency keys (915231)"),
        (
            dict.fromkeys(AccessRight, "timeout"),
            "read refunds (timeout), read disputes (timeout), read payments (timeout), use idempotency keys (timeout)",
        ),
    ],
)
def test_the_check_names_each_right_that_the_key_lacks(missing: dict[AccessRight, str], faults: str) -> None:
    advice = "docs/providers.md lists the rights that the key needs."
    assert message_for(Account(missing=missing)) == (False, f"Cannot {faults}. {advice}")


@pytest.mark.parametrize(
    ("capabilities", "message"),
    [
        (ALL, "Could read refunds, disputes and payments."),
        (
            Capabilities(timedelta(1), lists_purchases=True),
            "Could read refunds and payments. The provider has no call that reads disputes.",
        ),
        (
            Capabilities(timedelta(1)),
            "Could read refunds. The provider has no call that reads disputes and payments.",
        ),
    ],
)
def test_the_check_says_what_was_read(capabilities: Capabilities, message: str) -> None:
    assert message_for(Account(capabilities)) == (True, message)


def test_a_provider_that_cannot_be_read_is_said_to_have_no_such_call() -> None:
    message = "The provider has no call that reads refunds, disputes and payments."
    assert message_for(SilentAccount()) == (True, message)


def test_a_provider_that_does_not_answer_delays_no_other_provider() -> None:
    hanging = HangingAccount()
    accounts = {"stripe": hanging, "paypal": Account()}
    slow, fast = check_access(cast("dict[str, PaymentProvider]", accounts), seconds=0.2)
    hanging.released.set()
    assert (slow.ok, slow.message) == (False, "The provider has not answered within 0.2 seconds.")
    assert fast.ok


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        (None, "Run `moneyback migrate`. Then run `moneyback web`."),
        ("./moneyback", "Run `./moneyback migrate`. Then run `./moneyback web`."),
        ("/opt/shop/moneyback", "Run `/opt/shop/moneyback migrate`. Then run `/opt/shop/moneyback web`."),
    ],
)
def test_a_sentence_names_commands_as_the_user_typed_them(
    typed: str | None, sentence: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(LAUNCHER, raising=False)
    if typed:
        monkeypatch.setenv(LAUNCHER, typed)
    assert as_typed("Run `moneyback migrate`. Then run `moneyback web`.") == sentence
