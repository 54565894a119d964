"""The interface of payment providers, its results, and the capabilities of a provider."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol

from domain.money import Money
from domain.purchases import Dispute


class DeclineReason(StrEnum):
    """The reasons why a refund was not made. The comment at each reason explains the reason, or says what happens next."""

    ALREADY_REFUNDED = "already_refunded"  # look up the refund. If Moneyback made it, the case is paid
    DISPUTED = "disputed"  # never refund: the bank decides, and support handles the case
    DISPUTE_LOST = "dispute_lost"  # never refund: the bank gave the customer the money back
    INSUFFICIENT_BALANCE = "insufficient_balance"  # the seller's balance is too low: wait, and create a support task
    REFUND_WINDOW_EXPIRED = "refund_window_expired"  # support must pay the customer in another way
    NOT_YET_REFUNDABLE = "not_yet_refundable"  # the charge is not settled: refund later, with a new operation
    EXTERNALLY_REFUNDED = "externally_refunded"  # before our refund was sent, the payment already had another refund
    NOT_CAPTURED = "not_captured"  # the payment was voided, has failed, or was never captured
    PAYMENT_DIFFERS = (
        "payment_differs"  # the payment has another amount, currency or method than reported: support decides
    )
    OTHER_SELLER = "other_seller"  # the payment belongs to another seller: the support of both sellers decides
    INQUIRY = "inquiry"  # the bank asks about the payment, and the seller's policy refunds no payment with an inquiry
    CANCELLED = "cancelled"  # the seller cancelled the refund at the provider, so the customer's bank did not return it
    DECLINED_LATER = (
        "declined_later"  # the provider accepted the request, but then sent no money, so no bank returned any
    )
    PERMANENT = "permanent"  # support handles the case
    INVALID_CREDENTIALS = "invalid_credentials"  # the refund continues after support has corrected the credentials
    NOT_SENT = "not_sent"  # nothing was sent: the provider was unreachable, or its rate limit allowed no call in time


@dataclass(frozen=True, slots=True)
class Paid:
    """The provider made the refund."""

    refund_id: str
    amount: Money
    bank_reference: str | None = field(default=None, compare=False)
    """The number (ARN) with which the customer's bank finds a refund. It is often known only days after the refund."""


@dataclass(frozen=True, slots=True)
class Pending:
    """The provider accepted the refund. It is known only later whether the refund reaches the customer."""

    refund_id: str
    amount: Money
    insufficient_balance: bool = False
    """True if the refund waits at the provider until the seller's balance is sufficient. A support task reports the wait."""
    customer_must_act: bool = False
    """True if the provider asks the customer by e-mail where to send the money, such as for a bank transfer."""


@dataclass(frozen=True, slots=True)
class WaitingForApproval:
    """The refund waits until a person approves it at the provider. The provider then makes the refund without another call.

    A second call would create a second approval request. So from now on, the refund is only looked up.
    """

    code: str


@dataclass(frozen=True, slots=True)
class Mismatched:
    """The provider made the refund with our key, but with another amount or in another currency than requested.

    The worker finds this by comparing the result of an adapter with the operation. No adapter returns this class.
    """

    refund_id: str
    amount: Money
    is_paid: bool = True
    """False if the provider has only accepted the refund."""


@dataclass(frozen=True, slots=True)
class Failed:
    """The refund with our idempotency key failed, or its money came back to the seller. ``code`` is the provider's code."""

    refund_id: str
    code: str
    reason: DeclineReason = DeclineReason.PERMANENT


@dataclass(frozen=True, slots=True)
class Declined:
    """The provider did not make the refund and will not make it. ``code`` is the provider's code."""

    reason: DeclineReason
    code: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """The outcome of the call is unknown, because of a timeout, a lost connection, a 5xx status or an unreadable response."""

    why: str
    retry_after: float | None = None
    """Seconds after which the provider allows the next call (Retry-After)."""
    replayed: bool = False
    """True if the provider stored this response, so that every repeated call with the same key returns the same response."""
    invalid_credentials: bool = False
    """True if the provider rejected our credentials."""


@dataclass(frozen=True, slots=True)
class ExternalRefund:
    """The charge has a refund that was not made with our idempotency key."""

    refund_id: str
    amount: Money


@dataclass(frozen=True, slots=True)
class NotFound:
    """The provider has no refund with this idempotency key and no refund of this charge."""


RefundResult = Paid | Pending | Mismatched | WaitingForApproval | Failed | Declined | Unknown
"""The possible results of a refund call."""

LookupResult = Paid | Pending | Mismatched | WaitingForApproval | Failed | ExternalRefund | NotFound | Unknown
"""The possible results of a lookup."""


def failure_of(result: RefundResult) -> DeclineReason | None:
    """Return why a refund failed, or None if the refund did not fail."""
    return result.reason if isinstance(result, Failed) else None


@dataclass(frozen=True, slots=True)
class DisputeStatus:
    """The status of the newest dispute about a charge. ``dispute_id`` is empty if the charge has no dispute."""

    dispute: Dispute
    dispute_id: str = ""
    stage: int = field(default=0, compare=False)
    """A number that rises as the dispute progresses. Webhook events may arrive in any order; the highest number is the newest."""
    respond_by: datetime | None = field(default=None, compare=False)
    """The instant until which the seller may respond, if the provider names an instant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PaymentStatus:
    """The payment as the provider shows it before a refund. A field that the provider does not show is None."""

    captured: Money | None
    """What the customer paid: the captured amount. None if nothing was captured, because the payment is only authorised,
    was voided, or has failed."""
    shows_amount: bool = True
    """False if the provider does not show what the customer paid, although the payment may be captured. Then ``captured`` is
    None, and the amount and the currency are not compared with the purchase. Only the sandbox has such payments."""
    refunded: int = 0
    """The sum of the refunds so far, in minor units of the currency of ``captured``. Failed refunds do not count."""
    dispute: DisputeStatus = DisputeStatus(Dispute.NONE)
    """The dispute that decides. An adapter that does not get disputes together with the payment asks for them, too."""
    method: str | None = None
    """The payment method in the words of ``Method``."""
    seller: str | None = None
    """The seller that the payment's metadata names, if the account's setting ``seller_metadata`` names a field."""
    code: str = ""
    """The provider's status or code, for support."""


class RefundStatus(StrEnum):
    """The status of a refund in the provider's list."""

    PAID = "paid"
    PENDING = "pending"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class ListedRefund:
    """A refund in the provider's list. ``key`` is our idempotency key if Moneyback made the refund."""

    refund_id: str
    charge: str
    amount: Money
    status: RefundStatus
    created_at: datetime
    key: str | None = None
    failure: DeclineReason | None = None
    """Why the refund failed. None if the refund did not fail, or if the provider shows no reason."""


@dataclass(frozen=True, slots=True)
class ProviderAnswer:
    """What a provider says about a payment at this moment. A part is None if the provider shows no such thing."""

    payment: PaymentStatus | Declined | Unknown | None
    refunds: Sequence[ListedRefund] | Unknown | None


@dataclass(frozen=True, slots=True)
class RefundPage:
    """A page of the provider's list of refunds. ``next_cursor`` is None on the last page."""

    refunds: Sequence[ListedRefund]
    next_cursor: str | None = None
    skipped: int = 0
    """The number of rows that could not be read and do not carry our key. Other systems use the provider account, too."""


@dataclass(frozen=True, slots=True)
class ListedDispute:
    """A dispute in the provider's list."""

    charge: str
    status: DisputeStatus


@dataclass(frozen=True, slots=True)
class DisputePage:
    """A page of the provider's list of disputes. ``next_cursor`` is None on the last page."""

    disputes: Sequence[ListedDispute]
    next_cursor: str | None = None
    skipped: int = 0
    """The number of rows that could not be read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ListedPurchase:
    """A payment in the provider's list, with what a purchase needs. The repr omits the customer's address."""

    charge: str
    """The id with which the payment is refunded."""
    other_ids: tuple[str, ...] = ()
    """The other ids of the same payment, because the seller may have reported the purchase with one of them."""
    amount: Money
    email: str | None = field(repr=False)
    """The customer's e-mail address; None if the provider does not know it. Such a payment cannot become a purchase."""
    references: Mapping[str, str]
    """The texts that may be the purchase's reference, by field: ``receipt_number``, ``invoice_number``, ``metadata.<name>``."""
    product: str
    method: str
    """The payment method in the words of ``Method``, or the provider's own word if Moneyback has no word for the method."""
    purchased_at: datetime
    tax: int | None = None
    """The tax that ``amount`` includes, in minor units."""
    refunded: int = 0
    dispute: Dispute = Dispute.NONE
    instrument: str | None = None
    renewal: bool = False
    seller: str | None = None
    """The seller that the payment's metadata names, if the account's setting ``seller_metadata`` names a field."""


@dataclass(frozen=True, slots=True)
class PurchasePage:
    """A page of the provider's list of payments. ``next_cursor`` is None on the last page."""

    purchases: Sequence[ListedPurchase]
    next_cursor: str | None = None
    skipped: int = 0
    """The number of rows that are no purchase: payments that failed or were not captured, and rows that could not be read."""


class AccessRight(StrEnum):
    """The rights that Moneyback needs at a provider. ``moneyback doctor`` makes one harmless read for each of them."""

    READ_REFUNDS = "read_refunds"
    READ_DISPUTES = "read_disputes"
    READ_PAYMENTS = "read_payments"
    IDEMPOTENCY_KEYS = "idempotency_keys"  # without this right, a repeated refund call could refund again


class Lookup(StrEnum):
    """The ways in which a refund is looked up at a provider."""

    BY_KEY = "by_key"  # by our idempotency key, or by metadata with this key; if nothing is found, by the charge
    NEVER = "never"  # no lookup: the outcome comes by webhook, or as the response to a repeated call with the same key


@dataclass(frozen=True, slots=True)
class Route:
    """The capabilities of a provider for one payment method."""

    window: timedelta | None = None
    """The time after the charge within which the provider allows a refund; None if no limit is known."""
    minimum_delay: timedelta = timedelta(0)
    """The time from the charge to the first possible refund."""
    partial: bool = True
    synchronous: bool = True
    """True if the result of the refund call is usually the final outcome of the refund."""


@dataclass(frozen=True, slots=True)
class PollPlan:
    """The plan by which a provider is polled about a refund: how often and for how long."""

    max_delay: timedelta = timedelta(hours=6)
    """The longest pause between two polls. Pauses double until they reach it."""
    give_up: timedelta = timedelta(days=60)
    """If an accepted refund has no final outcome after this time, support takes over. A bank may need 40 working days (Adyen)."""
    give_up_unknown: timedelta = timedelta(days=2)
    """If the outcome of a refund is still unknown after this time, support takes over. A provider may be down for a day."""


@dataclass(frozen=True, slots=True)
class Capabilities:
    """The capabilities of a provider. The flags ``shows_…`` and ``lists_…`` say which methods give more than Unknown."""

    idempotency_key_ttl: timedelta
    """The time for which the provider certainly stores an idempotency key. Later, a call with this key could refund again."""
    rejects_over_refund: bool = False
    """True if the provider never refunds more than was captured, even with a new idempotency key."""
    lookup: Lookup = Lookup.BY_KEY
    shows_payments: bool = False
    """True if ``payment()`` shows a payment before it is refunded."""
    lists_refunds: bool = True
    """True if the provider can list its refunds, for the reconciliation."""
    lists_disputes: bool = False
    """True if the provider can list its disputes by the date of the dispute."""
    lists_purchases: bool = False
    """True if the provider can list its payments, so that purchases are imported from there."""
    reports_disputes_by_webhook: bool = False
    """True if only signed webhook events show a dispute before the bank takes the money, and ``dispute()`` shows it later.

    Then the dispute that decides is selected from what ``dispute()`` shows and from what all events have reported.
    """
    finds_charges: bool = False
    """True if ``refunded_charge()`` and ``disputed_charge()`` find the payment of a webhook event that names no payment."""
    calls_per_second: float | None = None
    """The rate limit of the provider, which all workers share; None if there is no limit."""
    poll: PollPlan = PollPlan()
    routes: Mapping[str, Route] = field(default_factory=dict)
    """The route of each payment method. Payment methods without an entry use ``default_route``."""
    default_route: Route = Route()

    @property
    def can_look_up(self) -> bool:
        """True if the provider has a lookup, that is, a call that returns the outcome of a refund."""
        return self.lookup is not Lookup.NEVER

    def route(self, method: str) -> Route:
        """Return the capabilities of the provider for this payment method."""
        return self.routes.get(method, self.default_route)


_WINDOWS: dict[tuple[str | None, str], timedelta] = {
    (None, "paypal"): timedelta(days=180),  # source: PayPal's documentation, "Issue a refund"
    ("stripe", "amazon_pay"): timedelta(days=90),  # source: Stripe's documentation, "Amazon Pay payments"
}
"""The refund windows of payment methods, by provider and method. The provider None means every provider."""


def provider_of(name: str) -> str:
    """Return the provider in the name of an account: ``stripe`` for ``stripe:aurora``, and also for ``stripe``."""
    return name.partition(":")[0]


def refund_window(capabilities: Capabilities | None, provider: str, method: str) -> timedelta | None:
    """Return the refund window of a provider and a payment method, as a time from the charge. None if no limit is known.

    ``provider`` may be the name of an account. A window in ``capabilities`` takes precedence over ``_WINDOWS``.
    """
    adapter_window = capabilities.route(method).window if capabilities else None
    return adapter_window or _WINDOWS.get((provider_of(provider), method)) or _WINDOWS.get((None, method))


class PaymentProvider(Protocol):
    """The interface of a payment provider. Several threads use one object at the same time.

    Expected errors are return values; an exception is a bug. Each call has one deadline. It covers the connection, the
    request and the whole response.
    """

    capabilities: Capabilities

    def refund(self, charge: str, amount: Money, *, key: str) -> RefundResult:
        """Refund the whole charge. Two calls with the same key never refund twice.

        There is no payee parameter, because a refund only returns the money to the original payment method.
        """
        ...

    def look_up(self, charge: str, *, key: str) -> LookupResult:
        """Return the outcome of the refund with this key. If the provider has no such refund, look for refunds of the charge."""
        ...

    def refunds(self, charge: str) -> Sequence[ListedRefund] | Unknown:
        """Return all refunds of this payment, with our refunds and with refunds that failed."""
        ...

    def dispute(self, charge: str) -> DisputeStatus | Unknown:
        """Return the status of the dispute about this charge."""
        ...

    def list_refunds(self, since: datetime, after: str | None) -> RefundPage | Unknown:
        """Return a page of the refunds that were made since ``since``. ``after`` is the page's cursor (None: first page).

        A row that cannot be read and carries our key makes the page Unknown. Any other unreadable row is left out and counted.
        """
        ...

    def payment(self, charge: str) -> PaymentStatus | Declined | Unknown:
        """Return the payment as the provider shows it. Declined means that the provider does not know the payment."""
        ...

    def list_disputes(self, since: datetime, after: str | None) -> DisputePage | Unknown:
        """Return a page of the disputes that were opened since ``since``, whatever the date of the payment."""
        ...

    def purchases(self, since: datetime, after: str | None) -> PurchasePage | Unknown:
        """Return a page of the payments that were made since ``since``. ``after`` is the page's cursor (None: first page)."""
        ...

    def purchase(self, charge: str) -> ListedPurchase | Declined | Unknown:
        """Return one payment with what a purchase needs. Declined means that the payment is unknown, or is no purchase yet."""
        ...

    def refunded_charge(self, refund_id: str) -> str | Declined | Unknown:
        """Return the charge of the refund with this id. Declined means that the provider does not know the refund."""
        ...

    def disputed_charge(self, dispute_id: str) -> str | Declined | Unknown:
        """Return the charge of the dispute with this id. Declined means that the provider does not know the dispute."""
        ...

    def check_access(self) -> Mapping[AccessRight, str]:
        """Make one harmless read for each right. Return the missing rights, each with the provider's code or a sentence."""
        ...
