"""The queue of the desk: the open support tasks, the most urgent first, and the actions that take, return and close a task."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated
from uuid import UUID

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER

from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from producers.desk.accounts.access import AgentDep, authorize, require
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages import case_copy
from producers.web.pages.forms import FormFieldsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS
from records import UnitOfWork
from records.support_tasks import OpenTask, Position, TaskFilter

router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.READ_CASES))])

LEASE_SECONDS = 600.0
"""How long a task is an agent's after the last action of the agent. Then it returns to the queue by itself."""
PAGE_SIZE = 50
FILTERS = ("seller", "language", "kind", "mine", "unclaimed")

DeciderDep = Annotated[DeskUser, Depends(require(Permission.DECIDE))]


@router.api_route("/", methods=READ_METHODS)
def show_queue(request: Request, user: AgentDep, page: PageDep, records: RecordsDep) -> Response:
    """Show a page of the open tasks of the user's sellers, the most urgent first."""
    values = {name: request.query_params.get(name, "") for name in FILTERS}
    filters = _filters(user, values)
    with records.work() as work:
        tasks = work.support_tasks.list_open(filters, after=_position(request), limit=PAGE_SIZE + 1)
        counts = work.support_tasks.count_open(filters)
        numbers = work.case_views.numbers([task.case_id for task in tasks if task.case_id])
        sellers = [seller.id for seller in work.sellers.list_all() if user.may(Permission.READ_CASES, seller.id)]
        names = _names(work, tasks)
        now = work.now
    last = tasks[PAGE_SIZE - 1] if len(tasks) > PAGE_SIZE else None
    return page.render(
        "tasks.html",
        user=user,
        tasks=tasks[:PAGE_SIZE],
        count=sum(counts.values()),
        counts=counts,
        numbers=numbers,
        names=names,
        now=now,
        next_page=_next_page(values, last),
        values=values,
        sellers=sellers,
        may_decide=user.may_for_any_seller(Permission.DECIDE),
        sentence=case_copy.sentence_for_support,
    )


@router.post("/tasks/next")
def take_next(user: DeciderDep, page: PageDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Take the most urgent task that the user may decide and that nobody has taken, and show it."""
    filters = _filters(user, {**fields, "mine": "", "unclaimed": ""}, Permission.DECIDE)
    with records.work() as work:
        task = work.support_tasks.take_next(agent_of(user), seconds=LEASE_SECONDS, filters=filters)
    if task is None:
        return page.render("no_next_task.html", user=user)
    return RedirectResponse(_address(task), HTTP_303_SEE_OTHER)


@router.post("/tasks/{task_id}/take")
def take(task_id: UUID, user: DeciderDep, records: RecordsDep) -> Response:
    """Take a task. An agent who takes over a task of another agent sees on the page whose it was."""
    with records.work() as work:
        task = _find(work, user, task_id, Permission.DECIDE)
        if task.assigned_to and task.assigned_to != agent_of(user):
            work.support_tasks.release(task_id, task.assigned_to)
        work.support_tasks.take(task_id, agent_of(user), seconds=LEASE_SECONDS)
    return RedirectResponse(_address(task), HTTP_303_SEE_OTHER)


@router.post("/tasks/{task_id}/release")
def release(task_id: UUID, user: DeciderDep, records: RecordsDep) -> Response:
    """Return a task to the queue."""
    with records.work() as work:
        _find(work, user, task_id, Permission.DECIDE)
        work.support_tasks.release(task_id, agent_of(user))
    return RedirectResponse("/", HTTP_303_SEE_OTHER)


@router.post("/tasks/{task_id}/close")
def close(task_id: UUID, user: DeciderDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Close a task that is not the task of a case. The task of a case ends with the decision about the case."""
    comment = fields.get("comment", "").strip()
    with records.work() as work:
        task = _find(work, user, task_id, Permission.DECIDE)
        if task.assigned_to and task.assigned_to != agent_of(user):
            work.support_tasks.release(task_id, task.assigned_to)
        work.support_tasks.close(task_id, agent_of(user), "done", comment)
    return RedirectResponse("/", HTTP_303_SEE_OTHER)


def agent_of(user: DeskUser) -> str:
    """Return the id by which tasks, drafts and decisions name this user."""
    return f"user:{user.id}"


def _find(work: UnitOfWork, user: DeskUser, task_id: UUID, permission: Permission) -> OpenTask:
    task = work.support_tasks.get(task_id)
    if task is None:
        raise ProblemError(ProblemCode.NOT_FOUND, "This task doesn’t exist, or it is closed.")
    authorize(user, permission, task.seller_id or None)
    return task


def _address(task: OpenTask) -> str:
    return f"/cases/{task.case_id}" if task.case_id else f"/?kind={task.kind}"


def _filters(user: DeskUser, values: Mapping[str, str], permission: Permission = Permission.READ_CASES) -> TaskFilter:
    """Return the filters of the queue page. A user sees only tasks of the own sellers, whatever the filter says."""
    sellers = user.sellers(permission)
    if wanted := values.get("seller"):
        sellers = frozenset({wanted}) if user.may(permission, wanted) else frozenset()
    return TaskFilter(
        sellers=sellers,
        languages=(values["language"],) if values.get("language") else None,
        kinds=(values["kind"],) if values.get("kind") else None,
        mine=agent_of(user) if values.get("mine") else None,
        unclaimed=bool(values.get("unclaimed")),
    )


def _position(request: Request) -> Position | None:
    """Return the position after which the page starts. A link that was changed by hand starts at the first page."""
    due_at, _, id_ = request.query_params.get("after", "").partition("_")
    try:
        return Position(datetime.fromisoformat(due_at), UUID(id_))
    except ValueError:
        return None


def _next_page(values: Mapping[str, str], last: OpenTask | None) -> dict[str, str] | None:
    """Return the query of the next page, or None on the last page."""
    if last is None:
        return None
    return {name: value for name, value in values.items() if value} | {"after": f"{last.due_at.isoformat()}_{last.id}"}


def _names(work: UnitOfWork, tasks: list[OpenTask]) -> dict[str, str]:
    """Return the names of the agents who have taken tasks."""
    agents = {task.assigned_to for task in tasks if task.assigned_to}
    return {
        agent: listed.user.name
        for listed in (work.desk_users.list_all() if agents else ())
        if (agent := f"user:{listed.user.id}") in agents
    }
