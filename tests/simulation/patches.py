"""Replaces Moneyback's clock, broker connection, e-mail texts and random ids while a simulated world runs."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import structlog

from producers import intake
from tests.simulation import mail_server
from tests.simulation.broker import BrokerUnavailableError
from tests.simulation.scenario import World
from worker import relay
from worker.emails import case_emails
from worker.support_tasks import publishing
from worker.sweep import Sweep
from worker.webhook_events import processing


@contextmanager
def patched(world: World) -> Iterator[None]:
    """Patch Moneyback's modules for one world.

    Also turn off the log, because it would have millions of lines, and omit sweeps that would find nothing overdue. Use the
    world's maximum number of attempts to process a webhook event.
    """
    log = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    run_sweep = Sweep.run_once
    with (
        patch.object(Sweep, "run_once", lambda sweep: run_sweep(sweep) if world.interleaving.has_sweep_work() else 0),
        patch.object(relay, "time", SimpleNamespace(monotonic=lambda: world.clock.now)),
        patch.object(relay, "connect", world.broker.connect),
        patch.object(relay, "queue_length", world.broker.queue_length),
        patch.object(relay, "is_unavailable", lambda _: (BrokerUnavailableError,)),
        patch.object(processing, "MAX_ATTEMPTS", world.max_attempts),
        patch.object(publishing, "connect", world.helpdesk.connect),
        patch.object(case_emails, "render", mail_server.render),
        patch.object(intake, "uuid4", world.customers.uuid),
    ):
        yield
    structlog.configure(**log)
    random.seed()
