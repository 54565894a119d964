"""The shops of a simulated world: their sellers, their sales, and what they report about purchases at any moment.

A sale is what really happened. A report may be late, repeated, incomplete, wrong, a correction, or about a payment of another
seller.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.money import Money
from domain.policies import Category, Seller, SerialLimit
from domain.providers import DeclineReason
from domain.purchase_reports import PurchaseReport, report_of
from domain.purchases import Dispute, Method, Payment, Purchase
from records.purchase_reports import store_reports
from records.purchases import Reported
from tests.simulation.clock import Killed
from tests.simulation.faults import DAY, HOUR
from tests.simulation.provider import Charge, Provider

if TYPE_CHECKING:
    from tests.simulation.scenario import World

ZONE = ZoneInfo("Europe/Berlin")
GIFT_CARDS = "giftcards"  # a provider that is not connected
REPORTS_END = 2 * DAY  # seconds; the shops report nothing later

WRONG_AMOUNTS = (-4000, 1, 94_000)
"""The differences, in minor units, between a wrong amount and the right amount."""


@dataclass(frozen=True, slots=True)
class Sale:
    """A purchase with its first report."""

    purchase: Purchase
    """The purchase as the shop reports it first. The provider may show other facts."""
    reported_at: float
    is_foreign: bool = False
    """True if the purchase names a payment of another seller."""


class Shops:
    """Creates the sellers and their sales, and reports purchases."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.random
        self.sellers: list[str] = []
        self.sales: list[Sale] = []
        self._charges = 0
        self._reported: set[UUID] = set()

    # Sellers and sales

    def set_up(self) -> None:
        """Store the sellers, the policies and the first purchases. Schedule the other reports."""
        rng, world = self._rng, self._world
        self.sellers = ["aurora", "borealis", "corona"][: rng.choice([1, 1, 2, 3])]
        with world.records.work() as work:
            for name in self.sellers:
                limit = (
                    SerialLimit(count=rng.choice([1, 2]), within=timedelta(days=30)) if rng.random() < 0.15 else None
                )
                seller = Seller(
                    id=name, name=name.title(), time_zone=ZONE, support_email=f"help@{name}.example", serial_limit=limit
                )
                work.sellers.upsert(seller)
                since = world.database_clock() - timedelta(days=700)
                work.sellers.new_policy(
                    name,
                    Category.WITHIN_DAYS,
                    days=30,
                    in_force_from=since,
                    refunds_inquiries=rng.random() < 0.3,
                )
        self._create_sales()
        for sale in self.sales:
            report = report_of(sale.purchase)
            world.clock.at(sale.reported_at, world.web, self._report, report, True)  # the first report
            self._schedule_reports(sale)

    def _create_sales(self) -> None:
        rng = self._rng
        for number in range(rng.randint(2, 4)):
            purchase = self._create_purchase(f"MB-{number}", rng.choice(self.sellers))
            self._add(purchase)
            kind = rng.random()
            if kind < self._world.forced.get("kinds", 0.6):
                create = rng.choice([self._add_cart, self._add_twin, self._add_namesake, self._add_foreign])
                create(purchase, number)

    def _add(self, purchase: Purchase, **changes: Any) -> None:
        rng = self._rng
        is_late = rng.random() < self._world.forced.get("late_reports", 0.15)
        reported_at = rng.random() ** 2 * DAY if is_late else 0.0
        self.sales.append(Sale(purchase, reported_at, **changes))

    def _add_cart(self, purchase: Purchase, number: int) -> None:
        """Add a purchase that was paid with the same payment."""
        first = purchase.payments[0]
        if first.provider == GIFT_CARDS:
            return
        payment = replace(first, amount=2900 + number, currency="EUR", duplicate=False)
        self._add(self._create_purchase(f"MB-{number}-2", purchase.seller_id, (payment,)))
        charge = self._world.providers[first.provider].charges[first.charge]
        charge.captured = Money(charge.captured.minor + 2900 + number, charge.captured.currency)

    def _add_twin(self, purchase: Purchase, number: int) -> None:
        """Add a purchase of the same seller whose reference folds to the same key."""
        email = self._rng.choice([purchase.email, f"bob{number}@example.com"])
        self._add(replace(self._create_purchase(f"M-B{number}", purchase.seller_id), email=email))

    def _add_namesake(self, purchase: Purchase, number: int) -> None:
        """Add a purchase of any seller with the same customer and another form of the same reference."""
        twin = self._create_purchase(f"mb {number}", self._rng.choice(self.sellers))
        self._add(replace(twin, email=purchase.email))

    def _add_foreign(self, purchase: Purchase, number: int) -> None:
        """Add a purchase of another seller that names the same payment."""
        others = [seller for seller in self.sellers if seller != purchase.seller_id]
        if others:
            foreign = self._create_purchase(f"X-{number}", self._rng.choice(others), (purchase.payments[0],))
            self._add(foreign, is_foreign=True)

    def _create_purchase(self, reference: str, seller: str, payments: tuple[Payment, ...] | None = None) -> Purchase:
        world, rng = self._world, self._rng
        age = rng.choice([3.0, 3.0, 3.0, 3.0, 29.9, 40.0, 0.05]) * DAY
        purchased_at = world.database_clock() - timedelta(seconds=age)
        number = rng.choice([len(self.sales), len(self.sales), 0])
        purchase = Purchase(
            id=world.customers.uuid(),
            seller_id=seller,
            reference=reference,
            email=f"ada{number}@example.com",
            product="Aurora Photo 4",
            purchased_at=purchased_at,
            payments=payments or self._create_payments(purchased_at, seller),
        )
        if payments is None:
            for payment in purchase.payments[1:]:
                self._schedule_trouble(payment)
            self._schedule_trouble(purchase.payments[0])
        return purchase

    def _create_payments(self, charged_at: Any, seller: str) -> tuple[Payment, ...]:
        """Return the payments of a sale. Usually, a sale has one payment."""
        rng = self._rng
        number = rng.choice([2, 2, 3]) if rng.random() < self._world.forced.get("several_payments", 0.2) else 1
        payments = [self._create_payment(charged_at, seller) for _ in range(number)]
        if number > 1 and rng.random() < 0.3:
            payments[-1] = replace(payments[-1], provider=GIFT_CARDS, method="gift_card")
        if number > 1 and rng.random() < 0.3:
            payments[1] = replace(payments[1], duplicate=True)
        return tuple(payments)

    def _create_payment(self, charged_at: Any, seller: str) -> Payment:
        rng = self._rng
        self._charges += 1
        payment = Payment(
            provider=rng.choice(list(self._world.providers)),
            charge=f"ch_{self._charges}",
            amount=4900 + self._charges,
            currency="EUR",
            method=rng.choice([Method.CREDIT_CARD, Method.CREDIT_CARD, Method.DIRECT_DEBIT]),
            charged_at=charged_at,
        )
        self._create_charge(payment, seller)
        return payment

    # What the providers hold

    def _create_charge(self, payment: Payment, seller: str) -> None:
        """Create the charge at the provider. The shop may report another amount or currency than the charge has."""
        rng, faults, forced = self._rng, self._world.faults, self._world.forced
        captured = Money(payment.amount or 0, "EUR")
        if rng.random() < forced.get("wrong_amounts", 0.06):
            captured = rng.choice([Money(captured.minor + rng.choice(WRONG_AMOUNTS), "EUR"), Money(4900, "USD")])
        charge = Charge(captured, seller=seller if rng.random() < 0.5 else None)
        self._world.providers[payment.provider].charges[payment.charge] = charge
        charge.is_voided = rng.random() < 0.02
        charge.needs_approval = self._world.providers[payment.provider].asks_for_approval and rng.random() < 0.5
        if faults.happens("refused_for_now"):
            charge.refundable_from = rng.choice([HOUR, 6 * HOUR, DAY])
        if faults.happens("refused_for_now"):
            charge.funded_from = rng.choice([HOUR, 6 * HOUR, DAY])
        if faults.happens("declined"):
            charge.decline_reason = rng.choice([DeclineReason.PERMANENT, DeclineReason.REFUND_WINDOW_EXPIRED])
        # A worker crashes when it sends a poison request, or when it reads a poison response.
        charge.poison = rng.choice(["request", "response"]) if rng.random() < forced.get("poison", 0.02) else ""

    def _schedule_trouble(self, payment: Payment) -> None:
        """Schedule external refunds and disputes of a payment."""
        if payment.provider == GIFT_CARDS:
            return
        rng, forced, provider = self._rng, self._world.forced, self._world.providers[payment.provider]
        if rng.random() < forced.get("external_refunds", 0.08):
            self._schedule_external_refunds(provider, payment.charge)
        for n in range(rng.choice([1, 1, 2]) if rng.random() < forced.get("disputes", 0.12) else 0):
            self._schedule_dispute(provider, payment.charge, f"dp_{payment.charge}_{n}")

    def _schedule_external_refunds(self, provider: Provider, charge: str) -> None:
        """Schedule one refund of the whole charge, or refunds of parts."""
        rng, at = self._rng, self._world.clock.at
        captured = provider.charges[charge].captured.minor
        for minor in rng.choice(
            [(captured,), (captured,), (captured // 3, captured - captured // 3), (captured // 3,)]
        ):
            at(rng.random() ** 2 * DAY, provider.refund_externally, charge, minor)

    def _schedule_dispute(self, provider: Provider, charge: str, dispute_id: str) -> None:
        """Schedule a dispute: from an inquiry or from a chargeback until a decision, or for ever."""
        rng, at = self._rng, self._world.clock.at
        steps = rng.choice(
            [
                (Dispute.OPEN,),
                (Dispute.OPEN, Dispute.WON),
                (Dispute.OPEN, Dispute.LOST),
                (Dispute.INQUIRY,),
                (Dispute.INQUIRY, Dispute.WON),
                (Dispute.INQUIRY, Dispute.OPEN, Dispute.LOST),
            ]
        )
        is_reported = not provider.capabilities.can_look_up or rng.random() < 0.7
        step_at = rng.random() ** 2 * rng.choice([6 * HOUR, 6 * HOUR, 3 * DAY])
        for dispute in steps:
            at(step_at, lambda step=dispute: provider.set_dispute(charge, dispute_id, step, is_reported=is_reported))
            step_at += rng.choice([HOUR, DAY])

    # Reports

    def _schedule_reports(self, sale: Sale) -> None:
        """Schedule more reports about a sale."""
        rng, world = self._rng, self._world
        if rng.random() < world.forced.get("reports", 0.4):
            for _ in range(rng.choice([1, 1, 2, 3])):
                report = rng.choice(REPORTS)(self, sale.purchase)
                world.clock.at(rng.random() ** 2 * REPORTS_END, world.web, self._report, report, False)

    def _report(self, report: PurchaseReport, is_first: bool, tries: int = 0) -> None:
        """Store a report. After an error, the shop reports again."""
        world = self._world
        try:
            with world.records.work() as work:
                (result,) = store_reports(work, [report], {})
        except (*world.interleaving.database_errors, Killed):
            world.clock.later(self._rng.choice([1.0, 60.0]), world.web, self._report, report, is_first, tries + 1)
            raise
        world.log(f"{report.seller_id} reports {report.reference}: {result}"[:200])
        is_known = report.purchase_id in self._reported
        if isinstance(result, Reported):
            self._reported.add(report.purchase_id)
        if is_first and not is_known:
            world.purchase_checker.check_first_report(report, result)

    def new_payment(self, purchase: Purchase) -> Payment:
        """Return a payment that no report has named yet."""
        return self._create_payment(purchase.payments[0].charged_at, purchase.seller_id)

    def chance(self, probability: float) -> bool:
        """Return True with this probability."""
        return self._rng.random() < probability

    @property
    def random(self) -> Random:
        """The random generator of the world."""
        return self._rng


Fields = Mapping[str, object]


def _repeat(shops: Shops, purchase: Purchase) -> PurchaseReport:
    """Report the same again."""
    return replace(report_of(purchase), correct=shops.chance(0.5))


def _omit_fields(_: Shops, purchase: Purchase) -> PurchaseReport:
    """Report only the product."""
    return replace(report_of(purchase), fields={"product": "Aurora Photo 5"}, payments=(), lists_payments=False)


def _report_dispute(shops: Shops, purchase: Purchase) -> PurchaseReport:
    dispute = shops.random.choice([Dispute.OPEN, Dispute.NONE])
    return replace(report_of(purchase), fields={"reported_dispute": dispute}, payments=(), lists_payments=False)


def _report_refunded(shops: Shops, purchase: Purchase) -> PurchaseReport:
    fields: Fields = {"reported_refunded": shops.random.choice([0, 1000])}
    return replace(report_of(purchase), fields=fields, payments=(), lists_payments=False)


def _change_payment(**changes: object) -> Callable[[Shops, Purchase], PurchaseReport]:
    """Return a function that reports the first payment with other values."""

    def report(shops: Shops, purchase: Purchase) -> PurchaseReport:
        same = report_of(purchase)
        first = {**same.payments[0], **changes}
        return replace(same, payments=(first, *same.payments[1:]), correct=shops.chance(0.6))

    return report


def _replace_payment(shops: Shops, purchase: Purchase) -> PurchaseReport:
    """Report another charge."""
    other = replace(purchase, payments=(shops.new_payment(purchase),))
    return replace(report_of(other), correct=shops.chance(0.6), lists_payments=shops.chance(0.5))


def _add_payment(shops: Shops, purchase: Purchase) -> PurchaseReport:
    """Report a further payment."""
    other = replace(purchase, payments=(*purchase.payments, shops.new_payment(purchase)))
    return replace(report_of(other), correct=shops.chance(0.3))


def _change_email(shops: Shops, purchase: Purchase) -> PurchaseReport:
    email = f"carol{purchase.reference[-1]}@example.com"
    return replace(report_of(replace(purchase, email=email)), correct=shops.chance(0.6))


REPORTS: tuple[Callable[[Shops, Purchase], PurchaseReport], ...] = (
    _repeat,
    _omit_fields,
    _report_dispute,
    _report_refunded,
    _change_payment(amount=900),
    _change_payment(amount=9900),
    _change_payment(amount=None),
    _change_payment(currency="USD"),
    _replace_payment,
    _add_payment,
    _add_payment,
    _change_email,
)
"""What a shop may report about a purchase that is already reported."""
