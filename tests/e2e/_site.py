"""The site that the browser tests open: a seller with purchases, the web server on a real port, a worker and a relay."""

import json
import os
import re
import signal
import socket
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from uuid import uuid4

from config.settings import Settings
from config.signed_links import Links, Purpose
from console.servers import Servers
from domain.purchase_details import PurchaseDetails
from domain.purchases import Purchase
from producers.web.app import app
from records import Records
from records.storefronts import Storefront
from tests.integration._provider_fixtures import with_long_timeouts
from tests.integration._web_fixtures import serve
from tests.sample_data import a_recent_purchase, charge_of, store_seller_and_purchases
from tests.services import ChildProcess, create_settings, environment, eventually, fresh_database

DETAILS = PurchaseDetails(
    licence_key="AURORA-4711-PHOTO-0815",
    download_url="https://download.aurora.example/photo4",
    invoice_number="2026-00042",
    invoice_url="https://shop.aurora.example/invoices/42",
)
FRONT = Storefront(
    seller="aurora",
    name="Aurora Software",
    support_email="help@aurora.example",
    colour="#7a1f5c",
    website="https://aurora.example",
    technical_support="support@aurora.example",
)


@dataclass(frozen=True)
class Site:
    """A running web server, with its URL, settings and records."""

    url: str
    settings: Settings
    records: Records

    @property
    def links(self) -> Links:
        return Links.of(self.settings)

    def add_purchase(self, behaviour: str = "ok", **changes: object) -> Purchase:
        """Store a purchase that was made three days ago. `behaviour` selects how the sandbox refunds the charge."""
        purchase = a_recent_purchase(charge=f"{behaviour}_{uuid4().hex}", **changes)
        store_seller_and_purchases(self.records, purchase)
        with self.records.work() as work:
            work.purchase_details.put([(purchase.seller_id, purchase.reference, DETAILS)])
        return purchase

    def emails_to(self, to: str) -> list[EmailMessage]:
        """Return the e-mails that were sent to an address."""
        assert self.settings.sent_mail_dir
        files = (self.settings.sent_mail_dir / "new").iterdir()
        emails = [message_from_bytes(file.read_bytes(), policy=default) for file in files]
        return [email for email in emails if email["To"] == to]

    def wait_for_email(self, to: str, purpose: Purpose) -> EmailMessage:
        """Wait until an e-mail to this address contains a link with this purpose. Return the e-mail."""
        return eventually(lambda: [email for email in self.emails_to(to) if self._link(email, purpose)])[0]

    def wait_for_link(self, to: str, purpose: Purpose) -> str:
        """Wait until an e-mail to this address contains a link with this purpose. Return the link."""
        return self._link(self.wait_for_email(to, purpose), purpose)

    def _link(self, email: EmailMessage, purpose: Purpose) -> str:
        match = re.search(rf"{re.escape(self.url)}/{purpose}/[\w.~?=&-]+", plain_text(email))
        return match[0] if match else ""

    def count_cases(self) -> int:
        """Return the number of stored cases."""
        with self.records.work() as work:
            return sum(work.case_views.counts().values())

    def count_refunds(self, purchase: Purchase) -> int:
        """Return the number of refunds that the sandbox made for the purchase."""
        with urllib.request.urlopen(f"{self.settings.sandbox_url}/v1/refunds?charge={charge_of(purchase)}") as response:
            return len(json.load(response)["data"])


class Backend:
    """A worker and the relay, which run while the `with` block runs.

    No sweep runs, so nothing would look up a refund whose provider call timed out. Therefore the site has long timeouts.
    """

    def __init__(self, site: Site, folder: Path) -> None:
        env = environment(site.settings)
        self._worker = ChildProcess("worker", env, "worker", "-c", "1", log=folder)
        self._relay = ChildProcess("relay", env, "relay", log=folder)

    def __enter__(self) -> "Backend":
        eventually(lambda: "ready" in self._worker.read_log())
        return self

    def __exit__(self, *_: object) -> None:
        self._relay.kill()
        self._worker.kill()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Pause the relay while the `with` block runs. So no case changes its state, and the pages do not depend on timing."""
        os.kill(self._relay.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._relay.process.pid, signal.SIGCONT)


@contextmanager
def run_site(servers: Servers, sandbox_url: str | None, folder: Path) -> Iterator[Site]:
    """Run the web server with a new database, on a free port. The links in the e-mails contain this port."""
    with fresh_database(servers) as database, socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        changes = {"public_url": url, "sandbox_url": sandbox_url, "mailbox_page": True}
        settings = with_long_timeouts(create_settings(servers, database, folder).model_copy(update=changes))
        records = Records.of(settings)
        store_seller_and_purchases(records)
        with records.work() as work:
            work.storefronts.upsert(FRONT)
        with serve(app(settings), listener):
            yield Site(url, settings, records)
        records.engine.dispose()


def plain_text(email: EmailMessage) -> str:
    """Return the plain text of an e-mail."""
    body = email.get_body(("plain",))
    assert body
    return str(body.get_content())
