"""The roles of desk users: who may do what, and for which seller."""

from uuid import UUID

import pytest

from domain.desk_roles import PERMISSIONS, TOTP_ROLES, Permission, Role
from domain.desk_users import DeskUser, RoleGrant

P = Permission


def a_user(*grants: RoleGrant) -> DeskUser:
    return DeskUser(UUID(int=1), "ada@desk.example", "Ada", frozenset(grants))


def test_every_role_has_permissions_and_every_permission_belongs_to_a_role() -> None:
    assert set(PERMISSIONS) == set(Role)
    assert frozenset().union(*PERMISSIONS.values()) == frozenset(Permission)


def test_a_lead_may_do_all_that_an_agent_may_do() -> None:
    assert PERMISSIONS[Role.AGENT] < PERMISSIONS[Role.LEAD]


def test_an_auditor_and_a_seller_admin_decide_nothing() -> None:
    for role in (Role.AUDITOR, Role.SELLER_ADMIN):
        assert not PERMISSIONS[role] & {P.DECIDE, P.CONFIRM_DECISIONS}


def test_an_auditor_only_reads() -> None:
    assert PERMISSIONS[Role.AUDITOR] == {P.READ_CASES, P.READ_REPORTS, P.READ_EVENTS}


@pytest.mark.parametrize(
    ("seller", "of_one", "of_all"), [("aurora", True, True), ("babbage", False, True), (None, False, True)]
)
def test_a_role_holds_for_its_seller_or_for_all_sellers(seller: str | None, of_one: bool, of_all: bool) -> None:
    assert a_user(RoleGrant(Role.AGENT, "aurora")).may(P.DECIDE, seller) is of_one
    assert a_user(RoleGrant(Role.AGENT)).may(P.DECIDE, seller) is of_all


def test_permissions_of_two_sellers_do_not_mix() -> None:
    user = a_user(RoleGrant(Role.AGENT, "aurora"), RoleGrant(Role.AUDITOR, "babbage"))
    assert user.may(P.DECIDE, "aurora")
    assert not user.may(P.DECIDE, "babbage")
    assert user.sellers(P.READ_CASES) == frozenset({"aurora", "babbage"})
    assert user.sellers(P.DECIDE) == frozenset({"aurora"})
    assert user.sellers(P.MANAGE_USERS) == frozenset()
    assert user.roles("babbage") == {Role.AUDITOR}


def test_a_role_for_all_sellers_limits_no_list() -> None:
    assert a_user(RoleGrant(Role.AGENT), RoleGrant(Role.LEAD, "aurora")).sellers(P.READ_CASES) is None


def test_a_user_without_a_role_may_do_nothing() -> None:
    assert not any(a_user().may_for_any_seller(permission) for permission in Permission)


@pytest.mark.parametrize(
    ("grant", "may"),
    [(RoleGrant(Role.LEAD, "aurora"), True), (RoleGrant(Role.AGENT, "babbage"), False), (RoleGrant(Role.AGENT), False)],
)
def test_a_seller_admin_gives_roles_of_the_own_seller_only(grant: RoleGrant, may: bool) -> None:
    assert a_user(RoleGrant(Role.SELLER_ADMIN, "aurora")).may_grant([grant]) is may
    assert a_user(RoleGrant(Role.SELLER_ADMIN)).may_grant([grant])


@pytest.mark.parametrize("role", Role)
def test_a_role_needs_a_second_factor_if_the_table_says_so(role: Role) -> None:
    assert a_user(RoleGrant(role, "aurora")).needs_totp is (role in TOTP_ROLES)
