"""A shop with two sellers: the web server, a worker, the database and the sandbox provider, all of them real.

A test tells purchases as a seller does, asks for refunds as a customer does, and then looks at what the customer, support and
the provider see.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote
from uuid import UUID, uuid4

import httpx
import pytest

from config.settings import Settings
from config.signed_links import Purpose
from console.sandbox.events import Event
from console.servers import Servers
from domain.api_scopes import ALL_SCOPES
from domain.messages import WORK_QUEUES, RefundApproved, RefundOutcomeUnknown, RefundRequested
from domain.providers import ListedRefund, Unknown
from domain.purchases import Purchase
from domain.requests import Channel, RefundRequest
from producers.intake import accept_one, submission
from producers.purchase_import import ImportResult, import_rows
from producers.web.app import app
from records import Records
from tests.integration._provider_fixtures import (
    SECRET,
    an_event,
    close_context,
    expire_leases,
    process_all_events,
    send_event,
    with_long_timeouts,
)
from tests.integration._web_fixtures import serve
from tests.sample_data import a_policy, a_seller, store_seller_and_purchases
from tests.services import create_settings, empty_database, fresh_database
from worker.context import WorkerContext, create_context
from worker.dispatch import handle
from worker.providers import create_webhook_parsers

SELLERS = {"aurora": "Aurora Software", "babbage": "Babbage Engines"}
EMAIL = "ada@example.com"


def a_charge(behaviour: str = "ok") -> str:
    """Return a new charge. Its prefix selects the behaviour of the sandbox."""
    return f"{behaviour}_{uuid4().hex}"


def three_days_ago() -> str:
    return (datetime.now(UTC) - timedelta(days=3)).isoformat()


def a_body(**fields: Any) -> dict[str, Any]:
    """Return the fields of a new purchase, as a seller sends them. A field that is None is left out."""
    body = {
        "email": EMAIL,
        "product": "Aurora Photo 4",
        "amount": 4900,
        "currency": "EUR",
        "method": "credit_card",
        "provider": "sandbox",
        "charge": a_charge(),
        "purchased_at": three_days_ago(),
    }
    return {name: value for name, value in (body | fields).items() if value is not None}


def several_payments(*payments: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """Return the fields of a new purchase with several payments."""
    return a_body(amount=None, charge=None, payments=list(payments)) | fields


class Running(NamedTuple):
    """The servers of the shop, which all tests of a process share."""

    servers: Servers
    database: str
    context: WorkerContext
    web: httpx.Client


@pytest.fixture(scope="session")
def running(servers: Servers, tmp_path_factory: pytest.TempPathFactory, sandbox_url: str) -> Iterator[Running]:
    """Yield a web server and a worker context with their own database.

    The metadata field ``seller`` of a payment names its seller.
    """
    with fresh_database(servers) as database:
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv("MONEYBACK_SANDBOX_SELLER_METADATA", "seller")
            settings = create_settings(servers, database, tmp_path_factory.mktemp("shop"))
            context = create_context(with_long_timeouts(settings).model_copy(update={"sandbox_url": sandbox_url}))
            site = app(context.settings, readers=create_webhook_parsers(context.settings))
        with serve(site) as web:
            yield Running(servers, database, context, web)
        close_context(context)


@pytest.fixture
def shop(running: Running) -> "Shop":
    """Return a shop whose database contains only two sellers, their policies and API keys."""
    empty_database(running.servers, running.database)
    for email in (running.context.settings.sent_mail_dir or Path()).glob("*/*"):
        email.unlink()
    records, keys = running.context.records, {}
    for id_, name in SELLERS.items():
        seller = a_seller(id=id_, name=name)
        store_seller_and_purchases(records, seller=seller, policy=a_policy(seller_id=id_))
        with records.work() as work:
            keys[id_] = work.api_keys.create(id_)[1], work.api_keys.create(id_, ALL_SCOPES)[1]
    return Shop(running.web, running.context, keys)


@dataclass(frozen=True)
class Shop:
    """The web server, a worker and the sandbox."""

    web: httpx.Client
    context: WorkerContext
    keys: dict[str, tuple[str, str]]
    """The ordinary API key and the trusted API key of each seller."""

    @property
    def settings(self) -> Settings:
        return self.context.settings

    @property
    def records(self) -> Records:
        return self.context.records

    # What sellers do

    def headers(self, seller: str = "aurora", *, trusted: bool = False) -> dict[str, str]:
        return {"authorization": f"Bearer {self.keys[seller][trusted]}"}

    def put(self, reference: str, seller: str = "aurora", **fields: Any) -> httpx.Response:
        """Tell a purchase with exactly these fields."""
        return self.web.put(f"/v1/purchases/{quote(reference, safe='')}", json=fields, headers=self.headers(seller))

    def tell(self, reference: str, seller: str = "aurora", **fields: Any) -> str:
        """Tell a new purchase. Return its charge."""
        body = a_body(**fields)
        answer = self.put(reference, seller, **body)
        assert answer.status_code == 201, answer.text
        return str(body.get("charge", ""))

    def import_rows(self, *rows: dict[str, Any], seller: str = "aurora") -> ImportResult:
        """Import a file with these rows."""
        return import_rows(self.records, list(enumerate(({"seller": seller} | row for row in rows), start=1)))

    # What customers do

    def ask(
        self, reference: str, email: str = EMAIL, *, seller: str | None = "aurora", trusted: bool = False, **fields: Any
    ) -> UUID:
        """Ask for a refund: with a seller's API key, or, if ``seller`` is None, with the common form. Return the case."""
        request = RefundRequest(**{"email": email, "reference": reference, "reason": "dissatisfied"} | fields)
        channel = Channel.API if seller else Channel.WEB
        return accept_one(self.records, submission(request, channel, seller=seller, trusted=trusted)).id

    def confirm(self, case: UUID, page: str | None = None) -> httpx.Response:
        """Tick the box of the confirmation page, and press the button. The page may have been opened earlier."""
        opened = self.web.get(self.link(Purpose.CONFIRM, case)).text if page is None else page
        seq = re.search(r'name="seq" value="(\d+)"', opened)
        return self.web.post(self.link(Purpose.CONFIRM, case), data={"sure": "yes", "seq": seq[1] if seq else ""})

    def link(self, purpose: Purpose, case: UUID) -> str:
        return self.context.links.to(purpose, case).removeprefix("http://testserver")

    def page(self, purpose: Purpose, case: UUID) -> str:
        answer = self.web.get(self.link(purpose, case), follow_redirects=True)
        assert answer.status_code == 200, answer.text
        return answer.text

    def mails(self, address: str = EMAIL) -> list[str]:
        """Return the plain text of the e-mails to this address, oldest first."""
        assert self.settings.sent_mail_dir
        files = sorted(self.settings.sent_mail_dir.glob("new/*"), key=lambda file: file.stat().st_mtime_ns)
        messages = [message_from_bytes(file.read_bytes(), policy=policy.default) for file in files]
        texts = []
        for message in messages:
            body = message.get_body(("plain",)) if address in str(message["To"]) else None
            if body is not None:
                texts.append(f"{message['Subject']}\n{body.get_content()}")
        return texts

    # What workers do

    def process(self) -> None:
        """Process all due messages, as the relay and the workers do."""
        while True:
            with self.records.work() as work:
                taken = [
                    (kind, work.outbox.take(queue, room=100, after=None, bulk=False))
                    for queue, kind in WORK_QUEUES.items()
                ]
            if not any(rows for _, rows in taken):
                return
            for kind, rows in taken:
                if rows:
                    handle(self.context, kind, list(dict.fromkeys(id_ for id_, _ in rows)))

    def process_again(self) -> None:
        """Make every waiting case and event due now, and process them."""
        expire_leases(self.records)
        with self.records.work() as work:
            cases = [row.id for row in work.run("select id from cases where next_action_at is not null")]
        for kind in (RefundRequested, RefundApproved, RefundOutcomeUnknown):
            handle(self.context, kind, cases)
        process_all_events(self.context)
        self.process()

    def refunded_case(self, reference: str, **fields: Any) -> UUID:
        """Tell a purchase, and let the signed-in customer get the refund. Return the case."""
        self.tell(reference, **fields)
        case = self.ask(reference, trusted=True)
        self.process()
        assert self.state(case) == "refunded"
        return case

    def waiting_case(self, reference: str, email: str = EMAIL, *, seller: str | None = "aurora") -> UUID:
        """Ask for a refund. Return the case, which now waits for the customer's confirmation."""
        case = self.ask(reference, email, seller=seller)
        self.process()
        assert self.state(case) == "awaiting_confirmation", self.reasons(case)
        return case

    # What the provider does

    def post_to_sandbox(self, path: str, document: object) -> dict[str, Any]:
        answer = httpx.post(f"{self.settings.sandbox_url}{path}", json=document)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def register(self, charge: str, amount: int = 4900, currency: str = "EUR", **fields: Any) -> str:
        """Register a payment at the sandbox, so that the sandbox shows its amount. Return the charge."""
        self.post_to_sandbox("/v1/payments", {"charge": charge, "amount": amount, "currency": currency, **fields})
        return charge

    def refund_by_hand(self, charge: str, amount: int, **fields: Any) -> dict[str, Any]:
        """Refund a part of a payment in the provider's dashboard, and send the webhook."""
        body = {"charge": charge, "amount": amount, "currency": "EUR", **fields}
        refund = self.post_to_sandbox("/v1/dashboard/refunds", body)
        self.notify("refund.created", refund)
        return refund

    def notify(self, kind: str, data: dict[str, Any]) -> Event:
        """Send a signed webhook, and process it."""
        event = an_event(kind, data)
        assert send_event(self.web, event, secret=SECRET).status_code == 200
        self.process()
        return event

    def set_dispute(self, charge: str, status: str, dispute: str = "") -> dict[str, Any]:
        """Open a dispute or an inquiry, or change the status of ``dispute``. Send no webhook."""
        path = f"/v1/disputes/{dispute}" if dispute else "/v1/disputes"
        return self.post_to_sandbox(path, {"status": status} if dispute else {"status": status, "charge": charge})

    # What support, the customer and the provider see

    def refunds(self, charge: str) -> list[tuple[int, str]]:
        """Return the amount and the status of each refund that the provider shows."""
        answer = httpx.get(f"{self.settings.sandbox_url}/v1/refunds", params={"charge": charge})
        return [(refund["amount"], refund["status"]) for refund in json.loads(answer.text)["data"]]

    def listed_refunds(self, charge: str) -> list[ListedRefund]:
        listed = self.context.providers["sandbox"].refunds(charge)
        assert not isinstance(listed, Unknown)
        return list(listed)

    def state(self, case: UUID) -> str:
        with self.records.work() as work:
            view = work.case_views.get(case)
        assert view
        return view.state

    def reasons(self, case: UUID) -> list[str]:
        """Return the codes of the reasons that support sees now."""
        with self.records.work() as work:
            view = work.case_views.get(case)
        assert view
        return [reason["code"] for reason in view.reasons]

    def details(self, case: UUID) -> str:
        """Return the details of the reasons that support sees now."""
        with self.records.work() as work:
            view = work.case_views.get(case)
        assert view
        return "; ".join(reason["detail"] for reason in view.reasons)

    def events(self, case: UUID) -> list[str]:
        with self.records.work() as work:
            return [row.event for row in work.history.for_case(case)]

    def open_tasks(self) -> list[tuple[str, list[str]]]:
        """Return the seller and the reason codes of each open support task of the sellers, the oldest first."""
        with self.records.work() as work:
            tasks = [task for task in work.support_tasks.list_open() if task.seller_id]
            return [(task.seller_id, [reason["code"] for reason in task.reasons]) for task in tasks]

    def tasks(self, kind: str) -> list[dict[str, Any]]:
        """Return the evidence of each support task of this kind, with its seller.

        Tasks without a seller are left out: the sandbox also lists the refunds of other tests.
        """
        statement = (
            "select seller_id, evidence from support_tasks where kind = :kind and seller_id > '' order by seller_id"
        )
        with self.records.work() as work:
            return [{"seller": row.seller_id} | row.evidence for row in work.run(statement, kind=kind)]

    def purchase(self, reference: str, seller: str = "aurora") -> Purchase:
        """Return the stored purchase with exactly this reference."""
        (purchase,) = [item for item in self.purchases(seller) if item.reference == reference]
        return purchase

    def purchases(self, seller: str = "aurora") -> list[Purchase]:
        with self.records.work() as work:
            ids = [
                row.id
                for row in work.run("select id from purchases where seller_id = :id order by reference", id=seller)
            ]
            return [purchase for id_ in ids if (purchase := work.purchases.get(id_))]

    def age(self, case: UUID, **elapsed: float) -> None:
        """Make the case look as if it was received earlier."""
        with self.records.work() as work:
            work.run(
                "update cases set received_at = received_at - :ago where id = :id", ago=timedelta(**elapsed), id=case
            )

    def keeps_details(self, reference: str) -> bool:
        """Return whether the customer still sees the licence key and the download of the purchase."""
        with self.records.work() as work:
            (purchase,) = work.purchase_details.get_many([self.purchase(reference).id])
            return not purchase.returned


def amounts_on(page: str) -> set[str]:
    """Return the amounts in euros that a page or an e-mail names."""
    return set(re.findall(r"€[\d,.]*\d", page))
