"""Where this process finds its parts: the environment, or what `moneyback up` is running in this checkout."""

import json
import os
from typing import TYPE_CHECKING

from config.settings import Settings, settings

if TYPE_CHECKING:  # imported when a verb needs them, so that `moneyback --help` answers at once
    from console.data_dir import DataDir
    from records import Records

UP = "up"
_FILE = "wiring.json"


class NotConfiguredError(Exception):
    """No part is running here. Start `moneyback up` first, or set MONEYBACK_DATABASE_URL, BROKER_URL and SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def remember(data_dir: "DataDir", env: dict[str, str]) -> None:
    """Notes how the parts of this home are wired, for `wired()` of other processes."""
    file = data_dir.path / _FILE
    file.touch(0o600)
    file.write_text(json.dumps(env))


def forget(data_dir: "DataDir") -> None:
    """The parts of this home are gone."""
    (data_dir.path / _FILE).unlink(missing_ok=True)


def load_settings() -> Settings:
    """The settings of this process; without a DATABASE_URL, those of the running `moneyback up`."""
    if "MONEYBACK_DATABASE_URL" not in os.environ:
        from console.data_dir import DataDir

        file = DataDir.here(UP).path / _FILE
        if not file.exists():
            raise NotConfiguredError
        os.environ.update(json.loads(file.read_text()))
    return settings()


def records() -> "Records":
    """The records of this process's settings."""
    from records import Records

    return Records.of(load_settings())
