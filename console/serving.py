"""The web as each of its processes makes it: wired by the environment that they all have."""

from fastapi import FastAPI

from config import log
from console.wiring import wired
from producers.web.app import app
from worker.providers import readers


def web() -> FastAPI:
    """The help centre, the refund form, the API, and the addresses of webhooks."""
    log.set_up()
    settings = wired()
    return app(settings, readers=readers(settings))
