"""Plans the cases that support must decide in a chaos run with agents. The same seed gives the same cases."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from random import Random
from typing import NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from domain.money import Money
from domain.policies import Category, Seller
from domain.purchases import Payment, Purchase, PurchaseItem
from domain.refund_reasons import RefundReason
from domain.requests import Channel, RefundRequest
from producers.desk.accounts.passwords import hash_password
from producers.intake import accept, submission
from records import Records, UnitOfWork
from records.intake import Submission
from records.purchase_reports import store_purchases

SELLERS = (
    Seller(
        id="aurora",
        name="Aurora",
        time_zone=ZoneInfo("UTC"),
        support_email="help@aurora.example",
        four_eyes_above=Money(10_000, "EUR"),
        undo_above=Money(5_000, "EUR"),
    ),
    Seller(
        id="kumo",
        name="Kumo",
        time_zone=ZoneInfo("UTC"),
        support_email="help@kumo.example",
        four_eyes_above=Money(3_000, "EUR"),
    ),
    Seller(
        id="paperboat",
        name="Paperboat",
        time_zone=ZoneInfo("UTC"),
        support_email="help@paperboat.example",
        undo_above=Money(0, "EUR"),
    ),
)
"""The sellers, with and without a second person, and with and without some seconds for an undo."""

BEHAVIOURS = {
    "ok": 60,
    "slow": 4,
    "fail500": 5,
    "lost500": 6,
    "busy": 5,
    "broke": 3,
    "early": 2,
    "tardy": 4,
    "declined": 3,
    "pending": 6,
    "pendingfail": 3,
    "latefail": 3,
    "elsewhere": 2,
    "dupes": 2,
    "shuffle": 2,
}
"""How the sandbox provider behaves when a charge is refunded, with weights."""

PASSWORD = "correct horse battery staple"  # the password of the agents of a test
AGE = timedelta(days=60)  # older than each seller's policy allows, so that support decides


class Agent(NamedTuple):
    """A user of the desk."""

    id: UUID
    email: str
    is_lead: bool

    @property
    def name(self) -> str:
        """Return the id by which the records name the user."""
        return f"user:{self.id}"


def purchases(number: int, rng: Random) -> Iterator[Purchase]:
    """Yield ``number`` purchases: with one payment, with several payments, with items, and carts that share a payment."""
    previous: Purchase | None = None
    for n in range(number):
        kind = rng.choices(("one", "several", "items", "cart"), (40, 25, 15, 20))[0]
        payments = tuple(_payment(rng) for _ in range(rng.choice((2, 3)) if kind == "several" else 1))
        purchase = Purchase(
            id=UUID(int=rng.getrandbits(128)),
            seller_id=rng.choice(SELLERS).id,
            reference=f"MB-{n:08}",
            email=f"customer{n}@example.com",
            product="A licence",
            purchased_at=payments[0].charged_at,
            payments=payments,
        )
        amount = payments[0].amount or 0
        if kind == "items":
            items = (
                PurchaseItem(id="licence", name="Licence", quantity=3, amount=amount // 2),
                PurchaseItem(id="manual", name="Manual", quantity=1, amount=amount - amount // 2),
            )
            purchase = replace(purchase, items=items)
        if kind == "cart" and previous:  # the payment of the purchase before has also paid this purchase
            shared = replace(previous.payments[0], amount=amount)
            purchase = replace(purchase, seller_id=previous.seller_id, payments=(shared,))
        previous = purchase
        yield purchase


def _payment(rng: Random) -> Payment:
    behaviour = rng.choices(list(BEHAVIOURS), list(BEHAVIOURS.values()))[0]
    return Payment(
        provider="sandbox",
        charge=f"{behaviour}_{rng.getrandbits(64):016x}",
        amount=rng.randint(200, 20_000),
        currency="EUR",
        method="credit_card",
        charged_at=datetime.now(UTC) - AGE,
    )


def seed_support(records: Records, all_purchases: list[Purchase], agents: int) -> list[Agent]:
    """Store sellers, purchases, one request for each purchase, and agents. Return the agents; every third one is a lead."""
    with records.work() as work:
        for seller in SELLERS:
            work.sellers.upsert(seller)
            since = datetime.now(UTC) - timedelta(days=400)
            work.sellers.new_policy(seller.id, Category.WITHIN_DAYS, days=30, in_force_from=since)
        store_purchases(work, all_purchases)
    accept(records, [_request(purchase) for purchase in all_purchases])
    password = hash_password(PASSWORD)
    with records.work() as work:
        return [_add_agent(work, number, password) for number in range(agents)]


def _request(purchase: Purchase) -> Submission:
    request = RefundRequest(
        email=purchase.email, reference=purchase.reference, reason=RefundReason.DISSATISFIED, comment=""
    )
    return submission(request, Channel.API, seller=purchase.seller_id, trusted=True)


def _add_agent(work: UnitOfWork, number: int, password: str) -> Agent:
    role = Role.LEAD if number % 3 == 0 else Role.AGENT
    email = f"{role}{number}@desk.example"
    user = work.desk_users.add(email, email.partition("@")[0], (RoleGrant(role, ""),), actor=None)
    assert user, f"A user has the address {email}."
    work.desk_users.set_password(user, password, keep=None)
    return Agent(user, email, is_lead=role is Role.LEAD)
