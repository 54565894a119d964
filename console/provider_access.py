"""Checks whether our account with each provider has the rights that Moneyback needs, with harmless reads."""

import time
from collections.abc import Callable, Mapping
from threading import Thread
from typing import NamedTuple

from domain.providers import AccessRight, Capabilities, PaymentProvider

RIGHTS: Mapping[AccessRight, str] = {
    AccessRight.READ_REFUNDS: "read refunds",
    AccessRight.READ_DISPUTES: "read disputes",
    AccessRight.READ_PAYMENTS: "read payments",
    AccessRight.IDEMPOTENCY_KEYS: "use idempotency keys",
}
"""What each right allows, after the word “cannot”."""

READS: Mapping[str, Callable[[Capabilities], bool]] = {
    "refunds": lambda capabilities: capabilities.lists_refunds,
    "disputes": lambda capabilities: capabilities.lists_disputes,
    "payments": lambda capabilities: capabilities.shows_payments or capabilities.lists_purchases,
}
"""What is read, and whether a provider with these capabilities can be read."""


class Access(NamedTuple):
    """What our account at one provider may read."""

    provider: str
    ok: bool
    message: str


def check_access(adapters: Mapping[str, PaymentProvider], *, seconds: float) -> list[Access]:
    """Read from all providers at the same time. A provider that has not answered after `seconds` is reported as such."""
    missing_rights: dict[str, Mapping[AccessRight, str]] = {}

    def read(name: str) -> None:
        missing_rights[name] = adapters[name].check_access()

    threads = [Thread(target=read, args=(name,), daemon=True) for name in adapters]  # a daemon does not delay the exit
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return [_describe(name, adapter, missing_rights.get(name), seconds) for name, adapter in adapters.items()]


def _describe(name: str, adapter: PaymentProvider, missing: Mapping[AccessRight, str] | None, seconds: float) -> Access:
    if missing is None:
        return Access(name, False, f"The provider has not answered within {seconds:g} seconds.")
    if missing:
        faults = ", ".join(f"{RIGHTS[right]} ({why.rstrip('.')})" for right, why in missing.items())
        return Access(name, False, f"Cannot {faults}. docs/providers.md lists the rights that the key needs.")
    sentences = {True: "Could read {}.", False: "The provider has no call that reads {}."}
    nouns = {
        can: [noun for noun, can_read in READS.items() if can_read(adapter.capabilities) is can] for can in sentences
    }
    return Access(name, True, " ".join(sentences[can].format(_joined(nouns[can])) for can in sentences if nouns[can]))


def _joined(nouns: list[str]) -> str:
    return " and ".join(filter(None, (", ".join(nouns[:-1]), *nouns[-1:])))
