"""One run of the demo: the parts start, the people ask and answer, and everything comes to rest."""

import json
import mailbox
import os
import re
import time
import urllib.request
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from config.broker import QUEUES, connect
from config.settings import Settings, settings
from console.demo.customers import CustomerSimulator
from console.demo.scenario import SELLERS, DemoCustomer, build_scenario, seed
from console.servers import LocalStackError
from console.stack import Stack
from console.supervisor import Supervisor
from domain.messages import ContactSupport
from domain.scopes import EVERY, USUAL
from domain.states import ENDED, WAITING_FOR_A_PERSON, State
from records import Records, schema
from records.audit import Audited, audit
from records.views import View
from records.work import connect as dial

PARTS = ("sandbox", "relay", "worker", "web", "mail", "feed")
TIMERS = {
    "MONEYBACK_HTTP_SECONDS": "2",  # a provider that hangs is given up on while one watches
    "MONEYBACK_SOFT_SECONDS": "6",
    "MONEYBACK_HARD_SECONDS": "8",
    "MONEYBACK_LEASE_SECONDS": "10",
    "MONEYBACK_LANE_SECONDS": "10",
    "MONEYBACK_SETTLE_SECONDS": "1",
    "MONEYBACK_SWEEP_SECONDS": "0.5",
    "MONEYBACK_BRAKES": "false",  # one machine plays all the customers
}
PATIENCE = 50.0  # seconds until the demo says that something does not come to rest
GLANCE = 0.2

AT_REST = ENDED | WAITING_FOR_A_PERSON

_SCOPES = {"paperboat": EVERY}  # its customers are signed in

_LINK = re.compile(r"https?://\S+/confirm/[\w.~-]+")


@dataclass(frozen=True)
class Outcome:
    """What came of the run."""

    views: list[View]
    refunds: int
    duplicates: int
    support_tasks: int
    letters: int
    audited: Audited
    seconds: float

    @property
    def well(self) -> bool:
        """Nothing paid twice, nothing lost: one refund at the provider for each refunded case, one task for each with support."""
        count = Counter(view.state for view in self.views)
        return (
            not self.duplicates
            and not self.audited.faults
            and self.refunds == count[State.REFUNDED]
            and self.support_tasks == count[State.WITH_SUPPORT]
        )


def run(stack: Stack, tell: Callable[[str, float], None]) -> Outcome:
    """Runs the scene. `tell` hears what is going on, and how far it is, from 0 to 1."""
    began = time.monotonic()
    os.environ.update(stack.env)
    ours = settings()
    tell("Preparing the database", 0.05)
    schema.migrate(dial(stack.servers.postgres.owner_url))
    records = Records.of(ours)
    customers = list(build_scenario(datetime.now(UTC)))
    with records.work() as work:
        seed(work, customers, datetime.now(UTC))
        keys = {seller.id: work.keys.make(seller.id, _SCOPES.get(seller.id, USUAL))[1] for seller in SELLERS}
    with Supervisor(stack.data_dir) as processes:
        tell("Starting the parts", 0.1)
        parts = stack.services(PARTS)
        for part in parts.values():
            processes.start(part)
        processes.wait_for(parts["web"], lambda: stack.answers("web", "/readyz"))
        _play(CustomerSimulator(ours, keys), customers, records, ours, tell)
        with urllib.request.urlopen(f"{stack.sandbox_url}/v1/summary") as answer:
            summary = json.load(answer)
        outcome = _outcome(records, ours, summary, began)
    tell("Done", 1.0)
    records.engine.dispose()
    return outcome


def _play(
    simulator: CustomerSimulator,
    customers: list[DemoCustomer],
    records: Records,
    ours: Settings,
    tell: Callable[[str, float], None],
) -> None:
    for number, customer in enumerate(customers):
        tell(f"{customer.purchase.email} asks by {customer.request.channel}", 0.2 + 0.3 * number / len(customers))
        simulator.ask(customer)
    answering = {customer.purchase.email: customer for customer in customers if customer.request.says != "nothing"}
    deadline = time.monotonic() + PATIENCE
    while True:
        for email, link in _start_refund_letters(ours).items():
            if email in answering:
                customer = answering.pop(email)
                tell(f"{email} says {customer.request.says}", 0.6)
                simulator.answer(customer, link)
        with records.work() as work:
            views = work.views.search(limit=1_000)
            owed = work.letters.unsent() + work.tasks.unpublished()
        resting = [view for view in views if view.state in AT_REST and not _will_answer(view, answering)]
        tell(f"{len(resting)} of {len(customers)} cases have come to rest", 0.6 + 0.35 * len(resting) / len(customers))
        if len(resting) == len(customers) and not owed:
            return
        if time.monotonic() > deadline:
            late = [f"{view.reference} ({view.state})" for view in views if view not in resting]
            raise LocalStackError(
                f"Not everything came to rest within {PATIENCE:.0f} s. Still moving: {', '.join(late) or 'nothing'}; "
                f"{owed} letters or tasks are unsent; {len(views)} of {len(customers)} requests came in."
            )
        time.sleep(GLANCE)


def _will_answer(view: View, answering: dict[str, DemoCustomer]) -> bool:
    return view.state is State.AWAITING_CONFIRMATION and view.email in answering


def _start_refund_letters(ours: Settings) -> dict[str, str]:
    """The link in each Start refund letter, by whom it was sent to."""
    links = {}
    for letter in mailbox.Maildir(str(ours.outbox_dir)):
        body = next(part for part in letter.walk() if part.get_content_type() == "text/plain")
        text = body.get_payload(decode=True)
        found = _LINK.search(text.decode()) if isinstance(text, bytes) else None
        if found:
            links[str(letter["To"]).strip("<>").rpartition("<")[2]] = found.group()
    return links


def _outcome(records: Records, ours: Settings, summary: dict[str, int], began: float) -> Outcome:
    with records.work() as work:
        views = sorted(work.views.search(limit=1_000), key=lambda view: (view.received_at, view.reference))
        audited = audit(work)
    return Outcome(
        views=views,
        refunds=summary["refunds"] - summary["failed"],  # what came back was not paid
        duplicates=summary["duplicates"],
        support_tasks=_tasks_on_the_queue(ours),
        letters=len(mailbox.Maildir(str(ours.outbox_dir))),
        audited=audited,
        seconds=round(time.monotonic() - began, 1),
    )


def _tasks_on_the_queue(ours: Settings) -> int:
    """Reads `support.contact` as a helpdesk would; a task that is there twice counts twice."""
    count = 0
    with connect(ours) as connection:
        channel = connection.channel()
        queue = QUEUES[ContactSupport.queue](channel)
        while message := queue.get(no_ack=True):
            ContactSupport.read(message.payload)
            count += 1
    return count
