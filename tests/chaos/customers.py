"""Plans the customers of a chaos run and their requests. The same seed gives the same plan."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.api_scopes import ALL_SCOPES
from domain.policies import Category, Seller
from domain.purchases import Payment, Purchase
from domain.refund_reasons import RefundReason
from domain.requests import RefundRequest
from records import Records
from records.purchase_reports import store_purchases

SELLERS = ("aurora", "kumo", "paperboat")
CONFIRM_RATE = 0.8  # the share of customers who confirm after an e-mail of the kind start_refund

BEHAVIOURS = {
    "ok": 60,
    "slow": 3,
    "hang": 3,
    "drip": 2,
    "garbage": 2,
    "wrong": 2,
    "fail500": 4,
    "lost500": 4,
    "busy": 4,
    "broke": 3,
    "early": 2,
    "tardy": 3,
    "blind": 3,
    "elsewhere": 2,
    "declined": 3,
    "closed": 1,
    "disputed": 2,
    "crossing": 2,
    "pending": 4,
    "pendingfail": 2,
    "latefail": 2,
    "dupes": 2,
    "shuffle": 2,
    "mute": 2,
    "forge": 2,
}
"""How the sandbox provider behaves when a charge is refunded, with weights. A behaviour with a higher weight is more frequent.

The sandbox's behaviours `stored500` and `expires` are missing, because it takes hours until such a refund is resolved. The
simulation tests these two behaviours.
"""


class RequestChannel(NamedTuple):
    """A channel for requests. ``trusted`` is true if the seller has verified who the customer is.

    A channel with a higher ``weight`` is chosen more often.
    """

    trusted: bool
    weight: int


CHANNELS = {
    "api": RequestChannel(trusted=True, weight=60),
    "untrusted api": RequestChannel(trusted=False, weight=8),
    "form": RequestChannel(trusted=False, weight=8),
    "mail": RequestChannel(trusted=False, weight=10),
    "consume": RequestChannel(trusted=False, weight=14),
}


@dataclass(frozen=True)
class PlannedRequest:
    """One request. Its name is part of the idempotency key, so a repetition of the request creates no second case."""

    name: str
    channel: str
    at: float
    """The time of the request, in seconds after the start of the run."""
    times: int
    """The number of times that the customer sends this same request. Requests without a response do not count."""


@dataclass(frozen=True)
class Customer:
    """One purchase, and all refund requests for it."""

    purchase: Purchase
    confirms: bool
    requests: list[PlannedRequest] = field(default_factory=list)

    @property
    def request(self) -> RefundRequest:
        return RefundRequest(
            email=self.purchase.email, reference=self.purchase.reference, reason=RefundReason.DISSATISFIED, comment=""
        )


def customers(number: int, seconds: float, rng: Random) -> Iterator[Customer]:
    """Yield ``number`` customers whose requests arrive within ``seconds``."""
    bought = datetime.now(UTC) - timedelta(days=3)
    for n in range(number):
        behaviour = rng.choices(list(BEHAVIOURS), list(BEHAVIOURS.values()))[0]
        purchase = Purchase(
            id=UUID(int=rng.getrandbits(128)),
            seller_id=rng.choice(SELLERS),
            reference=f"MB-{n:08}",
            email=f"customer{n}@example.com",
            product="A licence",
            purchased_at=bought,
            payments=(
                Payment(
                    provider="sandbox",
                    charge=f"{behaviour}_{rng.getrandbits(64):016x}",
                    amount=rng.randint(100, 20_000),
                    currency="EUR",
                    method="credit_card",
                    charged_at=bought,
                ),
            ),
        )
        customer = Customer(purchase, confirms=rng.random() < CONFIRM_RATE)
        at = rng.uniform(0, seconds)
        for _ in range(rng.choices((1, 2, 5), (90, 7, 3))[0]):
            channel = rng.choices(list(CHANNELS), [channel.weight for channel in CHANNELS.values()])[0]
            times = rng.choices((1, 2, 3), (85, 10, 5))[0]
            customer.requests.append(PlannedRequest(f"{rng.getrandbits(128):032x}", channel, at, times))
        yield customer


class Keys(NamedTuple):
    """A seller's API keys."""

    trusted: str
    untrusted: str


def seed_records(records: Records, all_customers: list[Customer]) -> dict[str, Keys]:
    """Store the sellers, their policies and the purchases, and return the sellers' API keys."""
    with records.work() as work:
        for seller in SELLERS:
            work.sellers.upsert(
                Seller(id=seller, name=seller.title(), time_zone=ZoneInfo("UTC"), support_email="help@example.com")
            )
            since = datetime.now(UTC) - timedelta(days=400)
            work.sellers.new_policy(seller, Category.WITHIN_DAYS, days=30, in_force_from=since)
        keys = {s: Keys(work.api_keys.create(s, ALL_SCOPES)[1], work.api_keys.create(s)[1]) for s in SELLERS}
    for first in range(0, len(all_customers), 1_000):
        with records.work() as work:
            store_purchases(work, [customer.purchase for customer in all_customers[first : first + 1_000]])
    return keys
