"""The customers at work: they send, send again what got no answer, and keep what they were promised."""

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
from tests.chaos.customers import Ask, Customer, Keys

HANDS = 12
AGAIN = 0.5  # seconds before what got no answer is sent again, under its key
FORGOTTEN = (
    8.0  # seconds after which an upstream form asks whether its message has arrived, and else publishes it again
)
LOOK = 1.0  # seconds between two looks at the letters

_LINK = re.compile(rb"https?://\S+/confirm/[\w.~-]+")
_NAME = re.compile(r"[0-9a-f]{32}")

Job = Callable[[], float | None]
"""Does something; returns in how many seconds it has to be done again, or None."""


def name_in(key: str) -> str:
    """The name of the ask in an intake key, whatever the way made of it; empty for a request that is not of this load."""
    found = _NAME.search(key)
    return found.group() if found else ""


class Load:
    """Everybody's requests, each at its time, made by a few threads."""

    def __init__(
        self,
        settings: Settings,
        records: Records,
        keys: dict[str, Keys],
        everybody: list[Customer],
        *,
        call_pool: int = HANDS,
    ) -> None:
        self._settings, self._records, self._keys = settings, records, keys
        assert settings.sent_mail_dir
        assert settings.incoming_mail_dir
        self._outbox, self._inbox = settings.sent_mail_dir / "new", Maildir(str(settings.incoming_mail_dir))
        self._http = urllib3.PoolManager(maxsize=call_pool, timeout=3.0, retries=False)
        self._jobs: list[tuple[float, int, Job]] = []
        self._busy = 0
        self._numbers = count()
        self._change = threading.Condition()
        self._over = False
        self.clickers = {customer.purchase.reference for customer in everybody if customer.clicks}
        self._by_email = {customer.purchase.email: customer for customer in everybody}
        self._published: set[str] = set()
        self._letters: set[str] = set()
        self.accepted: dict[str, str] = {}
        """Each ask that was accepted, with its case where the way says so."""
        self.complaints: list[str] = []
        self.retries = 0
        self.republished = 0
        for customer in everybody:
            for ask in customer.asks:
                self._put(ask.at, self._job(customer, ask))
        self._put(LOOK, self._read_letters)
        self._threads = [threading.Thread(target=self._work, name=f"hand {n}") for n in range(call_pool)]

    @property
    def waiting(self) -> int:
        """How much is still to be sent; the look at the letters goes on for ever."""
        with self._change:
            return len(self._jobs) + self._busy - 1

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._change:
            self._over = True
            self._change.notify_all()
        for thread in self._threads:
            thread.join()

    def _put(self, after: float, job: Job) -> None:
        with self._change:
            heappush(self._jobs, (time.monotonic() + after, next(self._numbers), job))
            self._change.notify()

    def _work(self) -> None:
        while True:
            with self._change:
                while not self._over and (not self._jobs or self._jobs[0][0] > time.monotonic()):
                    self._change.wait(self._jobs[0][0] - time.monotonic() if self._jobs else None)
                if self._over:
                    return
                job = heappop(self._jobs)[2]
                self._busy += 1
            try:
                again = job()
            except Exception as error:  # noqa: BLE001  # a customer who trips is a fault of the test: it must not be quiet
                self.complaints.append(f"A customer tripped: {error!r}")
                again = None
            if again is not None:
                self._put(again, job)
            with self._change:
                self._busy -= 1

    def _job(self, customer: Customer, ask: Ask) -> Job:
        send = {"api": self._call, "untrusted api": self._call, "form": self._fill_in}.get(ask.way)
        if send is not None:
            left = [ask.times]

            def post() -> float | None:
                if not send(customer, ask):
                    self.retries += 1
                    return AGAIN
                left[0] -= 1
                return 0.0 if left[0] else None

            return post
        if ask.way == "mail":
            return lambda: self._write(customer, ask)
        return lambda: self._publish(customer, ask)

    def _call(self, customer: Customer, ask: Ask) -> bool:
        """Whether it was accepted; the same key must name the same case for ever."""
        keys = self._keys[customer.purchase.seller_id]
        headers = {
            "Authorization": f"Bearer {keys.trusted if ask.way == 'api' else keys.untrusted}",
            "Idempotency-Key": ask.name,
            "Content-Type": "application/json",
        }
        answer = self._post("/v1/refund-requests", customer.request.model_dump_json().encode(), headers)
        if answer is None:
            return False
        if answer.status != 202:
            self.complaints.append(f"A request under a key was answered with {answer.status}: {answer.data!r}")
            return True
        case = json.loads(answer.data)["id"]
        if self.accepted.setdefault(ask.name, case) != case:
            self.complaints.append(f"One key names two cases, {self.accepted[ask.name]} and {case}.")
        return True

    def _fill_in(self, customer: Customer, ask: Ask) -> bool:
        form = customer.request.model_dump(mode="json", exclude={"locale"}) | {"nonce": ask.name}
        answer = self._post("/refund", urlencode(form).encode(), {"Content-Type": "application/x-www-form-urlencoded"})
        if answer is None:
            return False
        if answer.status != 303:
            self.complaints.append(f"The form was answered with {answer.status}: {answer.data[:200]!r}")
        self.accepted.setdefault(ask.name, "")
        return True

    def _post(self, path: str, body: bytes, headers: dict[str, str]) -> urllib3.BaseHTTPResponse | None:
        """The answer; None where there is none, or one that says to come again."""
        try:
            answer = self._http.request("POST", f"{self._settings.public_url}{path}", body=body, headers=headers)
        except (urllib3.exceptions.HTTPError, OSError):
            return None
        return None if answer.status >= 500 or "retry-after" in answer.headers else answer

    def _write(self, customer: Customer, ask: Ask) -> None:
        """A mail that lies in the folder is accepted: it stays there until its request is committed."""
        mail = EmailMessage()
        mail["From"], mail["To"] = customer.purchase.email, "refunds@moneyback.example"
        mail["Subject"] = f"Refund for {customer.purchase.reference}"
        mail["Message-ID"] = f"<{ask.name}@example.com>"
        mail.set_content(f"Please refund my order {customer.purchase.reference}. I am not satisfied with it.\n")
        for _ in range(ask.times):
            self._inbox.add(mail)
        self.accepted.setdefault(ask.name, "")

    def _publish(self, customer: Customer, ask: Ask) -> float | None:
        """An upstream form publishes until its request is a case: a broker that forgets is its own to outwait."""
        with suppress(SQLAlchemyError):
            if self._is_case(ask):
                self.accepted.setdefault(ask.name, "")
                return None
            event = {
                "specversion": "1.0",
                "id": ask.name,
                "source": f"{customer.purchase.seller_id}/form",
                "type": "moneyback.refund_requested.v1",
                "data": {"seller": customer.purchase.seller_id, "request": customer.request.model_dump(mode="json")},
            }
            with connect(self._settings) as connection, suppress(*is_unavailable(connection)):
                producer = connection.Producer(exchange=DIRECT, routing_key=IncomingRequest.queue, serializer="json")
                for _ in range(ask.times):
                    producer.publish(event, retry=False)
                self.republished += ask.name in self._published
                self._published.add(ask.name)
                return FORGOTTEN
        return AGAIN

    def _is_case(self, ask: Ask) -> bool:
        if ask.name not in self._published:
            return False
        with self._records.work() as work:
            return bool(work.run("select 1 from cases where intake_key = :key limit 1", key=ask.name).first())

    def _read_letters(self) -> float:
        """Everybody looks at their letters; who wants to answers the one with the link."""
        new = set(os.listdir(self._outbox)) - self._letters  # noqa: PTH208  # there may be a hundred thousand
        self._letters |= new
        for name in new:
            if ".start_refund@" in name:
                self._got_link(self._outbox / name)
        return LOOK

    def _got_link(self, file: Path) -> None:
        letter = message_from_bytes(file.read_bytes())
        customer = self._by_email[str(letter["To"]).strip("<>").rpartition("<")[2]]
        text = next(part for part in letter.walk() if part.get_content_type() == "text/plain").get_payload(decode=True)
        link = _LINK.search(text) if isinstance(text, bytes) else None
        assert link, f"There is no link in {file}."
        path = link.group().decode().removeprefix(self._settings.public_url)
        if customer.clicks:
            self._put(0.0, lambda: None if self._say_yes(path) else AGAIN)

    def _say_yes(self, path: str) -> bool:
        answer = self._post(path, b"sure=yes", {"Content-Type": "application/x-www-form-urlencoded"})
        if answer is not None and answer.status not in {303, 409}:
            self.complaints.append(f"A link was answered with {answer.status}.")
        return answer is not None
