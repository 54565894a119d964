"""`python -m tests.chaos.launch COMMAND …`: runs `moneyback COMMAND …` with kill points and shorter delays.

A kill point is a place in the product at which a process can kill or freeze itself.
"""

import os
from pathlib import Path

from console.cli import main
from tests.chaos.kill_points import ARMED_POINTS, find_attribute, install
from tests.chaos.timers import SHORTENED_FOR


def prepare() -> None:
    """Install the kill points in this process, and shorten the delays that are constants of the product."""
    service = Path(os.environ[ARMED_POINTS]).name
    install(service)
    for where, value in SHORTENED_FOR.get(service, {}).items():
        owner, name = find_attribute(where)
        assert hasattr(owner, name), f"The product has no constant {where}."
        setattr(owner, name, value)


if __name__ == "__main__":
    prepare()
    main()
