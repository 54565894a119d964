"""Every option of Celery that is not its default, and why.

Celery 5.7.0 with early acknowledgement. Late acknowledgement would buy us nothing: a message has no authority here, and
the sweep sends again what nobody moved. It would lean on one more mend of ours: without Channel in config/kombu_transport.py a
worker that acknowledges late ends itself when the broker restarts under a running task.
"""

from typing import Any

from celery.schedules import crontab

from config.broker import PERIODIC, QUEUES, TRANSPORT_OPTIONS
from config.settings import Settings
from domain.messages import WORK_QUEUES

RECONCILED_AT = crontab(hour="3", minute="0")  # UTC. An hour, as every interval begins anew when beat loses its file


def celery_options(settings: Settings) -> dict[str, Any]:
    """Celery's configuration for these settings."""
    timers = settings.timers
    return {
        "broker_url": settings.broker_url.get_secret_value(),
        "broker_transport_options": TRANSPORT_OPTIONS,
        "broker_connection_retry_on_startup": True,  # a worker may start before its broker
        "broker_connection_max_retries": None,  # and outlast it, however long it is away
        "task_queues": [QUEUES[name] for name in (*WORK_QUEUES, PERIODIC)],
        "task_default_queue": next(iter(WORK_QUEUES)),
        "task_default_exchange": "",
        "task_create_missing_queues": False,  # a mistyped queue is an error, not a place where messages wait for ever
        "task_routes": {name: {"queue": name} for name in WORK_QUEUES},  # a task is named after its queue
        "task_serializer": "json",
        "accept_content": ["json"],  # never pickle: whoever can write to the broker could run code
        "task_ignore_result": True,  # the row in the database is the result
        "task_acks_late": False,
        "task_reject_on_worker_lost": False,  # True runs a message that ends its worker again at once, for ever
        "task_soft_time_limit": timers.task_soft_time_limit_seconds,
        "task_time_limit": timers.task_time_limit_seconds,  # shorter than the lease: who is late is gone before another begins
        "task_publish_retry": False,  # the relay tries again itself, with the row still in the outbox
        "task_send_sent_event": True,  # Flower shows what was sent; a message carries many cases, so it costs little
        "worker_send_task_events": True,
        "worker_prefetch_multiplier": 1,  # a reserved message waits behind a slow one; the next worker could have it
        "worker_cancel_long_running_tasks_on_connection_loss": False,  # a payment under way is finished and recorded
        "worker_enable_remote_control": True,  # Flower asks workers how they are; the broker is ours alone
        "worker_consumer": "worker.celery_fixes.consumer:Consumer",
        "worker_pool": "worker.celery_fixes.pool:TaskPool",
        "worker_hijack_root_logger": False,
        "worker_soft_shutdown_timeout": 35.0,  # longer than the slowest call to a provider
        "worker_max_memory_per_child": 300_000,  # KiB
        "beat_schedule": {
            "sweep": _tick("sweep", timers.sweep_interval_seconds, expires=timers.sweep_interval_seconds),
            "reconcile": _tick("reconcile", RECONCILED_AT, expires=86_400.0),
        },
        "timezone": "UTC",
    }


def _tick(task: str, schedule: float | crontab, *, expires: float) -> dict[str, Any]:
    """Every so often. One that nobody took before the next is not taken any more: two in a row find nothing to do."""
    return {"task": task, "schedule": schedule, "options": {"queue": PERIODIC, "expires": expires}}
