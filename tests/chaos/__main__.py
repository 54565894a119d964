"""`python -m tests.chaos --seconds S --seed N [--requests N] [--kills N]`: injects faults while customers send requests.

The exit code is 0 if no accepted request was lost, no payment was refunded twice, and all work was finished in time. The last
line of the output is one JSON object.
"""

import argparse
import json
import sys
import time

from console.output import out, table
from console.supervisor import stop_on_signals
from tests.chaos.recovery import recover
from tests.chaos.run import Outcome, RunFailedError, RunOptions, run

FIGURES = (
    *("accepted", "ended", "waiting_for_support", "waiting_for_customer", "refunded", "provider_refunds"),
    *("double_payments", "lost", "kills"),
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument(
        "--seconds", type=float, default=60.0, help="seconds in which requests are sent and faults are injected"
    )
    parser.add_argument(
        "--seed", type=int, default=int(time.time()), help="the same seed gives the same plan of requests and faults"
    )
    parser.add_argument(
        "--requests", type=int, help="number of customers; most send one request (default: four per second)"
    )
    parser.add_argument(
        "--kills",
        type=int,
        help="number of SIGKILLs; equally many other faults are injected (default: one SIGKILL every four seconds)",
    )
    parser.add_argument(
        "--recovery", action="store_true", help="only measure recovery times, with the default timers of the product"
    )
    arguments = parser.parse_args()
    if arguments.recovery:
        return _recover()
    options = RunOptions(
        seconds=arguments.seconds,
        seed=arguments.seed,
        requests=arguments.requests or int(arguments.seconds * 4),
        kills=arguments.kills if arguments.kills is not None else max(1, int(arguments.seconds / 4)),
    )
    _report(
        f"seed {options.seed}: {options.requests} customers and {2 * options.kills} faults in {options.seconds:g} s"
    )
    with stop_on_signals():
        try:
            outcome = run(options, _report)
        except RunFailedError as error:
            outcome = error.outcome
            sys.stderr.write(f"{error}\n")
    if sys.stdout.isatty():
        _show(outcome)
    sys.stdout.write(json.dumps(outcome.figures()) + "\n")
    return 0 if outcome.succeeded else 1


def _recover() -> int:
    with stop_on_signals():
        recoveries = recover(_report)
    if sys.stdout.isatty():
        rows = [(recovery.fault, f"{recovery.seconds:g}", f"{recovery.target:g}") for recovery in recoveries]
        table("Recoveries", ("fault", "seconds", "target"), rows)
    figures = [{**recovery._asdict(), "ok": recovery.succeeded} for recovery in recoveries]
    sys.stdout.write(
        json.dumps({"ok": all(recovery.succeeded for recovery in recoveries), "recoveries": figures}) + "\n"
    )
    return 0 if all(recovery.succeeded for recovery in recoveries) else 1


def _report(line: str) -> None:
    if sys.stdout.isatty():
        out.print(f"· {line}", highlight=False)
    else:
        sys.stderr.write(f"· {line}\n")


def _show(outcome: Outcome) -> None:
    figures = outcome.figures()
    rows = [(name.replace("_", " "), figures[name]) for name in FIGURES]
    processing = ", ".join(f"{name} {seconds:g}" for name, seconds in figures["processing_seconds"].items())
    drain = f"{figures['drain_seconds']:g} (limit: {figures['drain_limit']:g})"
    table(
        "Result",
        ("figure", "value"),
        [
            *rows,
            ("processing seconds of a case", processing),
            ("seconds from the last fault until no work remained", drain),
        ],
    )
    table("Injected faults", ("fault", "times"), list(figures["faults"].items()))
    if figures["points"]:
        table("Kill points reached", ("point", "times"), list(figures["points"].items()))
    timers = ", ".join(f"{name.removesuffix('_seconds')} {seconds:g}" for name, seconds in figures["timers"].items())
    out.print(f"The timers of the product, in seconds, shortened for this run: {timers}.", highlight=False)


if __name__ == "__main__":
    sys.exit(main())
