"""The watchdog of a worker that is alive but deaf: gives lost credits back, and ends a process that hears nothing more.

A worker may hold so many unacknowledged messages and no more: its credits. In kombu 5.7 an acknowledgement that is lost
together with its connection keeps its credit for ever. When all are gone the worker takes no message, and says nothing.
"""

import faulthandler
import signal
from typing import Any

import structlog
from celery import bootsteps
from celery.worker import state
from kombu.transport import virtual

log = structlog.get_logger()

GLANCE = 2.0  # seconds between two looks
GRACE = 30.0  # seconds beyond the longest task, after which a worker that lives has asked its queues for more
STDERR = 2  # itself: Celery puts something else in its place


class Watchdog(bootsteps.StartStopStep):
    """A step of the consumer: it begins anew with each connection, and rests while the broker is away.

    A worker with a free credit asks its queues for more once a second, and one without has a credit again after its
    longest task. One that did not ask for longer than that is deaf, whatever the reason, a loop that stands still in a
    call included. So the kernel's alarm is set to end the process, and each look puts it off if the worker asked since,
    or if it runs one of the few tasks that may take longer than the others: with one process there is no credit then.
    The supervisor starts it again, and where it stood is in the log.
    """

    requires = ("celery.worker.consumer.tasks:Tasks",)

    def __init__(self, consumer: Any, **_: Any) -> None:  # noqa: ANN401  # Celery's signature
        super().__init__(consumer)
        self._usual = consumer.app.conf.task_time_limit
        self._patience = self._usual + GRACE
        self._asked_at: float | None = None
        self._looks: Any = None

    def start(self, consumer: Any) -> None:  # noqa: ANN401  # as above
        if consumer.connection.transport.driver_type != "redis":
            return  # others leave the counting of credits to the broker
        self._asked_at = None
        self._looks = consumer.timer.call_repeatedly(GLANCE, self.look, (consumer.task_consumer.channel,))
        faulthandler.register(signal.SIGALRM, file=STDERR, all_threads=True, chain=True)
        signal.setitimer(signal.ITIMER_REAL, self._patience)

    def stop(self, consumer: Any) -> None:  # noqa: ANN401, ARG002  # as above
        signal.setitimer(signal.ITIMER_REAL, 0)
        if self._looks:
            self._looks.cancel()

    def look(self, channel: Any) -> None:  # noqa: ANN401  # kombu's channel
        """Runs between two turns of the event loop, on the thread of the loop: nothing moves meanwhile.

        What it reads of kombu is private. If another version of kombu has other names, the watchdog turns itself off: a
        worker without a watchdog is better than a healthy worker that ends every two minutes.
        """
        try:
            _give_back(channel.qos)
            asked_at = channel._brpop_sent_at  # noqa: SLF001  # kombu has no public name for it
        except AttributeError as error:
            log.warning("watchdog_off", error=str(error))
            self.stop(None)
            return
        busy = any((request.task.time_limit or 0) > self._usual for request in state.active_requests)
        if busy or asked_at != self._asked_at:
            self._asked_at = asked_at
            signal.setitimer(signal.ITIMER_REAL, self._patience)


def _give_back(qos: Any) -> None:  # noqa: ANN401  # kombu's
    """A credit whose message no request holds is free again.

    The message itself stays unacknowledged, and the broker delivers it again after its visibility timeout: harmless for
    one whose task has run, and right for one that could not be kept for a person because the database was away.
    """
    held = {request.message.delivery_tag for request in state.reserved_requests if not request.acknowledged}
    for tag in set(qos._delivered) - qos._dirty - held:  # noqa: SLF001  # as above
        log.warning("prefetch_credit_restored", delivery=tag)
        virtual.QoS.ack(qos, tag)
