"""The Celery application: `celery -A worker.app …`, which `moneyback worker` and `moneyback flower` run."""

from typing import Any

from celery import Celery, signals

from config import log
from config.settings import settings
from worker.celery_fixes.config import celery_options
from worker.celery_fixes.watchdog import Watchdog
from worker.context import worker_context

app = Celery("moneyback", include=["worker.tasks"])
app.config_from_object(celery_options(settings()))
app.steps["consumer"].add(Watchdog)


@signals.setup_logging.connect
def _logging(**_: Any) -> None:  # noqa: ANN401  # a signal brings whatever it brings
    log.set_up()


@signals.worker_process_init.connect
def _fresh(**_: Any) -> None:  # noqa: ANN401  # as above
    """A forked process dials its own connections: two on one socket would read each other's answers."""
    worker_context.cache_clear()


@signals.worker_process_shutdown.connect
def _finish(**_: Any) -> None:  # noqa: ANN401  # as above
    """Calls that nobody waits for end with their record, and not with their process."""
    worker_context().call_pool.close()
