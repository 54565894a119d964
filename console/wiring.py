"""Where this process finds its parts: the environment, or what `moneyback up` is running in this checkout."""

import json
import os

from config.settings import Settings, settings
from console.home import Home

UP = "up"
_FILE = "wiring.json"


def remember(home: Home, env: dict[str, str]) -> None:
    """Notes how the parts of this home are wired, for `wired()` of other processes."""
    file = home.path / _FILE
    file.touch(0o600)
    file.write_text(json.dumps(env))


def forget(home: Home) -> None:
    """The parts of this home are gone."""
    (home.path / _FILE).unlink(missing_ok=True)


def wired() -> Settings:
    """The settings of this process; without a DATABASE_URL, those of the running `moneyback up`."""
    if "MONEYBACK_DATABASE_URL" not in os.environ:
        file = Home.here(UP).path / _FILE
        if not file.exists():
            raise NotWiredError
        os.environ.update(json.loads(file.read_text()))
    return settings()


class NotWiredError(Exception):
    """No part is running here. Start `moneyback up` first, or set MONEYBACK_DATABASE_URL, BROKER_URL and SECRET_KEY."""

    def __init__(self) -> None:
        super().__init__(self.__doc__)
