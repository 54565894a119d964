"""The web as each of its processes makes it: wired by the environment that they all have."""

import gc

from fastapi import FastAPI

from config import log
from console.environment import load_settings
from producers.web.app import POOL, app
from worker.providers import readers


def web() -> FastAPI:
    """The help centre, the refund form, the API, and the addresses of webhooks."""
    log.set_up()
    settings = load_settings()
    made = app(settings, readers=readers(settings))
    made.state.paper.warm()
    made.state.records.dial(POOL)
    gc.collect()
    gc.freeze()  # what lives as long as the process is not looked through again and again, with all customers waiting
    return made
