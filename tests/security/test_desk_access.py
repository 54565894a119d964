"""Tests every route of the desk with every role, for the user's own seller, another seller, and without a session."""

import re
from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

import httpx
import pytest

from domain.desk_roles import PERMISSIONS, Permission, Role
from domain.desk_users import RoleGrant
from domain.states import State
from domain.support_decisions import DecidedBy, DecisionAction, Decline
from producers import decision_batches
from producers.desk.app import app
from tests.integration._desk_fixtures import Desk
from tests.integration._web_fixtures import a_case
from tests.sample_data import a_recent_purchase
from tests.security.test_headers import routes

OWN, OTHER = "aurora", "babbage"
CLARA = DecidedBy(id="user:clara", name="Clara")
DECLINE = Decline(action=DecisionAction.DECLINE, message="No.")


class Access(NamedTuple):
    """Who may use a route: everybody, every user, or the roles with a permission. `other` is the status for another seller."""

    status: int
    permission: Permission | None = None
    other: int | None = None
    public: bool = False
    form: Mapping[str, str] = {}


PUBLIC = Access(200, public=True)
EVERY_USER = Access(200)
MATRIX = {
    "GET /": Access(200, Permission.READ_CASES),
    "GET /emails": Access(303, Permission.READ_CASES),
    "GET /tasks/counts": Access(200, Permission.READ_CASES),
    "GET /tasks/{task_id}": Access(303, Permission.READ_CASES, other=404),
    "POST /tasks/next": Access(303, Permission.DECIDE, other=200),
    "POST /tasks/{task_id}/take": Access(303, Permission.DECIDE, other=404, form={"holder": ""}),
    "POST /tasks/{task_id}/release": Access(303, Permission.DECIDE, other=404),
    "POST /tasks/{task_id}/snooze": Access(303, Permission.DECIDE, other=404, form={"until": "answer"}),
    "POST /tasks/{task_id}/close": Access(303, Permission.DECIDE, other=404),
    "GET /cases": Access(422, Permission.READ_CASES),
    "GET /cases/{case}": Access(200, Permission.READ_CASES, other=404),
    "GET /cases/{case_id}/payments/{position}/provider": Access(200, Permission.READ_CASES, other=404),
    "POST /cases/{case_id}/decisions": Access(422, Permission.DECIDE, other=404, form={"choice": "decline"}),
    "POST /cases/{case_id}/notes": Access(303, Permission.DECIDE, other=404, form={"text": "A note."}),
    "POST /cases/{case_id}/decisions/{decision_id}/undo": Access(404, Permission.DECIDE),
    "POST /cases/{case_id}/decisions/{decision_id}/confirm": Access(404, Permission.CONFIRM_DECISIONS),
    "GET /batches": Access(200, Permission.READ_CASES),
    "POST /batches": Access(422, Permission.DECIDE, other=403, form={"choice": "decline"}),
    "GET /batches/{batch_id}": Access(200, Permission.READ_CASES, other=404),
    "GET /batches/{batch_id}/report.csv": Access(200, Permission.READ_CASES, other=404),
    "POST /batches/{batch_id}/confirm": Access(409, Permission.CONFIRM_DECISIONS, other=404),
    "POST /batches/{batch_id}/stop": Access(409, Permission.DECIDE, other=404),
    "POST /batches/{batch_id}/start": Access(303, Permission.DECIDE, other=404),
    "GET /reports": Access(200, Permission.READ_REPORTS),
    "GET /reports/{report}": Access(200, Permission.READ_REPORTS),
    "GET /reports/{report}.csv": Access(200, Permission.READ_REPORTS),
    "GET /reports/{report}.json": Access(200, Permission.READ_REPORTS),
    "GET /macros": Access(200, Permission.MANAGE_MACROS),
    "POST /macros": Access(
        303, Permission.MANAGE_MACROS, other=403, form={"name": "Too late", "choice": "decline", "message": "No."}
    ),
    "POST /macros/retire": Access(404, Permission.MANAGE_MACROS, other=403, form={"name": "Unknown"}),
    "GET /sign-in": PUBLIC,
    "POST /sign-in": Access(422, public=True, form={"email": "x", "password": "x"}),
    "POST /sign-out": Access(303, public=True),
    "GET /invitation/{token}": Access(404, public=True),
    "POST /invitation/{token}": Access(404, public=True, form={"new_password": "x"}),
    "GET /account": EVERY_USER,
    "POST /account/sessions/{session_id}/end": Access(404),
    "POST /account/sessions/end-others": Access(303),
    "GET /account/password": EVERY_USER,
    "POST /account/password": Access(422, form={"new_password": "x"}),
    "GET /account/two-step": EVERY_USER,
    "POST /account/two-step": Access(422, form={"seed": "00" * 16, "code": "x"}),
    "POST /account/two-step/remove": Access(422, form={"password": "x"}),
    "GET /users": Access(200, Permission.MANAGE_USERS),
    "POST /users": Access(
        200, Permission.MANAGE_USERS, other=403, form={"email": "new@desk.example", "name": "New", "role": "agent"}
    ),
    "POST /users/{user_id}/roles": Access(303, Permission.MANAGE_USERS, other=403, form={"role": "agent"}),
    "POST /users/{user_id}/end-sessions": Access(303, Permission.MANAGE_USERS, other=404),
    "GET /users/events": Access(200, Permission.READ_EVENTS),
}
"""The status of each route for a user who may use it. A new route without an entry fails the test below."""


def all_routes(desk: Desk) -> set[str]:
    found = routes(app(desk.settings))
    return {f"{method} {path}" for method, path in found if method != "HEAD"}


def task_of(desk: Desk, case: UUID) -> UUID:
    with desk.records.work() as work:
        task = work.support_tasks.of_case(case)
    assert task
    return task.id


@pytest.fixture
def objects(desk: Desk) -> dict[str, dict[str, object]]:
    """Return, by seller, the ids that the paths of the routes contain."""
    return {
        seller: {
            "case_id": (case := a_case(desk.records, State.WITH_SUPPORT, purchase=a_recent_purchase(seller_id=seller))),
            "case": case,
            "position": 0,
            "task_id": task_of(desk, case),
            "decision_id": UUID(int=2),
            "batch_id": decision_batches.preview(desk.records, seller, [case], DECLINE, by=CLARA),
            "user_id": desk.add_user(f"colleague@{seller}.example", RoleGrant(Role.AUDITOR, seller)),
            "session_id": UUID(int=1),
            "report": "automatic-share",
            "token": "unknown",
        }
        for seller in (OWN, OTHER)
    }


def request(client: httpx.Client, route: str, seller: str, objects: Mapping[str, object]) -> int:
    method, path = route.split(" ")
    filled = re.sub(r"{(\w+)}", lambda name: str(objects[name[1]]), path)
    form = {**MATRIX[route].form, "seller": seller} if method == "POST" else None
    return client.request(method, filled, data=form).status_code


def expected(route: str, role: Role | None, *, is_own: bool) -> int:
    access = MATRIX[route]
    if access.public or access.permission is None:
        return access.status
    if role is None or access.permission not in PERMISSIONS[role]:
        return 403
    return access.status if is_own or access.other is None else access.other


def test_the_matrix_has_every_route_of_the_desk(desk: Desk) -> None:
    assert all_routes(desk) == set(MATRIX)


@pytest.mark.parametrize("role", [*Role, None])
def test_every_route_answers_as_the_role_allows(
    desk: Desk, objects: dict[str, dict[str, object]], role: Role | None
) -> None:
    answers, expectations = {}, {}
    user = desk.add_user("user@desk.example", *([RoleGrant(role, OWN)] if role else []))
    for route in MATRIX:
        for seller in (OTHER, OWN):
            client = desk.client_of(user)  # a new session, because a route may end the session
            answers[route, seller] = request(client, route, seller, objects[seller])
            expectations[route, seller] = expected(route, role, is_own=seller == OWN)
            with desk.records.work() as work:
                if added := work.desk_users.find("new@desk.example"):
                    work.desk_users.remove(added.user.id, actor=None)
    assert answers == expectations


def test_without_a_session_only_public_routes_answer(desk: Desk, objects: dict[str, dict[str, object]]) -> None:
    for route, access in MATRIX.items():
        method, path = route.split(" ")
        filled = re.sub(r"{(\w+)}", lambda name: str(objects[OWN][name[1]]), path)
        response = desk.client().request(method, filled, data=dict(access.form) if method == "POST" else None)
        if access.public:
            assert response.status_code == access.status, route
        else:
            assert (response.status_code, response.headers["location"][:8]) == (303, "/sign-in"), route


@pytest.mark.parametrize("role", Role)
def test_a_user_of_one_seller_sees_no_case_of_another_seller_or_of_none(
    desk: Desk, objects: dict[str, dict[str, object]], role: Role
) -> None:
    without_seller = a_case(desk.records, State.UNMATCHED)
    of_aurora, of_all = desk.sign_in(role, OWN), desk.sign_in(role)
    tasks, all_tasks = of_aurora.get("/").text, of_all.get("/").text
    assert str(objects[OWN]["case_id"]) in tasks
    assert str(objects[OTHER]["case_id"]) not in tasks
    assert str(objects[OTHER]["case_id"]) in all_tasks
    assert of_aurora.get(f"/cases/{without_seller}").status_code == 404
    assert of_all.get(f"/cases/{without_seller}").status_code == 200
    unknown = of_aurora.get(f"/cases/{UUID(int=9)}")
    assert of_aurora.get(f"/cases/{objects[OTHER]['case_id']}").text == unknown.text, (
        "A foreign case must look unknown."
    )


def test_a_seller_admin_gives_no_role_for_all_sellers(desk: Desk) -> None:
    admin = desk.sign_in(Role.SELLER_ADMIN, OWN)
    for seller in ("", OTHER):
        form = {"email": "eve@desk.example", "name": "Eve", "role": "lead", "seller": seller}
        assert admin.post("/users", data=form).status_code == 403
    with desk.records.work() as work:
        assert work.desk_users.find("eve@desk.example") is None


def test_nobody_changes_the_own_roles(desk: Desk) -> None:
    admin = desk.add_user("admin@desk.example", RoleGrant(Role.SELLER_ADMIN, OWN))
    form = {"role": "lead", "seller": OWN}
    response = desk.client_of(admin).post(f"/users/{admin}/roles", data=form)
    assert response.status_code == 403


def test_a_changed_role_ends_the_sessions_of_the_user(desk: Desk) -> None:
    admin = desk.sign_in(Role.SELLER_ADMIN, OWN)
    bob = desk.add_user("bob@desk.example", RoleGrant(Role.AGENT, OWN))
    colleague = desk.client_of(bob)
    path, form = f"/users/{bob}/roles", {"role": "lead", "seller": OWN}
    assert admin.post(path, data=form).status_code == 303
    assert colleague.get("/").status_code == 303
    colleague = desk.client_of(bob)
    assert admin.post(path, data=form).status_code == 303, "The user has the role already."
    assert colleague.get("/").status_code == 200
    assert admin.post(path, data={**form, "action": "take"}).status_code == 303
    assert colleague.get("/").status_code == 303
    assert [event for event, _, user in desk.events() if user == "bob@desk.example"].count("roles_changed") == 2


def test_a_seller_admin_sees_the_events_of_the_own_users_only(desk: Desk) -> None:
    for seller in (OWN, OTHER):
        desk.add_user(f"colleague@{seller}.example", RoleGrant(Role.AUDITOR, seller))
    page = desk.sign_in(Role.SELLER_ADMIN, OWN).get("/users/events").text
    assert "colleague@aurora.example" in page
    assert "colleague@babbage.example" not in page
    assert "colleague@babbage.example" in desk.sign_in(Role.AUDITOR).get("/users/events").text
