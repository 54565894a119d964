"""The sellers, purchases, customers and disputes of a simulated world."""

from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.emails import EmailKind
from domain.errors import KeyReusedError, NotPossibleError
from domain.money import Money
from domain.policies import Category, Seller, SerialLimit
from domain.providers import DeclineReason
from domain.purchases import Dispute, Method, Payment, Purchase
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, RefundScope
from producers import intake
from records.intake import Submission
from records.purchase_reports import store_purchases
from tests.simulation.clock import Killed
from tests.simulation.faults import DAY, HOUR, MINUTE
from tests.simulation.provider import Charge

if TYPE_CHECKING:
    from tests.simulation.scenario import World

ZONE = ZoneInfo("Europe/Berlin")


class Customers:
    """Creates the sellers, purchases and disputes, and simulates the requests of the customers."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.random
        self.requests = 0
        self.accepted: dict[UUID, str] = {}
        """For each case id, the name of the accepted request. The name contains the request's source and idempotency key."""
        self.case_ids: dict[str, UUID] = {}
        """For each name of an accepted request, the id of its case."""

    def set_up(self) -> None:
        """Store the sellers, policies and purchases. Schedule the requests, external refunds and disputes."""
        world, rng = self._world, self._rng
        sellers = ["aurora", "borealis", "corona"][: rng.choice([1, 1, 2, 3])]
        with world.records.work() as work:
            for name in sellers:
                limit = (
                    SerialLimit(count=rng.choice([1, 2]), within=timedelta(days=30)) if rng.random() < 0.15 else None
                )
                seller = Seller(
                    id=name, name=name.title(), time_zone=ZONE, support_email=f"help@{name}.example", serial_limit=limit
                )
                work.sellers.upsert(seller)
                since = world.database_clock() - timedelta(days=700)
                work.sellers.new_policy(name, Category.WITHIN_DAYS, days=30, in_force_from=since)
            purchases = [self._purchase(n, rng.choice(sellers)) for n in range(rng.randint(2, 5))]
            if rng.random() < 0.15:  # two purchases with the same charge
                first = purchases[0]
                payment = first.payments[0]
                purchases.append(self._purchase(9, first.seller_id, charge=payment.charge, provider=payment.provider))
            store_purchases(work, purchases)
        for purchase in purchases:
            self._set_up_charge(purchase.payments[0])
            self._schedule_requests(purchase)

    def _purchase(self, number: int, seller: str, **changes: Any) -> Purchase:
        world, rng = self._world, self._rng
        age = rng.choice([3.0, 3.0, 3.0, 3.0, 29.9, 40.0, 0.05]) * DAY
        purchased_at = world.database_clock() - timedelta(seconds=age)
        id_, email = self.uuid(), f"ada{rng.choice([number, number, 0])}@example.com"
        values: dict[str, Any] = {
            "amount": 4900 + number,
            "currency": "EUR",
            "method": rng.choice([Method.CREDIT_CARD, Method.CREDIT_CARD, Method.DIRECT_DEBIT]),
            "provider": rng.choice(list(world.providers)),
            "charge": f"ch_{number}",
            "charged_at": purchased_at,
        }
        return Purchase(
            id=id_,
            seller_id=seller,
            reference=f"MB-{number}",
            email=email,
            product="Aurora Photo 4",
            purchased_at=purchased_at,
            payments=(Payment(**values | changes),),
        )

    def uuid(self) -> UUID:
        """Return a UUID of version 4. The seed of the world determines the UUID."""
        return UUID(int=self._rng.getrandbits(128), version=4)

    def _set_up_charge(self, payment: Payment) -> None:
        """Choose the charge's behaviour at random, and schedule its external refunds and disputes."""
        world, rng = self._world, self._rng
        provider = world.providers[payment.provider]
        assert payment.amount
        assert payment.currency
        if charge := provider.charges.get(payment.charge):
            charge.captured = Money(charge.captured.minor + payment.amount, payment.currency)
            return
        charge = provider.charges[payment.charge] = Charge(Money(payment.amount, payment.currency))
        faults, at, forced = world.faults, world.clock.at, world.forced
        if faults.happens("refused_for_now"):
            charge.refundable_from = rng.choice([HOUR, 6 * HOUR, DAY])
        if faults.happens("refused_for_now"):
            charge.funded_from = rng.choice([HOUR, 6 * HOUR, DAY])
        if faults.happens("declined"):
            charge.decline_reason = rng.choice([DeclineReason.PERMANENT, DeclineReason.REFUND_WINDOW_EXPIRED])
        # A worker crashes when it sends a poison request, or when it reads a poison response.
        charge.poison = rng.choice(["request", "response"]) if rng.random() < forced.get("poison", 0.02) else ""
        if rng.random() < forced.get("external_refunds", 0.08):
            at(rng.random() ** 2 * DAY, provider.refund_externally, payment.charge)
        for n in range(rng.choice([1, 1, 2]) if rng.random() < forced.get("disputes", 0.12) else 0):
            dispute_id, opened_at = f"dp_{payment.charge}_{n}", rng.random() ** 2 * 6 * HOUR
            at(opened_at, provider.set_dispute, payment.charge, dispute_id, Dispute.OPEN)
            if rng.random() < 0.7:
                decided_at = opened_at + rng.choice([HOUR, DAY])
                at(
                    decided_at,
                    provider.set_dispute,
                    payment.charge,
                    dispute_id,
                    rng.choice([Dispute.WON, Dispute.LOST]),
                )

    # Customers

    def _schedule_requests(self, purchase: Purchase) -> None:
        world, rng = self._world, self._rng
        first_at = rng.random() ** 2 * 4 * HOUR
        for n in range(rng.choice([1, 1, 1, 2, 3])):
            submission = self._submission(purchase, n)
            at = first_at + (rng.choice([0.0, 1.0, 60.0, HOUR]) * rng.random() if n else 0.0)
            for _ in range(rng.choice([1, 1, 1, 2])):  # the same request may be sent twice, with the same key
                self.requests += 1
                world.clock.at(
                    at + rng.random() * rng.choice([0.05, 60.0]), world.web, self._send_request, submission, 0
                )

    def _submission(self, purchase: Purchase, number: int) -> Submission:
        rng = self._rng
        request = RefundRequest.model_construct(
            email=purchase.email,
            reference=purchase.reference if rng.random() < 0.97 else "MB-unknown",
            reason=RefundReason.DISSATISFIED,
            refund_scope=RefundScope.FULL if rng.random() < 0.97 else RefundScope.PARTIAL,
            comment="",
            locale="en",
        )
        channel = rng.choice(list(Channel))
        trusted = channel in {Channel.API, Channel.QUEUE} and rng.random() < 0.8
        key = f"{purchase.reference} {number}" if rng.random() < 0.95 else "the same key for several requests"
        return Submission(
            id=self.uuid(),
            request=request,
            channel=channel,
            source=f"{channel}",
            key=key,
            seller_id=purchase.seller_id if trusted or rng.random() < 0.5 else None,
            trusted=trusted,
            bulk=rng.random() < 0.2,
        )

    def _send_request(self, submission: Submission, tries: int) -> None:
        world = self._world
        try:
            accepted = intake.accept_one(world.records, submission)
        except KeyReusedError:
            return
        except (*world.interleaving.database_errors, Killed):
            repeated_at = world.clock.now + self._rng.choice([1.0, 10.0, 300.0])
            world.clock.at(repeated_at, world.web, self._send_request, submission, tries + 1)
            raise
        name = f"{submission.source} {submission.key}"
        if self.case_ids.setdefault(name, accepted.id) != accepted.id:
            world.checker.report_violation(
                "I4", f"The request {name} has two cases: {self.case_ids[name]} and {accepted.id}."
            )
        self.accepted[accepted.id] = name

    def read(self, email: Any) -> None:
        """Simulate a customer who reads an e-mail, and who confirms the refund, cancels the request, or does nothing."""
        world, rng = self._world, self._rng
        if email.kind is not EmailKind.START_REFUND or rng.random() < 0.1:
            return
        respond = intake.confirm if rng.random() < 0.92 else intake.cancel
        max_delay = rng.choice([MINUTE, HOUR, DAY]) if rng.random() < 0.95 else 20 * DAY
        for _ in range(rng.choice([1, 1, 2])):
            world.clock.later(rng.random() * max_delay, world.web, self._respond, respond, email.case)

    def _respond(self, respond: Any, case: UUID) -> None:
        world = self._world
        try:
            respond(world.records, case)
        except NotPossibleError:
            return
        except (*world.interleaving.database_errors, Killed):
            world.clock.later(20.0, world.web, self._respond, respond, case)
            raise
