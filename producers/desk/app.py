"""The support desk: pages that show the open support tasks and the reasons for them, for users who are signed in."""

from pathlib import Path

from fastapi import APIRouter, Depends, FastAPI
from starlette.responses import Response

from config.settings import Settings
from config.settings import settings as from_environment
from domain.desk_roles import Permission
from domain.errors import UnreadableError
from producers.desk.accounts import access, invitations, oidc, pages, sign_in, users
from producers.desk.accounts.access import AgentDep, authorize, require
from producers.desk.accounts.authentication import Authenticator
from producers.web.app import add_middleware, configure, lifespan, run
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages import case_copy
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Templates
from records.support_tasks import TaskFilter

DAY_SECONDS = 86_400.0

router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.READ_CASES))])


@router.api_route("/", methods=READ_METHODS)
def list_tasks(user: AgentDep, page: PageDep, records: RecordsDep) -> Response:
    """List the open support tasks of the user's sellers, the most urgent first."""
    with records.work() as work:
        tasks = work.support_tasks.list_open(TaskFilter(sellers=user.sellers(Permission.READ_CASES)))
        numbers = work.case_views.numbers([task.case_id for task in tasks if task.case_id])
    return page.render("tasks.html", user=user, tasks=tasks, numbers=numbers, sentence=case_copy.sentence_for_support)


@router.api_route("/emails", methods=READ_METHODS)
def list_flagged_mails(user: AgentDep, page: PageDep, records: RecordsDep) -> Response:
    """List the e-mails of customers that support must read, newest first, without those of other sellers' cases."""
    sellers = user.sellers(Permission.READ_CASES)
    with records.work() as work:
        mails = work.inbound_mails.list_flagged(sellers=sellers)
        count = work.inbound_mails.count_flagged(seconds=DAY_SECONDS, sellers=sellers)
        numbers = work.case_views.numbers([case_id for mail in mails for case_id in mail.case_ids])
    return page.render("emails.html", user=user, mails=mails, numbers=numbers, count=count)


@router.api_route("/cases", methods=READ_METHODS)
@router.api_route("/cases/{case}", methods=READ_METHODS)
def show_case(case: str, user: AgentDep, page: PageDep, records: RecordsDep) -> Response:
    """Show the case with this case number or id, with its whole history."""
    with records.work() as work:
        try:
            view = work.case_views.find(case)
        except UnreadableError as error:
            raise ProblemError(ProblemCode.NOT_FOUND, str(error)) from None
        history = work.history.for_case(view.id) if view else []
    if view is None:
        raise ProblemError(ProblemCode.NOT_FOUND, "This case doesn’t exist.")
    authorize(user, Permission.READ_CASES, view.seller)
    return page.render(
        "case.html",
        user=user,
        view=view,
        amount=case_copy.amount_of(view, page.translator),
        payments=list(zip(case_copy.payment_lines(view, page.translator), view.payments, strict=False)),
        history=history,
        sentence=case_copy.sentence_for_support,
    )


def app(settings: Settings | None = None) -> FastAPI:
    """Return the desk for these settings, by default the settings of the environment."""
    settings = settings or from_environment()
    web = FastAPI(title="Moneyback desk", openapi_url=None, lifespan=lifespan)
    configure(web, settings, Templates(Path(__file__).with_name("templates")))
    add_middleware(web, settings.desk.url, with_cookies=True)
    web.state.authenticator = Authenticator(web.state.records, settings)
    web.add_exception_handler(access.RedirectError, access.on_redirect)
    web.add_exception_handler(access.ForbiddenError, access.on_forbidden)
    for module in (sign_in, invitations, pages, users):
        web.include_router(module.router)
    if settings.desk.oidc_issuer:
        web.include_router(oidc.router)
    web.include_router(router)
    return web


def serve(host: str, port: int, settings: Settings | None = None) -> None:
    """Serve the desk until the process is stopped."""
    run(app(settings), host, port)
