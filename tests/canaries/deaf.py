"""Our worker, which becomes deaf as soon as it is ready; DEAF says how. Its watchdog's grace is short."""

import os
import socket
from typing import Any

from celery import signals
from kombu.transport import redis

from worker import watchdog
from worker.app import app

__all__ = ["app"]

watchdog.GRACE = 1.0


def stands_still() -> None:
    """As in a call that has no time-out."""
    here, _there = socket.socketpair()
    here.recv(1)


def asks_for_nothing() -> None:
    """Its loop turns, and nobody in it has a mind to take a message."""
    channel: Any = redis.Channel
    channel._brpop_start = lambda *_: None


@signals.worker_ready.connect
def _deafen(**_: Any) -> None:
    {"stands_still": stands_still, "asks_for_nothing": asks_for_nothing}[os.environ["DEAF"]]()
