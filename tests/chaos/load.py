"""Sends the customers' requests, repeats requests without a response, and records the accepted requests."""

import json
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from email import message_from_bytes
from email.message import EmailMessage
from heapq import heappop, heappush
from itertools import count
from mailbox import Maildir
from pathlib import Path
from typing import Self
from urllib.parse import urlencode

import urllib3
from sqlalchemy.exc import SQLAlchemyError

from config.broker import DIRECT, connect, is_unavailable
from config.settings import Settings
from domain.messages import IncomingRequest
from records import Records
from tests.chaos.customers import Customer, Keys, PlannedRequest

THREADS = 12
RETRY_DELAY = 0.5  # seconds before a request without a response is sent again, with the same key
REPUBLISH_DELAY = 8.0  # seconds. If a message of a seller's form led to no case by then, the form publishes it again
MAIL_INTERVAL = 1.0  # seconds between two checks for new e-mails

_LINK = re.compile(rb"https?://\S+/confirm/[\w.~-]+")
_NAME = re.compile(r"[0-9a-f]{32}")

Job = Callable[[], float | None]
"""One step of a customer. It returns the seconds after which the step must be repeated, or None if the step is finished."""


def planned_name(key: str) -> str:
    """Find the name of a planned request in an intake key. Return an empty text if the key contains no name."""
    match = _NAME.search(key)
    return match.group() if match else ""


class Load:
    """Sends every planned request at its planned time. Several threads send requests."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        keys: dict[str, Keys],
        all_customers: list[Customer],
        *,
        threads: int = THREADS,
    ) -> None:
        self._settings, self._records, self._keys = settings, records, keys
        assert settings.sent_mail_dir
        assert settings.incoming_mail_dir
        self._sent_mail, self._incoming_mail = settings.sent_mail_dir / "new", Maildir(str(settings.incoming_mail_dir))
        self._http = urllib3.PoolManager(maxsize=threads, timeout=3.0, retries=False)
        self._jobs: list[tuple[float, int, Job]] = []
        self._busy = 0
        self._numbers = count()
        self._jobs_changed = threading.Condition()
        self._stopped = False
        self.confirming_references = {c.purchase.reference for c in all_customers if c.confirms}
        """The references of the purchases whose customers confirm the refund."""
        self._by_email = {customer.purchase.email: customer for customer in all_customers}
        self._published: set[str] = set()
        self._seen_emails: set[str] = set()
        self.accepted: dict[str, str] = {}
        """Maps the name of each accepted request to its case id. The id is empty if the channel returns no id."""
        self.errors: list[str] = []
        self.retries = 0
        self.republished = 0
        for customer in all_customers:
            for planned in customer.requests:
                self._put(planned.at, self._job(customer, planned))
        self._put(MAIL_INTERVAL, self._read_emails)
        self._threads = [threading.Thread(target=self._work, name=f"customer {n}") for n in range(threads)]

    @property
    def waiting(self) -> int:
        """Return the number of unfinished steps. The check for e-mails is not counted, because it never ends."""
        with self._jobs_changed:
            return len(self._jobs) + self._busy - 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._jobs_changed:
            self._stopped = True
            self._jobs_changed.notify_all()
        for thread in self._threads:
            thread.join()

    def _put(self, after: float, job: Job) -> None:
        with self._jobs_changed:
            heappush(self._jobs, (time.monotonic() + after, next(self._numbers), job))
            self._jobs_changed.notify()

    def _work(self) -> None:
        while True:
            with self._jobs_changed:
                while not self._stopped and (not self._jobs or self._jobs[0][0] > time.monotonic()):
                    self._jobs_changed.wait(self._jobs[0][0] - time.monotonic() if self._jobs else None)
                if self._stopped:
                    return
                job = heappop(self._jobs)[2]
                self._busy += 1
            try:
                delay = job()
            except Exception as error:  # noqa: BLE001  # the final checks report every error of a step
                self.errors.append(f"A customer's step failed: {error!r}")
                delay = None
            if delay is not None:
                self._put(delay, job)
            with self._jobs_changed:
                self._busy -= 1

    def _job(self, customer: Customer, planned: PlannedRequest) -> Job:
        send = {"api": self._call_api, "untrusted api": self._call_api, "form": self._submit_form}.get(planned.channel)
        if send is not None:
            remaining = [planned.times]

            def post() -> float | None:
                if not send(customer, planned):
                    self.retries += 1
                    return RETRY_DELAY
                remaining[0] -= 1
                return 0.0 if remaining[0] else None

            return post
        if planned.channel == "mail":
            return lambda: self._send_mail(customer, planned)
        return lambda: self._publish(customer, planned)

    def _call_api(self, customer: Customer, planned: PlannedRequest) -> bool:
        """Send the request to the API. Return False if it must be sent again.

        All responses for the same key must contain the same case.
        """
        keys = self._keys[customer.purchase.seller_id]
        headers = {
            "Authorization": f"Bearer {keys.trusted if planned.channel == 'api' else keys.untrusted}",
            "Idempotency-Key": planned.name,
            "Content-Type": "application/json",
        }
        response = self._post("/v1/refund-requests", customer.request.model_dump_json().encode(), headers)
        if response is None:
            return False
        if response.status != 202:
            self.errors.append(f"The response to an API request was {response.status}: {response.data!r}")
            return True
        case = json.loads(response.data)["id"]
        if self.accepted.setdefault(planned.name, case) != case:
            self.errors.append(f"One idempotency key returned two cases, {self.accepted[planned.name]} and {case}.")
        return True

    def _submit_form(self, customer: Customer, planned: PlannedRequest) -> bool:
        form = customer.request.model_dump(mode="json", exclude={"locale"}) | {"nonce": planned.name}
        response = self._post(
            "/refund", urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"}
        )
        if response is None:
            return False
        if response.status != 303:
            self.errors.append(f"The response to the form was {response.status}: {response.data[:200]!r}")
        self.accepted.setdefault(planned.name, "")
        return True

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> urllib3.BaseHTTPResponse | None:
        """Return the response. Return None if no response came, if its status is 500 or above, or if it requests a retry."""
        try:
            response = self._http.request("POST", f"{self._settings.public_url}{path}", body=body, headers=headers)
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        return None if response.status >= 500 or "retry-after" in response.headers else response

    def _send_mail(self, customer: Customer, planned: PlannedRequest) -> None:
        """Write an e-mail to the maildir.

        The request counts as accepted, because the e-mail stays in the maildir until the request is committed.
        """
        mail = EmailMessage()
        mail["From"], mail["To"] = customer.purchase.email, "refunds@moneyback.example"
        mail["Subject"] = f"Refund for {customer.purchase.reference}"
        mail["Message-ID"] = f"<{planned.name}@example.com>"
        mail.set_content(f"Please refund my order {customer.purchase.reference}. I am not satisfied with it.\n")
        for _ in range(planned.times):
            self._incoming_mail.add(mail)
        self.accepted.setdefault(planned.name, "")

    def _publish(self, customer: Customer, planned: PlannedRequest) -> float | None:
        """Publish the request repeatedly until its case exists, because the broker may lose messages."""
        with suppress(SQLAlchemyError):
            if self._is_case(planned):
                self.accepted.setdefault(planned.name, "")
                return None
            event = {
                "specversion": "1.0",
                "id": planned.name,
                "source": f"{customer.purchase.seller_id}/form",
                "type": "moneyback.refund_requested.v1",
                "data": {"seller": customer.purchase.seller_id, "request": customer.request.model_dump(mode="json")},
            }
            with connect(self._settings) as connection, suppress(*is_unavailable(connection)):
                producer = connection.Producer(exchange=DIRECT, routing_key=IncomingRequest.queue, serializer="json")
                for _ in range(planned.times):
                    producer.publish(event, retry=False)
                self.republished += planned.name in self._published
                self._published.add(planned.name)
                return REPUBLISH_DELAY
        return RETRY_DELAY

    def _is_case(self, planned: PlannedRequest) -> bool:
        if planned.name not in self._published:
            return False
        with self._records.work() as work:
            return bool(work.run("select 1 from cases where intake_key = :key limit 1", key=planned.name).first())

    def _read_emails(self) -> float:
        """Read the new e-mails, and follow the confirmation links of customers who confirm."""
        new = set(os.listdir(self._sent_mail)) - self._seen_emails  # noqa: PTH208  # faster with 100,000 e-mails
        self._seen_emails |= new
        for name in new:
            if ".start_refund@" in name:
                self._follow_link(self._sent_mail / name)
        return MAIL_INTERVAL

    def _follow_link(self, file: Path) -> None:
        email = message_from_bytes(file.read_bytes())
        customer = self._by_email[str(email["To"]).strip("<>").rpartition("<")[2]]
        text = next(part for part in email.walk() if part.get_content_type() == "text/plain").get_payload(decode=True)
        link = _LINK.search(text) if isinstance(text, bytes) else None
        assert link, f"There is no confirmation link in {file}."
        path = link.group().decode().removeprefix(self._settings.public_url)
        if customer.confirms:
            self._put(0.0, lambda: None if self._confirm(path) else RETRY_DELAY)

    def _confirm(self, path: str) -> bool:
        response = self._post(path, b"sure=yes", {"Content-Type": "application/x-www-form-urlencoded"})
        if response is not None and response.status not in {303, 409}:
            self.errors.append(f"The response to a confirmation was {response.status}.")
        return response is not None
