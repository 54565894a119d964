"""Tests of the desk's accounts: invitations, passwords, the second factor, the list of sessions, and the users page."""

import re
import time

import httpx
import pytest
from argon2 import PasswordHasher

from config.settings import Settings
from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from producers.desk.accounts import totp
from records import Records
from tests.integration._desk_fixtures import PASSWORD, Desk, running_desk

EMAIL = "ada@desk.example"
NEW_PASSWORD = "an entirely different phrase"


def invite(desk: Desk, email: str = EMAIL, *, seconds: float = 3_600) -> str:
    """Return the path of an invitation for a user who exists."""
    with desk.records.work() as work:
        listed = work.desk_users.find(email)
        assert listed
        return f"/invitation/{work.desk_users.invite(listed.user.id, seconds=seconds, actor=None)}"


def new_password(chosen: str = NEW_PASSWORD, **fields: str) -> dict[str, str]:
    return {"new_password": chosen, "repeated_password": chosen, **fields}


def sign_in(desk: Desk, password: str, code: str = "") -> int:
    form = {"email": EMAIL, "password": password, "code": code}
    return desk.client().post("/sign-in", data=form).status_code


def code_of(desk: Desk, page: str, steps: int = 0) -> tuple[str, str]:
    """Return the seed of a set-up page, and the code that an authenticator app shows."""
    seed = re.findall(r'name="seed" value="(\w+)"', page)[0]
    codes = totp.Totp(desk.settings.secret_key.get_secret_value())
    return seed, codes.code(bytes.fromhex(seed), time.time() + steps * totp.STEP_SECONDS)


def test_an_invited_user_sets_a_password_and_signs_in(desk: Desk) -> None:
    desk.add_user(EMAIL, RoleGrant(Role.AGENT, "aurora"))
    path = invite(desk)
    assert EMAIL in desk.client().get(path).text
    assert desk.client().post(path, data=new_password()).headers["location"] == "/sign-in"
    assert sign_in(desk, NEW_PASSWORD) == 303
    assert desk.client().post(path, data=new_password()).status_code == 404, "An invitation works once."


def test_an_invitation_ends_by_time_and_by_the_next_invitation(desk: Desk) -> None:
    desk.add_user(EMAIL)
    earlier, latest = invite(desk), invite(desk)
    assert (desk.client().get(earlier).status_code, desk.client().get(latest).status_code) == (404, 200)
    with desk.records.work() as work:
        work.run("update desk_users set invitation_expires_at = now()")
    assert desk.client().post(latest, data=new_password()).status_code == 404
    assert sign_in(desk, NEW_PASSWORD) == 422


def test_an_accepted_invitation_ends_sessions_and_the_second_factor(desk: Desk) -> None:
    user = desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True)
    with desk.records.work() as work:
        work.desk_users.set_totp(user, totp.new_seed(), 0, totp.new_recovery_codes(), keep=None)
    session = desk.client_of(user)
    path = invite(desk)
    assert session.get("/").status_code == 200, "The invitation alone must change nothing."
    assert desk.client().post(path, data=new_password()).status_code == 303
    assert session.get("/").status_code == 303
    assert sign_in(desk, NEW_PASSWORD) == 303


@pytest.mark.parametrize(
    ("form", "sentence"),
    [
        (new_password("short"), "Use at least 12 characters."),
        (new_password("x" * 1_001), "Use at most 1000 characters."),
        (new_password("aaaaaaaaaaaaaaaa"), "This repeats only a few characters."),
        (new_password("Ada@Desk.example"), "Don’t use your email address as your password."),
        (new_password() | {"repeated_password": "typo"}, "The two passwords differ."),
        ({}, "Use at least 12 characters."),
    ],
)
def test_a_refused_password_is_explained_at_its_field(desk: Desk, form: dict[str, str], sentence: str) -> None:
    desk.add_user(EMAIL)
    response = desk.client().post(invite(desk), data=form or {"other": "x"})
    assert response.status_code == 422
    assert sentence in response.text
    (field,) = re.findall(r'<p class="error" id="(\w+)-error">', response.text)
    assert f'aria-describedby="{field}-hint {field}-error"' in response.text or (
        f'aria-describedby="{field}-error"' in response.text
    )
    assert f'<a href="#{field}">' in response.text
    assert not any(value and value in response.text for value in form.values() if len(value) > 5 and value != "typo")


def test_a_user_changes_the_password_and_other_sessions_end(desk: Desk) -> None:
    user = desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True)
    here, elsewhere = desk.client_of(user), desk.client_of(user)
    wrong = here.post("/account/password", data=new_password(password="not my password"))
    assert "Your current password isn’t right." in wrong.text
    same = here.post("/account/password", data=new_password(PASSWORD, password=PASSWORD))
    assert "This is your current password." in same.text
    changed = here.post("/account/password", data=new_password(password=PASSWORD))
    assert changed.headers["location"] == "/account"
    assert (here.get("/").status_code, elsewhere.get("/").status_code) == (200, 303)
    assert (sign_in(desk, PASSWORD), sign_in(desk, NEW_PASSWORD)) == (422, 303)


def test_a_stolen_session_cannot_guess_the_password_without_delay(desk: Desk) -> None:
    session = desk.client_of(desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True))
    form = {"password": "a guess"}
    statuses = [session.post("/account/two-step/remove", data=form).status_code for _ in range(6)]
    assert statuses == [422] * 5 + [429]


def test_a_one_time_password_must_be_changed_first(desk: Desk) -> None:
    with desk.records.work() as work:
        hashed = PasswordHasher().hash(PASSWORD)
        work.desk_users.add(EMAIL, "Ada", [RoleGrant(Role.AGENT)], actor=None, password_hash=hashed)
    client = desk.sign_in_as(EMAIL)
    for path in ("/", "/account", "/emails"):
        assert client.get(path).headers["location"] == "/account/password"
    assert client.post("/account/password", data=new_password(password=PASSWORD)).status_code == 303
    assert client.get("/").status_code == 200


def test_a_hash_with_other_parameters_is_replaced_at_the_sign_in(desk: Desk) -> None:
    desk.add_user(EMAIL, RoleGrant(Role.AGENT))
    weak = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    with desk.records.work() as work:
        work.run("update desk_users set password_hash = :weak", weak=weak)
    desk.sign_in_as(EMAIL)
    with desk.records.work() as work:
        stored = work.run("select password_hash from desk_users").scalar_one()
    assert stored != weak
    assert not PasswordHasher().check_needs_rehash(stored)
    desk.sign_in_as(EMAIL)


def test_a_user_sets_up_the_second_factor_with_codes_of_the_app(desk: Desk) -> None:
    user = desk.add_user(EMAIL, RoleGrant(Role.LEAD), password=True)
    here, elsewhere = desk.client_of(user), desk.client_of(user)
    page = here.get("/account/two-step").text
    assert "<svg" in page
    assert "style=" not in page, "The content security policy forbids inline styles."
    seed, code = code_of(desk, page)
    form = {"seed": seed, "code": code, "password": PASSWORD}
    for wrong in ({"code": "000000"}, {"password": "not my password"}):
        refused = here.post("/account/two-step", data=form | wrong)
        assert (refused.status_code, seed in refused.text) == (422, True), "The app must not need another QR code."
    shown = here.post("/account/two-step", data=form).text
    recovery = re.findall(r'<li class="code">([\w-]+)</li>', shown)
    assert len(set(recovery)) == 10
    assert elsewhere.get("/").status_code == 303
    assert recovery[0] not in here.get("/account").text
    assert "On, 10 recovery codes left." in here.get("/account").text
    assert sign_in(desk, PASSWORD) == 422
    assert sign_in(desk, PASSWORD, code) == 422, "The code of the set-up must not sign in."
    assert sign_in(desk, PASSWORD, code_of(desk, page, 1)[1]) == 303
    assert sign_in(desk, PASSWORD, recovery[3]) == 303


def test_a_user_turns_the_second_factor_off_with_the_password(desk: Desk) -> None:
    user = desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True)
    with desk.records.work() as work:
        work.desk_users.set_totp(user, totp.new_seed(), 0, totp.new_recovery_codes(), keep=None)
    client = desk.client_of(user)
    assert client.post("/account/two-step/remove", data={"password": "wrong"}).status_code == 422
    assert client.post("/account/two-step/remove", data={"password": PASSWORD}).status_code == 303
    assert sign_in(desk, PASSWORD) == 303
    assert ("totp_removed", EMAIL, EMAIL) in desk.events()


@pytest.mark.parametrize(("role", "must"), [(Role.AGENT, False), (Role.LEAD, True), (Role.SELLER_ADMIN, True)])
def test_leads_and_seller_admins_need_a_second_factor(
    settings: Settings, records: Records, role: Role, must: bool
) -> None:
    with running_desk(settings, records) as desk:
        client = desk.sign_in(role)
        for path in ("/", "/account"):
            assert (client.get(path).headers.get("location") == "/account/two-step") is must
        assert client.get("/account/two-step").status_code == 200


def test_another_secret_key_makes_codes_invalid_but_not_recovery_codes(desk: Desk) -> None:
    user, recovery = desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True), totp.new_recovery_codes()
    seed = totp.new_seed()
    with desk.records.work() as work:
        work.desk_users.set_totp(user, seed, 0, recovery, keep=None)
    assert sign_in(desk, PASSWORD, totp.Totp("another secret key").code(seed, time.time())) == 422
    assert sign_in(desk, PASSWORD, recovery[0]) == 303


def test_a_user_sees_and_ends_own_sessions(desk: Desk) -> None:
    user = desk.add_user(EMAIL, RoleGrant(Role.AGENT))
    here, elsewhere, third = (desk.client_of(user) for _ in range(3))
    stranger = desk.sign_in(Role.LEAD)
    page = here.get("/account").text
    paths = re.findall(r'action="(/account/sessions/[\w-]{36}/end)"', page)
    assert (len(paths), page.count("This browser"), page.count("192.0.2.0/24")) == (2, 1, 3)
    assert stranger.post(paths[0]).status_code == 404
    assert here.post(paths[0]).status_code == 303
    assert [client.get("/").status_code for client in (elsewhere, third)].count(200) == 1
    assert here.post("/account/sessions/end-others").status_code == 303
    assert [client.get("/").status_code for client in (here, elsewhere, third)] == [200, 303, 303]


def test_a_seller_admin_invites_a_user_for_the_own_seller(desk: Desk) -> None:
    admin = desk.sign_in(Role.SELLER_ADMIN, "aurora", email="admin@desk.example")
    form = {"email": EMAIL, "name": " Ada  Lovelace ", "role": "agent", "seller": "aurora"}
    page = admin.post("/users", data=form).text
    link = httpx.URL(re.findall(r"http://\S+/invitation/[\w-]+", page)[0])
    assert desk.client().post(link.path, data=new_password()).status_code == 303
    assert sign_in(desk, NEW_PASSWORD) == 303
    assert "Ada Lovelace" in admin.get("/users").text
    again = admin.post("/users", data=form)
    assert (again.status_code, "A user has this email address." in again.text) == (422, True)
    invalid = admin.post("/users", data=form | {"email": "ada", "name": " "})
    assert "Enter a complete email address" in invalid.text
    assert "Enter a name." in invalid.text
    assert ("user_added", "admin@desk.example", EMAIL) in desk.events()


@pytest.mark.parametrize(
    "wrong",
    [{"seller": "nobody"}, {"seller": "\0"}, {"role": "king"}, {"name": "A\0da"}, {"email": "a\0@desk.example"}],
)
def test_a_manipulated_form_invites_nobody(desk: Desk, wrong: dict[str, str]) -> None:
    form = {"email": EMAIL, "name": "Ada", "role": "agent", "seller": "aurora"} | wrong
    admin = desk.sign_in(Role.SELLER_ADMIN)
    assert admin.post("/users", data=form).status_code == 422
    if wrong.keys() & {"seller", "role"}:
        user = desk.add_user("bob@desk.example", RoleGrant(Role.AGENT, "aurora"))
        assert admin.post(f"/users/{user}/roles", data=form).status_code == 422
    with desk.records.work() as work:
        assert work.desk_users.find(EMAIL) is None


@pytest.mark.parametrize("email", ["\0", "a" * 5_000, "\ud7ff@\0", "", "x@" + "ü" * 300])
def test_any_typed_address_gets_the_usual_answer(desk: Desk, email: str) -> None:
    response = desk.client().post("/sign-in", data={"email": email, "password": "wrong", "code": "\0" * 10})
    assert response.status_code == 422


def test_a_seller_admin_ends_the_sessions_of_a_user(desk: Desk) -> None:
    user = desk.add_user(EMAIL, RoleGrant(Role.AGENT, "aurora"))
    client, admin = desk.client_of(user), desk.sign_in(Role.SELLER_ADMIN, "aurora")
    assert admin.post(f"/users/{user}/end-sessions").status_code == 303
    assert client.get("/").status_code == 303
    assert "session_ended" in admin.get("/users/events").text


def test_a_removed_user_cannot_sign_in_and_the_address_is_free_again(desk: Desk) -> None:
    user = desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True)
    client, path = desk.client_of(user), invite(desk)
    with desk.records.work() as work:
        work.desk_users.remove(user, actor=None)
    assert client.get("/").status_code == 303
    assert desk.client().get(path).status_code == 404
    assert sign_in(desk, PASSWORD) == 422
    assert desk.add_user(EMAIL) != user


def test_addresses_are_compared_without_case(desk: Desk) -> None:
    desk.add_user("Ada@Desk.example", RoleGrant(Role.AGENT), password=True)
    assert sign_in(desk, PASSWORD) == 303
    with desk.records.work() as work:
        assert work.desk_users.add("ADA@desk.EXAMPLE", "Eve", [], actor=None) is None


def test_the_events_say_who_did_what(desk: Desk) -> None:
    desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True)
    sign_in(desk, "wrong")
    desk.client().post("/sign-in", data={"email": "eve@desk.example", "password": "wrong"})
    desk.sign_in_as(EMAIL).post("/sign-out")
    assert desk.events() == [
        ("user_added", None, EMAIL),
        ("password_changed", EMAIL, EMAIL),
        ("sign_in_failed", None, EMAIL),
        ("sign_in_failed", None, None),
        ("signed_in", EMAIL, EMAIL),
        ("signed_out", EMAIL, EMAIL),
    ]
