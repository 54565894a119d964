"""`python -m tests.simulation`: simulates thousands of worlds, and checks that planted mistakes are found.

A world is one simulated run of Moneyback with random faults. The seed of a world determines every step. A planted mistake is a
safeguard that is removed from Moneyback's code. The last line of the output is one JSON object.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from multiprocessing.pool import AsyncResult, Pool

from tests.simulation.planted_mistakes import MISTAKES
from tests.simulation.run import Outcome, SearchResult, find_named_mistake, run_world, run_worlds

CHUNK = 25  # the number of worlds that a process runs before it returns their outcome


def main() -> int:
    """Return 0 if no invariant was violated and every planted mistake was found."""
    options = _parse_options()
    if options.replay is not None:
        return _replay(options.replay)
    began = time.monotonic()
    with multiprocessing.Pool(options.processes) as pool:
        searches = (
            [pool.apply_async(find_named_mistake, [mistake.name]) for mistake in MISTAKES] if options.planted else []
        )
        ends_at = began + options.seconds if options.requests is None else None
        total = Outcome()
        for outcome in _run_chunks(pool, options.seed, options.processes, ends_at):
            total.add(outcome)
            _print_progress(total, searches, began)
            if options.requests is not None and total.requests >= options.requests:
                break
        results = [search.get() for search in searches]
        pool.terminate()
    return _report(total, results, time.monotonic() - began)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--requests", type=int, metavar="N", help="simulate until N requests were sent")
    parser.add_argument(
        "--seconds",
        type=float,
        metavar="S",
        default=45,
        help="without --requests: simulate for S seconds (default: %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first world (default: %(default)s)")
    parser.add_argument(
        "--processes", type=int, default=2, metavar="P", help="number of processes (default: %(default)s)"
    )
    parser.add_argument(
        "--replay", type=int, metavar="SEED", help="run only the world with this seed, and print its trace"
    )
    on_or_off = argparse.BooleanOptionalAction
    parser.add_argument("--planted", action=on_or_off, default=True, help="also search for the planted mistakes")
    return parser.parse_args()


def _run_chunks(pool: Pool, seed: int, processes: int, ends_at: float | None) -> Iterator[Outcome]:
    """Yield the outcomes of chunks in the order of their seeds. Two chunks per process are queued, so no process waits."""
    queued: list[AsyncResult[Outcome]] = []
    while ends_at is None or time.monotonic() < ends_at:
        while len(queued) < 2 * processes:
            queued.append(pool.apply_async(run_worlds, [seed, CHUNK]))
            seed += CHUNK
        yield queued.pop(0).get()
    for result in queued:
        if result.ready():
            yield result.get()


def _print_progress(total: Outcome, searches: list[AsyncResult[SearchResult]], began: float) -> None:
    if sys.stderr.isatty():
        searched = sum(search.ready() for search in searches)
        sys.stderr.write(
            f"\r{time.monotonic() - began:6.0f} s  {total.requests:,} requests in {total.worlds:,} worlds  "
            f"{total.faults.total():,} faults  {len(total.violations)} violations  "
            f"{searched}/{len(searches)} searches for mistakes ended "
        )
        sys.stderr.flush()


def _report(total: Outcome, results: list[SearchResult], seconds: float) -> int:
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    for seed, sentence in total.violations:
        _print(f"World {seed}: {sentence}\n  To print its trace: python -m tests.simulation --replay {seed}")
    for seed in dict.fromkeys(seed for seed, _ in total.violations[:1]):
        _replay(seed)
    for result in results:
        text = (
            f"found in world {result.worlds}: {result.detail[:100]}"
            if result.seed is not None
            else f"NOT FOUND in {result.worlds} worlds. {result.detail}"
        )
        _print(f"{result.name:70} {text}")
    report = {
        "requests": total.requests,
        "worlds": total.worlds,
        "steps": total.steps,
        "faults": dict(total.faults.most_common()),
        "violations": len(total.violations),
        "planted": {result.name: result.seed is not None for result in results},
        "seconds": round(seconds, 1),
    }
    _print(json.dumps(report))
    return 1 if total.violations or any(result.seed is None for result in results) else 0


def _replay(seed: int) -> int:
    world, outcome = run_world(seed, traced=True)
    for line in world.trace or ():
        _print(line)
    for _, sentence in outcome.violations:
        _print(f"VIOLATED {sentence}")
    return 1 if outcome.violations else 0


def _print(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
