"""Loads the settings of a command: from environment variables, or from the running `moneyback up` of this checkout.

A variable that is set for the command itself has precedence over a variable of `moneyback up`.
"""

import json
import os
from typing import TYPE_CHECKING

from config.connected_providers import ProviderSettings
from config.settings import Settings, settings

if TYPE_CHECKING:  # a command imports these modules only when it needs them, so that `moneyback --help` is fast
    from console.data_dir import DataDir
    from records import Records

UP = "up"
_FILE = "environment.json"


class NotConfiguredError(Exception):
    """No database is configured. Start `moneyback up`, or set MONEYBACK_DATABASE_URL, _BROKER_URL and _SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def publish(data_dir: "DataDir", env: dict[str, str]) -> None:
    """Write the environment variables of the running `moneyback up` to a file. Other processes read this file.

    ``env`` contains the variables that `moneyback up` created. The variables with which it was started are written, too,
    because they name the connected provider accounts and contain their keys.
    """
    given = {name: value for name, value in os.environ.items() if name.upper().startswith("MONEYBACK_")}
    file = data_dir.path / _FILE
    file.touch(0o600)
    file.write_text(json.dumps(given | env))


def unpublish(data_dir: "DataDir") -> None:
    """Remove the file that `publish()` has written, because the services have stopped."""
    (data_dir.path / _FILE).unlink(missing_ok=True)


def load_settings() -> Settings:
    """Return the settings of this process. Without MONEYBACK_DATABASE_URL, return the settings of the running `moneyback up`."""
    if not _has_database() and not _load_published():
        raise NotConfiguredError
    return settings()


def load_provider_settings() -> ProviderSettings:
    """Return the settings that name the connected provider accounts. They need no database and no broker."""
    if not _has_database():
        _load_published()
    return ProviderSettings()


def _has_database() -> bool:
    return bool({"MONEYBACK_DATABASE_URL", "MONEYBACK_DATABASE_URL_FILE"} & os.environ.keys())


def _load_published() -> bool:
    """Set the variables of the running `moneyback up` that are not set yet. Return False if `moneyback up` does not run."""
    from console.data_dir import DataDir

    file = DataDir.default(UP).path / _FILE
    if not file.exists():
        return False
    for name, value in json.loads(file.read_text()).items():
        os.environ.setdefault(name, value)
    return True


def records() -> "Records":
    """Return the records in the database that `load_settings()` selects."""
    from records import Records

    return Records.of(load_settings())
