"""The sentences for errors that the user of a command can correct. For any other error, the command prints a traceback."""

import errno
import os
from collections.abc import Callable

from pydantic import ValidationError
from pydantic_core import ErrorDetails

_PREFIX = "MONEYBACK_"

_OLD_SCHEMA = {"42P01", "42703"}  # PostgreSQL's error codes undefined_table and undefined_column
_MISSING_RIGHT = "42501"  # PostgreSQL's error code insufficient_privilege
_UNUSABLE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EACCES, errno.EPERM, errno.EROFS}

_SENTENCES = {
    "missing": "{name} is not set; docs/settings.md explains it.",
    "too_short": "{name} must have {min_length} characters or more, but it has {actual_length}.",
}
"""The sentences for pydantic's types of errors whose own messages speak of fields and items."""


def message_for(error: Exception) -> str | None:
    """Return the sentence for an error that the user can correct. Return None for any other error."""
    for kinds, describe in _messages():
        if isinstance(error, kinds):
            return describe(error)
    return _refused_by_database(error) or _unusable_file(error)


def _messages() -> tuple[tuple[tuple[type[Exception], ...], Callable[[Exception], str]], ...]:
    from console.environment import NotConfiguredError
    from console.servers import LocalStackError
    from domain.errors import MoneybackError
    from records import DatabaseDownError

    return (
        ((MoneybackError, LocalStackError, NotConfiguredError), str),
        ((ValidationError,), _invalid_settings),
        (DatabaseDownError, database_error),
    )


def database_error(error: BaseException) -> str:
    """Return the sentence for a database that cannot be reached, or that refuses our user.

    The server's own answer follows the word FATAL, such as: password authentication failed for user "moneyback".
    """
    line = first_line(error.__cause__ or error)
    _, refused, answer = line.partition("FATAL:")
    if refused:
        return f"The database refuses the connection: {answer.strip()}. {_roles_advice()}"
    return f"The database does not answer: {line}"


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return str(error).partition("\n")[0]


def _invalid_settings(error: Exception) -> str:
    assert isinstance(error, ValidationError)
    prefix = error.title if error.title.startswith(_PREFIX) else _PREFIX  # the title of an account is its prefix
    return " ".join(_invalid_setting(prefix, detail) for detail in error.errors())


def _invalid_setting(prefix: str, detail: ErrorDetails) -> str:
    name = f"{prefix}{'_'.join(map(str, detail['loc'])).upper()}"
    if template := _SENTENCES.get(detail["type"]):
        return template.format(name=name, **detail.get("ctx", {}))
    message = detail["msg"].removeprefix("Value error, ")
    return f"{name}: {message}" if detail["loc"] else message


def _refused_by_database(error: Exception) -> str | None:
    """Return a sentence if PostgreSQL's error code shows that a table or column is missing, or that a right is missing."""
    original = getattr(error, "orig", None)
    code = getattr(original, "sqlstate", None)
    if code in _OLD_SCHEMA:
        return "The database is not at the version of this program. Run `moneyback migrate`."
    if code == _MISSING_RIGHT and original is not None:
        return f"The database refuses this command: {first_line(original)}. {_roles_advice()}"
    return None


def _unusable_file(error: Exception) -> str | None:
    """Return a sentence if a file or a folder that the settings or the user named is missing, or may not be used."""
    if isinstance(error, OSError) and error.filename and error.errno in _UNUSABLE:
        return f"{os.fsdecode(error.filename)} cannot be used: {error.strerror}."
    return None


def _roles_advice() -> str:
    from console.servers.postgres import ROLES

    return f"{ROLES} creates the database and its roles; deploy/postgres/README.md says how to run it."
