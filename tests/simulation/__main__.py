"""`python -m tests.simulation`: simulates thousands of worlds, and checks that planted mistakes are found.

A seed determines a world: `--replay SEED` prints its trace. The last line of the output is one JSON object.
"""

import argparse
import json
import multiprocessing
import sys
import time
from collections.abc import Iterator
from multiprocessing.pool import AsyncResult, Pool

from tests.simulation.planted_mistakes import MISTAKES
from tests.simulation.run import Hunted, Outcome, hunt_named, world_of, worlds

CHUNK = 25  # worlds that a process runs before it returns their outcome


def main() -> int:
    """Return 0 if no invariant was violated and every planted mistake was found."""
    asked = _asked()
    if asked.replay is not None:
        return _replay(asked.replay)
    begun = time.monotonic()
    with multiprocessing.Pool(asked.processes) as pool:
        hunts = [pool.apply_async(hunt_named, [mistake.name]) for mistake in MISTAKES] if asked.planted else []
        ends = begun + asked.seconds if asked.requests is None else None
        together = Outcome()
        for outcome in _campaign(pool, asked.seed, asked.processes, ends):
            together.add(outcome)
            _tell(together, hunts, begun)
            if asked.requests is not None and together.requests >= asked.requests:
                break
        hunted = [one.get() for one in hunts]
        pool.terminate()
    return _report(together, hunted, time.monotonic() - begun)


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--requests", type=int, metavar="N", help="simulate until N requests were sent")
    parser.add_argument(
        "--seconds", type=float, metavar="S", default=45, help="otherwise simulate for S seconds (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first world (%(default)s)")
    parser.add_argument("--processes", type=int, default=2, metavar="P", help="number of processes (%(default)s)")
    parser.add_argument("--replay", type=int, metavar="SEED", help="only print the trace of one world")
    planted = argparse.BooleanOptionalAction
    parser.add_argument("--planted", action=planted, default=True, help="also search for the planted mistakes")
    return parser.parse_args()


def _campaign(pool: Pool, seed: int, processes: int, ends: float | None) -> Iterator[Outcome]:
    """Yield the outcomes of chunks in the order of their seeds, with enough chunks queued that no process waits."""
    ahead: list[AsyncResult[Outcome]] = []
    while ends is None or time.monotonic() < ends:
        while len(ahead) < 2 * processes:
            ahead.append(pool.apply_async(worlds, [seed, CHUNK]))
            seed += CHUNK
        yield ahead.pop(0).get()
    for one in ahead:
        if one.ready():
            yield one.get()


def _tell(together: Outcome, hunts: list[AsyncResult[Hunted]], begun: float) -> None:
    if sys.stderr.isatty():
        found = sum(one.ready() for one in hunts)
        sys.stderr.write(
            f"\r{time.monotonic() - begun:6.0f} s  {together.requests:,} requests in {together.worlds:,} worlds  "
            f"{together.faults.total():,} faults  {len(together.violations)} violations  "
            f"{found}/{len(hunts)} mistakes searched "
        )
        sys.stderr.flush()


def _report(together: Outcome, hunted: list[Hunted], seconds: float) -> int:
    if sys.stderr.isatty():
        sys.stderr.write("\n")
    for seed, sentence in together.violations:
        _say(f"World {seed}: {sentence}\n  its trace: python -m tests.simulation --replay {seed}")
    for seed in dict.fromkeys(seed for seed, _ in together.violations[:1]):
        _replay(seed)
    for one in hunted:
        how = (
            f"found in world {one.worlds}: {one.how[:100]}"
            if one.seed is not None
            else f"NOT FOUND in {one.worlds} worlds. {one.how}"
        )
        _say(f"{one.name:70} {how}")
    report = {
        "requests": together.requests,
        "worlds": together.worlds,
        "steps": together.steps,
        "faults": dict(together.faults.most_common()),
        "violations": len(together.violations),
        "planted": {one.name: one.seed is not None for one in hunted},
        "seconds": round(seconds, 1),
    }
    _say(json.dumps(report))
    return 1 if together.violations or any(one.seed is None for one in hunted) else 0


def _replay(seed: int) -> int:
    world, outcome = world_of(seed, traced=True)
    for line in world.trace or ():
        _say(line)
    for _, sentence in outcome.violations:
        _say(f"VIOLATED {sentence}")
    return 1 if outcome.violations else 0


def _say(line: str) -> None:
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    sys.exit(main())
