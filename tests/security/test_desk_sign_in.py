"""Tests of attacks on the desk's sign-in: guessed passwords, stolen cookies, planted sessions, repeated codes, other sites."""

import re
import time
from collections.abc import Callable
from threading import Thread

import httpx
import pytest

from config.settings import Settings
from domain.desk_roles import Role
from domain.desk_users import RoleGrant
from producers.desk.accounts import passwords, totp
from producers.desk.accounts.authentication import FREE_FAILURES_OF_NETWORK, FREE_FAILURES_OF_USER
from producers.desk.accounts.cookies import local_path
from records import Records
from records.sign_in_delays import FIRST_DELAY, MAX_DELAY
from tests.integration._desk_fixtures import PASSWORD, Desk, running_desk
from tests.security.test_headers import EVIL_TARGETS
from tests.security.test_other_sites import CROSS_SITE_HEADERS

EMAIL = "ada@desk.example"
WRONG = "The email address, the password or the code isn’t right."


@pytest.fixture
def ada(desk: Desk) -> Desk:
    """Return a desk with one user, who has a password."""
    desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True)
    return desk


def attempt(desk: Desk, email: str = EMAIL, password: str = "wrong", code: str = "", **headers: str) -> httpx.Response:
    form = {"email": email, "password": password, "code": code}
    return desk.client().post("/sign-in", data=form, headers=headers)


def end_delays(desk: Desk) -> None:
    """Let the delays pass without waiting."""
    with desk.records.work() as work:
        work.run("update desk_sign_in_delays set blocked_until = now()")


def delay(desk: Desk) -> float:
    """Return the longest delay in seconds."""
    with desk.records.work() as work:
        return float(
            work.run("select extract(epoch from max(blocked_until) - now()) from desk_sign_in_delays").scalar_one()
        )


def set_up_totp(desk: Desk, email: str = EMAIL) -> tuple[Callable[[int], str], list[str]]:
    """Set up a second factor. Return a function for the code of a step from now, and the recovery codes."""
    codes, seed, recovery = (
        totp.Totp(desk.settings.secret_key.get_secret_value()),
        totp.new_seed(),
        totp.new_recovery_codes(),
    )
    with desk.records.work() as work:
        listed = work.desk_users.find(email)
        assert listed
        work.desk_users.set_totp(listed.user.id, seed, 0, recovery, keep=None)
    now = time.time()
    return lambda steps: codes.code(seed, now + steps * totp.STEP_SECONDS), recovery


def test_a_wrong_password_and_an_unknown_user_get_the_same_answer(ada: Desk) -> None:
    set_up_totp(ada)
    answers = [
        attempt(ada, EMAIL, "wrong"),
        attempt(ada, "eve@desk.example", PASSWORD),
        attempt(ada, EMAIL, PASSWORD),  # the password is right, and the code is missing
        attempt(ada, EMAIL, PASSWORD, "000000"),
    ]
    pages = {answer.text.replace(EMAIL, "X").replace("eve@desk.example", "X") for answer in answers}
    assert len(pages) == 1
    assert WRONG in pages.pop()
    assert {(answer.status_code, answer.headers.get("set-cookie")) for answer in answers} == {(422, None)}


@pytest.mark.parametrize(
    ("email", "password"), [(EMAIL, "wrong"), ("eve@desk.example", PASSWORD), ("invited@desk.example", PASSWORD)]
)
def test_each_checked_attempt_computes_exactly_one_hash(
    ada: Desk, monkeypatch: pytest.MonkeyPatch, email: str, password: str
) -> None:
    ada.add_user("invited@desk.example", RoleGrant(Role.AGENT))
    verified = []
    verify = passwords.verify

    def count(password_hash: str | None, typed: str) -> bool:
        verified.append(typed)
        return verify(password_hash, typed)

    monkeypatch.setattr(passwords, "verify", count)
    assert attempt(ada, email, password).status_code == 422
    assert verified == [password]


def test_further_attempts_are_delayed_longer_and_longer_but_never_for_good(ada: Desk) -> None:
    delays = []
    for _ in range(FREE_FAILURES_OF_USER):
        assert attempt(ada).status_code == 422
    for _ in range(6):
        assert attempt(ada).status_code == 422
        delays.append(round(delay(ada)))
        refused = attempt(ada, EMAIL, PASSWORD)
        assert (refused.status_code, int(refused.headers["retry-after"]) <= MAX_DELAY) == (429, True)
        end_delays(ada)
    assert delays == sorted(delays)
    assert delays[0] <= FIRST_DELAY < MAX_DELAY / 2 < delays[-1] <= MAX_DELAY
    assert attempt(ada, EMAIL, PASSWORD).status_code == 303, "After the delay, the right password must open a session."
    assert attempt(ada).status_code == 422, "A success must end the delays."


def test_an_unknown_address_is_delayed_like_a_known_address(ada: Desk) -> None:
    for email in (EMAIL, "eve@desk.example"):
        statuses = [attempt(ada, email).status_code for _ in range(FREE_FAILURES_OF_USER + 2)]
        assert statuses == [422] * (FREE_FAILURES_OF_USER + 1) + [429]


def test_a_stranger_does_not_keep_a_user_out_who_signed_in_from_the_network_before(
    settings: Settings, records: Records
) -> None:
    behind_proxy = settings.model_copy(update={"trusted_proxies": ("127.0.0.0/8",)})
    with running_desk(behind_proxy, records, totp_required=False) as desk:
        desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True)
        office, stranger = {"x-forwarded-for": "192.0.2.7"}, {"x-forwarded-for": "203.0.113.9"}
        assert attempt(desk, EMAIL, PASSWORD, **office).status_code == 303
        while attempt(desk, **stranger).status_code == 422:
            pass
        assert attempt(desk, EMAIL, PASSWORD, **stranger).status_code == 429
        assert attempt(desk, EMAIL, PASSWORD, **office).status_code == 303


def test_a_network_that_tries_many_addresses_is_delayed(ada: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(passwords, "verify", lambda *_: False)  # hashes would take most of the time
    statuses = [attempt(ada, f"user{n}@desk.example").status_code for n in range(FREE_FAILURES_OF_NETWORK + 2)]
    assert statuses == [422] * (FREE_FAILURES_OF_NETWORK + 1) + [429]


def test_parallel_attempts_are_counted_before_their_passwords_are_checked(ada: Desk) -> None:
    statuses: list[int] = []
    threads = [Thread(target=lambda: statuses.append(attempt(ada).status_code)) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [422] * (FREE_FAILURES_OF_USER + 1) + [429] * 7


def test_a_planted_session_is_not_used_after_the_sign_in(ada: Desk) -> None:
    attacker = ada.sign_in(Role.AGENT, email="eve@desk.example")
    planted = attacker.cookies["moneyback-desk"]
    victim = ada.client()
    victim.cookies.set("moneyback-desk", planted, domain=victim.base_url.host)
    response = victim.post("/sign-in", data={"email": EMAIL, "password": PASSWORD})
    new = response.headers["set-cookie"].partition(";")[0].partition("=")[2]
    assert new != planted
    assert attacker.get("/").status_code == 303, "The planted session must have ended."


def test_an_unknown_token_is_never_adopted(ada: Desk) -> None:
    client = ada.client()
    client.cookies.set("moneyback-desk", "chosen-by-an-attacker", domain=client.base_url.host)
    assert client.get("/").status_code == 303
    response = client.post("/sign-in", data={"email": EMAIL, "password": PASSWORD})
    assert "chosen-by-an-attacker" not in response.headers["set-cookie"]


def test_a_stolen_cookie_is_worthless_after_the_sign_out(ada: Desk) -> None:
    client = ada.sign_in_as(EMAIL)
    stolen = client.cookies["moneyback-desk"]
    assert client.post("/sign-out").status_code == 303
    thief = ada.client()
    thief.cookies.set("moneyback-desk", stolen, domain=thief.base_url.host)
    assert thief.get("/").status_code == 303
    assert ada.events()[-1] == ("signed_out", EMAIL, EMAIL)


def test_a_session_ends_after_idle_time_and_after_its_lifetime(ada: Desk) -> None:
    for change in ("last_seen_at = now() - interval '61 minutes'", "expires_at = now()"):
        client = ada.sign_in_as(EMAIL)
        assert client.get("/").status_code == 200
        with ada.records.work() as work:
            work.run(f"update desk_sessions set {change}")
        assert client.get("/").headers["location"] == "/sign-in"


@pytest.mark.parametrize(
    ("url", "name", "is_secure"),
    [("https://desk.example", "__Host-moneyback-desk", True), ("http://127.0.0.1:8001", "moneyback-desk", False)],
)
def test_the_cookie_is_bound_to_the_desk(
    settings: Settings, records: Records, url: str, name: str, is_secure: bool
) -> None:
    with running_desk(settings, records, totp_required=False, url=url) as desk:
        desk.add_user(EMAIL, RoleGrant(Role.AGENT), password=True)
        response = attempt(desk, EMAIL, PASSWORD)
    value, *attributes = (part.strip().lower() for part in response.headers["set-cookie"].split(";"))
    assert value.startswith(f"{name.lower()}=")
    assert {"httponly", "path=/", "samesite=lax"} <= set(attributes)
    assert ("secure" in attributes) is is_secure
    assert not any(attribute.startswith("domain") for attribute in attributes)
    assert ("strict-transport-security" in response.headers) is is_secure


@pytest.mark.parametrize("headers", [*CROSS_SITE_HEADERS, {"origin": "null"}, {}], ids=str)
def test_a_form_that_is_not_proven_to_be_of_the_desk_is_refused(ada: Desk, headers: dict[str, str]) -> None:
    client = ada.sign_in(Role.AGENT, email="bob@desk.example")
    client.headers.pop("origin")
    for path in ("/sign-in", "/sign-out", "/account/sessions/end-others", "/account/password", "/users"):
        assert client.post(path, headers={"host": "testserver", **headers}).status_code == 403
    client.headers["origin"] = str(client.base_url).rstrip("/")
    assert client.get("/").status_code == 200, "The session must still be open."


def test_a_form_of_the_desk_is_accepted(ada: Desk) -> None:
    client = ada.sign_in(Role.AGENT, email="bob@desk.example")
    client.headers.pop("origin")
    accepted = client.post("/account/sessions/end-others", headers={"sec-fetch-site": "same-origin"})
    assert accepted.status_code == 303


@pytest.mark.parametrize("evil", [*EVIL_TARGETS, "javascript:alert(1)", "evil.example", "/%0d", "/\t/evil.example", ""])
def test_a_sign_in_leads_to_no_other_site(ada: Desk, evil: str) -> None:
    page = ada.client().get("/sign-in", params={"next": evil}).text
    shown = re.search(r'name="next" value="([^"]*)"', page)
    assert shown
    form = {"email": EMAIL, "password": PASSWORD, "next": evil}
    location = ada.client().post("/sign-in", data=form).headers["location"]
    for path in (shown[1], location):
        assert re.fullmatch(r"/(?![/\\])[^\\\r\n\t]*", path), path


@pytest.mark.parametrize("path", ["/cases/x?y=1", "/", "/emails"])
def test_a_sign_in_leads_back_to_the_requested_page(path: str) -> None:
    assert local_path(path) == path


def test_a_code_is_accepted_once(ada: Desk) -> None:
    code, _ = set_up_totp(ada)
    assert attempt(ada, EMAIL, PASSWORD, code(0)).status_code == 303
    assert attempt(ada, EMAIL, PASSWORD, code(0)).status_code == 422
    assert attempt(ada, EMAIL, PASSWORD, code(-1)).status_code == 422, (
        "An older code must not be accepted after a newer code."
    )
    assert attempt(ada, EMAIL, PASSWORD, code(1)).status_code == 303


@pytest.mark.parametrize("steps", [-3, 4])
def test_a_code_of_another_time_is_refused(ada: Desk, steps: int) -> None:
    code, _ = set_up_totp(ada)
    assert attempt(ada, EMAIL, PASSWORD, code(steps)).status_code == 422


def test_a_recovery_code_is_accepted_once_however_it_is_typed(ada: Desk) -> None:
    _, recovery = set_up_totp(ada)
    assert attempt(ada, EMAIL, PASSWORD, recovery[0]).status_code == 303
    assert attempt(ada, EMAIL, PASSWORD, recovery[0]).status_code == 422
    assert attempt(ada, EMAIL, PASSWORD, recovery[1].upper().replace("-", " ")).status_code == 303
    assert [event for event, _, _ in ada.events()].count("recovery_code_used") == 2


def test_a_wrong_password_uses_no_code(ada: Desk) -> None:
    code, recovery = set_up_totp(ada)
    for typed in (code(0), recovery[0]):
        assert attempt(ada, EMAIL, "wrong", typed).status_code == 422
        assert attempt(ada, EMAIL, PASSWORD, typed).status_code == 303


def test_no_table_contains_a_password_a_token_or_a_code(ada: Desk) -> None:
    _, recovery = set_up_totp(ada)
    client = ada.sign_in_as(EMAIL, code=recovery[0])
    attempt(ada, EMAIL, "a wrong password")
    attempt(ada, "a password in the wrong field")
    tables = ("desk_users", "desk_sessions", "desk_recovery_codes", "desk_events", "desk_sign_in_delays")
    with ada.records.work() as work:
        stored = "".join(str(row) for table in tables for row in work.run(f"select t.* from {table} t"))
    for secret in (PASSWORD, "a wrong password", "a password in", client.cookies["moneyback-desk"], *recovery):
        assert secret not in stored


def test_the_services_cannot_change_an_event(ada: Desk) -> None:
    for statement in ("update desk_events set event = 'x'", "delete from desk_events"):
        with pytest.raises(Exception, match="permission denied"), ada.records.work() as work:
            work.run(statement)
