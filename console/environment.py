"""Loads the settings of a command: from environment variables, or from the running `moneyback up` of this checkout."""

import json
import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING

from config.connected_providers import ProviderSettings
from config.settings import Settings, settings
from console.program import LAUNCHER, as_typed

if TYPE_CHECKING:  # a command imports these modules only when it needs them, so that `moneyback --help` is fast
    from console.data_dir import DataDir
    from records import Records

UP = "up"
_FILE = "environment.json"
_PREFIX = "MONEYBACK_"
_OF_THIS_PROCESS = {"MONEYBACK_HOME", LAUNCHER}
"""The variables that say how this process was started. They are no settings of the services."""


class NotConfiguredError(Exception):
    """No database is configured. Start `moneyback up`, or set MONEYBACK_DATABASE_URL, _BROKER_URL and _SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def publish(data_dir: "DataDir") -> None:
    """Write the settings of the running `moneyback up` to a file, so that commands in other terminals use the same settings.

    The file also has the settings that the user gave to `moneyback up`, such as the accounts with payment providers.
    """
    file = data_dir.path / _FILE
    file.touch(0o600)
    file.write_text(json.dumps(_settings_in_environment()))


def unpublish(data_dir: "DataDir") -> None:
    """Remove the file that `publish()` has written, because the services have stopped."""
    (data_dir.path / _FILE).unlink(missing_ok=True)


def load_settings() -> Settings:
    """Return the settings of this process. Without MONEYBACK_DATABASE_URL, return the settings of the running `moneyback up`."""
    if not _has_database():
        _use_running_environment()
    return settings()


def load_provider_settings() -> ProviderSettings:
    """Return the settings that name the connected provider accounts. They need no database and no broker."""
    if not _has_database():
        with suppress(NotConfiguredError):
            _use_running_environment()
    return ProviderSettings()


def _has_database() -> bool:
    return bool({"MONEYBACK_DATABASE_URL", "MONEYBACK_DATABASE_URL_FILE"} & os.environ.keys())


def records() -> "Records":
    """Return the records in the database that `load_settings()` selects."""
    from records import Records

    return Records.of(load_settings())


def _use_running_environment() -> None:
    """Replace the settings in this process's environment by the settings of the running `moneyback up`.

    No setting of this terminal is left, because the services of `moneyback up` do not know it.
    """
    from console.data_dir import DataDir

    data_dir = DataDir.default(UP)
    file = data_dir.path / _FILE
    if not file.exists() or not data_dir.is_in_use():  # a killed process leaves its file
        raise NotConfiguredError
    running, own = json.loads(file.read_text()), _settings_in_environment()
    for name in own:
        del os.environ[name]
    os.environ.update(running)
    _report(f"This command uses the running `moneyback up` at {running['MONEYBACK_PUBLIC_URL']}.")
    if ignored := sorted(name for name, value in own.items() if running.get(name) != value):
        _report(
            f"{', '.join(ignored)} of this terminal {'is' if len(ignored) == 1 else 'are'} ignored. "
            "Set the same variables where `moneyback up` runs, and start it again."
        )


def _settings_in_environment() -> dict[str, str]:
    return {
        name: value for name, value in os.environ.items() if name.startswith(_PREFIX) and name not in _OF_THIS_PROCESS
    }


def _report(sentence: str) -> None:
    """Print a sentence on standard error, because standard output may be read by a program."""
    sys.stderr.write(f"{as_typed(sentence)}\n")
