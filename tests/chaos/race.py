"""`python -m tests.chaos.race --rounds N`: in each round, sends fifty concurrent requests for one purchase.

Each purchase must be refunded exactly once.
"""

import argparse
import json
import sys
from collections import Counter
from dataclasses import dataclass
from random import Random

from console.supervisor import stop_on_signals
from tests.chaos import provider
from tests.chaos.customers import Customer, PlannedRequest, customers, seed_records
from tests.chaos.final_checks import check_records
from tests.chaos.load import Load
from tests.chaos.processes import running
from tests.chaos.run import wait_until_idle
from tests.chaos.timers import DRAIN_LIMIT, SANDBOX, environment
from tests.sample_data import with_payment

CONCURRENCY = 50
CHANNELS = {
    "api": 20,
    "untrusted api": 10,
    "form": 10,
    "mail": 10,
}  # at most ten mails: a customer's eleventh mail in 24 hours creates no case, because support must read it
ROUND_SECONDS = 0.5  # from the start of one round to the next start; two cores need this time for 50 requests


@dataclass(frozen=True)
class RaceResult:
    """The result of all rounds."""

    rounds: int
    requests: int
    refunds: int
    refunded_purchases: int
    refunded_cases: int
    duplicates: int
    wrong: list[str]

    @property
    def succeeded(self) -> bool:
        """Return whether each round has one refund and one refunded case, and all other requests are duplicates."""
        is_refunded_once = self.refunds == self.refunded_purchases == self.refunded_cases == self.rounds
        return is_refunded_once and self.duplicates == self.rounds * (CONCURRENCY - 1) and not self.wrong


def race(rounds: int, seed: int) -> RaceResult:
    """Run ``rounds`` rounds with one purchase each."""
    rng = Random(seed)
    all_customers = [_requests_of_round(customer, n, rng) for n, customer in enumerate(customers(rounds, 0, rng))]
    with running(environment(), tuple(f"--{name}={value}" for name, value in SANDBOX.items())) as installation:
        keys = seed_records(installation.records, all_customers)
        with Load(installation.settings, installation.records, keys, all_customers, threads=CONCURRENCY) as load:
            unfinished = wait_until_idle(installation, load, rounds * ROUND_SECONDS * 4 + DRAIN_LIMIT)
            checks = check_records(installation, load, [])
        refunds = provider.refunds(installation.provider_socket)
        return RaceResult(
            rounds=rounds,
            requests=checks.accepted,
            refunds=len(refunds),
            refunded_purchases=len(Counter(refund["charge"] for refund in refunds)),
            refunded_cases=checks.states["refunded"],
            duplicates=checks.states["duplicate"],
            wrong=[*checks.errors, *([unfinished] if unfinished else [])],
        )


def _requests_of_round(customer: Customer, number: int, rng: Random) -> Customer:
    channels = rng.sample(list(CHANNELS), CONCURRENCY, counts=list(CHANNELS.values()))
    requests = [
        PlannedRequest(f"{rng.getrandbits(128):032x}", channel, number * ROUND_SECONDS, 1) for channel in channels
    ]
    purchase = with_payment(customer.purchase, charge=f"ok_{rng.getrandbits(64):016x}")
    return Customer(purchase, confirms=True, requests=requests)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.race", description=__doc__)
    parser.add_argument("--rounds", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with stop_on_signals():
        result = race(arguments.rounds, arguments.seed)
    sys.stdout.write(json.dumps({"ok": result.succeeded, **vars(result), "wrong": result.wrong[:20]}) + "\n")
    return 0 if result.succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
