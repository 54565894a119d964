"""Sets the options of Celery 5.7.0 that differ from the defaults.

Messages are acknowledged before their tasks run. Late acknowledgement, after the task, would have no advantage: the database
decides what a worker does, and the sweep sends overdue work again if a message is lost. Late acknowledgement would also depend
on the workaround ``Channel`` in config/kombu_transport.py. Without ``Channel``, a worker exits if the broker restarts while a
task runs.
"""

from typing import Any

from celery.schedules import crontab

from config.broker import PERIODIC, QUEUES, TRANSPORT_OPTIONS
from config.settings import Settings
from domain.messages import WORK_QUEUES

RECONCILED_AT = crontab(hour="3", minute="0")
"""The time of day, in UTC, at which the reconciliation starts.

The schedule is not an interval, because an interval starts again whenever Celery beat loses its schedule file.
"""

RECONCILED_WEEKLY_AT = crontab(hour="4", minute="0", day_of_week="sunday")
"""The time, in UTC, at which the weekly reconciliation starts."""


def celery_options(settings: Settings) -> dict[str, Any]:
    """Return Celery's configuration for these settings."""
    timers = settings.timers
    return {
        "broker_url": settings.broker_url.get_secret_value(),
        "broker_transport_options": TRANSPORT_OPTIONS,
        "broker_connection_retry_on_startup": True,  # a worker may start before its broker
        "broker_connection_max_retries": None,  # a worker keeps running, even if the broker is unavailable for days
        "task_queues": [QUEUES[name] for name in (*WORK_QUEUES, PERIODIC)],
        "task_default_queue": next(iter(WORK_QUEUES)),
        "task_default_exchange": "",
        "task_create_missing_queues": False,  # a mistyped queue is an error, and not a new queue without a worker
        "task_routes": {name: {"queue": name} for name in WORK_QUEUES},  # a task has the name of its queue
        "task_serializer": "json",
        "accept_content": ["json"],  # never pickle, because then any client of the broker could run code
        "task_ignore_result": True,  # the row in the database is the result
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,  # with True, a message that crashes its worker would be delivered without end
        "task_soft_time_limit": timers.task_soft_time_limit_seconds,
        "task_time_limit": timers.task_time_limit_seconds,  # shorter than a lease: a slow worker is killed before its lease ends
        "task_publish_retry": False,  # the relay retries, because the row stays in the outbox
        "task_send_sent_event": True,  # for Flower. There are few such events, because one message carries many cases
        "worker_send_task_events": True,
        "worker_prefetch_multiplier": 1,  # a reserved message would wait behind a slow task while another worker is free
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # a running refund is finished and recorded
        "worker_enable_remote_control": True,  # Flower uses it to request the status of the workers
        "worker_consumer": "worker.celery_fixes.consumer:Consumer",
        "worker_pool": "worker.celery_fixes.pool:TaskPool",
        "worker_hijack_root_logger": False,
        "worker_soft_shutdown_timeout": 35.0,  # seconds: longer than the slowest call to a provider
        "worker_max_memory_per_child": 300_000,  # KiB
        "beat_schedule": {
            "sweep": _schedule("sweep", timers.sweep_interval_seconds, expires=timers.sweep_interval_seconds),
            "reconcile": _schedule("reconcile", RECONCILED_AT, expires=86_400.0),
            "reconcile_weekly": _schedule("reconcile_weekly", RECONCILED_WEEKLY_AT, expires=7 * 86_400.0),
        },
        "timezone": "UTC",
    }


def _schedule(task: str, schedule: float | crontab, *, expires: float) -> dict[str, Any]:
    """Return an entry of the beat schedule. ``expires`` is in seconds.

    A task that has not started expires when the next task of the same entry is due. If both tasks ran, the second task would
    find nothing to do.
    """
    return {"task": task, "schedule": schedule, "options": {"queue": PERIODIC, "expires": expires}}
