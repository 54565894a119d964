"""The installation that is measured: the web server, PostgreSQL with durable commits, and data for every page."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace

from config.settings import Settings, settings
from config.signed_links import Links, Purpose
from console.bench import cpu_seconds_of
from console.data_dir import DataDir
from console.servers import Servers
from console.stack import Stack
from console.supervisor import Supervisor, stop_on_signals
from domain.inquiry_emails import InquiryEmailKind
from domain.states import State
from records import Records, migrate
from records.unit_of_work import connect
from tests.integration._web_fixtures import a_case
from tests.page_load.load_generator import Job, Outcome
from tests.sample_data import a_recent_purchase, store_seller_and_purchases

HOME = "pages"
UNREACHED_LIMIT = "1000000000"
LIMITS = {
    f"MONEYBACK_{name}": UNREACHED_LIMIT for name in ("RATE_LIMIT_NETWORK_PER_MINUTE", "RATE_LIMIT_API_KEY_PER_MINUTE")
}
"""Rate limits that are so high that no request is refused, although all requests come from one network address.

The web server still counts the requests.
"""


class Installation:
    """A running web server with its database and broker."""

    def __init__(self, stack: Stack, processes: Supervisor, records: Records, settings: Settings) -> None:
        self.stack = stack
        self.processes = processes
        self.records = records
        self.settings = settings

    def pages(self) -> Mapping[str, str]:
        """Return the path of every measured page, by the name of the page."""
        links = Links.of(self.settings)

        def case(state: State, purpose: Purpose) -> str:
            return _path(links.to(purpose, a_case(self.records, state)))

        purchase = a_recent_purchase()
        store_seller_and_purchases(self.records, purchase)
        with self.records.work() as work:
            email_id = work.inquiry_emails.enqueue(
                kind=InquiryEmailKind.PURCHASE, email=purchase.email, reference=purchase.reference, locale="en"
            )
        with self.records.work() as work:
            work.inquiry_emails.claim([email_id], seconds=60)
        status_path = case(State.APPROVED, Purpose.STATUS)
        return {
            "help centre": "/",
            "search": "/?q=refund",
            "answers": "/help/refunds",
            "storefront": "/s/aurora",
            "storefront colours": "/s/aurora/colours.css",
            "lookup": "/lookup",
            "refund form": "/refund",
            "refund form in Japanese": "/refund?lang=ja",
            "sent": "/refund/sent",
            "withdrawal": "/withdraw",
            "confirm": case(State.AWAITING_CONFIRMATION, Purpose.CONFIRM),
            "status, approved": status_path,
            "status update": f"{status_path}/news?last_seq=0",
            "status, paid": case(State.REFUNDED, Purpose.STATUS),
            "status, with support": case(State.WITH_SUPPORT, Purpose.STATUS),
            "open a purchase": _path(links.to(Purpose.OPEN, email_id)),
            "styles": "/static/moneyback.css",
        }

    def load(self, path: str, *, rate: float, seconds: float, form: Mapping[str, str] | None = None) -> Outcome:
        """Run the load generator as a child process."""
        job = Job(self.stack.web, path, rate, seconds, form)
        finished = subprocess.run(
            [sys.executable, "-m", "tests.page_load.load_generator"],
            input=json.dumps(asdict(job)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=seconds + 90,
        )
        return Outcome(**json.loads(finished.stdout))

    def cpu_seconds(self) -> dict[str, float]:
        """Return the CPU seconds of all processes of the web server, and of all processes of PostgreSQL."""
        pids = {"web": self.processes.pids["web"], "PostgreSQL": self.stack.servers.postgres.pid}
        return {name: cpu_seconds_of(pid) for name, pid in pids.items() if pid}

    def count_cases(self) -> int:
        """Return the number of stored cases."""
        with self.records.work() as work:
            return sum(work.case_views.counts().values())

    def durability(self) -> str:
        """Return the database's settings for durable commits."""
        with self.records.work() as work:
            names = ("fsync", "synchronous_commit")
            return ", ".join(f"{name} {work.run(f'show {name}').scalar_one()}" for name in names)


@contextmanager
def run_installation(*options: str) -> Iterator[Installation]:
    """Start the web server as `moneyback web` does, and yield the installation. The installation has its own data directory."""
    data_dir = DataDir.default(HOME)
    with stop_on_signals():
        data_dir.clean()
        with data_dir.lock(), Servers(data_dir) as servers, Supervisor(data_dir) as processes:
            stack = Stack(data_dir, servers)
            os.environ.update(stack.env)
            migrate.migrate(connect(servers.postgres.owner_url))
            service = stack.service("web", *options)
            processes.start(replace(service, env={**service.env, **LIMITS}))
            processes.wait_for("web", lambda: stack.answers("web", "/readyz"))
            records = Records.of(settings())
            store_seller_and_purchases(records)
            yield Installation(stack, processes, records, settings())
            records.engine.dispose()
        data_dir.clean()


def _path(link: str) -> str:
    return "/" + link.split("/", 3)[3]
