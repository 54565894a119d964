"""The sellers, purchases, customers and bank disputes of a world."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.emails import EmailKind
from domain.errors import KeyReusedError, NotPossibleError
from domain.money import Money
from domain.policies import Category, Seller, SerialLimit
from domain.providers import DeclineReason
from domain.purchases import Dispute, Method, Purchase
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, RefundScope
from producers import intake
from records.intake import Submission
from tests.simulation.clock import Killed
from tests.simulation.faults import DAY, HOUR, MINUTE
from tests.simulation.provider import Charge

if TYPE_CHECKING:
    from tests.simulation.scenario import World

ZONE = ZoneInfo("Europe/Berlin")


@dataclass(frozen=True, slots=True)
class Sold:
    """A purchase."""

    purchase: Purchase


class Customers:
    """Creates the sellers, purchases and disputes, and simulates the customers."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._rng = world.random
        self.requests = 0
        self.accepted: dict[UUID, str] = {}
        """The cases whose request was accepted, with the request's name."""
        self.case_ids: dict[str, UUID] = {}

    def set_up(self) -> None:
        """Store the sellers, policies and purchases, and schedule the events of each purchase."""
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
                began = world.database_clock() - timedelta(days=700)
                work.sellers.new_policy(name, Category.WITHIN_DAYS, days=30, in_force_from=began)
            bought = [self._purchase(n, rng.choice(sellers)) for n in range(rng.randint(2, 5))]
            if rng.random() < 0.15:  # one charge of two purchases
                bought.append(
                    self._purchase(9, bought[0].seller_id, charge=bought[0].charge, provider=bought[0].provider)
                )
            work.purchases.upsert(bought)
        for purchase in bought:
            self._schedule_events(purchase)
            self._schedule_requests(purchase)

    def _purchase(self, number: int, seller: str, **changes: Any) -> Purchase:
        world, rng = self._world, self._rng
        age = rng.choice([3.0, 3.0, 3.0, 3.0, 29.9, 40.0, 0.05]) * DAY
        at = world.database_clock() - timedelta(seconds=age)
        values: dict[str, Any] = {
            "id": self.uuid(),
            "seller_id": seller,
            "reference": f"MB-{number}",
            "email": f"ada{rng.choice([number, number, 0])}@example.com",
            "product": "Aurora Photo 4",
            "amount": 4900 + number,
            "currency": "EUR",
            "method": rng.choice([Method.CREDIT_CARD, Method.CREDIT_CARD, Method.DIRECT_DEBIT]),
            "provider": rng.choice(list(world.providers)),
            "charge": f"ch_{number}",
            "purchased_at": at,
            "charged_at": at,
        }
        return Purchase(**values | changes)

    def uuid(self) -> UUID:
        """Return a random UUID like uuid4(), but determined by the seed."""
        return UUID(int=self._rng.getrandbits(128), version=4)

    def _schedule_events(self, bought: Purchase) -> None:
        """Decide the charge's behaviour, and schedule its external refunds and disputes."""
        world, rng = self._world, self._rng
        provider = world.providers[bought.provider]
        if bought.charge in provider.charges:
            return
        assert bought.amount
        assert bought.currency
        charge = provider.charges[bought.charge] = Charge(Money(bought.amount, bought.currency))
        faults, at, forced = world.faults, world.clock.at, world.forced
        if faults.happens("refused_for_now"):
            charge.refundable_from = rng.choice([HOUR, 6 * HOUR, DAY])
        if faults.happens("refused_for_now"):
            charge.funded_from = rng.choice([HOUR, 6 * HOUR, DAY])
        if faults.happens("declined"):
            charge.declined = rng.choice([DeclineReason.PERMANENT, DeclineReason.REFUND_WINDOW_EXPIRED])
        charge.poison = rng.choice(["question", "answer"]) if rng.random() < forced.get("poison", 0.02) else ""
        if rng.random() < forced.get("external_refunds", 0.08):
            at(rng.random() ** 2 * DAY, provider.refund_externally, bought.charge)
        for n in range(rng.choice([1, 1, 2]) if rng.random() < forced.get("disputes", 0.12) else 0):
            dispute_id, opened = f"dp_{bought.charge}_{n}", rng.random() ** 2 * 6 * HOUR
            at(opened, provider.disputed, bought.charge, dispute_id, Dispute.OPEN)
            if rng.random() < 0.7:
                decided = opened + rng.choice([HOUR, DAY])
                at(decided, provider.disputed, bought.charge, dispute_id, rng.choice([Dispute.WON, Dispute.LOST]))

    # Customers

    def _schedule_requests(self, bought: Purchase) -> None:
        world, rng = self._world, self._rng
        first = rng.random() ** 2 * 4 * HOUR
        for n in range(rng.choice([1, 1, 1, 2, 3])):
            submission = self._submission(bought, n)
            at = first + (rng.choice([0.0, 1.0, 60.0, HOUR]) * rng.random() if n else 0.0)
            for _ in range(rng.choice([1, 1, 1, 2])):  # the same request again, with the same key
                self.requests += 1
                world.clock.at(
                    at + rng.random() * rng.choice([0.05, 60.0]), world.web, self._send_request, submission, 0
                )

    def _submission(self, bought: Purchase, number: int) -> Submission:
        rng = self._rng
        request = RefundRequest.model_construct(
            email=bought.email,
            reference=bought.reference if rng.random() < 0.97 else "MB-unknown",
            reason=RefundReason.DISSATISFIED,
            refund_scope=RefundScope.FULL if rng.random() < 0.97 else RefundScope.PARTIAL,
            comment="",
            locale="en",
        )
        channel = rng.choice(list(Channel))
        trusted = channel in {Channel.API, Channel.QUEUE} and rng.random() < 0.8
        key = f"{bought.reference} {number}" if rng.random() < 0.95 else "the same for all"
        return Submission(
            id=self.uuid(),
            request=request,
            channel=channel,
            source=f"{channel}",
            key=key,
            seller_id=bought.seller_id if trusted or rng.random() < 0.5 else None,
            trusted=trusted,
            bulk=rng.random() < 0.2,
        )

    def _send_request(self, submission: Submission, tries: int) -> None:
        world = self._world
        try:
            accepted = intake.accept_one(world.records, submission)
        except KeyReusedError:
            return
        except (*world.seams.database_errors, Killed):
            again = world.clock.now + self._rng.choice([1.0, 10.0, 300.0])
            world.clock.at(again, world.web, self._send_request, submission, tries + 1)
            raise
        name = f"{submission.source} {submission.key}"
        if self.case_ids.setdefault(name, accepted.id) != accepted.id:
            world.checker.violated("I4", f"The request {name} has two cases: {self.case_ids[name]} and {accepted.id}.")
        self.accepted[accepted.id] = name

    def read(self, email: Any) -> None:
        """Let a customer read an e-mail, and perhaps confirm or cancel."""
        world, rng = self._world, self._rng
        if email.kind is not EmailKind.START_REFUND or rng.random() < 0.1:
            return
        respond = intake.confirm if rng.random() < 0.92 else intake.cancel
        late = rng.choice([MINUTE, HOUR, DAY]) if rng.random() < 0.95 else 20 * DAY
        for _ in range(rng.choice([1, 1, 2])):
            world.clock.later(rng.random() * late, world.web, self._respond, respond, email.case)

    def _respond(self, respond: Any, case: UUID) -> None:
        world = self._world
        try:
            respond(world.records, case)
        except NotPossibleError:
            return
        except (*world.seams.database_errors, Killed):
            world.clock.later(20.0, world.web, self._respond, respond, case)
            raise
