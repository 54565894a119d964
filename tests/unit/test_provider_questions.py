"""Questions to providers while a person waits: at most a few at a time, and no second call after a failed first call."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from threading import Event, Thread

import pytest

from domain.money import Money
from domain.providers import Capabilities, Declined, DeclineReason, ListedRefund, PaymentStatus, ProviderAnswer, Unknown
from tests.doubles.scripted_provider import ScriptedProvider
from worker.provider_questions import MAX_QUESTIONS, ProviderQuestions
from worker.providers.rate_limiter import BURST, RateLimiter

CAPABILITIES = Capabilities(idempotency_key_ttl=timedelta(hours=24), shows_payments=True)
PAID = PaymentStatus(captured=Money(4900, "EUR"))


class Provider(ScriptedProvider):
    """A provider that shows a payment, and counts the calls."""

    def __init__(
        self, shown: PaymentStatus | Declined | Unknown | Exception, capabilities: Capabilities = CAPABILITIES
    ) -> None:
        super().__init__(capabilities=capabilities)
        self.shown_payment = shown
        self.calls: list[str] = []
        self.may_answer = Event()
        self.may_answer.set()

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:  # noqa: ARG002
        self.calls.append("payment")
        self.may_answer.wait(30)
        if isinstance(self.shown_payment, Exception):
            raise self.shown_payment
        return self.shown_payment

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:  # noqa: ARG002
        self.calls.append("refunds")
        return []


def questions_to(provider: Provider) -> ProviderQuestions:
    return ProviderQuestions({"stripe": provider}, RateLimiter(None))


@pytest.mark.parametrize(
    ("shown", "calls"),
    [
        (PAID, ["payment", "refunds"]),
        (Declined(DeclineReason.PERMANENT, "unknown"), ["payment"]),
        (Unknown("The call timed out."), ["payment"]),
    ],
)
def test_after_a_failed_call_the_provider_is_not_asked_again(
    shown: PaymentStatus | Declined | Unknown, calls: list[str]
) -> None:
    provider = Provider(shown)
    assert questions_to(provider).ask("stripe", "ch_1") == ProviderAnswer(shown, [] if len(calls) > 1 else None)
    assert provider.calls == calls


def test_an_error_of_an_adapter_is_an_unknown_answer() -> None:
    answer = questions_to(Provider(ValueError("a bug"))).ask("stripe", "ch_1")
    assert answer == ProviderAnswer(Unknown("The provider's adapter raised ValueError."), None)


def test_what_a_provider_cannot_show_is_not_asked() -> None:
    provider = Provider(PAID, replace(CAPABILITIES, shows_payments=False, lists_refunds=False))
    assert questions_to(provider).ask("stripe", "ch_1") == ProviderAnswer(None, None)
    assert provider.calls == []
    assert questions_to(provider).ask("paypal", "ch_1") is None


def test_hanging_providers_take_only_a_few_threads() -> None:
    provider = Provider(PAID)
    provider.may_answer.clear()
    questions = questions_to(provider)
    threads = [Thread(target=questions.ask, args=("stripe", "ch_1")) for _ in range(MAX_QUESTIONS)]
    for thread in threads:
        thread.start()
    while len(provider.calls) < MAX_QUESTIONS:
        threads[0].join(0.01)
    answer = questions.ask("stripe", "ch_1")
    assert answer == ProviderAnswer(Unknown("Too many people are asking providers at this moment."), None)
    provider.may_answer.set()
    for thread in threads:
        thread.join()
    assert questions.ask("stripe", "ch_1") == ProviderAnswer(PAID, []), "The turns are given back."


def test_a_person_does_not_wait_for_a_long_rate_limit() -> None:
    provider = Provider(PAID, replace(CAPABILITIES, calls_per_second=0.01))
    questions = questions_to(provider)
    for _ in range(int(BURST / 2)):
        questions.ask("stripe", "ch_1")
    answer = questions.ask("stripe", "ch_1")
    assert answer
    assert Unknown("The rate limit of the provider allows no further call at this moment.") in (
        answer.payment,
        answer.refunds,
    )
