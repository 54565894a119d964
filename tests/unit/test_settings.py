"""Tests of the settings, which come from environment variables and files, and of tracebacks in the log."""

import json
import logging
from pathlib import Path

import pytest
import structlog
from pydantic import ValidationError

from config import log
from config.settings import Settings, Timers

ENVIRONMENT = {
    "MONEYBACK_DATABASE_URL": "postgresql://db/moneyback",
    "MONEYBACK_BROKER_URL": "redis://broker/0",
    "MONEYBACK_SECRET_KEY": "a secret of at least thirty-two characters",
}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_a_secret_can_be_read_from_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://from-a-file/moneyback\n")
    monkeypatch.delenv("MONEYBACK_DATABASE_URL")
    monkeypatch.setenv("MONEYBACK_DATABASE_URL_FILE", str(file))
    assert Settings.model_validate({}).database_url.get_secret_value() == "postgresql://from-a-file/moneyback"


def test_if_a_setting_has_a_variable_and_a_file_the_variable_is_used(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "url"
    file.write_text("postgresql://from-a-file/moneyback")
    monkeypatch.setenv("MONEYBACK_DATABASE_URL_FILE", str(file))
    assert Settings().database_url.get_secret_value() == ENVIRONMENT["MONEYBACK_DATABASE_URL"]


def test_the_error_about_an_unreadable_file_names_the_variable(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("MONEYBACK_SECRET_KEY_FILE", str(tmp_path / "missing"))
    with pytest.raises(ValidationError, match=r"MONEYBACK_SECRET_KEY_FILE: The file .*missing cannot be read: No such"):
        Settings()
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    monkeypatch.setenv("MONEYBACK_SECRET_KEY_FILE", str(tmp_path / "binary"))
    with pytest.raises(ValidationError, match="not text in UTF-8"):
        Settings()


@pytest.mark.parametrize("url", ["nonsense", "mysql://db/moneyback", "postgresql://db:port/moneyback", ""])
@pytest.mark.parametrize("name", ["MONEYBACK_DATABASE_URL", "MONEYBACK_DATABASE_OWNER_URL"])
def test_a_database_url_that_is_not_postgresql_is_refused(monkeypatch: pytest.MonkeyPatch, name: str, url: str) -> None:
    monkeypatch.setenv(name, url)
    with pytest.raises(ValidationError, match="not a URL like postgresql://"):
        Settings()


@pytest.mark.parametrize("url", ["nonsense://x", "sqs://", "redis://broker:port/0", "broker"])
def test_a_broker_that_is_not_supported_is_refused(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MONEYBACK_BROKER_URL", url)
    with pytest.raises(ValidationError, match="not a URL like redis://"):
        Settings()


@pytest.mark.parametrize(
    "url", ["redis://b/0", "rediss://b", "redis+socket:///run/b.sock?virtual_host=0", "amqp://b//"]
)
def test_the_supported_brokers_are_accepted(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("MONEYBACK_BROKER_URL", url)
    assert Settings().broker_url.get_secret_value() == url


def test_the_repr_of_the_settings_does_not_contain_the_secret_key() -> None:
    assert "thirty-two" not in repr(Settings())


def test_the_error_does_not_show_the_refused_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONEYBACK_DATABASE_URL", "mysql://moneyback:the-password@db/moneyback")
    with pytest.raises(ValidationError) as refused:
        Settings()
    assert "the-password" not in str([error["msg"] for error in refused.value.errors()])


def test_a_short_secret_key_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONEYBACK_SECRET_KEY", "short")
    with pytest.raises(ValidationError, match="at least 32"):
        Settings()


@pytest.mark.parametrize(
    "wrong",
    [
        {"provider_timeout_seconds": 60},
        {"task_soft_time_limit_seconds": 81},
        {"lease_seconds": 80},
        {"resend_after_seconds": 0},
    ],
)
def test_timers_that_contradict_each_other_or_are_zero_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Timers.model_validate(wrong)


def test_a_traceback_in_the_log_shows_no_local_variable(capsys: pytest.CaptureFixture[str]) -> None:
    log.set_up()
    address = "ada@example.com"
    try:
        len(address) / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("division_failed", case_id="1")
    line = capsys.readouterr().err
    assert json.loads(line)["event"] == "division_failed"
    assert "ZeroDivisionError" in line
    assert address not in line
    logging.getLogger().handlers.clear()
