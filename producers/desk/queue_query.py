"""Reads which tasks a user wants to see from the address of the queue page: a view, filters, and a search."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import urlencode

from config.i18n import LANGUAGES
from domain import case_numbers
from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from domain.errors import UnreadableError
from domain.money import Money, UnknownMoneyError
from domain.reason_codes import ReasonCode
from domain.support_tasks import SupportTaskKind
from records import UnitOfWork
from records.case_search import FoundCase
from records.task_filters import TaskFilter, words_query

VIEWS: Mapping[str, str] = {"": "All", "mine": "Mine", "unclaimed": "Not taken", "snoozed": "Snoozed"}
"""The views of the queue, with their names on the page. The default view has no name in the address."""
AGES: Mapping[str, str] = {"1": "a day", "3": "3 days", "7": "a week", "14": "2 weeks", "30": "30 days"}
"""The ages by which the queue is filtered: more than this number of days since the task was opened."""
REASONS: Mapping[str, str] = {
    **{code.value: code.support for code in ReasonCode},
    **{kind.value: kind.sentence for kind in SupportTaskKind},
}
"""Why support must look at a task, by the code of the reason or of the kind of the task."""
FILTERS = ("view", "seller", "reason", "language", "older", "amount_from", "amount_to", "currency", "q")
"""The parameters of the address, which are also the fields of the forms."""
MAX_FOUND = 100  # cases; more cases of one customer do not help an agent, so the page says how to narrow the search
_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class QueueQuery:
    """The tasks that a user wants to see."""

    values: Mapping[str, str]
    """What the user typed and chose, by FILTERS."""
    filters: TaskFilter
    found: tuple[FoundCase, ...] = ()
    """The cases in every state that have the name in the search field, the newest first."""
    named: FoundCase | None = None
    """The case whose case number or id was typed into the search field."""
    has_more: bool = False
    """True if more cases than these have the name."""
    message: str = ""
    """What is wrong with the filters. A wrong filter is left out."""

    @property
    def is_narrowed(self) -> bool:
        """True if a filter or a search is set."""
        return any(self.values[name] for name in FILTERS if name != "view")

    def address(self, **changes: str) -> str:
        """Return the address of the queue page with these filters and changes."""
        query = {name: value for name, value in (dict(self.values) | changes).items() if value}
        return f"/?{urlencode(query)}" if query else "/"


def read_query(
    work: UnitOfWork, user: DeskUser, given: Mapping[str, str], permission: Permission = Permission.READ_CASES
) -> QueueQuery:
    """Return what the user wants to see. A user sees only tasks of the own sellers, whatever the address says."""
    values = {name: given.get(name, "").strip()[:200] for name in FILTERS}
    sellers = user.sellers(permission)
    if wanted := values["seller"]:
        sellers = frozenset({wanted}) if user.may(permission, wanted) else frozenset()
    amounts, message = _read_amounts(values)
    filters = TaskFilter(
        sellers=sellers,
        reasons=(values["reason"],) if values["reason"] in REASONS else None,
        language=values["language"] if values["language"] in LANGUAGES else None,
        older_than=int(values["older"]) * _DAY if values["older"] in AGES else None,
        mine=f"user:{user.id}" if values["view"] == "mine" else None,
        unclaimed=values["view"] == "unclaimed",
        snoozed=values["view"] == "snoozed",
        **amounts,
    )
    query = QueueQuery(values, filters, message=message)
    return _search(work, query) if values["q"] else query


def _search(work: UnitOfWork, query: QueueQuery) -> QueueQuery:
    """Add the search. A name finds cases in every state. Any other text finds open tasks that contain the words.

    A search in the default view also finds snoozed tasks, because the agent looks for a case and not for work.
    """
    filters = query.filters
    if not query.values["view"]:
        filters = replace(filters, snoozed=None)
    text = query.values["q"]
    found = work.case_search.find(text, sellers=filters.sellers, limit=MAX_FOUND + 1)
    if found or not (words := words_query(text)):
        filters = replace(filters, cases=tuple(case.id for case in found))
        named = next(
            (case for case in found if text.lower() == str(case.id) or case.number == _case_number(text)), None
        )
        has_more = len(found) > MAX_FOUND
        return replace(query, filters=filters, found=tuple(found[:MAX_FOUND]), named=named, has_more=has_more)
    return replace(query, filters=replace(filters, words=words))


def _case_number(text: str) -> str | None:
    """Return the case number that a person typed, as it is written; None if the text is not a case number."""
    try:
        return case_numbers.encode(case_numbers.decode(text))
    except UnreadableError:
        return None


def _read_amounts(values: Mapping[str, str]) -> tuple[dict[str, Any], str]:
    """Return the filters of the amount, and what is wrong with them."""
    currency = values["currency"].upper()
    typed = {name: values[name].replace(",", ".") for name in ("amount_from", "amount_to") if values[name]}
    if not currency:
        return {}, "Enter a currency with the amount, such as EUR." if typed else ""
    try:
        amounts = {name: Money.parse(text, currency).minor for name, text in (typed or {"amount_from": "0"}).items()}
    except UnknownMoneyError as error:
        return {}, f"The amount was left out. {error}"
    return {"currency": currency, **amounts}, ""
