"""The support desk: read-only pages that show the open support tasks and the reasons for them."""

from pathlib import Path
from uuid import UUID

from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from config.settings import Settings
from config.settings import settings as from_environment
from producers.web.app import configure, lifespan, run
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages import case_copy
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS, Templates

DAY_SECONDS = 86_400.0

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=READ_METHODS)
def list_tasks(page: PageDep, records: RecordsDep) -> Response:
    """List the open support tasks, the most urgent first."""
    with records.work() as work:
        tasks = work.support_tasks.list_open()
    return page.render("tasks.html", tasks=tasks, sentence=case_copy.sentence_for_support)


@router.api_route("/emails", methods=READ_METHODS)
def list_flagged_mails(page: PageDep, records: RecordsDep) -> Response:
    """List the e-mails of customers that support must read, newest first."""
    with records.work() as work:
        mails = work.inbound_mails.list_flagged()
        count = work.inbound_mails.count_flagged(seconds=DAY_SECONDS)
    return page.render("emails.html", mails=mails, count=count)


@router.api_route("/cases/{case_id}", methods=READ_METHODS)
def show_case(case_id: UUID, page: PageDep, records: RecordsDep) -> Response:
    """Show a case with its whole history."""
    with records.work() as work:
        view = work.case_views.get(case_id)
        history = work.history.for_case(case_id)
    if view is None:
        raise ProblemError(ProblemCode.NOT_FOUND, "This case doesn’t exist.")
    return page.render(
        "case.html",
        view=view,
        amount=case_copy.amount_of(view, page.translator),
        payments=list(zip(case_copy.payment_lines(view, page.translator), view.payments, strict=False)),
        history=history,
        sentence=case_copy.sentence_for_support,
    )


def app(settings: Settings | None = None) -> FastAPI:
    """Return the desk for these settings, by default the settings of the environment."""
    web = FastAPI(title="Moneyback desk", openapi_url=None, lifespan=lifespan)
    configure(web, settings or from_environment(), Templates(Path(__file__).with_name("templates")))
    web.include_router(router)
    return web


def serve(host: str, port: int, settings: Settings | None = None) -> None:
    """Serve the desk until the process is stopped. The desk has no sign-in, so only support may have access to it."""
    run(app(settings), host, port)
