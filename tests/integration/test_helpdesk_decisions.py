"""The decisions of helpdesks: who may make them, under which limits, and what they change."""

from uuid import UUID

import pytest

from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from domain.errors import NotFoundError, NotPossibleError, OutdatedError
from domain.money import Money
from domain.states import State
from producers import helpdesk_decisions
from producers.helpdesk_events import HelpdeskDecision
from tests.integration._desk_fixtures import Desk
from tests.integration._web_fixtures import a_case
from tests.sample_data import a_seller

CLARA = "clara@desk.example"


@pytest.fixture
def case(desk: Desk) -> UUID:
    desk.add_user(CLARA, RoleGrant(Role.AGENT, "aurora"))
    return a_case(desk.records, State.WITH_SUPPORT)


def made(desk: Desk, case: UUID, action: str = "approve", agent: str = CLARA, revision: str = "") -> HelpdeskDecision:
    with desk.records.work() as work:
        revision = revision or str(work.support_decisions.revisions([case])[case])
    return HelpdeskDecision(
        case_id=case,
        revision=revision,
        action=action,
        message="The policy allows 30 days." if action == "decline" else None,
        agent_email=agent,
        agent_name="Clara",
        source="helpdesk:zendesk",
        key=f"task/{action}",
    )


def state_of(desk: Desk, case: UUID) -> str:
    with desk.records.work() as work:
        view = work.case_views.get(case)
    assert view
    return view.state


@pytest.mark.parametrize(
    ("action", "state"), [("approve", State.APPROVED), ("decline", State.DECLINED), ("close", State.CLOSED)]
)
@pytest.mark.parametrize("agent", [CLARA, "CLARA@desk.example"])
def test_an_agent_decides_in_a_helpdesk(desk: Desk, case: UUID, action: str, state: State, agent: str) -> None:
    decision = made(desk, case, action, agent)
    for _ in range(2):  # a repeated webhook has the same key
        helpdesk_decisions.decide(desk.records, decision)
    assert state_of(desk, case) == state
    with desk.records.work() as work:
        (stored,) = work.support_decisions.for_case(case)
    assert stored.decided_by_name == "clara"


@pytest.mark.parametrize("grants", [[], [RoleGrant(Role.AUDITOR, "aurora")], [RoleGrant(Role.AGENT, "babbage")]])
def test_only_a_desk_user_who_may_decide_the_sellers_cases_decides(
    desk: Desk, case: UUID, grants: list[RoleGrant]
) -> None:
    if grants:
        desk.add_user("bob@desk.example", *grants)
    with pytest.raises(NotPossibleError, match=r"No user of the desk with the address bob@desk\.example may decide"):
        helpdesk_decisions.decide(desk.records, made(desk, case, agent="bob@desk.example"))
    assert state_of(desk, case) == State.WITH_SUPPORT


def test_above_the_limit_a_ticket_only_proposes(desk: Desk, case: UUID) -> None:
    with desk.records.work() as work:
        work.sellers.upsert(a_seller(four_eyes_above=Money(1000, "EUR")))
    helpdesk_decisions.decide(desk.records, made(desk, case))
    assert state_of(desk, case) == State.WITH_SUPPORT


def test_a_ticket_that_showed_an_older_state_decides_nothing(desk: Desk, case: UUID) -> None:
    with pytest.raises(OutdatedError):
        helpdesk_decisions.decide(desk.records, made(desk, case, revision="1.0.00000000.00000000.00000000"))
    with pytest.raises(NotFoundError):
        helpdesk_decisions.decide(desk.records, made(desk, UUID(int=9), revision="1.0.00000000.00000000.00000000"))
