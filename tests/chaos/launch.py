"""`python -m tests.chaos.launch VERB …`: as `moneyback VERB …`, with the points, and the shortened constants."""

import os
import sys
from pathlib import Path
from typing import Any

from console.cli import main
from tests.chaos.kill_points import DIRECT, FUSES, find, install
from tests.chaos.timers import SHORTENED

_execv = os.execv


def prepare() -> None:
    """Makes this process one of a run of chaos."""
    part = Path(os.environ[FUSES]).name
    install(part)
    for where, value in SHORTENED.items() if part in DIRECT else ():
        owner, name = find(where)
        assert hasattr(owner, name), f"The product has no {where}."
        setattr(owner, name, value)


def become(path: str, argv: list[str]) -> Any:
    """Celery's processes are started with the very options of `moneyback`, and with our application."""
    return _execv(path, ["tests.chaos.app" if word == "worker.app" else word for word in argv])


if __name__ == "__main__":
    os.execv = become  # type: ignore[assignment]  # does not return either
    if sys.argv[1] not in {"worker", "beat"}:  # those become Celery first
        prepare()
    main()
