"""Simulates the demo's customers: they use the form, the API, e-mail or the queue, and confirm or cancel refunds."""

import json
import mailbox
import re
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import make_msgid
from uuid import uuid4

from config.broker import DIRECT, connect
from config.settings import Settings
from console.demo.scenario import DemoCustomer
from domain.messages import IncomingRequest
from domain.requests import Channel

_NONCE = re.compile(r'name="nonce" value="([^"]+)"')
_REASONS = {
    "unwanted_renewal": "It renewed although I did not want the renewal.",
    "dissatisfied": "I am not satisfied with it.",
    "wrong_product": "I ordered the wrong product.",
    "technical_issue": "It does not install on my computer.",
    "duplicate_order": "I ordered twice by mistake.",
    "poor_support": "Your technical support did not help me.",
    "not_delivered": "I never received it.",
    "other": "I changed my mind.",
}


class CustomerSimulator:
    """Sends the customers' refund requests to one installation, and later confirms the refunds or cancels the requests."""

    def __init__(self, settings: Settings, keys: Mapping[str, str]) -> None:
        self._settings = settings
        self._url = settings.public_url
        self._keys = keys
        self._inbox = mailbox.Maildir(str(settings.incoming_mail_dir), create=True)
        self._send = {
            Channel.WEB: self._submit_form,
            Channel.API: self._call_api,
            Channel.EMAIL: self._send_mail,
            Channel.QUEUE: self._publish,
        }

    def send_request(self, customer: DemoCustomer) -> None:
        """Send the refund request through the customer's channel."""
        self._send[customer.request.channel](customer)

    def confirm(self, customer: DemoCustomer, link: str) -> None:
        """Open the link in the confirmation e-mail, and confirm the refund or cancel the request."""
        with urllib.request.urlopen(link) as page:
            page.read()
        url = {"yes": link, "no": f"{link}/cancel"}[customer.request.confirms]
        self._post(url, b"sure=yes", "application/x-www-form-urlencoded")

    def _submit_form(self, customer: DemoCustomer) -> None:
        with urllib.request.urlopen(f"{self._url}/refund") as page:
            nonce = _NONCE.search(page.read().decode())
        form = self._fields(customer) | {"nonce": nonce.group(1) if nonce else ""}
        self._post(f"{self._url}/refund", urllib.parse.urlencode(form).encode(), "application/x-www-form-urlencoded")

    def _call_api(self, customer: DemoCustomer) -> None:
        headers = {
            "Authorization": f"Bearer {self._keys[customer.purchase.seller_id]}",
            "Idempotency-Key": str(uuid4()),
        }
        body = json.dumps(self._fields(customer)).encode()
        self._post(f"{self._url}/v1/refund-requests", body, "application/json", headers)

    def _send_mail(self, customer: DemoCustomer) -> None:
        mail = EmailMessage()
        mail["From"], mail["To"] = customer.purchase.email, "refunds@moneyback.example"
        mail["Subject"] = f"Refund for {customer.reference}"
        mail["Message-ID"] = make_msgid(domain="example.com")
        name = customer.purchase.email.partition(".")[0].title()
        mail.set_content(
            f"Hello,\n\nplease refund my order {customer.reference}. {_REASONS[customer.request.reason]}\n\nBest\n{name}\n"
        )
        self._inbox.add(mail)

    def _publish(self, customer: DemoCustomer) -> None:
        event = {
            "specversion": "1.0",
            "id": str(uuid4()),
            "source": f"{customer.purchase.seller_id}/form",
            "type": "moneyback.refund_requested.v1",
            "data": {"seller": customer.purchase.seller_id, "request": self._fields(customer)},
        }
        with connect(self._settings) as connection:
            producer = connection.Producer(exchange=DIRECT, routing_key=IncomingRequest.queue, serializer="json")
            producer.publish(event)

    def _fields(self, customer: DemoCustomer) -> dict[str, str]:
        return {"email": customer.purchase.email, "reference": customer.reference, "reason": customer.request.reason}

    def _post(self, url: str, body: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        request = urllib.request.Request(url, body, {"Content-Type": kind, **(headers or {})})
        try:
            with urllib.request.urlopen(request) as answer:
                answer.read()
        except urllib.error.HTTPError as error:
            raise RuntimeError(f"{url} answered {error.code}: {error.read().decode(errors='replace')[:500]}") from error
