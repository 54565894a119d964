"""The desk next to the site: sellers with their own limits, requests that the rules refuse, and what the provider refunded."""

import json
import urllib.request
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any
from uuid import UUID, uuid4

from playwright.sync_api import Page

from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from domain.purchases import Purchase
from domain.requests import Channel
from domain.states import State
from producers import intake
from records.audit import audit
from tests.e2e._site import Site
from tests.integration._desk_fixtures import Desk
from tests.sample_data import a_policy, a_recent_purchase, a_request, a_seller, store_seller_and_purchases
from tests.services import eventually

_numbers = count(1)
LONG_AGO = timedelta(days=100)
"""The age of a purchase that no rule refunds, because the policy of the sellers allows 30 days."""


@dataclass(frozen=True)
class DeskSite:
    """A running web server and a running desk, which use the same records."""

    site: Site
    desk: Desk

    @property
    def url(self) -> str:
        """The address of the desk."""
        return str(self.desk.web.base_url).rstrip("/")

    def add_seller(self) -> str:
        """Store a seller without limits. Each test has its own seller, so no test sees the tasks of another test."""
        seller = a_seller(id=f"aurora{next(_numbers)}")
        store_seller_and_purchases(self.site.records, seller=seller, policy=a_policy(seller_id=seller.id))
        return seller.id

    def set_limits(self, seller: str, **limits: Any) -> None:
        with self.site.records.work() as work:
            work.sellers.upsert(a_seller(id=seller, **limits))

    def add_user(self, role: Role, seller: str, *, name: str = "", password: bool = False) -> UUID:
        """Store a user with this role for the seller."""
        name = name or role.value
        return self.desk.add_user(
            f"{name.partition(' ')[0].lower()}@{seller}.example", RoleGrant(role, seller), name=name, password=password
        )

    def enter(self, page: Page, user: UUID) -> None:
        """Give the browser of the page a session of this user."""
        ((name, token),) = self.desk.client_of(user).cookies.items()
        page.context.clear_cookies()
        page.context.add_cookies([{"name": name, "value": token, "url": self.url}])

    def add_purchase(self, seller: str, behaviour: str = "ok", **changes: Any) -> Purchase:
        """Store a purchase that is too old for an automatic refund. ``behaviour`` selects how the sandbox refunds its charge."""
        values = {
            "charge": f"{behaviour}_{uuid4().hex}",
            "seller_id": seller,
            "purchased_at": datetime.now(UTC) - LONG_AGO,
        }
        purchase = a_recent_purchase(**values | changes)
        store_seller_and_purchases(self.site.records, purchase)
        return purchase

    def request_refund(self, purchase: Purchase, **changes: Any) -> UUID:
        """Send the request of the customer, and wait until the rules have passed it to support. Return the case."""
        request = intake.submission(a_request(purchase, **changes), Channel.WEB)
        case = intake.accept_one(self.site.records, request).id
        self.wait_for(case, State.WITH_SUPPORT)
        return case

    def case_of(self, purchase: Purchase) -> UUID | None:
        """Return the case about the purchase, if the rules have found it."""
        with self.site.records.work() as work:
            return work.run("select id from cases where purchase_id = :id", id=purchase.id).scalar()

    def state(self, case: UUID) -> State:
        with self.site.records.work() as work:
            view = work.case_views.get(case)
        assert view
        return view.state

    def wait_for(self, case: UUID, state: State) -> None:
        eventually(lambda: self.state(case) is state)

    def decisions(self, case: UUID) -> list[tuple[str, str]]:
        """Return the action and the status of each decision about the case, the oldest first."""
        with self.site.records.work() as work:
            return [
                (decision.decision["action"], decision.status.value)
                for decision in work.support_decisions.for_case(case)
            ]

    def assert_refunded(self, purchase: Purchase, *amounts: int) -> None:
        """Check that the provider refunded exactly these amounts, and that the records say the same and are consistent."""
        (payment,) = purchase.payments
        address = f"{self.site.settings.sandbox_url}/v1/refunds?charge={payment.charge}"
        with urllib.request.urlopen(address) as response:
            refunds = json.load(response)["data"]
        assert [(refund["amount"], refund["status"]) for refund in refunds] == [
            (amount, "succeeded") for amount in amounts
        ]
        with self.site.records.work() as work:
            stored = work.purchases.get(purchase.id)
            assert stored
            assert stored.refunded == sum(amounts)
            assert audit(work).faults == []
