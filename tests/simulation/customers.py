"""The people of a world: sellers, what they sold, customers who ask and answer, and what happens at their banks."""

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.errors import KeyReusedError, NotPossibleError
from domain.money import Money
from domain.policies import Category, Seller, SerialLimit
from domain.providers import DeclineReason
from domain.purchases import Dispute, Method, Purchase
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest, RefundScope
from domain.state_effects import EmailKind
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


class People:
    """Everybody who is not a program."""

    def __init__(self, world: "World") -> None:
        self._world = world
        self._draw = world.random
        self.requests = 0
        self.asked: dict[UUID, str] = {}
        """The cases that somebody was told of."""
        self.known: dict[str, UUID] = {}

    def settle_in(self) -> None:
        """Sellers with their policies, purchases with their payments, and all that will happen to them."""
        world, draw = self._world, self._draw
        sellers = ["aurora", "borealis", "corona"][: draw.choice([1, 1, 2, 3])]
        with world.records.work() as work:
            for name in sellers:
                limit = (
                    SerialLimit(count=draw.choice([1, 2]), within=timedelta(days=30)) if draw.random() < 0.15 else None
                )
                seller = Seller(
                    id=name, name=name.title(), time_zone=ZONE, support_email=f"help@{name}.example", serial_limit=limit
                )
                work.sellers.upsert(seller)
                began = world.database_clock() - timedelta(days=700)
                work.sellers.new_policy(name, Category.WITHIN_DAYS, days=30, in_force_from=began)
            bought = [self._purchase(n, draw.choice(sellers)) for n in range(draw.randint(2, 5))]
            if draw.random() < 0.15:  # one payment, two orders
                bought.append(
                    self._purchase(9, bought[0].seller_id, charge=bought[0].charge, provider=bought[0].provider)
                )
            work.purchases.upsert(bought)
        for one in bought:
            self._fate(one)
            self._will_ask(one)

    def _purchase(self, number: int, seller: str, **changes: Any) -> Purchase:
        world, draw = self._world, self._draw
        age = draw.choice([3.0, 3.0, 3.0, 3.0, 29.9, 40.0, 0.05]) * DAY
        at = world.database_clock() - timedelta(seconds=age)
        values: dict[str, Any] = {
            "id": self.uuid(),
            "seller_id": seller,
            "reference": f"MB-{number}",
            "email": f"ada{draw.choice([number, number, 0])}@example.com",
            "product": "Aurora Photo 4",
            "amount": 4900 + number,
            "currency": "EUR",
            "method": draw.choice([Method.CREDIT_CARD, Method.CREDIT_CARD, Method.DIRECT_DEBIT]),
            "provider": draw.choice(list(world.providers)),
            "charge": f"ch_{number}",
            "purchased_at": at,
            "charged_at": at,
        }
        return Purchase(**values | changes)

    def uuid(self) -> UUID:
        """As uuid4(), of this seed."""
        return UUID(int=self._draw.getrandbits(128), version=4)

    def _fate(self, bought: Purchase) -> None:
        """What becomes of the payment at the provider."""
        world, draw = self._world, self._draw
        provider = world.providers[bought.provider]
        if bought.charge in provider.charges:
            return
        assert bought.amount
        assert bought.currency
        charge = provider.charges[bought.charge] = Charge(Money(bought.amount, bought.currency))
        faults, at, forced = world.faults, world.clock.at, world.forced
        if faults.happens("refused_for_now"):
            charge.refundable_from = draw.choice([HOUR, 6 * HOUR, DAY])
        if faults.happens("refused_for_now"):
            charge.funded_from = draw.choice([HOUR, 6 * HOUR, DAY])
        if faults.happens("declined"):
            charge.declined = draw.choice([DeclineReason.PERMANENT, DeclineReason.REFUND_WINDOW_EXPIRED])
        charge.poison = draw.choice(["question", "answer"]) if draw.random() < forced.get("poison", 0.02) else ""
        if draw.random() < forced.get("foreign", 0.08):
            at(draw.random() ** 2 * DAY, provider.refunded_by_hand, bought.charge)
        for n in range(draw.choice([1, 1, 2]) if draw.random() < forced.get("disputes", 0.12) else 0):
            one, opened = f"dp_{bought.charge}_{n}", draw.random() ** 2 * 6 * HOUR
            at(opened, provider.disputed, bought.charge, one, Dispute.OPEN)
            if draw.random() < 0.7:
                decided = opened + draw.choice([HOUR, DAY])
                at(decided, provider.disputed, bought.charge, one, draw.choice([Dispute.WON, Dispute.LOST]))

    # Customers

    def _will_ask(self, bought: Purchase) -> None:
        world, draw = self._world, self._draw
        first = draw.random() ** 2 * 4 * HOUR
        for n in range(draw.choice([1, 1, 1, 2, 3])):
            arrival = self._arrival(bought, n)
            at = first + (draw.choice([0.0, 1.0, 60.0, HOUR]) * draw.random() if n else 0.0)
            for _ in range(draw.choice([1, 1, 1, 2])):  # the same request again, under its key
                self.requests += 1
                world.clock.at(at + draw.random() * draw.choice([0.05, 60.0]), world.web, self._ask, arrival, 0)

    def _arrival(self, bought: Purchase, number: int) -> Submission:
        draw = self._draw
        request = RefundRequest.model_construct(
            email=bought.email,
            reference=bought.reference if draw.random() < 0.97 else "MB-unknown",
            reason=RefundReason.DISSATISFIED,
            refund_scope=RefundScope.FULL if draw.random() < 0.97 else RefundScope.PARTIAL,
            comment="",
            locale="en",
        )
        channel = draw.choice(list(Channel))
        trusted = channel in {Channel.API, Channel.QUEUE} and draw.random() < 0.8
        key = f"{bought.reference} {number}" if draw.random() < 0.95 else "the same for all"
        return Submission(
            id=self.uuid(),
            request=request,
            channel=channel,
            source=f"{channel}",
            key=key,
            seller_id=bought.seller_id if trusted or draw.random() < 0.5 else None,
            trusted=trusted,
            bulk=draw.random() < 0.2,
        )

    def _ask(self, arrival: Submission, tries: int) -> None:
        world = self._world
        try:
            accepted = intake.accept_one(world.records, arrival)
        except KeyReusedError:
            return
        except (*world.seams.database_errors, Killed):
            again = world.clock.now + self._draw.choice([1.0, 10.0, 300.0])
            world.clock.at(again, world.web, self._ask, arrival, tries + 1)
            raise
        name = f"{arrival.source} {arrival.key}"
        if self.known.setdefault(name, accepted.id) != accepted.id:
            world.watch.violated("I4", f"The request {name} is two cases: {self.known[name]} and {accepted.id}.")
        self.asked[accepted.id] = name

    def read(self, letter: Any) -> None:
        """A customer reads a letter, and may answer it."""
        world, draw = self._world, self._draw
        if letter.stage is not EmailKind.START_REFUND or draw.random() < 0.1:
            return
        say = intake.confirm if draw.random() < 0.92 else intake.withdraw
        late = draw.choice([MINUTE, HOUR, DAY]) if draw.random() < 0.95 else 20 * DAY
        for _ in range(draw.choice([1, 1, 2])):
            world.clock.later(draw.random() * late, world.web, self._say, say, letter.case)

    def _say(self, say: Any, case: UUID) -> None:
        world = self._world
        try:
            say(world.records, case)
        except NotPossibleError:
            return
        except (*world.seams.database_errors, Killed):
            world.clock.later(20.0, world.web, self._say, say, case)
            raise
