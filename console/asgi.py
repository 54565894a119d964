"""The ASGI factory of the web service, which each process of `moneyback web` calls."""

from fastapi import FastAPI

from config import log
from console.environment import load_settings
from producers import helpdesk_decisions
from producers.web.app import app, warm_up
from worker.providers import create_webhook_parsers


def web() -> FastAPI:
    """Return the application: the pages, the API, and the webhook endpoints."""
    log.set_up()
    settings = load_settings()
    return warm_up(app(settings, readers=create_webhook_parsers(settings), decide=helpdesk_decisions.decide))
