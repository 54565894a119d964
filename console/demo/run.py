"""One run of the demo: services start, customers send requests and confirm, and every case reaches its end state."""

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
from domain.api_scopes import ALL_SCOPES, DEFAULT_SCOPES
from domain.messages import ContactSupport
from domain.states import FINAL_STATES, WAITING_STATES, State
from records import Records, migrate
from records.audit import AuditReport, audit
from records.case_views import CaseView
from records.unit_of_work import connect as connect_database

SERVICES = ("sandbox", "relay", "worker", "web", "mail", "consume")
TIMERS = {
    "MONEYBACK_PROVIDER_TIMEOUT_SECONDS": "2",  # short, because the sandbox never responds to the refund of one charge
    "MONEYBACK_TASK_SOFT_TIME_LIMIT_SECONDS": "6",
    "MONEYBACK_TASK_TIME_LIMIT_SECONDS": "8",
    "MONEYBACK_LEASE_SECONDS": "10",
    "MONEYBACK_RESEND_AFTER_SECONDS": "10",
    "MONEYBACK_POLL_INITIAL_SECONDS": "1",
    "MONEYBACK_SWEEP_INTERVAL_SECONDS": "0.5",
    "MONEYBACK_RATE_LIMITS_ENABLED": "false",  # all customers have one network address, so a limit would refuse them
}
DEADLINE = 50.0  # seconds until every case must have reached its end state
POLL_INTERVAL = 0.2  # seconds

END_STATES = FINAL_STATES | WAITING_STATES

_SCOPES = {"paperboat": ALL_SCOPES}  # Paperboat's customers are signed in, so its API key gets the scope `trusted`, too

_LINK = re.compile(r"https?://\S+/confirm/[\w.~-]+")


@dataclass(frozen=True)
class Outcome:
    """The result of the run."""

    views: list[CaseView]
    refunds: int
    duplicates: int
    support_tasks: int
    emails_sent: int
    audited: AuditReport
    seconds: float

    @property
    def faults(self) -> list[str]:
        """Return a sentence for each fault of the run: of the audit, of the provider's refunds, and of the support tasks.

        There must be one refund for each case in the state `refunded`, and one support task for each case in the state
        `with_support`.
        """
        count = Counter(view.state for view in self.views)
        faults = [f"The case {fault.case_id} {fault.sentence}" for fault in self.audited.faults]
        if self.duplicates:
            faults.append(f"The provider made {self.duplicates} refunds twice.")
        if self.refunds != count[State.REFUNDED]:
            faults.append(f"The provider made {self.refunds} refunds, but {count[State.REFUNDED]} cases are refunded.")
        if self.support_tasks != count[State.WITH_SUPPORT]:
            faults.append(
                f"The queue support.contact has {self.support_tasks} tasks, but {count[State.WITH_SUPPORT]} cases are "
                "with support."
            )
        return faults


def run(stack: Stack, report: Callable[[str, float], None]) -> Outcome:
    """Run the scenario. Call `report` with each step and the progress, from 0 to 1."""
    began = time.monotonic()
    os.environ.update(stack.env)
    config = settings()
    report("Preparing the database", 0.05)
    migrate.migrate(connect_database(stack.servers.postgres.owner_url))
    records = Records.of(config)
    customers = list(build_scenario(datetime.now(UTC)))
    with records.work() as work:
        seed(work, customers, datetime.now(UTC))
        keys = {
            seller.id: work.api_keys.create(seller.id, _SCOPES.get(seller.id, DEFAULT_SCOPES))[1] for seller in SELLERS
        }
    with Supervisor(stack.data_dir) as supervisor:
        report("Starting the services", 0.1)
        services = stack.services(SERVICES)
        for service in services.values():
            supervisor.start(service)
        supervisor.wait_for(services["web"], lambda: stack.answers("web", "/readyz"))
        _send_requests(CustomerSimulator(config, keys), customers, records, config, report)
        with urllib.request.urlopen(f"{stack.sandbox_url}/v1/summary") as answer:
            summary = json.load(answer)
        outcome = _outcome(records, config, summary, began)
    report("Done", 1.0)
    records.engine.dispose()
    return outcome


def _send_requests(
    simulator: CustomerSimulator,
    customers: list[DemoCustomer],
    records: Records,
    config: Settings,
    report: Callable[[str, float], None],
) -> None:
    for number, customer in enumerate(customers):
        step = f"{customer.purchase.email} sends a request by {customer.request.channel}"
        report(step, 0.2 + 0.3 * number / len(customers))
        simulator.send_request(customer)
    unconfirmed = {
        customer.purchase.email: customer for customer in customers if customer.request.confirms != "nothing"
    }
    deadline = time.monotonic() + DEADLINE
    while True:
        for email, link in _confirmation_links(config).items():
            if email in unconfirmed:
                customer = unconfirmed.pop(email)
                report(f"{email} {'confirms' if customer.request.confirms == 'yes' else 'cancels'} the refund", 0.6)
                simulator.confirm(customer, link)
        with records.work() as work:
            views = work.case_views.search(limit=1_000)
            unsent = work.case_emails.count_unsent() + work.support_tasks.count_unpublished()
        finished = [view for view in views if view.state in END_STATES and not _will_confirm(view, unconfirmed)]
        report(
            f"{len(finished)} of {len(customers)} cases have reached their end state",
            0.6 + 0.35 * len(finished) / len(customers),
        )
        if len(finished) == len(customers) and not unsent:
            return
        if time.monotonic() > deadline:
            unfinished = [f"{view.reference} ({view.state})" for view in views if view not in finished]
            raise LocalStackError(
                f"The demo is not finished after {DEADLINE:.0f} s. Unfinished cases: {', '.join(unfinished) or 'none'}; "
                f"{unsent} e-mails or support tasks are unsent; {len(views)} of {len(customers)} requests arrived."
            )
        time.sleep(POLL_INTERVAL)


def _will_confirm(view: CaseView, unconfirmed: dict[str, DemoCustomer]) -> bool:
    return view.state is State.AWAITING_CONFIRMATION and view.email in unconfirmed


def _confirmation_links(config: Settings) -> dict[str, str]:
    """Return each recipient's address with the confirmation link. The links are read from the sent e-mails."""
    links = {}
    for email in mailbox.Maildir(str(config.sent_mail_dir)):
        body = next(part for part in email.walk() if part.get_content_type() == "text/plain")
        text = body.get_payload(decode=True)
        link = _LINK.search(text.decode()) if isinstance(text, bytes) else None
        if link:
            links[str(email["To"]).strip("<>").rpartition("<")[2]] = link.group()
    return links


def _outcome(records: Records, config: Settings, summary: dict[str, int], began: float) -> Outcome:
    with records.work() as work:
        views = sorted(work.case_views.search(limit=1_000), key=lambda view: (view.received_at, view.reference))
        audited = audit(work)
    return Outcome(
        views=views,
        refunds=summary["refunds"]
        - summary["failed"],  # without the refunds that failed later: their money went back to the seller
        duplicates=summary["duplicates"],
        support_tasks=_count_support_tasks(config),
        emails_sent=len(mailbox.Maildir(str(config.sent_mail_dir))),
        audited=audited,
        seconds=round(time.monotonic() - began, 1),
    )


def _count_support_tasks(config: Settings) -> int:
    """Consume `support.contact` like a helpdesk, and return the number of tasks. A repeated message counts once, by its id."""
    ids = set()
    with connect(config) as connection:
        channel = connection.channel()
        queue = QUEUES[ContactSupport.queue](channel)
        while message := queue.get(no_ack=True):
            ids.add(ContactSupport.read(message.payload).id)
    return len(ids)
