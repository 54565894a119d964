"""`python -m tests.chaos --seconds S --seed N [--requests N] [--kills N]`: everything breaks while customers ask.

Ends with 0 when each request that was accepted ended once or waits for a person, nothing was paid twice, and everything
came to rest in time. The last line is one JSON object.
"""

import argparse
import json
import sys
import time

from console.output import out, table
from console.supervisor import stop_on_signals
from tests.chaos.recovery import recover
from tests.chaos.run import Asked, Outcome, WrongError, run

SHOWN = (
    *("accepted", "ended", "waiting_for_person", "waiting_for_customer", "refunded", "provider_refunds"),
    *("double_payments", "lost", "kills"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="how long customers ask and things break")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same seed, the same plan")
    parser.add_argument("--requests", type=int, help="customers; most ask once (default: four a second)")
    parser.add_argument("--kills", type=int, help="SIGKILLs, and as many other faults (default: one in four seconds)")
    parser.add_argument("--recovery", action="store_true", help="measure recoveries, with the timers of the product")
    chosen = parser.parse_args()
    if chosen.recovery:
        return _recover()
    asked = Asked(
        seconds=chosen.seconds,
        seed=chosen.seed,
        requests=chosen.requests or int(chosen.seconds * 4),
        kills=chosen.kills if chosen.kills is not None else max(1, int(chosen.seconds / 4)),
    )
    _tell(f"seed {asked.seed}: {asked.requests} customers and {2 * asked.kills} faults in {asked.seconds:g} s")
    with stop_on_signals():
        try:
            outcome = run(asked, _tell)
        except WrongError as error:
            outcome = error.outcome
            sys.stderr.write(f"{error}\n")
    if sys.stdout.isatty():
        _show(outcome)
    sys.stdout.write(json.dumps(outcome.figures()) + "\n")
    return 0 if outcome.well else 1


def _recover() -> int:
    with stop_on_signals():
        found = recover(_tell)
    if sys.stdout.isatty():
        rows = [(one.fault, f"{one.seconds:g}", f"{one.aim:g}") for one in found]
        table("Recoveries", ("fault", "seconds", "aim"), rows)
    figures = [{**one._asdict(), "well": one.well} for one in found]
    sys.stdout.write(json.dumps({"well": all(one.well for one in found), "recoveries": figures}) + "\n")
    return 0 if all(one.well for one in found) else 1


def _tell(says: str) -> None:
    if sys.stdout.isatty():
        out.print(f"· {says}", highlight=False)
    else:
        sys.stderr.write(f"· {says}\n")


def _show(outcome: Outcome) -> None:
    figures = outcome.figures()
    rows = [(name.replace("_", " "), figures[name]) for name in SHOWN]
    settle = ", ".join(f"{name} {seconds:g}" for name, seconds in figures["settle_seconds"].items())
    rest = f"{figures['rest_seconds']:g} of {figures['rest_bound']:g}"
    table("The books", ("what", "figure"), [*rows, ("s a case was ours to move", settle), ("s to rest", rest)])
    table("What went wrong", ("fault", "times"), list(figures["faults"].items()))
    if figures["points"]:
        table("Where somebody died or froze", ("point", "times"), list(figures["points"].items()))
    timers = ", ".join(f"{name.removesuffix('_seconds')} {seconds:g}" for name, seconds in figures["timers"].items())
    out.print(f"The product's timers were shortened, in seconds: {timers}.", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
