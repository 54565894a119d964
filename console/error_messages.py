"""The sentences for errors that the user of a command can correct. For any other error, the command prints a traceback."""

from collections.abc import Callable

from pydantic import ValidationError

_PREFIX = "MONEYBACK_"

_OLD_SCHEMA = {"42P01", "42703"}  # PostgreSQL's error codes undefined_table and undefined_column


def message_for(error: Exception) -> str | None:
    """Return the sentence for an error that the user can correct. Return None for any other error."""
    for kinds, describe in _messages():
        if isinstance(error, kinds):
            return describe(error)
    return _schema_error(error)


def _messages() -> tuple[tuple[tuple[type[Exception], ...], Callable[[Exception], str]], ...]:
    from console.environment import NotConfiguredError
    from console.servers import LocalStackError
    from domain.errors import MoneybackError
    from records import DatabaseDownError

    return (
        ((MoneybackError, LocalStackError, NotConfiguredError), str),
        ((ValidationError,), _invalid_settings),
        (DatabaseDownError, lambda error: f"The database does not answer: {first_line(error.__cause__ or error)}"),
    )


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return str(error).partition("\n")[0]


def _invalid_settings(error: Exception) -> str:
    assert isinstance(error, ValidationError)
    prefix = (
        error.title if error.title.startswith(_PREFIX) else _PREFIX
    )  # an account's prefix is the title of its class
    return "; ".join(_invalid_setting(prefix, list(detail["loc"]), detail["msg"]) for detail in error.errors())


def _invalid_setting(prefix: str, names: list[int | str], message: str) -> str:
    message = message.removeprefix("Value error, ")
    return f"{prefix}{'_'.join(map(str, names)).upper()}: {message}" if names else message


def _schema_error(error: Exception) -> str | None:
    """Return a sentence if PostgreSQL's error code shows that a table or column of Moneyback does not exist."""
    code = getattr(getattr(error, "orig", None), "sqlstate", None)
    if code in _OLD_SCHEMA:
        return "The database is not at the version of this program. Run `moneyback migrate`."
    return None
