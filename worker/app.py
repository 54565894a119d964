"""Creates the Celery application, which `celery -A worker.app …`, `moneyback worker` and `moneyback flower` run."""

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
def _set_up_logging(**_: Any) -> None:  # noqa: ANN401  # Celery's signature
    log.set_up()


@signals.worker_process_init.connect
def _discard_inherited_context(**_: Any) -> None:  # noqa: ANN401  # Celery's signature
    """Make a forked process open its own connections. If two processes used one socket, each could read the other's replies."""
    worker_context.cache_clear()


@signals.worker_process_shutdown.connect
def _close_call_pool(**_: Any) -> None:  # noqa: ANN401  # Celery's signature
    """Wait for the running provider calls before the process exits, so that their results are recorded."""
    worker_context().call_pool.close()
