"""Store what agents write on the desk: drafts, notes, macros, and opinions about rules."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

from records.support_tasks import SupportTasks
from records.transaction import Transaction

_SAVE_DRAFT = """
insert into decision_drafts (agent, case_id, fields) values (:agent, :case_id, cast(:fields as jsonb))
on conflict (agent, case_id) do update set fields = excluded.fields, updated_at = now() returning updated_at
"""

_DELETE_DRAFT = "delete from decision_drafts where agent = :agent and case_id = :case_id"

_INSERT_NOTE = """
insert into case_notes (id, case_id, agent, agent_name, text) values (:id, :case_id, :agent, :agent_name, :text)
on conflict (id) do nothing
"""

_RETIRE_MACRO = """
update macros set retired_at = now()
 where coalesce(seller_id, '') = coalesce(cast(:seller_id as text), '') and name = :name and retired_at is null
returning version
"""

_INSERT_MACRO = """
insert into macros (id, seller_id, name, version, fields, created_by)
select :id, :seller_id, :name, coalesce(max(version), 0) + 1, cast(:fields as jsonb), :created_by
  from macros where coalesce(seller_id, '') = coalesce(cast(:seller_id as text), '') and name = :name
"""
"""Store the next version of a macro. Decisions name the version, so that reports count its use."""

_SELECT_MACROS = """
select id, seller_id, name, version, fields from macros
 where retired_at is null and (seller_id is null or seller_id = :seller_id) order by name, seller_id nulls first
"""

_SELECT_FORM = """
select null as id, null as seller_id, '' as name, 0 as version, fields, updated_at
  from decision_drafts where agent = :agent and case_id = :case_id
union all
(select id, seller_id, name, version, fields, null from macros
  where retired_at is null and (seller_id is null or seller_id = :seller_id) order by name, seller_id nulls first)
"""
"""The agent's draft, if there is a draft, and the macros."""

_SAVE_OPINION = """
insert into rule_opinions (case_id, code, was_right, agent) values (:case_id, :code, :was_right, :agent)
on conflict (case_id, code) do update set was_right = excluded.was_right, agent = excluded.agent, created_at = now()
"""


@dataclass(frozen=True, slots=True)
class Macro:
    """A saved decision. A macro without a seller is for the cases of every seller."""

    id: UUID
    seller_id: str | None
    name: str
    version: int
    fields: dict[str, Any]
    """The fields of the decision form."""


@dataclass(frozen=True, slots=True)
class FormContent:
    """What an agent can fill the decision form of a case with."""

    draft: Mapping[str, str]
    """The fields of the agent's draft; empty if there is no draft."""
    saved_at: datetime | None
    """When the draft was saved."""
    macros: Sequence[Macro]


class Desk:
    """The tables ``decision_drafts``, ``case_notes``, ``macros`` and ``rule_opinions``."""

    def __init__(self, work: Transaction) -> None:
        self._work = work

    def save_draft(self, agent: str, case: UUID, fields: Mapping[str, str]) -> datetime:
        """Store what an agent has typed into the decision form of a case. Return the instant at which it was saved."""
        row = self._work.run(_SAVE_DRAFT, agent=agent, case_id=case, fields=json.dumps(dict(fields)))
        saved_at: datetime = row.scalar_one()
        return saved_at

    def form_content(self, agent: str, case: UUID, seller: str | None) -> FormContent:
        """Return the agent's draft about a case of this seller, and the macros for the seller's cases."""
        rows = self._work.run(_SELECT_FORM, agent=agent, case_id=case, seller_id=seller).all()
        macros = [Macro(*row[:5]) for row in rows if row.id is not None]
        draft = next((row for row in rows if row.id is None), None)
        return FormContent(draft.fields, draft.updated_at, macros) if draft else FormContent({}, None, macros)

    def delete_draft(self, agent: str, case: UUID) -> None:
        """Delete the agent's draft, because the agent has decided the case."""
        self._work.run(_DELETE_DRAFT, agent=agent, case_id=case)

    def add_note(self, note: UUID, case: UUID, *, agent: str, agent_name: str, text: str) -> None:
        """Store an internal note. A note with a stored id changes nothing, because the form was sent twice."""
        self._work.run(_INSERT_NOTE, id=note, case_id=case, agent=agent, agent_name=agent_name, text=text)
        SupportTasks(self._work).add_words({case: text})

    def save_macro(self, seller: str | None, name: str, fields: Mapping[str, str], *, created_by: str) -> None:
        """Store a macro. A macro with the same seller and name gets a new version."""
        self.retire_macro(seller, name)
        values = {"id": uuid4(), "seller_id": seller, "name": name, "created_by": created_by}
        self._work.run(_INSERT_MACRO, fields=json.dumps(dict(fields)), **values)

    def retire_macro(self, seller: str | None, name: str) -> bool:
        """Take a macro out of use. Return False if there is no such macro."""
        return self._work.run(_RETIRE_MACRO, seller_id=seller, name=name).one_or_none() is not None

    def macros(self, seller: str | None) -> list[Macro]:
        """Return the macros for the cases of this seller."""
        return [Macro(*row) for row in self._work.run(_SELECT_MACROS, seller_id=seller)]

    def save_opinion(self, case: UUID, code: str, *, was_right: bool, agent: str) -> None:
        """Store whether the rule with this code was right to stop the case."""
        self._work.run(_SAVE_OPINION, case_id=case, code=code, was_right=was_right, agent=agent)
