"""The sellers, purchases and refund requests of `moneyback demo`."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4
from zoneinfo import ZoneInfo

from domain.money import Money
from domain.policies import Category, Seller
from domain.purchase_details import PurchaseDetails
from domain.purchases import Dispute, Payment, Purchase
from domain.refund_reasons import RefundReason
from domain.requests import Channel
from records import UnitOfWork
from records.purchase_reports import store_purchases
from records.storefronts import Storefront

SELLERS = (
    Seller(
        id="aurora",
        name="Aurora Software",
        time_zone=ZoneInfo("Europe/Berlin"),
        support_email="help@aurora.example",
        ceiling=Money(50_000, "EUR"),
    ),
    Seller(
        id="paperboat",
        name="Paperboat Books",
        time_zone=ZoneInfo("America/New_York"),
        support_email="care@paperboat.example",
    ),
    Seller(
        id="kumo",
        name="Kumo Cloud",
        time_zone=ZoneInfo("Asia/Tokyo"),
        support_email="support@kumo.example",
    ),
)
POLICIES = {
    "aurora": (Category.WITHIN_DAYS, 30),
    "paperboat": (Category.NO_RESTRICTIONS, None),
    "kumo": (Category.APPROVAL_REQUIRED, None),
}
COLOURS = {"aurora": "#7a3fd1", "paperboat": "#b3541e", "kumo": "#1a6fb0"}


class DemoPurchase(NamedTuple):
    """One purchase, which was made `days` days ago. `charge` selects the sandbox's behaviour."""

    seller: str
    customer: str
    product: str
    amount: int
    currency: str
    days: float
    charge: str = "ok"
    method: str = "credit_card"
    dispute: Dispute = Dispute.NONE
    refunded: int = 0


class DemoRequest(NamedTuple):
    """One refund request.

    ``confirms`` is what the customer does with the confirmation e-mail: "yes" confirms the refund, "no" cancels the request,
    and "nothing" means that the customer does not respond.
    """

    channel: Channel
    purchase: DemoPurchase
    reason: RefundReason
    confirms: str = "yes"
    wrong_reference: bool = False


WEB, API, EMAIL, QUEUE = Channel.WEB, Channel.API, Channel.EMAIL, Channel.QUEUE
R = RefundReason

# fmt: off
# ruff: noqa: E501  # one line for each request
REQUESTS = (
    DemoRequest(WEB,   DemoPurchase("aurora", "ada.lovelace", "Aurora Photo 4", 4900, "EUR", 3), R.DISSATISFIED),
    DemoRequest(WEB,   DemoPurchase("aurora", "grace.hopper", "Aurora Photo 4", 4900, "EUR", 29), R.TECHNICAL_ISSUE),
    DemoRequest(WEB,   DemoPurchase("aurora", "alan.turing", "Aurora Video", 9900, "EUR", 45), R.DISSATISFIED),
    DemoRequest(WEB,   DemoPurchase("aurora", "edsger.dijkstra", "Aurora Suite", 14900, "EUR", 2, "ok", "wire_transfer"), R.WRONG_PRODUCT),
    DemoRequest(WEB,   DemoPurchase("aurora", "barbara.liskov", "Aurora Studio", 129_900, "EUR", 5), R.WRONG_PRODUCT),
    DemoRequest(WEB,   DemoPurchase("aurora", "donald.knuth", "Aurora Photo 4", 4900, "EUR", 1, "slow", "paypal"), R.DUPLICATE_ORDER),
    DemoRequest(WEB,   DemoPurchase("aurora", "ken.thompson", "Aurora Photo 4", 4900, "EUR", 4), R.OTHER, "nothing"),
    DemoRequest(WEB,   DemoPurchase("aurora", "margaret.hamilton", "Aurora Video", 9900, "EUR", 6), R.DISSATISFIED, "no"),
    DemoRequest(WEB,   DemoPurchase("aurora", "tim.bernerslee", "Aurora Video", 9900, "EUR", 7), R.TECHNICAL_ISSUE, "yes", wrong_reference=True),
    DemoRequest(API,   DemoPurchase("paperboat", "jane.austen", "Persuasion, e-book", 899, "USD", 400), R.WRONG_PRODUCT),
    DemoRequest(API,   DemoPurchase("paperboat", "mary.shelley", "Frankenstein, e-book", 799, "USD", 20, "hang"), R.TECHNICAL_ISSUE),
    DemoRequest(API,   DemoPurchase("paperboat", "bram.stoker", "Dracula, audiobook", 1499, "USD", 12, "fail500"), R.DISSATISFIED),
    DemoRequest(API,   DemoPurchase("paperboat", "emily.dickinson", "Poems, e-book", 599, "USD", 2, "busy"), R.DUPLICATE_ORDER),
    DemoRequest(API,   DemoPurchase("paperboat", "herman.melville", "Moby-Dick, audiobook", 1999, "USD", 9, "declined"), R.DISSATISFIED),
    DemoRequest(API,   DemoPurchase("paperboat", "mark.twain", "Roughing It, e-book", 699, "USD", 8, "disputed"), R.OTHER),
    DemoRequest(API,   DemoPurchase("paperboat", "louisa.alcott", "Little Women, e-book", 799, "USD", 3, "pending", "direct_debit"), R.NOT_DELIVERED),
    DemoRequest(API,   DemoPurchase("paperboat", "walt.whitman", "Leaves of Grass", 999, "USD", 30, "ok", "apple_pay", Dispute.OPEN), R.OTHER),
    DemoRequest(API,   DemoPurchase("paperboat", "edgar.poe", "Tales, audiobook", 1299, "USD", 15, "lost500", "amazon_pay"), R.POOR_SUPPORT),
    DemoRequest(API,   DemoPurchase("kumo", "murasaki.shikibu", "Kumo Team, monthly", 2400, "JPY", 10), R.UNWANTED_RENEWAL),
    DemoRequest(EMAIL, DemoPurchase("aurora", "niklaus.wirth", "Aurora Photo 4", 4900, "EUR", 10), R.TECHNICAL_ISSUE),
    DemoRequest(EMAIL, DemoPurchase("aurora", "john.backus", "Aurora Suite", 14900, "EUR", 3, "ok", "alipay"), R.WRONG_PRODUCT),
    DemoRequest(EMAIL, DemoPurchase("aurora", "dennis.ritchie", "Aurora Photo 4", 4900, "EUR", 61), R.DISSATISFIED),
    DemoRequest(EMAIL, DemoPurchase("paperboat", "charlotte.bronte", "Jane Eyre, e-book", 899, "USD", 5), R.DUPLICATE_ORDER),
    DemoRequest(EMAIL, DemoPurchase("paperboat", "oscar.wilde", "Salomé, e-book", 499, "USD", 2, refunded=499), R.NOT_DELIVERED),
    DemoRequest(EMAIL, DemoPurchase("kumo", "sei.shonagon", "Kumo Solo, yearly", 9800, "JPY", 4), R.UNWANTED_RENEWAL),
    DemoRequest(QUEUE, DemoPurchase("kumo", "matsuo.basho", "Kumo Solo, monthly", 980, "JPY", 1), R.UNWANTED_RENEWAL),
    DemoRequest(QUEUE, DemoPurchase("aurora", "leslie.lamport", "Aurora Video", 9900, "EUR", 8), R.POOR_SUPPORT),
    DemoRequest(QUEUE, DemoPurchase("paperboat", "henry.james", "The Ambassadors", 899, "USD", 14, "pendingfail"), R.DISSATISFIED),
)
# fmt: on


@dataclass(frozen=True, slots=True)
class DemoCustomer:
    """One customer of the scenario: the purchase and the refund request."""

    request: DemoRequest
    purchase: Purchase

    @property
    def reference(self) -> str:
        """Return the reference that the customer types, which is wrong if the request has `wrong_reference`."""
        return f"{self.purchase.reference}9" if self.request.wrong_reference else self.purchase.reference


def build_scenario(now: datetime) -> Iterator[DemoCustomer]:
    """Yield every customer of the scenario. Each purchase was made `days` days before `now`."""
    for number, request in enumerate(REQUESTS, start=1):
        purchase = request.purchase
        at = now - timedelta(days=purchase.days)
        yield DemoCustomer(
            request,
            Purchase(
                id=uuid4(),
                seller_id=purchase.seller,
                reference=f"MB-{now:%Y}-{4000 + 37 * number}",
                email=f"{purchase.customer}@example.com",
                product=purchase.product,
                purchased_at=at,
                payments=(
                    Payment(
                        provider="sandbox",
                        charge=f"{purchase.charge}_{uuid4().hex[:16]}",
                        amount=purchase.amount,
                        currency=purchase.currency,
                        method=purchase.method,
                        charged_at=at,
                    ),
                ),
                reported_refunded=purchase.refunded,
                reported_dispute=purchase.dispute,
            ),
        )


def seed(work: UnitOfWork, customers: list[DemoCustomer], now: datetime) -> None:
    """Store the sellers, their policies and the purchases."""
    for seller in SELLERS:
        work.sellers.upsert(seller)
        category, days = POLICIES[seller.id]
        work.sellers.new_policy(seller.id, category, days=days, in_force_from=now - timedelta(days=1_000))
        work.storefronts.upsert(_storefront(seller))
    store_purchases(work, [customer.purchase for customer in customers])
    work.purchase_details.put(
        [
            (customer.purchase.seller_id, customer.purchase.reference, _purchase_details(customer.purchase))
            for customer in customers
        ]
    )


def _storefront(seller: Seller) -> Storefront:
    site = f"https://{seller.id}.example"
    return Storefront(
        seller=seller.id,
        name=seller.name,
        support_email=seller.support_email,
        colour=COLOURS[seller.id],
        website=site,
        technical_support=f"{site}/help",
    )


def _purchase_details(purchase: Purchase) -> PurchaseDetails:
    """Return the details that the page /lookup shows to the customer."""
    digits = purchase.reference.rpartition("-")[2]
    return PurchaseDetails(
        licence_key=f"{purchase.seller_id.upper()}-{digits}-DEMO-KEY",
        download_url=f"https://{purchase.seller_id}.example/downloads/{digits}",
        invoice_number=f"{purchase.purchased_at:%Y}-{digits}",
    )
