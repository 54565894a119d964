"""Chooses random faults for some of the calls to the sandbox."""

from random import Random
from typing import NamedTuple

from console.sandbox.behaviours import ResponseMode


class Fault(NamedTuple):
    """One kind of fault. ``carried_out`` is True if the call is carried out before the fault."""

    response_mode: ResponseMode
    carried_out: bool


FAULTS = (
    Fault(ResponseMode.BROKEN, carried_out=True),
    Fault(ResponseMode.DROPPED, carried_out=False),
    Fault(ResponseMode.DROPPED, carried_out=True),
    Fault(ResponseMode.BUSY, carried_out=False),
    Fault(ResponseMode.LATE, carried_out=True),
)


class FaultInjector:
    """Chooses faults at random. With the same seed, the same sequence of calls gets the same faults."""

    def __init__(self, probability: float = 0.0, seed: int = 0) -> None:
        self._probability = probability
        self._random = Random(seed)  # noqa: S311  # random faults, not secrets

    def roll(self) -> Fault | None:
        """Return the fault of the next call, or None if the call has no fault."""
        if not self._probability or self._random.random() >= self._probability:
            return None
        return self._random.choice(FAULTS)
