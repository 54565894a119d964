"""What the product's modules are given in place of strangers, while a world runs."""

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from types import SimpleNamespace
from unittest.mock import patch

import structlog

from producers import intake
from tests.simulation import mail_server
from tests.simulation.broker import BrokerAwayError
from tests.simulation.scenario import World
from worker import relay
from worker.emails import case_emails
from worker.support_tasks import publishing
from worker.sweep import Sweep
from worker.webhook_events import processing


@contextmanager
def patched(world: World) -> Iterator[None]:
    """The relay's clock and broker, no sweep that would find nothing, how often a notice is looked at, the helpdesk's queue,
    letters without words, ids of this seed; and no log, of which it would be millions of lines."""
    log = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    sweep = Sweep.run_once
    with (
        patch.object(Sweep, "run_once", lambda mine: sweep(mine) if world.seams.sweeps() else 0),
        patch.object(relay, "time", SimpleNamespace(monotonic=lambda: world.clock.now)),
        patch.object(relay, "connect", world.broker.connect),
        patch.object(relay, "queue_length", world.broker.depth),
        patch.object(relay, "is_unavailable", lambda _: (BrokerAwayError,)),
        patch.object(processing, "MAX_ATTEMPTS", world.looks),
        patch.object(publishing, "connect", world.helpdesk.connect),
        patch.object(case_emails, "render", mail_server.write),
        patch.object(intake, "uuid4", world.people.uuid),
    ):
        yield
    structlog.configure(**log)
    random.seed()
