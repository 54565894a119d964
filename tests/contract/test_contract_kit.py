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
    PurchasePage,
    RefundPage,
    RefundResult,
    RefundStatus,
    Unknown,
)
from domain.purchases import Dispute
from domain.webhook_events import InvalidSignature, Subject, WebhookEvent, WebhookParser
from moneyback_plugin.testing import (
    AdapterContract,
    CredentialsContract,
    Fault,
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


class TestSandbox(AdapterContract):
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
    fault: Fault | None = None
    refund_fails: bool = False
    captured: bool = True
    disputed: bool = False


@dataclass
class MemoryDouble:
    payments: dict[str, Payment] = field(default_factory=dict)
    refunds: list[Refund] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock)

    def pay(self, amount: Money, *, fault: Fault | None = None, refund_fails: bool = False) -> str:
        charge = f"pay_{len(self.payments)}"
        self.payments[charge] = Payment(amount, fault, refund_fails)
        return charge

    def pay_without_money(self, amount: Money) -> str:
        charge = self.pay(amount)
        self.payments[charge].captured = False
        return charge

    def refund_elsewhere(self, charge: str, amount: Money) -> str:
        return self.add_refund(charge, amount, None).id

    def open_dispute(self, charge: str) -> None:
        self.payments[charge].disputed = True

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
    )
    page_size = 2

    def __init__(self, double: MemoryDouble, *, is_rejected: bool = False) -> None:
        self.double, self._rejected = double, is_rejected

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        if self._rejected:
            return self.credentials_refused()
        with self.double.lock:
            payment = self.double.payments.get(charge)
            if payment is None or not payment.captured:
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
        if self.double.refunded(charge) + amount.minor > self.double.payments[charge].amount.minor:
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
        is_disputed = self.double.payments[charge].disputed
        return DisputeStatus(Dispute.OPEN, charge) if is_disputed else DisputeStatus(Dispute.NONE)

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        payment, dispute = self.double.payments.get(charge), None if self._rejected else self._dispute_of(charge)
        if dispute is None:
            return self.credentials_refused()
        if payment is None:
            return Declined(DeclineReason.PERMANENT, "no_such_payment")
        captured = payment.amount if payment.captured else None
        return PaymentStatus(captured=captured, refunded=self.double.refunded(charge), dispute=dispute)

    def _dispute_of(self, charge: str) -> DisputeStatus:
        dispute = self.dispute(charge) if charge in self.double.payments else DisputeStatus(Dispute.NONE)
        assert isinstance(dispute, DisputeStatus)
        return dispute

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        if self._rejected:
            return self.credentials_refused()
        refunds = self.double.refunds if since < datetime.now(UTC) else []
        rows, cursor = self.page(refunds, after)
        return RefundPage([self._listed(row) for row in rows], cursor)

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:  # noqa: ARG002
        if self._rejected:
            return self.credentials_refused()
        disputed = [charge for charge, payment in self.double.payments.items() if payment.disputed]
        rows, cursor = self.page(disputed, after)
        return DisputePage([ListedDispute(charge, DisputeStatus(Dispute.OPEN, charge)) for charge in rows], cursor)

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:  # noqa: ARG002
        if self._rejected:
            return self.credentials_refused()
        rows, cursor = self.page([*self.double.payments], after)
        return PurchasePage([self._purchase(charge) for charge in rows], cursor)

    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        return self._purchase(charge)

    def page(self, rows: Sequence[Any], after: str | None) -> tuple[Sequence[Any], str | None]:
        start = int(after or 0)
        end = start + self.page_size
        return rows[start:end], str(end) if end < len(rows) else None

    def _purchase(self, charge: str) -> ListedPurchase:
        return ListedPurchase(
            charge=charge,
            amount=self.double.payments[charge].amount,
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


class TestMemoryProvider(AdapterContract, CredentialsContract):
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


class ShowsOnlyOurRefunds(MemoryProvider):
    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        refunds = super().refunds(charge)
        return refunds if isinstance(refunds, Unknown) else [refund for refund in refunds if refund.key]


class FindsAnotherPayment(MemoryProvider):
    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        return refund_id


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
CONTRACT = AdapterContract
MISTAKES: dict[type[MemoryProvider], Check] = {
    IgnoresKeys: CONTRACT.test_the_same_key_pays_once,
    TakesTimeoutsForDeclines: CONTRACT.test_a_timeout_is_unknown_and_the_repeat_pays_once,
    TakesTimeoutsForPayments: CONTRACT.test_a_timeout_is_unknown_and_the_repeat_pays_once,
    TakesRefundsOfOthersForOurs: CONTRACT.test_a_refund_that_was_made_elsewhere_is_external,
    FindsNothing: CONTRACT.test_the_lookup_finds_the_refund_by_its_key,
    OverRefunds: CONTRACT.test_more_than_the_rest_of_a_payment_is_not_refunded,
    ShowsOnlyOurRefunds: CONTRACT.test_all_refunds_of_a_payment_are_shown_or_none,
    FindsAnotherPayment: CONTRACT.test_a_promised_lookup_finds_a_refund_by_its_id,
    ListsOnlyTheFirstPage: CONTRACT.test_the_list_has_each_refund_once_on_its_pages,
    RepeatsAPage: CONTRACT.test_the_list_has_each_refund_once_on_its_pages,
    TreatsEveryCurrencyAsEuro: CONTRACT.test_a_refund_has_the_requested_amount_in_every_currency,
    ShowsNoDisputes: CONTRACT.test_a_dispute_is_shown_wherever_the_provider_can_be_asked,
    ShowsUncapturedPaymentsAsPaid: CONTRACT.test_a_payment_without_money_is_shown_and_not_refunded,
    ForgetsEarlierRefunds: CONTRACT.test_a_payment_shows_what_was_captured_and_refunded,
    Boasts: CONTRACT.test_disputes_are_listed_if_the_capabilities_say_so,
    MissesARight: CONTRACT.test_no_right_is_missing_at_an_account_that_works,
}


@pytest.mark.parametrize(("mistake", "check"), MISTAKES.items(), ids=lambda value: value.__name__)
def test_a_planted_mistake_breaks_the_contract(mistake: type[MemoryProvider], check: Check) -> None:
    contract, double = TestMemoryProvider(), MemoryDouble()
    provider = mistake(double)
    fixtures = {"double": double, "provider": provider, "impatient": provider, "minor": 500}
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


def test_a_test_without_its_fixture_says_which_fixture_to_define() -> None:
    for contract, names in ((AdapterContract, ("double", "provider", "impatient")), (WebhookContract, ("parser",))):
        for name in names:
            fixture = getattr(contract, name)
            with pytest.raises(NotImplementedError, match=f"Define the fixture “{name}”"):
                fixture.__wrapped__(contract())


def test_the_payments_of_the_contract_have_their_own_keys() -> None:
    double = MemoryDouble()
    assert len({a_payment(double) for _ in range(10)}) == 10
