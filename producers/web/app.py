"""The web: help centre, refund form, case pages, the sellers' API, and what operators ask."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from starlette.staticfiles import StaticFiles

from config.links import Links
from config.settings import Settings
from config.settings import settings as from_environment
from domain.notices import WebhookReader
from producers.together import Together
from producers.web import brakes, guard
from producers.web.answers import problems
from producers.web.api import api
from producers.web.articles import Shelf
from producers.web.casepages import casepages
from producers.web.health import health
from producers.web.help import helppages
from producers.web.lookup import lookups
from producers.web.mailbox import letters
from producers.web.paper import HERE, Paper
from producers.web.problems import HANDLERS, Kind
from producers.web.reference import openapi_of, reference
from producers.web.refundform import refundform
from producers.web.shopfront import shopfronts
from producers.web.webhooks import Ears, webhooks
from producers.web.withdrawal import withdrawals
from records import Records, schema

POOL = 10  # connections; as many again when it is busy (records.work)

_DESCRIPTION = (
    "Sellers tell us of purchases, ask for refunds and see where they stand. "
    "Every error is an RFC 9457 problem document with a sentence that says what to change."
)


def app(settings: Settings | None = None, *, readers: Mapping[str, WebhookReader] | None = None) -> FastAPI:
    """The application these settings describe, or those of the environment; it hears the providers with a reader."""
    settings = settings or from_environment()
    web = FastAPI(
        title="Moneyback",
        version="1",
        summary="Gives a customer's money back, once, and says why.",
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        generate_unique_id_function=lambda route: route.name,
        lifespan=lifespan,
    )
    equip(web, settings, Paper())
    web.state.brakes = brakes.Brakes.of(settings)
    web.add_exception_handler(brakes.TooManyError, brakes.on_too_many)
    web.state.door = Together(web.state.records)
    web.state.links = Links.of(settings)
    web.state.schema = schema.newest()
    web.state.shelf = Shelf(*filter(None, [settings.help_dir]))
    web.state.ears = Ears(readers or {})
    web.__dict__["openapi"] = partial(openapi_of, web)  # FastAPI's own way to change the document
    for router in (helppages, shopfronts, lookups, refundform, withdrawals, casepages):
        web.include_router(router, dependencies=[Depends(brakes.on_forms)])
    web.include_router(api, dependencies=[Depends(brakes.on_calls)], responses=problems(Kind.TOO_MANY))
    for router in (webhooks, health, reference):
        web.include_router(router)
    if settings.mailbox_page and settings.outbox_dir:
        web.include_router(letters)
    return web


def equip(web: FastAPI, settings: Settings, paper: Paper) -> None:
    """What every application of ours holds and stands behind: the desk as well."""
    web.router.redirect_slashes = False  # one address a thing
    web.state.settings = settings
    web.state.records = Records.of(settings, pool=POOL)
    web.state.paper = paper
    for trouble, handler in HANDLERS.items():
        web.add_exception_handler(trouble, handler)
    web.mount("/static", StaticFiles(directory=HERE / "static"))
    web.add_middleware(guard.BodyLimit)
    web.add_middleware(guard.OurForms, public_url=settings.public_url)
    web.add_middleware(guard.Apology)
    web.add_middleware(guard.SafeHeaders, https=settings.public_url.startswith("https://"))


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncIterator[None]:
    """What every application of ours needs around its life."""
    # As many requests at once as connections: the others wait in line, and do not fail for want of one.
    current_default_thread_limiter().total_tokens = 2 * POOL
    yield
    web.state.records.engine.dispose()


def run(web: FastAPI | str, host: str, port: int, *, workers: int = 1) -> None:
    """Serves until told to stop. Several processes each make their own application: it is given as ``module:function``.

    No access log: whoever reads a status link in a log can follow it.
    """
    uvicorn.run(
        web,
        factory=isinstance(web, str),
        workers=workers,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # whom a proxy may speak for says our own setting (producers/web/networks.py)
        timeout_graceful_shutdown=10,
        timeout_worker_healthcheck=60,  # a busy machine takes longer than the usual 5 seconds to start a process
    )
