"""The call pool: calls run in parallel, and a call that hangs does not delay the results of other calls."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import pytest

from tests.services import eventually
from worker.providers import call_pool
from worker.providers.call_pool import CallPool

WAIT_SECONDS = 10  # reached only if a test fails


@pytest.fixture(autouse=True)
def _short_max_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_pool, "MAX_WAIT_SECONDS", 0.05)


@pytest.fixture
def gate() -> Iterator[Event]:
    """Yield an event. The calls named "slow" wait until a test sets this event."""
    gate = Event()
    yield gate
    gate.set()


@pytest.fixture
def call(gate: Event) -> Callable[[str], str]:
    def slow_or_fast(name: str) -> str:
        if name.startswith("slow"):
            assert gate.wait(WAIT_SECONDS)
        return name.upper()

    return slow_or_fast


def test_the_result_of_a_hanging_call_is_recorded_when_the_call_ends(gate: Event, call: Callable[[str], str]) -> None:
    pool, results = CallPool(4), list[tuple[str, str]]()
    pool.map_as_completed(call, ["a", "slow", "b"], results.extend)
    assert sorted(results) == [("a", "A"), ("b", "B")]
    gate.set()
    pool.close()
    assert results[2:] == [("slow", "SLOW")]


def test_a_batch_waits_for_slow_calls_if_too_few_threads_would_be_free(gate: Event, call: Callable[[str], str]) -> None:
    """With three threads, a batch ends only when at most one call hangs. So the next batch has two free threads."""
    pool, results = CallPool(3), list[tuple[str, str]]()
    with ThreadPoolExecutor(1) as executor:
        batch = executor.submit(pool.map_as_completed, call, ["slow 1", "slow 2", "a"], results.extend)
        eventually(lambda: results == [("a", "A")], seconds=WAIT_SECONDS)
        with pytest.raises(TimeoutError):
            batch.result(timeout=10 * call_pool.MAX_WAIT_SECONDS)
        gate.set()
        batch.result(WAIT_SECONDS)
    pool.close()
    assert len(results) == 3


def test_a_call_that_has_not_started_is_never_abandoned(gate: Event, call: Callable[[str], str]) -> None:
    """A batch must not end before its queued calls start, because perhaps no thread would make these calls later."""
    pool, results = CallPool(2), list[tuple[str, str]]()
    pool.map_as_completed(call, ["slow"], results.extend)
    pool.map_as_completed(call, ["a", "b", "c"], results.extend)
    assert sorted(results) == [("a", "A"), ("b", "B"), ("c", "C")]
    gate.set()
    pool.close()
    assert len(results) == 4


def test_a_thread_becomes_free_even_if_its_late_result_cannot_be_recorded() -> None:
    """A pool of two threads starts a new call only while at most one call hangs, so each call must free its thread."""
    pool, recorded = CallPool(2), list[Event]()

    def fail_to_record(results: list[tuple[Event, bool]]) -> None:
        recorded.extend(gate for gate, _ in results)
        raise ConnectionError("the database is unavailable")

    gates = [Event(), Event(), Event()]
    for gate in gates:
        pool.map_as_completed(lambda gate: gate.wait(WAIT_SECONDS), [gate], fail_to_record)
        gate.set()
        eventually(lambda: pool.abandoned == 0, seconds=WAIT_SECONDS)
    pool.close()
    assert recorded == gates
