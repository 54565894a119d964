"""What is measured: the web as it is served, on a PostgreSQL that keeps what it promised, with something on every page."""

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
from tests.sample_data import a_recent_purchase, settle_in

HOME = "pages"
MANY = "1000000000"
LIMITS = {f"MONEYBACK_{name}": MANY for name in ("RATE_LIMIT_NETWORK_PER_MINUTE", "RATE_LIMIT_API_KEY_PER_MINUTE")}
"""One machine plays all customers: the network's brake counts each of them, and stops none."""


class Town:
    """The web, and what stands behind it."""

    def __init__(self, stack: Stack, processes: Supervisor, records: Records, settings: Settings) -> None:
        self.stack = stack
        self.processes = processes
        self.records = records
        self.settings = settings

    def pages(self) -> Mapping[str, str]:
        """The address of every page that a browser gets, by what it is."""
        links = Links.of(self.settings)

        def case(state: State, purpose: Purpose) -> str:
            return _path(links.to(purpose, a_case(self.records, state)))

        bought = a_recent_purchase()
        settle_in(self.records, bought)
        with self.records.work() as work:
            note = work.inquiry_emails.enqueue(
                kind=InquiryEmailKind.PURCHASE, email=bought.email, reference=bought.reference, locale="en"
            )
        with self.records.work() as work:
            work.inquiry_emails.claim([note], seconds=60)
        moving = case(State.APPROVED, Purpose.STATUS)
        return {
            "help centre": "/",
            "search": "/?q=refund",
            "answers": "/help/refunds",
            "shopfront": "/s/aurora",
            "its colours": "/s/aurora/colours.css",
            "lookup": "/lookup",
            "refund form": "/refund",
            "refund form in Japanese": "/refund?lang=ja",
            "sent": "/refund/sent",
            "withdrawal": "/withdraw",
            "confirm": case(State.AWAITING_CONFIRMATION, Purpose.CONFIRM),
            "status, moving": moving,
            "its news": f"{moving}/news?last_seq=0",
            "status, paid": case(State.REFUNDED, Purpose.STATUS),
            "status, with support": case(State.WITH_SUPPORT, Purpose.STATUS),
            "open a purchase": _path(links.to(Purpose.OPEN, note)),
            "styles": "/static/moneyback.css",
        }

    def load(self, path: str, *, rate: float, seconds: float, form: Mapping[str, str] | None = None) -> Outcome:
        """Let customers come, from a process of their own."""
        job = Job(self.stack.web, path, rate, seconds, form)
        told = subprocess.run(
            [sys.executable, "-m", "tests.page_load.load_generator"],
            input=json.dumps(asdict(job)),
            stdout=subprocess.PIPE,
            text=True,
            check=True,
            timeout=seconds + 90,
        )
        return Outcome(**json.loads(told.stdout))

    def cpu(self) -> dict[str, float]:
        """CPU seconds that the web and PostgreSQL have used so far, with all their processes."""
        pids = {"web": self.processes.pids["web"], "PostgreSQL": self.stack.servers.postgres.pid}
        return {name: cpu_seconds_of(pid) for name, pid in pids.items() if pid}

    def cases(self) -> int:
        """How many requests are on the books."""
        with self.records.work() as work:
            return sum(work.case_views.counts().values())

    def keeps(self) -> str:
        """What the database promises of a commit, in its own words."""
        with self.records.work() as work:
            names = ("fsync", "synchronous_commit")
            return ", ".join(f"{name} {work.run(f'show {name}').scalar_one()}" for name in names)


@contextmanager
def a_town(*options: str) -> Iterator[Town]:
    """Servers of its own in a home of its own, and the web as `moneyback web` serves it."""
    data_dir = DataDir.default(HOME)
    with stop_on_signals():
        data_dir.clean()
        with data_dir.lock(), Servers(data_dir) as servers, Supervisor(data_dir) as processes:
            stack = Stack(data_dir, servers)
            os.environ.update(stack.env)
            migrate.migrate(connect(servers.postgres.owner_url))
            part = stack.service("web", *options)
            processes.start(replace(part, env={**part.env, **LIMITS}))
            processes.wait_for("web", lambda: stack.answers("web", "/readyz"))
            records = Records.of(settings())
            settle_in(records)
            yield Town(stack, processes, records, settings())
            records.engine.dispose()
        data_dir.clean()


def _path(link: str) -> str:
    return "/" + link.split("/", 3)[3]
