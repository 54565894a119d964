"""The contract kit for adapters: the sandbox and a provider in memory keep the contract, and planted mistakes break it.

The provider in memory can do everything that a provider can do. Each planted mistake is an adapter with one fault.
"""

import hmac
import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from threading import Lock
from typing import Any
from uuid import uuid4

import pytest
import urllib3

from config.provider_accounts import SandboxAccount
from console.sandbox.webhooks import Webhooks
from domain.money import Money
from domain.providers import (
    AccessRight,
    Capabilities,
    Declined,
    DeclineReason,
    DisputePage,
    DisputeStatus,
    ExternalRefund,
    Failed,
    ListedDispute,
    ListedPurchase,
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
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent, WebhookParser
from moneyback_plugin import testing
from moneyback_plugin.testing import (
    AdapterContract,
    CredentialsContract,
    Fault,
    InquiryContract,
    PartialCaptureContract,
    ProviderDouble,
    SignedWebhook,
    WebhookContract,
    a_payment,
)
from tests.doubles.sandbox import SHORT_TIMEOUT, SandboxProcess, sandbox_in
from worker.providers.capability_defaults import CapabilityDefaults
from worker.providers.sandbox.webhooks import create_webhook_parser

SECRET = "the secret of the account"


# The sandbox


class SandboxDouble:
    """The sandbox. The prefix of a charge selects what happens to its refund."""

    def __init__(self, process: SandboxProcess) -> None:
        self._process = process

    def pay(self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False) -> str:
        faults = {Fault.NO_REPLY: "hang", Fault.ERROR_AFTER: "fail500", Fault.ERROR_BEFORE: "lost500", None: "ok"}
        return self._register("latefail" if refund_fails else faults[fault], amount)

    def pay_without_money(self, amount: Money) -> str:
        return self._register("ok", amount, status="failed")

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        return str(self._process.refund_by_hand(charge, amount.minor, amount.currency)["id"])

    def open_dispute(self, charge: str) -> None:
        self._process.open_dispute(charge)

    def refunded(self, charge: str) -> int:
        rows = urllib3.request("GET", f"{self._process.url}/v1/refunds?charge={charge}").json()["data"]
        return sum(row["amount"] for row in rows if row["status"] != "failed")

    def _register(self, prefix: str, amount: Money, **fields: str) -> str:
        charge = f"{prefix}_{uuid4().hex}"
        self._process.register(charge, amount.minor, amount.currency, **fields)
        return charge


@pytest.fixture(scope="module")
def process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with sandbox_in(tmp_path_factory.mktemp("sandbox")) as process:
        yield process


class TestSandbox(AdapterContract, InquiryContract):
    currencies = ("EUR", "JPY", "KWD")
    refunds_on_two_pages = 101
    unknown_charges = ("missing_1", "")  # the sandbox knows every other charge

    @pytest.fixture
    def double(self, process: SandboxProcess) -> ProviderDouble:
        return SandboxDouble(process)

    @pytest.fixture
    def provider(self, process: SandboxProcess) -> PaymentProvider:
        return process.adapter()

    @pytest.fixture
    def impatient(self, process: SandboxProcess) -> PaymentProvider:
        return process.adapter(SHORT_TIMEOUT)

    @pytest.fixture
    def inquired(self, process: SandboxProcess, double: ProviderDouble) -> str:
        charge = double.pay(Money(4900, "EUR"))
        process.open_dispute(charge, "inquiry")
        return charge


class TestSandboxWebhooks(WebhookContract):
    @pytest.fixture
    def webhook(self) -> SignedWebhook:
        data = {"id": "re_1", "charge": "ok_1", "amount": 500, "currency": "EUR", "status": "succeeded", "key": "mb_1"}
        body = json.dumps({"id": "evt_1", "type": "refund.updated", "data": data}).encode()
        signature = Webhooks("", SECRET).signature(body, int(time.time()))
        return SignedWebhook("ok_1", "re_1", {"sandbox-signature": signature}, body)

    @pytest.fixture
    def parser(self) -> WebhookParser:
        return _sandbox_parser(SECRET)

    @pytest.fixture
    def stranger(self) -> WebhookParser:
        return _sandbox_parser("another secret")


def _sandbox_parser(secret: str) -> WebhookParser:
    account = SandboxAccount.model_validate({"url": "http://127.0.0.1:1", "webhook_secret": secret})
    return create_webhook_parser(account, provider_timeout_seconds=1)


# A provider in memory


@dataclass
class Refund:
    id: str
    charge: str
    amount: Money
    key: str | None
    status: RefundStatus = RefundStatus.PAID


@dataclass
class Payment:
    amount: Money
    captured: Money | None
    fault: Fault | None = None
    refund_fails: bool = False
    dispute: Dispute = Dispute.NONE


@dataclass
class MemoryDouble:
    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: list[Refund] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def pay(self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False) -> str:
        charge = f"pay_{len(self.payments)}"
        self.payments[charge] = Payment(amount, amount, fault, refund_fails)
        return charge

    def pay_without_money(self, amount: Money) -> str:
        return self.pay_partly(amount, None)

    def pay_partly(self, amount: Money, captured: Money | None) -> str:
        charge = self.pay(amount)
        self.payments[charge].captured = captured
        return charge

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        return self.add_refund(charge, amount, None).id

    def open_dispute(self, charge: str, status: Dispute = Dispute.OPEN) -> None:
        self.payments[charge].dispute = status

    def refunded(self, charge: str) -> int:
        return sum(
            refund.amount.minor
            for refund in self.refunds
            if refund.charge == charge and refund.status is not RefundStatus.FAILED
        )

    def add_refund(self, charge: str, amount: Money, key: str | None) -> Refund:
        refund = Refund(f"re_{len(self.refunds)}", charge, amount, key)
        self.refunds.append(refund)
        if self.payments[charge].refund_fails:
            refund.status = RefundStatus.FAILED
        return refund


class MemoryProvider(CapabilityDefaults):
    """An adapter without mistakes. It makes a refund even after a fault that is not ``ERROR_BEFORE``."""

    capabilities = Capabilities(
        idempotency_key_ttl=timedelta(hours=24),
        rejects_over_refund=True,
        shows_payments=True,
        lists_disputes=True,
        lists_purchases=True,
        finds_charges=True,
    )
    page_size = 2

    def __init__(self, double: MemoryDouble, *, is_rejected: bool = False) -> None:
        self.double, self._rejected = double, is_rejected

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        if self._rejected:
            return self.credentials_refused()
        with self.double.lock:
            payment = self.double.payments.get(charge)
            if payment is None or payment.captured is None:
                return Declined(DeclineReason.NOT_CAPTURED, "nothing_to_refund")
            fault, payment.fault = payment.fault, None
            if fault is Fault.ERROR_BEFORE:
                return self.unknown()
            result = self.refund_once(charge, amount, key)
            return self.unknown() if fault else result

    def refund_once(self, charge: str, amount: Money, key: str) -> RefundResult:
        for refund in self.double.refunds:
            if (refund.charge, refund.key) == (charge, key):
                return Paid(refund.id, refund.amount)
        captured = self.double.payments[charge].captured
        if captured is None or self.double.refunded(charge) + amount.minor > captured.minor:
            return Declined(DeclineReason.ALREADY_REFUNDED, "already_refunded")
        return Paid(self.double.add_refund(charge, amount, key).id, amount)

    def unknown(self) -> RefundResult:
        return Unknown("The provider did not answer.")

    def credentials_refused(self) -> Unknown:
        return Unknown("The provider refuses our credentials.", invalid_credentials=True)

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        if self._rejected:
            return self.credentials_refused()
        refunds = [refund for refund in self.double.refunds if refund.charge == charge]
        for refund in refunds:
            if refund.key == key:
                return (
                    Failed(refund.id, "failed")
                    if refund.status is RefundStatus.FAILED
                    else Paid(refund.id, refund.amount)
                )
        return ExternalRefund(refunds[0].id, refunds[0].amount) if refunds else NotFound()

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        return [self._listed(refund) for refund in self.double.refunds if refund.charge == charge]

    def _listed(self, row: Refund) -> ListedRefund:
        return ListedRefund(row.id, row.charge, row.amount, row.status, datetime.now(UTC), row.key)

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        if self._rejected:
            return self.credentials_refused()
        return self._dispute_of(charge)

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        if self._rejected:
            return self.credentials_refused()
        payment = self.double.payments.get(charge)
        if payment is None:
            return Declined(DeclineReason.PERMANENT, "no_such_payment")
        refunded, dispute = self.double.refunded(charge), self._dispute_of(charge)
        return PaymentStatus(captured=payment.captured, refunded=refunded, dispute=dispute)

    def _dispute_of(self, charge: str) -> DisputeStatus:
        """Return the dispute, whose id is the charge."""
        status = self.double.payments[charge].dispute
        return DisputeStatus(status, charge if status is not Dispute.NONE else "")

    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        charges = [refund.charge for refund in self.double.refunds if refund.id == refund_id]
        return charges[0] if charges else Declined(DeclineReason.PERMANENT, "no_such_refund")

    def disputed_charge(self, dispute_id: str) -> str | Declined | Unknown:
        is_known = dispute_id in self.double.payments
        return dispute_id if is_known else Declined(DeclineReason.PERMANENT, "no_such_dispute")

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        if self._rejected:
            return self.credentials_refused()
        refunds = self.double.refunds if since < datetime.now(UTC) else []
        rows, cursor = self.page(refunds, after)
        return RefundPage([self._listed(row) for row in rows], cursor)

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:  # noqa: ARG002
        if self._rejected:
            return self.credentials_refused()
        disputes = [
            ListedDispute(charge, self._dispute_of(charge))
            for charge, payment in self.double.payments.items()
            if payment.dispute is not Dispute.NONE
        ]
        return DisputePage(*self.page(disputes, after))

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:  # noqa: ARG002
        if self._rejected:
            return self.credentials_refused()
        purchases = [self._purchase(charge) for charge in self.double.payments]
        return PurchasePage(*self.page([purchase for purchase in purchases if purchase], after))

    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        return self._purchase(charge) or Declined(DeclineReason.NOT_CAPTURED, "authorised")

    def page(self, rows: Sequence[Any], after: str | None) -> tuple[Sequence[Any], str | None]:
        start = int(after or 0)
        end = start + self.page_size
        return rows[start:end], str(end) if end < len(rows) else None

    def _purchase(self, charge: str) -> ListedPurchase | None:
        captured = self.double.payments[charge].captured
        if captured is None:
            return None
        return ListedPurchase(
            charge=charge,
            amount=captured,
            email=None,
            references={},
            product="Book",
            method="credit_card",
            purchased_at=datetime(2026, 11, 1, tzinfo=UTC),
            refunded=self.double.refunded(charge),
        )


class MemoryWebhookParser:
    """A parser of webhooks that are signed with an HMAC."""

    answer = b""

    def __init__(self, secret: str) -> None:
        self._secret = secret.encode()

    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:  # noqa: ARG002
        if not hmac.compare_digest(
            hmac.new(self._secret, body, "sha256").hexdigest().encode(), self.signature(headers)
        ):
            return InvalidSignature("The webhook is not signed with our secret.")
        event = json.loads(body)
        return [WebhookEvent(event["id"], Subject.REFUND, event["charge"], event["refund"])]

    def signature(self, headers: Mapping[str, str]) -> bytes:
        return headers.get("signature", "").encode()


def memory_webhook() -> SignedWebhook:
    body = json.dumps({"id": "evt_10", "charge": "pay_1", "refund": "re_1"}).encode()
    signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
    return SignedWebhook("pay_1", "re_1", {"signature": signature}, body)


class TestMemoryProvider(AdapterContract, CredentialsContract, InquiryContract, PartialCaptureContract):
    currencies = ("EUR", "JPY", "KWD")

    @pytest.fixture
    def double(self) -> ProviderDouble:
        return MemoryDouble()

    @pytest.fixture
    def provider(self, double: MemoryDouble) -> PaymentProvider:
        return MemoryProvider(double)

    @pytest.fixture
    def impatient(self, provider: PaymentProvider) -> PaymentProvider:
        return provider

    @pytest.fixture
    def rejected(self, double: MemoryDouble) -> PaymentProvider:
        return MemoryProvider(double, is_rejected=True)

    @pytest.fixture
    def inquired(self, double: MemoryDouble) -> str:
        return an_inquiry(double)

    @pytest.fixture
    def partly_captured(self, double: MemoryDouble) -> tuple[str, Money]:
        return a_partial_capture(double)


def an_inquiry(double: MemoryDouble) -> str:
    charge = double.pay(Money(4900, "EUR"))
    double.open_dispute(charge, Dispute.INQUIRY)
    return charge


def a_partial_capture(double: MemoryDouble) -> tuple[str, Money]:
    captured = Money(2900, "EUR")
    return double.pay_partly(Money(4900, "EUR"), captured), captured


class TestMemoryWebhooks(WebhookContract):
    @pytest.fixture
    def webhook(self) -> SignedWebhook:
        return memory_webhook()

    @pytest.fixture
    def parser(self) -> WebhookParser:
        return MemoryWebhookParser(SECRET)

    @pytest.fixture
    def stranger(self) -> WebhookParser:
        return MemoryWebhookParser("another secret")


# Planted mistakes


class IgnoresKeys(MemoryProvider):
    capabilities = replace(MemoryProvider.capabilities, rejects_over_refund=False)

    def refund_once(self, charge: str, amount: Money, key: str) -> RefundResult:
        return Paid(self.double.add_refund(charge, amount, key).id, amount)


class TakesTimeoutsForDeclines(MemoryProvider):
    def unknown(self) -> RefundResult:
        return Declined(DeclineReason.PERMANENT, "timeout")


class TakesTimeoutsForPayments(MemoryProvider):
    def unknown(self) -> RefundResult:
        return Paid("re_guessed", Money(4900, "EUR"))


class TakesRefundsOfOthersForOurs(MemoryProvider):
    def look_up(self, charge: str, *, key: str) -> LookupResult:
        found = super().look_up(charge, key=key)
        return Paid(found.refund_id, found.amount) if isinstance(found, ExternalRefund) else found


class FindsNothing(MemoryProvider):
    def look_up(self, charge: str, *, key: str) -> LookupResult:  # noqa: ARG002
        return NotFound()


class OverRefunds(MemoryProvider):
    def refund_once(self, charge: str, amount: Money, key: str) -> RefundResult:
        found = self.look_up(charge, key=key)
        return found if isinstance(found, Paid) else Paid(self.double.add_refund(charge, amount, key).id, amount)


class AcceptsOverRefunds(MemoryProvider):
    def refund_once(self, charge: str, amount: Money, key: str) -> RefundResult:
        result = super().refund_once(charge, amount, key)
        return Pending("re_rejected_later", amount) if isinstance(result, Declined) else result


class ShowsOnlyOurRefunds(MemoryProvider):
    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        refunds = super().refunds(charge)
        return refunds if isinstance(refunds, Unknown) else [refund for refund in refunds if refund.key]


class ShowsNoRefunds(MemoryProvider):
    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        return CapabilityDefaults.refunds(self, charge)


class ShowsRefundsWithoutTheirKey(MemoryProvider):
    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        refunds = super().refunds(charge)
        return refunds if isinstance(refunds, Unknown) else [replace(refund, key=None) for refund in refunds]


class ListsRefundsThatThePaymentHasNot(MemoryProvider):
    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        page = super().list_refunds(since, after)
        if isinstance(page, Unknown):
            return page
        return replace(page, refunds=[replace(refund, amount=Money(1, "EUR")) for refund in page.refunds])


class LooksUpAnotherRefund(MemoryProvider):
    def look_up(self, charge: str, *, key: str) -> LookupResult:
        found = super().look_up(charge, key=key)
        return replace(found, refund_id="re_another") if isinstance(found, Paid) else found


class FindsAnotherPayment(MemoryProvider):
    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        return refund_id


class PromisesToFindPayments(MemoryProvider):
    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        return CapabilityDefaults.refunded_charge(self, refund_id)


class FindsPaymentsWithoutAPromise(MemoryProvider):
    capabilities = replace(MemoryProvider.capabilities, finds_charges=False)


class FindsThePaymentOfEveryDispute(MemoryProvider):
    def disputed_charge(self, dispute_id: str) -> str | Declined | Unknown:
        return dispute_id


class ListsOnlyTheFirstPage(MemoryProvider):
    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        page = super().list_refunds(since, after)
        return replace(page, next_cursor=None) if isinstance(page, RefundPage) else page


class RepeatsAPage(MemoryProvider):
    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:  # noqa: ARG002
        return super().list_refunds(since, None)


class TreatsEveryCurrencyAsEuro(MemoryProvider):
    def refund_once(self, charge: str, amount: Money, key: str) -> RefundResult:
        result = super().refund_once(charge, amount, key)
        return replace(result, amount=Money(amount.minor, "EUR")) if isinstance(result, Paid) else result


class ShowsNoDisputes(MemoryProvider):
    def dispute(self, charge: str) -> DisputeStatus | Unknown:  # noqa: ARG002
        return DisputeStatus(Dispute.NONE)


class ShowsUncapturedPaymentsAsPaid(MemoryProvider):
    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        payment = super().payment(charge)
        amount = self.double.payments[charge].amount
        return replace(payment, captured=amount) if isinstance(payment, PaymentStatus) else payment


class ShowsTheAuthorisedAmountOfPaidPayments(MemoryProvider):
    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        payment = super().payment(charge)
        is_paid = isinstance(payment, PaymentStatus) and payment.captured
        return ShowsUncapturedPaymentsAsPaid(self.double).payment(charge) if is_paid else payment


class SellsTheAuthorisedAmount(MemoryProvider):
    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        purchase = super().purchase(charge)
        amount = self.double.payments[charge].amount
        return replace(purchase, amount=amount) if isinstance(purchase, ListedPurchase) else purchase


class ShowsInquiriesAsNone(MemoryProvider):
    def _dispute_of(self, charge: str) -> DisputeStatus:
        return _without_inquiry(super()._dispute_of(charge))


class ShowsPaymentsWithoutTheirInquiries(MemoryProvider):
    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        payment = super().payment(charge)
        if not isinstance(payment, PaymentStatus):
            return payment
        return replace(payment, dispute=_without_inquiry(payment.dispute))


class TakesInquiriesForDisputes(MemoryProvider):
    def _dispute_of(self, charge: str) -> DisputeStatus:
        dispute = super()._dispute_of(charge)
        return replace(dispute, dispute=Dispute.OPEN) if dispute.dispute is Dispute.INQUIRY else dispute


class ListsNoInquiries(MemoryProvider):
    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        page = super().list_disputes(since, after)
        if isinstance(page, Unknown):
            return page
        disputes = [item for item in page.disputes if item.status.dispute is not Dispute.INQUIRY]
        return replace(page, disputes=disputes)


def _without_inquiry(dispute: DisputeStatus) -> DisputeStatus:
    return DisputeStatus(Dispute.NONE) if dispute.dispute is Dispute.INQUIRY else dispute


class CountsFailedRefunds(MemoryProvider):
    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        payment = super().payment(charge)
        refunded = sum(refund.amount.minor for refund in self.double.refunds if refund.charge == charge)
        return replace(payment, refunded=refunded) if isinstance(payment, PaymentStatus) else payment


class ForgetsEarlierRefunds(MemoryProvider):
    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        payment = super().payment(charge)
        return replace(payment, refunded=0) if isinstance(payment, PaymentStatus) else payment


class Boasts(MemoryProvider):
    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        return CapabilityDefaults.list_disputes(self, since, after)


class MissesARight(MemoryProvider):
    def check_access(self) -> Mapping[AccessRight, str]:
        return {AccessRight.READ_DISPUTES: "403"}


Check = Callable[..., None]
CONTRACT, INQUIRY, PARTIAL_CAPTURE = AdapterContract, InquiryContract, PartialCaptureContract
MISTAKES: dict[type[MemoryProvider], Check] = {
    IgnoresKeys: CONTRACT.test_the_same_key_pays_once,
    TakesTimeoutsForDeclines: CONTRACT.test_a_timeout_is_unknown_and_the_repeat_pays_once,
    TakesTimeoutsForPayments: CONTRACT.test_a_timeout_is_unknown_and_the_repeat_pays_once,
    TakesRefundsOfOthersForOurs: CONTRACT.test_a_refund_that_was_made_elsewhere_is_external,
    FindsNothing: CONTRACT.test_the_lookup_finds_the_refund_by_its_key,
    OverRefunds: CONTRACT.test_more_than_the_rest_of_a_payment_is_not_refunded,
    AcceptsOverRefunds: CONTRACT.test_a_second_refund_is_refused_or_shown_before,
    ShowsOnlyOurRefunds: CONTRACT.test_all_refunds_of_a_payment_are_shown_or_none,
    ShowsNoRefunds: CONTRACT.test_all_refunds_of_a_payment_are_shown_or_none,
    ShowsRefundsWithoutTheirKey: CONTRACT.test_all_refunds_of_a_payment_are_shown_or_none,
    ListsRefundsThatThePaymentHasNot: CONTRACT.test_all_refunds_of_a_payment_contain_what_the_lookup_and_the_list_show,
    LooksUpAnotherRefund: CONTRACT.test_all_refunds_of_a_payment_contain_what_the_lookup_and_the_list_show,
    FindsAnotherPayment: CONTRACT.test_the_promised_charge_of_a_refund_is_found,
    PromisesToFindPayments: CONTRACT.test_the_promised_charge_of_a_refund_is_found,
    FindsPaymentsWithoutAPromise: CONTRACT.test_the_promised_charge_of_a_dispute_is_found,
    FindsThePaymentOfEveryDispute: CONTRACT.test_the_promised_charge_of_a_dispute_is_found,
    ListsOnlyTheFirstPage: CONTRACT.test_the_list_has_each_refund_once_on_its_pages,
    RepeatsAPage: CONTRACT.test_the_list_has_each_refund_once_on_its_pages,
    TreatsEveryCurrencyAsEuro: CONTRACT.test_a_refund_has_the_requested_amount_in_every_currency,
    ShowsNoDisputes: CONTRACT.test_a_dispute_is_shown_wherever_the_provider_can_be_asked,
    ShowsUncapturedPaymentsAsPaid: CONTRACT.test_a_payment_without_money_is_shown_and_not_refunded,
    ShowsTheAuthorisedAmountOfPaidPayments: PARTIAL_CAPTURE.test_a_payment_shows_the_captured_amount,
    SellsTheAuthorisedAmount: PARTIAL_CAPTURE.test_a_purchase_has_the_captured_amount,
    ShowsInquiriesAsNone: INQUIRY.test_an_inquiry_is_shown_as_an_inquiry,
    ShowsPaymentsWithoutTheirInquiries: INQUIRY.test_an_inquiry_is_shown_as_an_inquiry,
    TakesInquiriesForDisputes: INQUIRY.test_an_inquiry_is_shown_as_an_inquiry,
    ListsNoInquiries: INQUIRY.test_an_inquiry_is_listed_with_the_disputes,
    CountsFailedRefunds: CONTRACT.test_a_failed_refund_is_no_refund_of_the_payment,
    ForgetsEarlierRefunds: CONTRACT.test_a_payment_shows_what_was_captured_and_refunded,
    Boasts: CONTRACT.test_promised_disputes_are_listed,
    MissesARight: CONTRACT.test_no_right_is_missing_at_an_account_that_works,
}


@pytest.mark.parametrize(("mistake", "check"), MISTAKES.items(), ids=lambda value: value.__name__)
def test_a_planted_mistake_breaks_the_contract(
    monkeypatch: pytest.MonkeyPatch, mistake: type[MemoryProvider], check: Check
) -> None:
    monkeypatch.setattr(testing, "TIMEOUT", 1.0)  # seconds; the outcome that a mistake suppresses never comes
    contract, double = TestMemoryProvider(), MemoryDouble()
    provider = mistake(double)
    fixtures: dict[str, object] = {
        "double": double,
        "provider": provider,
        "impatient": provider,
        "minor": 500,
        "inquired": an_inquiry(double),
        "partly_captured": a_partial_capture(double),
    }
    wanted = check.__code__.co_varnames[1 : check.__code__.co_argcount]
    with pytest.raises(AssertionError):
        check(contract, **{name: fixtures[name] for name in wanted})


class AcceptsEverySignature(MemoryWebhookParser):
    def read(self, headers: Mapping[str, str], body: bytes, at: datetime) -> Sequence[WebhookEvent] | InvalidSignature:
        signature = hmac.new(SECRET.encode(), body, "sha256").hexdigest()
        return MemoryWebhookParser(SECRET).read(dict(headers) | {"signature": signature}, body, at)


@pytest.mark.parametrize(
    "check",
    [
        WebhookContract.test_the_signature_of_another_secret_is_invalid,
        WebhookContract.test_a_webhook_without_a_readable_signature_is_refused,
    ],
    ids=lambda check: check.__name__,
)
def test_a_parser_that_accepts_every_signature_breaks_the_contract(check: Check) -> None:
    parser = AcceptsEverySignature("another secret")
    argument = check.__code__.co_varnames[1]
    with pytest.raises(AssertionError):
        check(TestMemoryWebhooks(), **{argument: parser, "webhook": memory_webhook()})


def test_a_parser_that_reports_no_outcome_breaks_the_contract_of_a_provider_without_a_lookup() -> None:
    webhook = replace(memory_webhook(), reported=Paid("re_1", Money(4900, "EUR")))
    check = WebhookContract.test_a_webhook_reports_the_outcome_that_no_lookup_shows
    with pytest.raises(AssertionError):
        check(TestMemoryWebhooks(), MemoryWebhookParser(SECRET), webhook)


def test_a_test_without_its_fixture_says_which_fixture_to_define() -> None:
    fixtures: dict[type[Any], tuple[str, ...]] = {
        AdapterContract: ("double", "provider", "impatient"),
        CredentialsContract: ("double", "rejected"),
        InquiryContract: ("provider", "inquired"),
        PartialCaptureContract: ("provider", "partly_captured"),
        WebhookContract: ("webhook", "parser", "stranger"),
    }
    for contract, names in fixtures.items():
        for name in names:
            fixture = getattr(contract, name)
            with pytest.raises(NotImplementedError, match=f"Define the fixture “{name}”"):
                fixture.__wrapped__(contract())


def test_the_payments_of_the_contract_have_their_own_keys() -> None:
    double = MemoryDouble()
    assert len({a_payment(double) for _ in range(10)}) == 10
