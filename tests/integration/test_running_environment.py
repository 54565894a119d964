"""Tests that a command in another terminal uses the database and the settings of the running `moneyback up`."""

import json
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.settings import Settings
from console import environment as running
from console.data_dir import DataDir
from tests import fork_server
from tests.services import environment

ACCOUNT = {"MONEYBACK_PROVIDERS": "stripe", "MONEYBACK_STRIPE_API_KEY": "rk_test_of_the_first_terminal"}
NOTICE = "This command uses the running `moneyback up` at http://testserver.\n"


@pytest.fixture
def data_dir(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[DataDir]:
    """Yield the data directory of a `moneyback up` that runs with the settings of the test and with an account at Stripe."""
    for name in [name for name in os.environ if name.startswith("MONEYBACK_")]:
        monkeypatch.delenv(name)
    with tempfile.TemporaryDirectory(prefix="mb-", dir="/var/tmp") as folder:
        Path(folder).chmod(0o711)  # the user of the servers must be able to enter the folder
        data_dir = DataDir(Path(folder) / "h", running.UP)
        with pytest.MonkeyPatch.context() as first_terminal:
            for name, value in (environment(settings) | ACCOUNT).items():
                first_terminal.setenv(name, value)
            with data_dir.lock():
                running.publish(data_dir)
        yield data_dir


@pytest.fixture
def up(data_dir: DataDir) -> Iterator[DataDir]:
    """Yield the same data directory while a process holds its lock, as `moneyback up` does."""
    with data_dir.lock():
        yield data_dir


def second_terminal(data_dir: DataDir, *words: str, **exported: str) -> fork_server.Ran:
    return fork_server.run("console", *words, env={**os.environ, "MONEYBACK_HOME": str(data_dir.path), **exported})


@pytest.mark.parametrize(
    "words",
    [("cases", "list"), ("sellers", "list"), ("dead-letters", "list"), ("doctor",), ("providers", "list")],
    ids=" ".join,
)
def test_a_command_says_that_it_uses_the_running_environment(up: DataDir, words: tuple[str, ...]) -> None:
    ended = second_terminal(up, *words, "--json")
    json.loads(ended.stdout)
    assert ended.stderr == NOTICE


def test_a_provider_of_the_first_terminal_is_connected_in_the_second(up: DataDir) -> None:
    listed = json.loads(second_terminal(up, "providers", "list", "--json").stdout)
    assert [row["provider"] for row in listed if row["connected"]] == ["stripe"]


def test_a_change_in_the_second_terminal_is_stored_in_the_running_environment(up: DataDir, settings: Settings) -> None:
    added = second_terminal(up, "sellers", "add", "aurora", "Aurora", "help@aurora.example")
    assert (added.returncode, second_terminal(up, "policy", "set", "aurora", "no_restrictions").returncode) == (0, 0)
    own = fork_server.run("console", "policy", "show", "aurora", "--json", env={**os.environ, **environment(settings)})
    assert [policy["category"] for policy in json.loads(own.stdout)] == ["no_restrictions"]
    assert own.stderr == ""


@pytest.mark.parametrize(
    ("exported", "names"),
    [
        ({"MONEYBACK_PROVIDERS": "mollie"}, "MONEYBACK_PROVIDERS of this terminal is"),
        ({"MONEYBACK_STRIPE_API_KEY": "rk_test_other"}, "MONEYBACK_STRIPE_API_KEY of this terminal is"),
        (
            {"MONEYBACK_SMTP_URL": "smtp://mail.example", "MONEYBACK_MAIL_FROM": "a@b.example"},
            "MONEYBACK_MAIL_FROM, MONEYBACK_SMTP_URL of this terminal are",
        ),
    ],
)
def test_a_setting_of_the_second_terminal_is_said_to_be_ignored(
    up: DataDir, exported: dict[str, str], names: str
) -> None:
    ended = second_terminal(up, "doctor", "--json", **exported)
    assert "webhooks of stripe" in {check["name"] for check in json.loads(ended.stdout)["checks"]}
    assert ended.stderr == (
        f"{NOTICE}{names} ignored. Set the same variables where `moneyback up` runs, and start it again.\n"
    )


def test_the_same_setting_in_both_terminals_is_not_mentioned(up: DataDir) -> None:
    assert second_terminal(up, "cases", "list", **ACCOUNT).stderr == NOTICE


def test_a_killed_environment_is_not_used(data_dir: DataDir) -> None:
    """The file of a killed `moneyback up` still exists, but no process holds the lock."""
    ended = second_terminal(data_dir, "cases", "list")
    assert (ended.returncode, ended.stderr.startswith("No database is configured.")) == (2, True)


def test_a_stopped_environment_is_not_used(up: DataDir) -> None:
    running.unpublish(up)
    assert second_terminal(up, "cases", "list").returncode == 2


def test_the_settings_of_the_running_environment_are_private(up: DataDir) -> None:
    assert (up.path / "environment.json").stat().st_mode & 0o777 == 0o600
