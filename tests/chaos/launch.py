"""`python -m tests.chaos.launch VERB …`: runs `moneyback VERB …` with kill points and shortened constants."""

import os
from pathlib import Path

from console.cli import main
from tests.chaos.kill_points import DIRECT, FUSES, find, install
from tests.chaos.timers import SHORTENED


def prepare() -> None:
    """Install the kill points and the shortened constants in this process."""
    service = Path(os.environ[FUSES]).name
    install(service)
    for where, value in SHORTENED.items() if service in DIRECT else ():
        owner, name = find(where)
        assert hasattr(owner, name), f"The product has no {where}."
        setattr(owner, name, value)


if __name__ == "__main__":
    prepare()
    main()
