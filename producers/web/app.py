"""The web application: help centre, refund form, case pages, API, webhooks, health checks and metrics."""

import gc
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial

import uvicorn
from anyio.to_thread import current_default_thread_limiter
from fastapi import Depends, FastAPI
from starlette.staticfiles import StaticFiles

from config.connected_providers import sellers_of
from config.helpdesks import connected_helpdesks
from config.settings import Settings
from config.settings import settings as from_environment
from config.signed_links import Links
from domain.webhook_events import WebhookParser
from producers.group_commit import GroupCommit
from producers.helpdesk_events import Decide
from producers.web import health, helpdesks, metrics, middleware, rate_limits, webhooks
from producers.web.api import bulk, docs, purchases, refund_requests, support_cases
from producers.web.api.openapi import TAGS, openapi_document
from producers.web.api.responses import problem_responses
from producers.web.pages import (
    answer,
    case,
    help_centre,
    lookup,
    refund_form,
    sent_mail,
    statutory_withdrawal,
    storefront,
)
from producers.web.pages.help_articles import ArticleStore
from producers.web.problems import HANDLERS, ProblemCode
from producers.web.templating import HERE, Templates
from records import Records, migrate

POOL = 10  # database connections that stay open; under load, up to twice as many are open (records.unit_of_work)

_DESCRIPTION = (
    "Sellers store purchases, create refund requests and read their cases. "
    "Every error is an RFC 9457 problem document that says what to change."
)


def app(
    settings: Settings | None = None,
    *,
    readers: Mapping[str, WebhookParser] | None = None,
    decide: Decide | None = None,
) -> FastAPI:
    """Return the application for these settings, by default the settings of the environment.

    ``readers`` are the parsers of the providers whose webhooks the application receives. ``decide`` makes the decisions that
    agents make in helpdesks. Without it, a closed ticket decides nothing.
    """
    settings = settings or from_environment()
    web = FastAPI(
        title="Moneyback",
        version="1",
        summary="Gives a customer's money back, once, and says why.",
        description=_DESCRIPTION,
        openapi_tags=TAGS,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    configure(web, settings, Templates())
    add_middleware(web, settings.public_url)
    web.state.rate_limits = rate_limits.RateLimits.of(settings)
    web.add_exception_handler(rate_limits.RateLimitedError, rate_limits.on_rate_limited)
    web.state.group_commit = GroupCommit(web.state.records)
    web.state.links = Links.of(settings)
    web.state.schema_version = migrate.latest_revision()
    web.state.articles = ArticleStore(*filter(None, [settings.help_dir]))
    web.state.webhook_receiver = webhooks.WebhookReceiver(readers or {})
    web.state.helpdesk_receiver = helpdesks.HelpdeskReceiver(connected_helpdesks(settings.helpdesks), decide)
    web.__dict__["openapi"] = partial(openapi_document, web)  # FastAPI's documented way to change OpenAPI
    for pages in (help_centre, storefront, lookup, refund_form, statutory_withdrawal, case):
        web.include_router(pages.router, dependencies=[Depends(rate_limits.limit_forms)])
    web.include_router(answer.router)  # it limits its form itself, so that the typed text stays on the page
    for resource in (
        bulk,
        refund_requests,
        purchases,
        support_cases,
    ):  # bulk first: otherwise, /bulk would be read as /{id}
        web.include_router(
            resource.router,
            dependencies=[Depends(rate_limits.limit_api_calls)],
            responses=problem_responses(ProblemCode.RATE_LIMITED),
        )
    for module in (webhooks, helpdesks, health, metrics, docs):
        web.include_router(module.router)
    if settings.mailbox_page and settings.sent_mail_dir:
        web.include_router(sent_mail.router)
    return web


def configure(web: FastAPI, settings: Settings, templates: Templates) -> None:
    """Add settings, records, templates and error handlers to an application. The desk also calls this function."""
    web.router.redirect_slashes = False  # a page has only one address: with a slash at the end, the response is 404
    web.state.settings = settings
    web.state.account_sellers = sellers_of(settings)
    web.state.records = Records.of(settings, pool=POOL)
    web.state.templates = templates
    for error, handler in HANDLERS.items():
        web.add_exception_handler(error, handler)
    web.mount("/static", StaticFiles(directory=HERE / "static"))


def add_middleware(web: FastAPI, url: str, *, with_cookies: bool = False) -> None:
    """Add the middleware to an application that browsers reach at ``url``. Only the desk is ``with_cookies``."""
    headers = middleware.DESK_HEADERS if with_cookies else middleware.HEADERS
    web.add_middleware(middleware.BodySizeLimitMiddleware)
    web.add_middleware(middleware.CrossSiteFormMiddleware, public_url=url, strict=with_cookies)
    web.add_middleware(middleware.ErrorPageMiddleware)
    web.add_middleware(middleware.SecurityHeadersMiddleware, https=url.startswith("https://"), headers=headers)


@asynccontextmanager
async def lifespan(web: FastAPI) -> AsyncIterator[None]:
    """Set the number of threads at the start, and close the database connections at the end."""
    # There are only as many threads as connections, so each thread gets a connection. Further requests wait for a thread.
    current_default_thread_limiter().total_tokens = 2 * POOL
    yield
    web.state.records.engine.dispose()


def warm_up(web: FastAPI) -> FastAPI:
    """Load what the first requests need, and return the application.

    The garbage collector does not scan the objects that exist now. Otherwise, a page waits now and then for the scan.
    """
    web.state.templates.warm()
    web.state.records.warm_up(POOL)
    gc.collect()
    gc.freeze()
    return web


def run(web: FastAPI | str, host: str, port: int, *, workers: int = 1) -> None:
    """Serve the application until the process is stopped.

    If ``workers`` is above 1, ``web`` must be the name of a factory, as ``module:function``.

    There is no access log, because an access log would contain the customers' status links.
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
        proxy_headers=False,  # MONEYBACK_TRUSTED_PROXIES decides instead (producers/web/client_network.py)
        timeout_graceful_shutdown=10,
        timeout_worker_healthcheck=60,  # a busy machine takes longer than the usual 5 seconds to start a process
    )
