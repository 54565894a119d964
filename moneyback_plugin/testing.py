"""The contract that every adapter keeps, as tests. A package with an adapter runs these tests against a double of its provider.

A test module of such a package has a class for each contract, which names the fixtures:

    class TestAdapter(AdapterContract):
        @pytest.fixture
        def double(self) -> Iterator[ProviderDouble]: ...

        @pytest.fixture
        def provider(self, double: ProviderDouble) -> PaymentProvider: ...

A double is a small server that behaves as the provider's documents say, and keeps its state between calls. No test is skipped:
if the provider cannot do something, the test checks that the adapter says so. ``pytest.register_assert_rewrite`` with
"moneyback_plugin.testing" in ``conftest.py`` makes failed assertions readable. These tests need pytest, and nothing else.
"""

import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import Enum
from threading import Barrier
from typing import ClassVar, Protocol, TypeVar
from uuid import uuid4

import pytest

from domain.money import Money
from domain.providers import (
    AccessRight,
    Declined,
    DeclineReason,
    DisputePage,
    ExternalRefund,
    Failed,
    ListedDispute,
    ListedRefund,
    LookupResult,
    NotFound,
    Paid,
    PaymentProvider,
    PaymentStatus,
    Pending,
    PurchasePage,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, WebhookEvent, WebhookParser

THREADS = 8  # enough that calls overlap, and few enough for any double
TIMEOUT = 10.0  # seconds until an awaited outcome must be there; a test waits this long only if it fails
PAUSE = 0.02  # seconds between two looks at an awaited outcome

T = TypeVar("T")


class Fault(Enum):
    """What happens to the first call that refunds a payment. All later calls are answered normally."""

    NO_REPLY = "the provider makes the refund, and does not answer"
    ERROR_AFTER = "the provider makes the refund, and answers 500"
    ERROR_BEFORE = "the provider makes no refund, and answers 500"


class ProviderDouble(Protocol):
    """A double of the provider, which the tests control. Each test has its own payments, and may share the double."""

    def pay(self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False) -> str:
        """Make a payment that can be refunded, and return its id (charge).

        With ``refund_fails``, the provider accepts the refund of the payment, and the refund fails later.
        """
        ...

    def pay_without_money(self, amount: Money) -> str:
        """Make a payment that failed or was not captured, and return its id. Only called if the provider shows payments."""
        ...

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        """Refund the payment without Moneyback, as a person at the provider's dashboard. Return the id of the refund."""
        ...

    def open_dispute(self, charge: str) -> None:
        """Let the customer's bank dispute the payment."""
        ...

    def refunded(self, charge: str) -> int:
        """Return the sum of the refunds of the payment that did not fail, in minor units."""
        ...


class AdapterContract:
    """What every adapter does with refunds, lookups, lists, payments and disputes."""

    currencies: ClassVar[tuple[str, ...]] = ("EUR",)
    """The currencies that the provider knows. If it knows a currency without decimals, such as JPY, name it."""
    unknown_charges: ClassVar[tuple[str, ...]] = ("no-such-payment", "", "../refunds", "a?b=c", "ä", "x" * 300)
    """Ids that no payment has. The first id looks like any other. Some of the others are dangerous in a URL."""
    refunds_on_two_pages: ClassVar[int] = 3
    """The number of refunds that do not fit on one page of the double's list."""
    dispute_of_a_bank: ClassVar[Dispute] = Dispute.OPEN
    """The status of a new dispute. It is LOST if the bank takes the money at once."""

    @pytest.fixture
    def double(self) -> ProviderDouble:
        raise NotImplementedError("Define the fixture “double”: a double of the provider.")

    @pytest.fixture
    def provider(self) -> PaymentProvider:
        raise NotImplementedError("Define the fixture “provider”: the adapter, connected to the double.")

    @pytest.fixture
    def impatient(self) -> PaymentProvider:
        raise NotImplementedError("Define the fixture “impatient”: the adapter with a short provider_timeout_seconds.")

    # One refund

    def test_the_same_key_pays_once(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        charge, amount, key = a_payment(double)
        first = accepted(provider.refund(charge, amount, key=key))
        again = accepted(provider.refund(charge, amount, key=key))
        assert (first.amount, again.amount) == (amount, amount)
        assert again.refund_id == first.refund_id
        assert double.refunded(charge) == amount.minor

    def test_the_same_key_at_the_same_time_pays_once(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        charge, amount, key = a_payment(double)
        results = in_parallel(lambda _: provider.refund(charge, amount, key=key))
        assert {type(result) for result in results} <= {Paid, Pending, Unknown}, (
            "a refund that may be made is no decline"
        )
        assert len({result.refund_id for result in results if isinstance(result, Paid | Pending)}) <= 1
        assert double.refunded(charge) == amount.minor

    @pytest.mark.parametrize("minor", [1, 999, 4900, 123_456])
    def test_a_refund_has_the_requested_amount_in_every_currency(
        self, double: ProviderDouble, provider: PaymentProvider, minor: int
    ) -> None:
        for currency in self.currencies:
            amount = Money(minor, currency)
            charge = double.pay(amount)
            assert accepted(provider.refund(charge, amount, key=a_key())).amount == amount
            assert double.refunded(charge) == minor

    def test_a_charge_that_the_provider_does_not_know_is_not_refunded(self, provider: PaymentProvider) -> None:
        for charge in self.unknown_charges:
            result = provider.refund(charge, Money(500, self.currencies[0]), key=a_key())
            assert isinstance(result, Declined | Unknown), charge

    # Faults

    def test_a_timeout_is_unknown_and_the_repeat_pays_once(
        self, double: ProviderDouble, provider: PaymentProvider, impatient: PaymentProvider
    ) -> None:
        charge, amount, key = a_payment(double, Fault.NO_REPLY)
        began = time.monotonic()
        assert isinstance(impatient.refund(charge, amount, key=key), Unknown)
        assert time.monotonic() - began < TIMEOUT, "a call ends at its deadline"
        self._pays_once(double, provider, charge, amount, key)

    @pytest.mark.parametrize("fault", [Fault.ERROR_AFTER, Fault.ERROR_BEFORE])
    def test_an_error_of_the_server_is_unknown_and_the_repeat_pays_once(
        self, double: ProviderDouble, provider: PaymentProvider, fault: Fault
    ) -> None:
        charge, amount, key = a_payment(double, fault)
        assert isinstance(provider.refund(charge, amount, key=key), Unknown)
        self._pays_once(double, provider, charge, amount, key)

    def _pays_once(
        self, double: ProviderDouble, provider: PaymentProvider, charge: str, amount: Money, key: str
    ) -> None:
        was_paid = double.refunded(charge) > 0
        found = provider.look_up(charge, key=key)
        if not provider.capabilities.can_look_up:
            assert isinstance(found, Unknown)
        elif was_paid:
            assert accepted(found).amount == amount
        else:
            assert found == NotFound()
        accepted(provider.refund(charge, amount, key=key))
        assert double.refunded(charge) == amount.minor

    # Lookups

    def test_the_lookup_finds_the_refund_by_its_key(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        charge, amount, key = a_payment(double)
        refund = accepted(provider.refund(charge, amount, key=key))
        found = provider.look_up(charge, key=key)
        if provider.capabilities.can_look_up:
            assert (accepted(found).refund_id, accepted(found).amount) == (refund.refund_id, amount)
        else:
            assert isinstance(found, Unknown)

    def test_a_charge_without_refunds_has_none(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        charge, _, key = a_payment(double)
        expected = NotFound if provider.capabilities.can_look_up else Unknown
        assert isinstance(provider.look_up(charge, key=key), expected)

    def test_a_refund_that_was_made_elsewhere_is_external(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        charge, amount, key = a_payment(double)
        refund_id = double.refund_elsewhere(charge, amount)
        found = provider.look_up(charge, key=key)
        if provider.capabilities.can_look_up:
            assert found == ExternalRefund(refund_id, amount)
        else:
            assert isinstance(found, Unknown)

    def test_a_refund_that_fails_later_is_found_as_failed(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        amount, key = Money(4900, self.currencies[0]), a_key()
        charge = double.pay(amount, refund_fails=True)
        accepted(provider.refund(charge, amount, key=key))
        if provider.capabilities.can_look_up:
            failed = eventually(lambda: of_type(Failed, provider.look_up(charge, key=key)))
            assert failed.code
            assert double.refunded(charge) == 0

    def test_all_refunds_of_a_payment_are_shown_or_none(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        """Ours, those of others, and failed refunds: what was refunded is a sum over all of them."""
        charge, amount, key = a_payment(double)
        part = Money(amount.minor // 3, amount.currency)
        other = double.refund_elsewhere(charge, part)
        own = accepted(provider.refund(charge, Money(amount.minor - part.minor, amount.currency), key=key))
        refunds = provider.refunds(charge)
        if isinstance(refunds, Unknown):
            assert not provider.capabilities.can_look_up, "an adapter with a lookup shows all refunds of a payment"
            return
        assert {refund.refund_id for refund in refunds} == {other, own.refund_id}
        assert sum(refund.amount.minor for refund in refunds) == amount.minor
        assert [refund.refund_id for refund in refunds if refund.key == key] == [own.refund_id]

    def test_all_refunds_of_a_payment_contain_what_the_lookup_and_the_list_show(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        charge, amount, key = a_payment(double)
        part = Money(amount.minor // 3, amount.currency)
        double.refund_elsewhere(charge, part)
        provider.refund(charge, Money(amount.minor - part.minor, amount.currency), key=key)
        refunds = provider.refunds(charge)
        if isinstance(refunds, Unknown):
            return
        if provider.capabilities.can_look_up:
            found = accepted(provider.look_up(charge, key=key))
            assert (found.refund_id, found.amount) in {(refund.refund_id, refund.amount) for refund in refunds}
        if provider.capabilities.lists_refunds:
            listed = {facts_of(refund) for refund in listed_refunds(provider) if refund.charge == charge}
            assert listed
            assert listed <= {facts_of(refund) for refund in refunds}

    def test_the_promised_charge_of_a_refund_is_found(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        charge, amount, _ = a_payment(double)
        found = provider.refunded_charge(double.refund_elsewhere(charge, amount))
        unknown = provider.refunded_charge("no-such-refund")
        if provider.capabilities.finds_charges:
            assert found == charge
            assert isinstance(unknown, Declined)
        else:
            assert isinstance(found, Unknown)
            assert isinstance(unknown, Unknown)

    # Over-refunds

    def test_a_second_refund_is_refused_or_shown_before(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        """If the capabilities say that over-refunds are rejected, the provider is trusted. If not, a lookup comes first."""
        charge, amount, key = a_payment(double)
        double.refund_elsewhere(charge, amount)
        if provider.capabilities.rejects_over_refund:
            result = provider.refund(charge, amount, key=key)
            assert is_rejected(provider, result, {DeclineReason.ALREADY_REFUNDED, DeclineReason.PERMANENT})
            assert double.refunded(charge) == amount.minor
        elif provider.capabilities.can_look_up:
            assert isinstance(provider.look_up(charge, key=key), ExternalRefund)

    def test_more_than_the_rest_of_a_payment_is_not_refunded(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        charge, amount, key = a_payment(double)
        double.refund_elsewhere(charge, Money(amount.minor // 3, amount.currency))
        if provider.capabilities.rejects_over_refund:
            assert is_rejected(provider, provider.refund(charge, amount, key=key), {*DeclineReason})
            assert double.refunded(charge) == amount.minor // 3

    # The list of refunds

    def test_the_list_has_each_refund_once_on_its_pages(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        payments = [a_payment(double) for _ in range(self.refunds_on_two_pages)]
        began = datetime.now(UTC) - timedelta(hours=1)
        refunds = {
            accepted(provider.refund(charge, amount, key=key)).refund_id: (charge, amount, key)
            for charge, amount, key in payments
        }
        if not provider.capabilities.lists_refunds:
            assert isinstance(provider.list_refunds(began, None), Unknown)
            return
        pages = all_pages(lambda after: provider.list_refunds(began, after))
        assert len(pages) > 1
        listed = [refund for page in pages for refund in page.refunds if refund.refund_id in refunds]
        assert sorted(refund.refund_id for refund in listed) == sorted(refunds)
        assert {refund.refund_id: (refund.charge, refund.amount, refund.key) for refund in listed} == refunds
        assert all(refund.created_at.tzinfo for refund in listed)

    def test_the_list_shows_which_refunds_have_our_key(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        charge, amount, key = a_payment(double)
        refund_id = double.refund_elsewhere(charge, amount)
        if provider.capabilities.lists_refunds:
            rows = [row for row in listed_refunds(provider) if (row.refund_id, row.charge) == (refund_id, charge)]
            assert [(row.amount, row.key == key) for row in rows] == [(amount, False)]

    def test_the_list_shows_that_a_refund_failed(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        amount, key = Money(4900, self.currencies[0]), a_key()
        charge = double.pay(amount, refund_fails=True)
        refund = accepted(provider.refund(charge, amount, key=key))
        if provider.capabilities.lists_refunds:
            states = {RefundStatus.FAILED}
            eventually(
                lambda: (
                    {item.status for item in listed_refunds(provider) if item.refund_id == refund.refund_id} == states
                )
            )

    def test_refunds_before_the_requested_time_are_not_listed(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        """A list may begin some hours earlier, because a provider may list a refund late."""
        charge, amount, key = a_payment(double)
        accepted(provider.refund(charge, amount, key=key))
        if provider.capabilities.lists_refunds:
            page = provider.list_refunds(datetime.now(UTC) + timedelta(days=1), None)
            assert isinstance(page, RefundPage)
            assert list(page.refunds) == []

    # Payments

    def test_a_payment_shows_what_was_captured_and_refunded(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        charge, amount, _ = a_payment(double)
        if not provider.capabilities.shows_payments:
            assert isinstance(provider.payment(charge), Unknown)
            return
        payment = shown(provider, charge)
        assert (payment.captured, payment.refunded, payment.dispute.dispute) == (amount, 0, Dispute.NONE)
        double.refund_elsewhere(charge, Money(1000, amount.currency))
        assert shown(provider, charge).refunded == 1000  # noqa: PLR2004

    def test_a_failed_refund_is_no_refund_of_the_payment(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        amount, key = Money(4900, self.currencies[0]), a_key()
        charge = double.pay(amount, refund_fails=True)
        accepted(provider.refund(charge, amount, key=key))
        if provider.capabilities.shows_payments:
            eventually(lambda: shown(provider, charge).refunded == 0)

    def test_a_payment_without_money_is_shown_and_not_refunded(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        if provider.capabilities.shows_payments:
            amount = Money(4900, self.currencies[0])
            charge = double.pay_without_money(amount)
            assert shown(provider, charge).captured is None
            assert isinstance(provider.refund(charge, amount, key=a_key()), Declined)
            assert double.refunded(charge) == 0

    def test_a_payment_that_the_provider_does_not_know_is_not_shown(self, provider: PaymentProvider) -> None:
        payments = [provider.payment(charge) for charge in self.unknown_charges]
        assert all(isinstance(payment, Declined | Unknown) for payment in payments)
        if provider.capabilities.shows_payments:
            assert isinstance(payments[0], Declined)

    def test_promised_purchases_are_listed(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        charge, amount, _ = a_payment(double)
        if not provider.capabilities.lists_purchases:
            assert isinstance(provider.purchases(an_hour_ago(), None), Unknown)
            return
        pages: list[PurchasePage] = all_pages(lambda after: provider.purchases(an_hour_ago(), after))
        (purchase,) = [item for page in pages for item in page.purchases if charge in {item.charge, *item.other_ids}]
        assert (purchase.amount, purchase.refunded) == (amount, 0)
        assert provider.purchase(charge) == purchase

    # Disputes

    def test_a_dispute_is_shown_wherever_the_provider_can_be_asked(
        self, double: ProviderDouble, provider: PaymentProvider
    ) -> None:
        charge, _, _ = a_payment(double)
        before = provider.dispute(charge)
        assert isinstance(before, Unknown) or before.dispute is Dispute.NONE
        double.open_dispute(charge)
        after = provider.dispute(charge)
        assert isinstance(after, Unknown) or after.dispute is self.dispute_of_a_bank
        if provider.capabilities.shows_payments:
            assert shown(provider, charge).dispute.dispute is self.dispute_of_a_bank

    def test_the_promised_charge_of_a_dispute_is_found(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        charge, _, _ = a_payment(double)
        double.open_dispute(charge)
        unknown = provider.disputed_charge("no-such-dispute")
        if provider.capabilities.finds_charges:
            dispute = provider.dispute(charge)
            assert not isinstance(dispute, Unknown), dispute
            assert provider.disputed_charge(dispute.dispute_id) == charge
            assert isinstance(unknown, Declined)
        else:
            assert isinstance(unknown, Unknown)

    def test_promised_disputes_are_listed(self, double: ProviderDouble, provider: PaymentProvider) -> None:
        charge, _, _ = a_payment(double)
        double.open_dispute(charge)
        if not provider.capabilities.lists_disputes:
            assert isinstance(provider.list_disputes(an_hour_ago(), None), Unknown)
            return
        pages: list[DisputePage] = all_pages(lambda after: provider.list_disputes(an_hour_ago(), after))
        disputes: list[ListedDispute] = [item for page in pages for item in page.disputes if item.charge == charge]
        assert {item.status.dispute for item in disputes} == {self.dispute_of_a_bank}

    # Rights

    def test_no_right_is_missing_at_an_account_that_works(self, provider: PaymentProvider) -> None:
        assert provider.check_access() == {}


class InquiryContract:
    """What an adapter does if the provider knows inquiries. In an inquiry, the customer's bank asks, and takes no money back."""

    @pytest.fixture
    def provider(self) -> PaymentProvider:
        raise NotImplementedError("Define the fixture “provider”: the adapter, connected to the double.")

    @pytest.fixture
    def inquired(self) -> str:
        raise NotImplementedError("Define the fixture “inquired”: the charge of a payment with an open inquiry.")

    def test_an_inquiry_is_shown_as_an_inquiry(self, provider: PaymentProvider, inquired: str) -> None:
        dispute = provider.dispute(inquired)
        assert isinstance(dispute, Unknown) or dispute.dispute is Dispute.INQUIRY
        if provider.capabilities.shows_payments:
            assert shown(provider, inquired).dispute.dispute is Dispute.INQUIRY

    def test_an_inquiry_is_listed_with_the_disputes(self, provider: PaymentProvider, inquired: str) -> None:
        if provider.capabilities.lists_disputes:
            pages: list[DisputePage] = all_pages(lambda after: provider.list_disputes(an_hour_ago(), after))
            listed = {item.status.dispute for page in pages for item in page.disputes if item.charge == inquired}
            assert listed == {Dispute.INQUIRY}


class PartialCaptureContract:
    """What an adapter does if the seller may capture less than the amount that was authorised."""

    @pytest.fixture
    def provider(self) -> PaymentProvider:
        raise NotImplementedError("Define the fixture “provider”: the adapter, connected to the double.")

    @pytest.fixture
    def partly_captured(self) -> tuple[str, Money]:
        raise NotImplementedError(
            "Define the fixture “partly_captured”: the charge of a partly captured payment, and the captured amount."
        )

    def test_a_payment_shows_the_captured_amount(
        self, provider: PaymentProvider, partly_captured: tuple[str, Money]
    ) -> None:
        charge, captured = partly_captured
        payment = shown(provider, charge)
        assert (payment.captured, payment.refunded) == (captured, 0)

    def test_a_purchase_has_the_captured_amount(
        self, provider: PaymentProvider, partly_captured: tuple[str, Money]
    ) -> None:
        charge, captured = partly_captured
        purchase = provider.purchase(charge)
        if not provider.capabilities.lists_purchases:
            assert isinstance(purchase, Unknown)
            return
        assert not isinstance(purchase, Declined | Unknown), purchase
        assert purchase.amount == captured


class CredentialsContract:
    """What every adapter does if the provider rejects its credentials. The refund waits, and the account is corrected."""

    @pytest.fixture
    def double(self) -> ProviderDouble:
        raise NotImplementedError("Define the fixture “double”: a double of the provider.")

    @pytest.fixture
    def rejected(self) -> PaymentProvider:
        raise NotImplementedError("Define the fixture “rejected”: the adapter with a key that the double rejects.")

    def test_rejected_credentials_are_the_fault_of_the_account(
        self, double: ProviderDouble, rejected: PaymentProvider
    ) -> None:
        charge, amount, key = a_payment(double)
        result = rejected.refund(charge, amount, key=key)
        assert isinstance(result, Unknown)
        assert result.invalid_credentials
        assert double.refunded(charge) == 0

    def test_rejected_credentials_are_reported_and_find_nothing(
        self, double: ProviderDouble, rejected: PaymentProvider
    ) -> None:
        charge, _, key = a_payment(double)
        assert isinstance(rejected.look_up(charge, key=key), Unknown)
        assert isinstance(rejected.dispute(charge), Unknown)
        assert isinstance(rejected.payment(charge), Unknown)

    def test_the_rights_of_rejected_credentials_are_missing(self, rejected: PaymentProvider) -> None:
        can = rejected.capabilities
        lists = {
            AccessRight.READ_REFUNDS: can.lists_refunds,
            AccessRight.READ_DISPUTES: can.lists_disputes,
            AccessRight.READ_PAYMENTS: can.lists_purchases,
        }
        missing = rejected.check_access()
        assert {right for right, has_list in lists.items() if has_list} <= set(missing)
        assert all(missing.values()), "each missing right has the provider's code or a sentence"


@dataclass(frozen=True)
class SignedWebhook:
    """A webhook about a refund, as the provider sends it."""

    charge: str
    refund_id: str
    headers: Mapping[str, str]
    """The headers with lower-case names. They contain the signature, unless ``signature`` is set."""
    body: bytes
    signature: bytes = b""
    """The signature as it stands in the body, if no header contains the signature."""
    signed_part: bytes = b""
    """A part of the body that the signature covers, if the signature does not cover every byte of the body."""
    reported: Paid | Pending | Failed | None = None
    """The outcome that the event reports. Name the outcome if the provider has no lookup, because only webhooks show it then."""

    def forge(self, signature: str | None) -> tuple[Mapping[str, str], bytes]:
        """Return the headers and the body with another signature. None removes the headers."""
        headers = {name: signature for name in self.headers if signature is not None}
        if not self.signature:
            return headers, self.body
        return headers, self.body.replace(self.signature, (signature or "").encode())

    def change(self) -> list[bytes]:
        """Return bodies that the signature does not cover."""
        part = self.signed_part or self.body
        changes = (part + b" ", part[:-1], part.replace(b"0", b"9", 1) + b"\n")
        return [*(self.body.replace(part, change) for change in changes), self.body[:-1], b"", b"{}"]


class WebhookContract:
    """What every webhook parser does with genuine, forged and broken webhooks."""

    @pytest.fixture
    def webhook(self) -> SignedWebhook:
        raise NotImplementedError("Define the fixture “webhook”: a webhook that is signed now, about a refund.")

    @pytest.fixture
    def parser(self) -> WebhookParser:
        raise NotImplementedError("Define the fixture “parser”: the parser of the account that signs the webhook.")

    @pytest.fixture
    def stranger(self) -> WebhookParser:
        raise NotImplementedError("Define the fixture “stranger”: the parser of an account with another secret.")

    def test_a_signed_webhook_names_the_payment_or_the_refund(
        self, parser: WebhookParser, webhook: SignedWebhook
    ) -> None:
        events = self._read(parser, webhook.headers, webhook.body)
        assert {
            (event.charge in {webhook.charge, None}, event.refund_id in {webhook.refund_id, None}) for event in events
        } == {(True, True)}
        assert all(event.charge or event.refund_id for event in events)

    def test_a_webhook_reports_the_outcome_that_no_lookup_shows(
        self, parser: WebhookParser, webhook: SignedWebhook
    ) -> None:
        reported = [event.reported for event in self._read(parser, webhook.headers, webhook.body)]
        assert webhook.reported is None or webhook.reported in reported

    def test_a_webhook_that_is_sent_twice_has_the_same_event_ids(
        self, parser: WebhookParser, webhook: SignedWebhook
    ) -> None:
        first, second = (self._read(parser, webhook.headers, webhook.body) for _ in range(2))
        assert [event.event_id for event in first] == [event.event_id for event in second]
        assert len({event.event_id for event in first}) == len(first)

    def test_the_signature_of_another_secret_is_invalid(self, stranger: WebhookParser, webhook: SignedWebhook) -> None:
        assert is_refused(stranger, webhook.headers, webhook.body)

    def test_a_changed_body_is_refused(self, parser: WebhookParser, webhook: SignedWebhook) -> None:
        for body in webhook.change():
            assert is_refused(parser, webhook.headers, body), body

    def test_a_webhook_without_a_readable_signature_is_refused(
        self, parser: WebhookParser, webhook: SignedWebhook
    ) -> None:
        for value in (None, "", "x", "ä" * 10, "," * 1000, "t=1,v1=", "0" * 64):
            assert is_refused(parser, *webhook.forge(value)), value

    def _read(self, parser: WebhookParser, headers: Mapping[str, str], body: bytes) -> list[WebhookEvent]:
        events = parser.read(headers, body, datetime.now(UTC))
        assert isinstance(events, list | tuple), events
        assert events
        return list(events)


def a_key() -> str:
    """Return a new idempotency key, as Moneyback makes keys."""
    return f"mb_{uuid4().hex}_1"


def a_payment(double: ProviderDouble, fault: Fault | None = None) -> tuple[str, Money, str]:
    """Make a payment. Return its charge, its amount and a new idempotency key."""
    amount = Money(4900, "EUR")
    return double.pay(amount, fault=fault), amount, a_key()


def accepted(result: RefundResult | LookupResult) -> Paid | Pending:
    """Return the result, which must be a refund that was made or accepted."""
    assert isinstance(result, Paid | Pending), result
    return result


def shown(provider: PaymentProvider, charge: str) -> PaymentStatus:
    """Return the payment as the provider shows it."""
    payment = provider.payment(charge)
    assert isinstance(payment, PaymentStatus), payment
    return payment


def is_refused(parser: WebhookParser, headers: Mapping[str, str], body: bytes) -> bool:
    """Return whether the parser refuses the webhook because of its signature."""
    return isinstance(parser.read(headers, body, datetime.now(UTC)), InvalidSignature)


def is_rejected(provider: PaymentProvider, result: RefundResult, reasons: set[DeclineReason]) -> bool:
    """Return whether the refund is declined for one of these reasons.

    A provider without a lookup may accept the request, and report by webhook that the refund was rejected.
    """
    if isinstance(result, Declined):
        return result.reason in reasons
    return isinstance(result, Pending) and not provider.capabilities.can_look_up


def facts_of(refund: ListedRefund) -> tuple[object, ...]:
    """Return the refund without its time, which a provider may round."""
    return refund.refund_id, refund.charge, refund.amount, refund.status, refund.key


def an_hour_ago() -> datetime:
    return datetime.now(UTC) - timedelta(hours=1)


def listed_refunds(provider: PaymentProvider) -> list[ListedRefund]:
    """Return the refunds of the last hour, from all pages."""
    pages = all_pages(lambda after: provider.list_refunds(an_hour_ago(), after))
    return [refund for page in pages for refund in page.refunds]


class Page(Protocol):
    @property
    def next_cursor(self) -> str | None: ...


P = TypeVar("P", bound=Page)


def all_pages(read: Callable[[str | None], P | Unknown]) -> list[P]:
    """Return all pages of a list. Each page must be readable, and no cursor may come twice."""
    pages: list[P] = []
    cursors: list[str | None] = [None]
    while len(pages) < len(cursors):
        page = read(cursors[-1])
        assert not isinstance(page, Unknown), page
        pages.append(page)
        if page.next_cursor is not None:
            assert page.next_cursor not in cursors, "the list has no end"
            cursors.append(page.next_cursor)
    return pages


def in_parallel(call: Callable[[int], T]) -> list[T]:
    """Make calls from several threads at the same time."""
    barrier = Barrier(THREADS)

    def wait_and_call(number: int) -> T:
        barrier.wait(TIMEOUT)
        return call(number)

    with ThreadPoolExecutor(THREADS) as threads:
        return list(threads.map(wait_and_call, range(THREADS)))


def of_type(kind: type[T], result: object) -> T | None:
    return result if isinstance(result, kind) else None


def eventually(look: Callable[[], T | None]) -> T:
    """Return the first true result of ``look``. Fail if there is none for a while."""
    end = time.monotonic() + TIMEOUT
    while True:
        if result := look():
            return result
        assert time.monotonic() < end, "The awaited outcome did not come."
        time.sleep(PAUSE)
