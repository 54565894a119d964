"""`python -m tests.chaos.race --rounds N`: the same purchase is asked for fifty times at once, by every way; it is paid once."""

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass, replace
from random import Random

from console.supervisor import stop_on_signals
from tests.chaos import provider
from tests.chaos.customers import Ask, Customer, customers, furnish
from tests.chaos.final_checks import look
from tests.chaos.load import Load
from tests.chaos.processes import running
from tests.chaos.run import rest
from tests.chaos.timers import BOUND, SANDBOX, environment

AT_ONCE = 50
WAYS = {
    "api": 20,
    "untrusted api": 10,
    "form": 10,
    "mail": 10,
}  # of mails no more: the eleventh of a day is for a person
ROUND = 0.5  # seconds between two rounds: about what this many requests take on two cores


@dataclass(frozen=True)
class Raced:
    """What came of so many rounds."""

    rounds: int
    requests: int
    refunds: int
    refunded_purchases: int
    refunded_cases: int
    duplicates: int
    wrong: list[str]

    @property
    def well(self) -> bool:
        """One refund, one case that was paid, and every other request joined it: in each round."""
        once = self.refunds == self.refunded_purchases == self.refunded_cases == self.rounds
        return once and self.duplicates == self.rounds * (AT_ONCE - 1) and not self.wrong


def race(rounds: int, seed: int) -> Raced:
    """Run so many rounds, one purchase each."""
    dice = Random(seed)
    everybody = [_crowd(customer, n, dice) for n, customer in enumerate(customers(rounds, 0, dice))]
    with running(environment(), tuple(f"--{name}={value}" for name, value in (*SANDBOX.items(),))) as parts:
        keys = furnish(parts.records, everybody)
        with Load(parts.settings, parts.records, keys, everybody, call_pool=AT_ONCE) as load:
            unrest = rest(parts, load, rounds * ROUND * 4 + BOUND)
            books = look(parts, load, [])
        refunds = provider.refunds(parts.provider_socket)
        return Raced(
            rounds=rounds,
            requests=books.accepted,
            refunds=len(refunds),
            refunded_purchases=len(Counter(refund["charge"] for refund in refunds)),
            refunded_cases=books.states["refunded"],
            duplicates=books.states["duplicate"],
            wrong=[*books.faults, *([unrest] if unrest else [])],
        )


def _crowd(customer: Customer, number: int, dice: Random) -> Customer:
    ways = dice.sample(list(WAYS), AT_ONCE, counts=list(WAYS.values()))
    asks = [Ask(f"{dice.getrandbits(128):032x}", way, number * ROUND, 1) for way in ways]
    ordinary = replace(customer.purchase, charge=f"ok_{dice.getrandbits(64):016x}")
    return Customer(ordinary, clicks=True, asks=asks)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.race", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with stop_on_signals():
        raced = race(chosen.rounds, chosen.seed)
    sys.stdout.write(json.dumps({"well": raced.well, **vars(raced), "wrong": raced.wrong[:20]}) + "\n")
    return 0 if raced.well else 1


if __name__ == "__main__":
    sys.exit(main())
