"""Where this process finds its parts: the environment, or what `moneyback up` is running in this checkout."""

import json
import os
from typing import TYPE_CHECKING

from config.settings import Settings, settings

if TYPE_CHECKING:  # imported when a verb needs them, so that `moneyback --help` answers at once
    from console.home import Home
    from records import Records

UP = "up"
_FILE = "wiring.json"


class NotWiredError(Exception):
    """No part is running here. Start `moneyback up` first, or set MONEYBACK_DATABASE_URL, BROKER_URL and SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)


def remember(home: "Home", env: dict[str, str]) -> None:
    """Notes how the parts of this home are wired, for `wired()` of other processes."""
    file = home.path / _FILE
    file.touch(0o600)
    file.write_text(json.dumps(env))


def forget(home: "Home") -> None:
    """The parts of this home are gone."""
    (home.path / _FILE).unlink(missing_ok=True)


def wired() -> Settings:
    """The settings of this process; without a DATABASE_URL, those of the running `moneyback up`."""
    if "MONEYBACK_DATABASE_URL" not in os.environ:
        from console.home import Home

        file = Home.here(UP).path / _FILE
        if not file.exists():
            raise NotWiredError
        os.environ.update(json.loads(file.read_text()))
    return settings()


def records() -> "Records":
    """The records of this process's settings."""
    from records import Records

    return Records.of(wired())
