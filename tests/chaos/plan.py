"""Plans the faults of a chaos run. The same seed gives the same plan."""

from random import Random
from typing import NamedTuple

KILLS = {
    "kill a service": 8,
    "kill a worker": 6,
    "kill a child of a pool": 6,
    "kill at a point": 20,
    "kill the broker": 2,
    "kill the database": 2,
}
"""The kinds of faults that send SIGKILL, and the weight of each kind. A kind with a higher weight is chosen more often."""

OTHER_FAULTS = {
    "freeze a service": 5,
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
"""The other kinds of faults, and the weight of each kind."""

DELAYED_FAULTS = {"kill at a point", "freeze at a point", "lose a commit's answer", "lose a broker's answer"}
"""Faults that do not happen immediately: they happen when a process reaches a point in its code, or a response arrives."""


class Fault(NamedTuple):
    """One fault, ``at`` seconds after the start of the run.

    Each fault has its own random generator, so the details of a fault do not depend on other faults.
    """

    at: float
    kind: str
    rng: Random


def plan(seconds: float, kills: int, rng: Random) -> list[Fault]:
    """Return ``kills`` faults of KILLS and the same number of other faults, at random times within ``seconds``."""
    kinds = rng.choices(list(KILLS), list(KILLS.values()), k=kills)
    kinds += rng.choices(list(OTHER_FAULTS), list(OTHER_FAULTS.values()), k=kills)
    faults = [Fault(rng.uniform(0, seconds), kind, Random(rng.getrandbits(64))) for kind in kinds]
    return sorted(faults, key=lambda fault: fault.at)
