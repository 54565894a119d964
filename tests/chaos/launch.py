"""`python -m tests.chaos.launch VERB …`: as `moneyback VERB …`, with the points, and the shortened constants."""

import os
from pathlib import Path

from console.cli import main
from tests.chaos.kill_points import DIRECT, FUSES, find, install
from tests.chaos.timers import SHORTENED


def prepare() -> None:
    """Make this process one of a run of chaos."""
    part = Path(os.environ[FUSES]).name
    install(part)
    for where, value in SHORTENED.items() if part in DIRECT else ():
        owner, name = find(where)
        assert hasattr(owner, name), f"The product has no {where}."
        setattr(owner, name, value)


if __name__ == "__main__":
    prepare()
    main()
