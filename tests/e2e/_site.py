"""A small town: sellers, their customers, the web on a real port, and the crew that works behind it."""

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
from tests.integration._web_fixtures import served
from tests.sample_data import a_recent_purchase, settle_in
from tests.services import Child, environment, eventually, fresh_database, settings_of

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
class Town:
    """What a test asks of it."""

    url: str
    settings: Settings
    records: Records

    @property
    def links(self) -> Links:
        return Links.of(self.settings)

    def sold(self, behaviour: str = "ok", **changes: object) -> Purchase:
        """A purchase that somebody made three days ago; the sandbox refunds it as its charge says."""
        bought = a_recent_purchase(charge=f"{behaviour}_{uuid4().hex}", **changes)
        settle_in(self.records, bought)
        with self.records.work() as work:
            work.purchase_details.put([(bought.seller_id, bought.reference, DETAILS)])
        return bought

    def letters(self, to: str) -> list[EmailMessage]:
        """What this address was sent."""
        assert self.settings.sent_mail_dir
        files = (self.settings.sent_mail_dir / "new").iterdir()
        found = [message_from_bytes(file.read_bytes(), policy=default) for file in files]
        return [letter for letter in found if letter["To"] == to]

    def letter(self, to: str, purpose: Purpose) -> EmailMessage:
        """The letter to this address with a link for this purpose, once it is there."""
        return eventually(lambda: [letter for letter in self.letters(to) if self._link(letter, purpose)])[0]

    def link(self, to: str, purpose: Purpose) -> str:
        """The link that this address was mailed for this purpose, once it was."""
        return self._link(self.letter(to, purpose), purpose)

    def _link(self, letter: EmailMessage, purpose: Purpose) -> str:
        found = re.search(rf"{re.escape(self.url)}/{purpose}/[\w.~?=&-]+", words(letter))
        return found[0] if found else ""

    def cases(self) -> int:
        """How many requests were counted."""
        with self.records.work() as work:
            return sum(work.case_views.counts().values())

    def refunds(self, bought: Purchase) -> int:
        """How many refunds the provider made of this purchase's payment."""
        with urllib.request.urlopen(f"{self.settings.sandbox_url}/v1/refunds?charge={bought.charge}") as answer:
            return len(json.load(answer)["data"])


class Crew:
    """A worker and the relay, for as long as the block lasts."""

    def __init__(self, town: Town, folder: Path) -> None:
        env = environment(town.settings)
        self._worker = Child("worker", env, "worker", "-c", "1", log=folder)
        self._relay = Child("relay", env, "relay", log=folder)

    def __enter__(self) -> "Crew":
        eventually(lambda: "ready" in self._worker.said())
        return self

    def __exit__(self, *_: object) -> None:
        self._relay.kill()
        self._worker.kill()

    @contextmanager
    def at_rest(self) -> Iterator[None]:
        """Nothing moves before the block is over: what a page says meanwhile is no matter of luck."""
        os.kill(self._relay.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self._relay.process.pid, signal.SIGCONT)


@contextmanager
def a_town(servers: Servers, sandbox_url: str | None, folder: Path) -> Iterator[Town]:
    """The web on a database of its own, served on a port that its letters name."""
    with fresh_database(servers) as database, socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{door.getsockname()[1]}"
        told = {"public_url": url, "sandbox_url": sandbox_url, "mailbox_page": True}
        settings = settings_of(servers, database, folder).model_copy(update=told)
        records = Records.of(settings)
        settle_in(records)
        with records.work() as work:
            work.storefronts.upsert(FRONT)
        with served(app(settings), door):
            yield Town(url, settings, records)
        records.engine.dispose()


def words(letter: EmailMessage) -> str:
    """The plain text of a letter."""
    body = letter.get_body(("plain",))
    assert body
    return str(body.get_content())
