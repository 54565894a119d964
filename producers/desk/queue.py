"""The queue of the desk: the open support tasks, the most urgent first, and the actions that take, snooze and close a task."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Annotated, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.status import HTTP_303_SEE_OTHER, HTTP_409_CONFLICT, HTTP_422_UNPROCESSABLE_CONTENT

from config.i18n import LANGUAGES, UTC
from domain.desk_events import DeskEvent
from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from domain.errors import NotPossibleError
from domain.money import CURRENCIES, Money
from domain.snoozes import Snooze, SnoozeUntil, end_of_snooze
from producers.desk.accounts.access import AgentDep, authorize, require
from producers.desk.queue_query import AGES, REASONS, VIEWS, read_query
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.pages import case_copy
from producers.web.pages.forms import FormFieldsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS
from records import UnitOfWork
from records.support_tasks import OpenTask
from records.task_filters import Position, TaskFilter

router = APIRouter(include_in_schema=False, dependencies=[Depends(require(Permission.READ_CASES))])

LEASE_SECONDS = 600.0
"""How long a task is an agent's after the last action of the agent. Then it returns to the queue by itself."""
ENDS_SOON = timedelta(minutes=2)  # the page warns an agent this long before the task returns to the queue
PAGE_SIZE = 50
COUNTED = 1_000  # tasks; counting all of 100,000 tasks would take longer than to show a page
COUNTED_OF_SELLER = 100  # tasks; there may be many sellers
OUTCOMES: Final = ("done", "answered")
"""How an agent closes a task that is not about a decision."""

DeciderDep = Annotated[DeskUser, Depends(require(Permission.DECIDE))]
ReaderDep = Annotated[DeskUser, Depends(require(Permission.READ_CASES))]


@router.api_route("/", methods=READ_METHODS)
def show_queue(request: Request, user: AgentDep, page: PageDep, records: RecordsDep) -> Response:
    """Show a page of the open tasks of the user's sellers, the most urgent first. A case number leads to its case."""
    after = _position(request)
    with records.work() as work:
        query = read_query(work, user, request.query_params)
        if query.named:
            return RedirectResponse(f"/cases/{query.named.id}", HTTP_303_SEE_OTHER)
        tasks = work.support_tasks.list_open(query.filters, after=after, limit=PAGE_SIZE + 1)
        counts = _counts(work, user)
        count = counts.views.get(query.values["view"]) if not query.is_narrowed else None
        count = count or _count(work.support_tasks.count_open(query.filters, limit=COUNTED + 1), COUNTED)
        has_more, tasks = len(tasks) > PAGE_SIZE, tasks[:PAGE_SIZE]
        return page.render(
            "tasks.html",
            user=user,
            query=query,
            tasks=tasks,
            count=count,
            counts=counts,
            numbers=work.case_views.numbers([task.case_id for task in tasks if task.case_id]),
            mails=work.inbound_mails.flagged([task.mail_id for task in tasks if task.mail_id]),
            names=_names(work, tasks),
            ended=[case for case in query.found if case.id not in {task.case_id for task in tasks}],
            now=work.now,
            ends_soon=ENDS_SOON,
            next_page=query.address(after=f"{tasks[-1].due_at.isoformat()}_{tasks[-1].id}") if has_more else None,
            is_first_page=after is None,
            views=VIEWS,
            ages=AGES,
            reasons=REASONS,
            languages_of_customers=LANGUAGES,
            may_decide=user.may_for_any_seller(Permission.DECIDE),
            agent=agent_of(user),
            sentence=case_copy.sentence_for_support,
            amount_of=amount_of,
        )


@router.api_route("/tasks/counts", methods=READ_METHODS)
def show_counts(user: AgentDep, records: RecordsDep) -> Response:
    """Return the number of tasks in each view and of each seller. The page asks for them again every few seconds."""
    with records.work() as work:
        counts = _counts(work, user)
    return JSONResponse({"views": counts.views, "sellers": counts.sellers})


@router.api_route("/tasks/{task_id}", methods=READ_METHODS)
def show_task(task_id: UUID, user: AgentDep, page: PageDep, records: RecordsDep) -> Response:
    """Show a task that is not about a decision, such as a flagged e-mail. The page of a case shows the task of the case."""
    with records.work() as work:
        task = _find(work, user, task_id, Permission.READ_CASES)
        if task.is_decision:
            return RedirectResponse(_address(task), HTTP_303_SEE_OTHER)
        mail = work.inbound_mails.flagged([task.mail_id]).get(task.mail_id) if task.mail_id else None
        return page.render(
            "task.html",
            user=user,
            task=task,
            mail=mail,
            numbers=work.case_views.numbers([*{task.case_id, *(mail.case_ids if mail else ())} - {None}]),
            names=_names(work, [task]),
            zone=_zone(work, task),
            now=work.now,
            ends_soon=ENDS_SOON,
            may_decide=user.may(Permission.DECIDE, task.seller_id or None),
            agent=agent_of(user),
            sentence=case_copy.sentence_for_support,
        )


@router.post("/tasks/next")
def take_next(user: DeciderDep, page: PageDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Take the most urgent task that the user may decide and that nobody has taken, and show it."""
    with records.work() as work:
        query = read_query(work, user, {**fields, "view": ""}, Permission.DECIDE)
        task = work.support_tasks.take_next(agent_of(user), seconds=LEASE_SECONDS, filters=query.filters)
    if task is None:
        return page.render("no_next_task.html", user=user, query=query)
    return RedirectResponse(_address(task), HTTP_303_SEE_OTHER)


@router.post("/tasks/{task_id}/take")
def take(task_id: UUID, user: DeciderDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Take a task, also from the agent whom the form names as its holder. A snoozed task is back.

    If another agent has taken the task since the page was shown, nothing changes, and the next page says whose it is.
    """
    with records.work() as work:
        task = _find(work, user, task_id, Permission.DECIDE)
        if (holder := fields.get("holder")) and holder != agent_of(user):
            work.support_tasks.release(task_id, holder)
        work.support_tasks.take(task_id, agent_of(user), seconds=LEASE_SECONDS)
    return RedirectResponse(_address(task), HTTP_303_SEE_OTHER)


@router.post("/tasks/{task_id}/release")
def release(task_id: UUID, user: DeciderDep, records: RecordsDep) -> Response:
    """Return a task to the queue."""
    with records.work() as work:
        _find(work, user, task_id, Permission.DECIDE)
        work.support_tasks.release(task_id, agent_of(user))
    return RedirectResponse("/", HTTP_303_SEE_OTHER)


@router.post("/tasks/{task_id}/snooze")
def snooze(task_id: UUID, user: DeciderDep, page: PageDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Snooze a task until a date, an answer of the customer, or a report about the case."""
    try:
        with records.work() as work:
            task = _find(work, user, task_id, Permission.DECIDE)
            chosen = _read_snooze(work, user, task, fields)
            if not work.support_tasks.snooze(task_id, chosen):
                raise _TakenError
            evidence = {
                "task": str(task_id),
                **({"case": str(task.case_id)} if task.case_id else {}),
                "until": chosen.until.value,
                "ends_at": chosen.ends_at.isoformat(timespec="seconds"),
            }
            work.desk_events.record(DeskEvent.TASK_SNOOZED, actor=user.id, user=user.id, evidence=evidence)
    except NotPossibleError as error:
        status = HTTP_409_CONFLICT if isinstance(error, _TakenError) else HTTP_422_UNPROCESSABLE_CONTENT
        title = "The task was not snoozed"
        return page.render("problem.html", status=status, user=user, title=title, sentence=str(error))
    return RedirectResponse("/", HTTP_303_SEE_OTHER)


@router.post("/tasks/{task_id}/close")
def close(task_id: UUID, user: DeciderDep, records: RecordsDep, fields: FormFieldsDep) -> Response:
    """Close a task that is not the task of a case. The task of a case ends with the decision about the case."""
    comment, outcome = fields.get("comment", "").strip(), fields.get("outcome", "")
    with records.work() as work:
        task = _find(work, user, task_id, Permission.DECIDE)
        if task.assigned_to and task.assigned_to != agent_of(user):
            work.support_tasks.release(task_id, task.assigned_to)
        work.support_tasks.close(task_id, agent_of(user), outcome if outcome in OUTCOMES else OUTCOMES[0], comment)
    return RedirectResponse("/", HTTP_303_SEE_OTHER)


def agent_of(user: DeskUser) -> str:
    """Return the id by which tasks, drafts and decisions name this user."""
    return f"user:{user.id}"


def amount_of(task: OpenTask) -> str:
    """Return the amount of the purchase for an agent; empty if it is not known."""
    is_known = task.amount is not None and task.currency in CURRENCIES
    return str(Money(task.amount or 0, task.currency or "")) if is_known else ""


class _TakenError(NotPossibleError):
    """Another agent has taken this task. Take it over first."""

    def __init__(self) -> None:
        super().__init__("Another agent has taken this task. Take it over first.")


@dataclass(frozen=True, slots=True)
class _Counts:
    """The numbers of tasks, as texts such as ``312`` or ``1,000+``."""

    views: Mapping[str, str]
    sellers: Mapping[str, str]
    """The number of tasks of each seller of the user."""


def _counts(work: UnitOfWork, user: DeskUser) -> _Counts:
    sellers = user.sellers(Permission.READ_CASES)
    everything = TaskFilter(sellers=sellers, snoozed=False)
    views = {
        "": everything,
        "mine": replace(everything, mine=agent_of(user)),
        "unclaimed": replace(everything, unclaimed=True),
        "snoozed": replace(everything, snoozed=True),
    }
    own = [seller.id for seller in work.sellers.list_all() if sellers is None or seller.id in sellers]
    of_sellers = work.support_tasks.count_of_sellers(own, limit=COUNTED_OF_SELLER + 1)
    return _Counts(
        {
            view: _count(work.support_tasks.count_open(filters, limit=COUNTED + 1), COUNTED)
            for view, filters in views.items()
        },
        {seller: _count(of_sellers[seller], COUNTED_OF_SELLER) for seller in own},
    )


def _count(number: int, limit: int) -> str:
    return f"{limit:,}+" if number > limit else f"{number:,}"


def _read_snooze(work: UnitOfWork, user: DeskUser, task: OpenTask, fields: Mapping[str, str]) -> Snooze:
    """Return the snooze in these fields. Raise NotPossibleError if the task cannot wait, or not that long."""
    until = next((value for value in SnoozeUntil if value == fields.get("until")), None)
    if until is None:
        raise NotPossibleError("Choose until when the task waits.")
    if until is not SnoozeUntil.DATE and not task.is_decision:
        raise NotPossibleError("This task can only wait until a date.")
    wished = _read_date(fields.get("date", ""), _zone(work, task)) if until is SnoozeUntil.DATE else None
    revision = work.support_decisions.revisions([task.case_id]).get(task.case_id) if task.case_id else None
    return Snooze(
        until=until,
        ends_at=end_of_snooze(task.clocks, work.now, wished),
        agent=agent_of(user),
        revision=str(revision) if revision else None,
    )


def _read_date(text: str, zone: ZoneInfo) -> datetime:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError:
        raise NotPossibleError("Enter the date and the time until which the task waits.") from None


def _zone(work: UnitOfWork, task: OpenTask) -> ZoneInfo:
    """Return the time zone of the task's seller."""
    seller = work.sellers.get(task.seller_id) if task.seller_id else None
    return seller.time_zone if seller else UTC


def _find(work: UnitOfWork, user: DeskUser, task_id: UUID, permission: Permission) -> OpenTask:
    task = work.support_tasks.get(task_id)
    if task is None:
        raise ProblemError(ProblemCode.NOT_FOUND, "This task doesn’t exist, or it is closed.")
    authorize(user, permission, task.seller_id or None)
    return task


def _address(task: OpenTask) -> str:
    return f"/cases/{task.case_id}" if task.is_decision else f"/tasks/{task.id}"


def _position(request: Request) -> Position | None:
    """Return the position after which the page starts. A link that was changed by hand starts at the first page."""
    due_at, _, id_ = request.query_params.get("after", "").partition("_")
    try:
        return Position(datetime.fromisoformat(due_at), UUID(id_))
    except ValueError:
        return None


def _names(work: UnitOfWork, tasks: Collection[OpenTask]) -> dict[str, str]:
    """Return the names of the agents who have taken or snoozed tasks."""
    agents = {agent for task in tasks for agent in (task.assigned_to, task.snoozed_by) if agent}
    users = [UUID(id_) for kind, _, id_ in (agent.partition(":") for agent in agents) if kind == "user"]
    return {f"user:{id_}": name for id_, name in work.desk_users.names(users).items()}
