"""The support desk: pages on which users who are signed in see the support tasks and decide cases."""

import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER

from config.settings import Settings
from config.settings import settings as from_environment
from domain.desk_roles import Permission
from producers.decision_batches import BatchRunner
from producers.desk import batches, cases, macros, queue
from producers.desk.accounts import access, invitations, oidc, pages, sign_in, users
from producers.desk.accounts.access import require
from producers.desk.accounts.authentication import Authenticator
from producers.web.app import POOL, add_middleware, configure, lifespan, run
from producers.web.templating import READ_METHODS, Templates

router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.READ_CASES))])


@router.api_route("/emails", methods=READ_METHODS)
def redirect_to_flagged_mails() -> Response:
    """Lead old links to the e-mails of customers that support must read. They are tasks of the queue now."""
    return RedirectResponse("/?reason=flagged_mail", HTTP_303_SEE_OTHER)


@asynccontextmanager
async def _lifespan(web: FastAPI) -> AsyncIterator[None]:
    """Decide the cases of running batches while the desk runs."""
    async with lifespan(web):
        web.state.batch_runner.start()
        yield
        web.state.batch_runner.stop()


def app(settings: Settings | None = None) -> FastAPI:
    """Return the desk for these settings, by default the settings of the environment."""
    settings = settings or from_environment()
    web = FastAPI(title="Moneyback desk", openapi_url=None, lifespan=_lifespan)
    configure(web, settings, Templates(Path(__file__).with_name("templates")))
    add_middleware(web, settings.desk.url, with_cookies=True)
    web.state.batch_runner = BatchRunner(web.state.records)
    web.state.authenticator = Authenticator(web.state.records, settings)
    web.add_exception_handler(access.RedirectError, access.on_redirect)
    web.add_exception_handler(access.ForbiddenError, access.on_forbidden)
    for module in (sign_in, invitations, pages, users, queue, cases, batches, macros):
        web.include_router(module.router)
    if settings.desk.oidc_issuer:
        web.include_router(oidc.router)
    web.include_router(router)
    return web


def serve(host: str, port: int, settings: Settings | None = None) -> None:
    """Serve the desk until the process is stopped."""
    web = app(settings)
    web.state.templates.warm()
    web.state.records.warm_up(POOL)
    gc.collect()
    gc.freeze()  # otherwise, a page waits now and then while the garbage collector scans all long-lived objects
    run(web, host, port)
