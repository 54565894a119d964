"""Restores lost prefetch credits of a worker, and ends a worker process that hangs.

A worker needs one prefetch credit for each unacknowledged message, and it has a fixed number of credits. In kombu 5.7, if the
connection breaks before an acknowledgement is sent, the credit of the message is lost permanently. When all credits are lost,
the worker takes no more messages and logs nothing.
"""

import faulthandler
import signal
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state
from kombu.transport import virtual

log = structlog.get_logger()

CHECK_INTERVAL = 2.0  # seconds
GRACE = 30.0  # seconds; a healthy worker polls again within the default time limit of a task plus this time
STDERR = 2  # the file descriptor of standard error, which stays the same when Celery replaces sys.stderr


class Watchdog(bootsteps.StartStopStep):
    """A step of Celery's consumer. The step starts when the worker connects to the broker, and stops when the connection ends.

    A healthy worker polls its queues every second. If all its credits are in use, it polls again when a task ends. If a
    worker has not polled for longer than the default time limit plus GRACE, it hangs, for example because a call blocks the
    event loop. In this case, the kernel's alarm (SIGALRM) ends the process. The supervisor restarts the process, and the log
    contains the stack of each thread.

    If the worker has polled since the previous check, a check resets the alarm. A check also resets the alarm while the
    worker runs a task with a time limit above the default time limit. During such a task, a worker with one process has no
    free credit and does not poll.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:  # noqa: ANN401  # Celery's signature
        super().__init__(consumer)
        self._task_time_limit = consumer.app.conf.task_time_limit
        self._timeout = self._task_time_limit + GRACE
        self._polled_at: float | None = None
        self._timer: Any = None

    def start(self, consumer: Any) -> None:  # noqa: ANN401  # Celery's signature
        """Start the checks and the alarm."""
        if consumer.connection.transport.driver_type != "redis":
            return  # other brokers count the credits themselves
        self._polled_at = None
        self._timer = consumer.timer.call_repeatedly(CHECK_INTERVAL, self.check, (consumer.task_consumer.channel,))
        faulthandler.register(signal.SIGALRM, file=STDERR, all_threads=True, chain=True)
        signal.setitimer(signal.ITIMER_REAL, self._timeout)

    def stop(self, consumer: Any) -> None:  # noqa: ANN401, ARG002  # Celery's signature
        """Stop the checks and the alarm."""
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._timer:
            self._timer.cancel()

    def check(self, channel: Any) -> None:  # noqa: ANN401  # kombu's channel
        """Restore lost credits, and reset the alarm if the worker is healthy.

        The check runs on the thread of the event loop, so the event loop changes nothing during the check. The check reads
        private names of kombu. If another version of kombu has other names, the watchdog turns itself off. If it
        stayed on, it would end a healthy worker every two minutes.
        """
        try:
            _restore_credits(channel.qos)
            polled_at = channel._brpop_sent_at  # noqa: SLF001  # kombu has no public name for it
        except AttributeError as error:
            log.warning("watchdog_off", error=str(error))
            self.stop(None)
            return
        is_busy = any((request.task.time_limit or 0) > self._task_time_limit for request in state.active_requests)
        if is_busy or polled_at != self._polled_at:
            self._polled_at = polled_at
            signal.setitimer(signal.ITIMER_REAL, self._timeout)


def _restore_credits(qos: Any) -> None:  # noqa: ANN401  # kombu's QoS of a channel
    """Free the credit of each message that no running or waiting task uses any more.

    The messages stay unacknowledged, and the broker delivers them again after its visibility timeout. If the task has run, the
    second delivery does no harm. If the message could not be stored as a dead letter because the database was unavailable, the
    second delivery is needed.
    """
    in_use = {request.message.delivery_tag for request in state.reserved_requests if not request.acknowledged}
    for tag in set(qos._delivered) - qos._dirty - in_use:  # noqa: SLF001  # kombu has no public names
        log.warning("prefetch_credit_restored", delivery=tag)
        virtual.QoS.ack(qos, tag)
