"""The desk, for the people of support: what waits for a decision, and why. It only reads."""

from pathlib import Path
from uuid import UUID

from fastapi import APIRouter, FastAPI
from starlette.responses import Response

from config.settings import Settings
from config.settings import settings as from_environment
from producers.web.app import configure, lifespan, run
from producers.web.dependencies import ThePaper, TheRecords
from producers.web.pages import case_copy
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import SEEN, Templates

desk = APIRouter(include_in_schema=False)


@desk.api_route("/", methods=SEEN)
def waiting(paper: ThePaper, records: TheRecords) -> Response:
    """The tasks that wait for a person, the oldest first."""
    with records.work() as work:
        tasks = work.support_tasks.list_open()
    return paper.render("tasks.html", tasks=tasks, sentence=case_copy.sentence_for_support)


@desk.api_route("/cases/{case}", methods=SEEN)
def show(case: UUID, paper: ThePaper, records: TheRecords) -> Response:
    """One case with its whole history."""
    with records.work() as work:
        view = work.case_views.get(case)
        history = work.history.for_case(case)
    if view is None:
        raise ProblemError(ProblemCode.NOT_FOUND, "This case doesn’t exist.")
    return paper.render(
        "case.html",
        view=view,
        amount=case_copy.amount_of(view, paper.translator),
        history=history,
        sentence=case_copy.sentence_for_support,
    )


def app(settings: Settings | None = None) -> FastAPI:
    """The application these settings describe, or those of the environment."""
    web = FastAPI(title="Moneyback desk", openapi_url=None, lifespan=lifespan)
    configure(web, settings or from_environment(), Templates(Path(__file__).with_name("templates")))
    web.include_router(desk)
    return web


def serve(host: str, port: int, settings: Settings | None = None) -> None:
    """Serves until told to stop. Nobody signs in here: give it an address that only support can reach."""
    run(app(settings), host, port)
