"""What goes wrong in a run of chaos, and when: all of it out of the seed."""

from random import Random
from typing import NamedTuple

KILLS = {
    "kill a part": 8,
    "kill a worker": 6,
    "kill a child of a pool": 6,
    "kill at a point": 20,
    "kill the broker": 2,
    "kill the database": 2,
}
"""Each of these is a SIGKILL; how often, for each other."""

TROUBLES = {
    "freeze a part": 5,
    "freeze at a point": 6,
    "freeze the broker": 3,
    "freeze the provider": 3,
    "fill the broker": 2,
    "stop the database at once": 2,
    "lock the cases": 2,
    "end backends": 4,
    "empty the broker": 3,
    "cut connections": 5,
    "hold connections": 4,
    "lose a commit's answer": 4,
    "lose a broker's answer": 4,
    "poison queues": 3,
    "repeat and shuffle messages": 4,
    "open a dispute": 4,
}
"""What is not a kill."""

LATER = {"kill at a point", "freeze at a point", "lose a commit's answer", "lose a broker's answer"}
"""These count when they happen: when somebody comes to the point, when the words come by."""


class Fault(NamedTuple):
    """One thing that goes wrong, and the dice for its details: the same plan whatever happens meanwhile."""

    at: float
    kind: str
    dice: Random


def plan(seconds: float, kills: int, dice: Random) -> list[Fault]:
    """So many kills and as many other troubles, at any time within so many seconds; pairs overlap as they fall."""
    kinds = dice.choices(list(KILLS), list(KILLS.values()), k=kills)
    kinds += dice.choices(list(TROUBLES), list(TROUBLES.values()), k=kills)
    faults = [Fault(dice.uniform(0, seconds), kind, Random(dice.getrandbits(64))) for kind in kinds]
    return sorted(faults, key=lambda fault: fault.at)
