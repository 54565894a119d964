from random import Random
from typing import NamedTuple

from console.sandbox.behaviours import Manner


class Flaw(NamedTuple):
    """What goes wrong with a call, whatever it is about."""

    manner: Manner
    carried_out: bool


FLAWS = (
    Flaw(Manner.BROKEN, carried_out=True),
    Flaw(Manner.DROPPED, carried_out=False),
    Flaw(Manner.DROPPED, carried_out=True),
    Flaw(Manner.BUSY, carried_out=False),
    Flaw(Manner.LATE, carried_out=True),
)


class Flaws:
    """Misfortune by chance: the same seed gives the same calls the same bad luck."""

    def __init__(self, probability: float = 0.0, seed: int = 0) -> None:
        self._probability = probability
        self._random = Random(seed)  # noqa: S311  # chance, not secrets

    def roll(self) -> Flaw | None:
        """What goes wrong with the next call, if anything."""
        if not self._probability or self._random.random() >= self._probability:
            return None
        return self._random.choice(FLAWS)
