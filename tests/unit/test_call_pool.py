"""Hands: what they do side by side, and that nobody waits for the one call that hangs."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.services import eventually
from worker.providers import call_pool
from worker.providers.call_pool import CallPool

PATIENCE = 10  # seconds; a test that waits as long has failed


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_pool, "MAX_WAIT_SECONDS", 0.05)


@pytest.fixture
def gate() -> Iterator[Event]:
    """What the calls named "slow" wait for."""
    gate = Event()
    yield gate
    gate.set()


@pytest.fixture
def call(gate: Event) -> Callable[[str], str]:
    def made(name: str) -> str:
        if name.startswith("slow"):
            assert gate.wait(PATIENCE)
        return name.upper()

    return made


def test_a_call_that_hangs_is_answered_for_by_the_hand_that_makes_it(gate: Event, call: Callable[[str], str]) -> None:
    ours, told = CallPool(4), list[tuple[str, str]]()
    ours.map_as_completed(call, ["a", "slow", "b"], told.extend)
    assert sorted(told) == [("a", "A"), ("b", "B")]
    gate.set()
    ours.close()
    assert told[2:] == [("slow", "SLOW")]


def test_while_hands_are_scarce_slow_calls_are_waited_for(gate: Event, call: Callable[[str], str]) -> None:
    """Two of three hands with calls that hang would leave the next batch one: only one may be left alone."""
    ours, told = CallPool(3), list[tuple[str, str]]()
    with ThreadPoolExecutor(1) as another:
        batch = another.submit(ours.map_as_completed, call, ["slow 1", "slow 2", "a"], told.extend)
        eventually(lambda: told == [("a", "A")], seconds=PATIENCE)
        with pytest.raises(TimeoutError):
            batch.result(timeout=10 * call_pool.MAX_WAIT_SECONDS)
        gate.set()
        batch.result(PATIENCE)
    ours.close()
    assert len(told) == 3


def test_a_call_that_has_not_begun_is_never_left_alone(gate: Event, call: Callable[[str], str]) -> None:
    """It would wait in line behind calls that hang, and nobody would know."""
    ours, told = CallPool(2), list[tuple[str, str]]()
    ours.map_as_completed(call, ["slow"], told.extend)
    ours.map_as_completed(call, ["a", "b", "c"], told.extend)
    assert sorted(told) == [("a", "A"), ("b", "B"), ("c", "C")]
    gate.set()
    ours.close()
    assert len(told) == 4


def test_an_answer_that_comes_late_and_cannot_be_written_down_gives_its_hand_back() -> None:
    """Of two hands one may be left alone: the third call could not be, had one of those before kept its hand."""
    ours, reached = CallPool(2), list[Event]()

    def broken(answers: list[tuple[Event, bool]]) -> None:
        reached.extend(gate for gate, _ in answers)
        raise ConnectionError("the database is away")

    gates = [Event(), Event(), Event()]
    for gate in gates:
        ours.map_as_completed(lambda gate: gate.wait(PATIENCE), [gate], broken)
        gate.set()
        eventually(lambda: ours.abandoned == 0, seconds=PATIENCE)
    ours.close()
    assert reached == gates
