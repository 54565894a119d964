"""The commands of `moneyback users`."""

import json
import os
import subprocess
from collections.abc import Callable
from tempfile import TemporaryFile

import pytest

from config.settings import Settings
from records import Records
from tests import fork_server
from tests.integration._desk_fixtures import PASSWORD
from tests.sample_data import store_seller_and_purchases
from tests.services import environment

EMAIL = "ada@shop.example"
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def users(settings: Settings, records: Records) -> Run:
    """Return a function that runs `moneyback users` with a database that has the seller aurora."""
    store_seller_and_purchases(records)

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "COLUMNS": "200", **environment(settings), "MONEYBACK_DESK_URL": "https://desk.example"}
        return fork_server.run("console", "users", *arguments, env=env)

    return run


def test_a_user_is_added_with_an_invitation_that_is_printed_once(users: Run, records: Records) -> None:
    added = users("add", EMAIL, "Ada Lovelace", "--role", "agent", "--role", "lead", "--seller", "aurora")
    assert added.returncode == 0, added.stderr
    assert added.stdout.startswith("https://desk.example/invitation/")
    assert "It works once, for 72 hours" in added.stderr
    with records.work() as work:
        assert work.desk_users.invited(added.stdout.strip().rpartition("/")[2]) == (EMAIL, "Ada Lovelace")
    listed = users("list").stdout
    assert "agent of aurora, lead of aurora" in listed
    (row,) = json.loads(users("list", "--json").stdout)
    assert row["roles"] == [{"role": "agent", "seller": "aurora"}, {"role": "lead", "seller": "aurora"}]
    assert (row["has_password"], row["signed_in_at"]) == (False, None)


def test_roles_are_set_per_seller_and_sessions_end(users: Run, records: Records) -> None:
    users("add", EMAIL, "Ada", "--role", "auditor")
    with records.work() as work:
        listed = work.desk_users.find(EMAIL)
        assert listed
        _, token = work.desk_sessions.create(listed.user.id, seconds=60, user_agent="", network="")
    changed = users("set-role", EMAIL, "agent", "lead", "--seller", "aurora")
    assert (
        changed.stdout
        == f"{EMAIL}: agent of aurora, auditor of all sellers, lead of aurora. All sessions of the user have ended.\n"
    )
    with records.work() as work:
        assert work.desk_sessions.open(token, idle_seconds=60) is None
    taken = json.loads(users("set-role", EMAIL, "--seller", "aurora", "--json").stdout)
    assert taken["roles"] == [{"role": "auditor", "seller": None}]


def test_an_invitation_is_created_again_and_the_earlier_one_ends(users: Run, records: Records) -> None:
    first = users("add", EMAIL, "Ada", "--role", "agent").stdout.strip()
    second = json.loads(users("invite", EMAIL, "--json").stdout)["invitation"]
    with records.work() as work:
        valid = [work.desk_users.invited(link.rpartition("/")[2]) is not None for link in (first, second)]
    assert valid == [False, True]


def test_sessions_are_ended_and_a_user_is_removed(users: Run, records: Records) -> None:
    users("add", EMAIL, "Ada", "--role", "agent")
    with records.work() as work:
        listed = work.desk_users.find(EMAIL)
        assert listed
        work.desk_sessions.create(listed.user.id, seconds=60, user_agent="", network="")
    assert users("end-sessions", EMAIL).stdout == f"1 session of {EMAIL} ended.\n"
    assert users("remove", EMAIL).stdout == f"{EMAIL} is removed.\n"
    assert json.loads(users("list", "--json").stdout) == []
    with records.work() as work:
        events = [row.event for row in reversed(work.desk_events.newest())]
    assert events == ["user_added", "user_invited", "session_ended", "user_removed"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("add", "ada", "Ada", "--role", "agent"), "'ada' is not an e-mail address like name@example.com."),
        (("add", EMAIL, "Ada", "--role", "agent", "--seller", "nobody"), "There is no seller 'nobody'."),
        (("set-role", EMAIL, "agent"), f"No user has the address '{EMAIL}'. `moneyback users list` shows all users."),
        (("invite", EMAIL), f"No user has the address '{EMAIL}'."),
        (("remove", EMAIL), f"No user has the address '{EMAIL}'."),
        (("end-sessions", EMAIL), f"No user has the address '{EMAIL}'."),
    ],
)
def test_a_wrong_argument_ends_with_a_sentence(users: Run, arguments: tuple[str, ...], sentence: str) -> None:
    ended = users(*arguments)
    assert ended.returncode == 2
    assert sentence in " ".join(ended.stderr.replace("│", " ").split())


def test_an_address_is_added_once(users: Run) -> None:
    assert users("add", EMAIL, "Ada", "--role", "agent").returncode == 0
    again = users("add", EMAIL.upper(), "Eve", "--role", "lead")
    assert (again.returncode, again.stdout) == (2, "")
    assert "A user has the address" in again.stderr


@pytest.mark.parametrize(("typed", "code"), [(PASSWORD, 0), ("short", 2)])
def test_a_typed_password_must_be_changed_at_the_first_sign_in(
    settings: Settings, records: Records, typed: str, code: int
) -> None:
    store_seller_and_purchases(records)
    env = {**os.environ, **environment(settings)}
    command = ("users", "add", EMAIL, "Ada", "--role", "agent", "--ask-password")
    with TemporaryFile("w+") as stdin:
        stdin.write(f"{typed}\n{typed}\n")
        stdin.seek(0)
        ended = fork_server.run("console", *command, env=env, stdin=stdin.fileno())
    assert ended.returncode == code, ended.stderr
    with records.work() as work:
        stored = work.run("select must_change_password, password_hash from desk_users").all()
    assert len(stored) == (code == 0)
    assert typed not in ended.stdout + ended.stderr + str(stored)
