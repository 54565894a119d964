"""`python -m tests.chaos.agents`: fifty agents decide 200 cases on the desk while faults are injected.

Nothing may be decided twice or on an old revision, no draft may be lost, and no payment may be refunded more than was paid. The
last line of the output is one JSON object. The exit code is 0 if every check passed.
"""

import argparse
import json
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from random import Random
from typing import Any
from uuid import UUID

from console.supervisor import stop_on_signals
from domain.states import State
from records import Records
from tests.chaos.agent_checks import Facts, check, read_facts
from tests.chaos.desk_agents import DECIDED, Notes, WorkingAgent, WorkingAgents
from tests.chaos.fault_injector import FaultInjector
from tests.chaos.plan import plan
from tests.chaos.processes import Installation, running
from tests.chaos.run import POLL_INTERVAL, Report, reconcile_provider, wait_until_idle
from tests.chaos.support_cases import purchases, seed_support
from tests.chaos.timers import DRAIN_LIMIT, SANDBOX, environment
from tests.services import eventually

SERVICES = ("sandbox", "relay", "worker1", "worker2", "beat", "web", "desk")
FLAKY = 0.02  # probability of a fault in each call to the provider


RECENT = 12  # cases; fifty agents often meet at them


@dataclass(frozen=True)
class AgentOptions:
    """The options of a run with agents."""

    seconds: float
    seed: int
    cases: int = 200
    agents: int = 50
    kills: int = 10
    """The number of SIGKILLs. Equally many other faults are injected."""


@dataclass
class AgentResult:
    """The result of a run with agents."""

    options: AgentOptions
    facts: Facts
    notes: Notes
    faults: Counter[str]
    kills: int
    unfinished: str
    """A text that describes the work that remained after the time limit. The text is empty if no work remained."""

    @property
    def wrong(self) -> list[str]:
        return [*([self.unfinished] if self.unfinished else []), *check(self.facts, self.notes)]

    def figures(self) -> dict[str, Any]:
        """Return the figures of the run, with values that JSON allows."""
        statuses = Counter(decision.status for decision in self.facts.decisions)
        answers = Counter(str(sent.status) for sent in self.notes.decisions)
        return {
            "ok": not self.wrong,
            **vars(self.options),
            "kills": self.kills,
            "faults": dict(sorted(self.faults.items())),
            "states": dict(Counter(case.state for case in self.facts.cases.values())),
            "sent": len(self.notes.decisions),
            "sent_stale": sum(sent.is_stale for sent in self.notes.decisions),
            "answers": dict(answers),
            "decisions": dict(statuses),
            "confirmations": sum(sent.status == DECIDED for sent in self.notes.confirmations),
            "undone": len(self.notes.undone),
            "drafts": len(self.facts.drafts),
            "refunds": len(self.facts.refunds),
            "unsettled": dict(Counter(o.status for o in self.facts.operations if o.status != "paid")),
            "steps": dict(self.notes.steps),
            "wrong": self.wrong[:30],
        }


class AgentRunFailedError(AssertionError):
    """A check failed, or work remained after the time limit."""

    def __init__(self, result: AgentResult) -> None:
        super().__init__("\n".join(result.wrong[:30]))
        self.result = result


def run_agents(options: AgentOptions, report: Report = lambda _: None) -> AgentResult:
    """Let the agents work while faults are injected. Then let everything come to its end, and read the facts.

    Raise AgentRunFailedError if a check fails or work remains. Then the data directory and its logs are not deleted.
    """
    rng = Random(options.seed)
    all_purchases = list(purchases(options.cases, rng))
    faults = plan(options.seconds, options.kills, rng)
    sandbox = (f"--flaky={FLAKY}", f"--seed={options.seed}", "--uncapped")
    times = tuple(f"--{name}={value}" for name, value in SANDBOX.items())
    with running(environment(), (*sandbox, *times), SERVICES) as installation:
        agents = seed_support(installation.records, all_purchases, options.agents)
        cases = wait_for_support(installation.records, options.cases)
        recent = deque[UUID](maxlen=RECENT)
        working = [
            WorkingAgent(agent, installation.desk_url, installation.records, cases, recent, Random(rng.getrandbits(64)))
            for agent in agents
        ]
        charges = [payment.charge for purchase in all_purchases for payment in purchase.payments]
        with WorkingAgents(working) as work:
            injector = FaultInjector(installation, faults, charges)
            _inject(options, injector, work, report)
        unfinished = _settle(installation, work, report)
        result = AgentResult(options, read_facts(installation), work.notes, injector.faults, injector.kills, unfinished)
        if result.wrong:
            raise AgentRunFailedError(result)
    return result


def wait_for_support(records: Records, number: int) -> list[UUID]:
    """Wait until all cases are with support, and return their ids."""

    def with_support() -> list[UUID]:
        with records.work() as work:
            rows = work.run("select id from cases where state = :state order by id", state=State.WITH_SUPPORT)
            return [row.id for row in rows]

    eventually(lambda: len(with_support()) == number, seconds=60)
    return with_support()


def _inject(options: AgentOptions, injector: FaultInjector, work: WorkingAgents, report: Report) -> None:
    began = reported_at = time.monotonic()
    while not injector.done or time.monotonic() - began < options.seconds:
        injector.run_due()
        if time.monotonic() - reported_at > 2:
            reported_at = time.monotonic()
            report(f"{reported_at - began:4.0f} s: {injector.faults.total()} faults, {injector.kills} kills")
        time.sleep(POLL_INTERVAL)
    injector.end()
    work.stop()


def _settle(installation: Installation, work: WorkingAgents, report: Report) -> str:
    unfinished = wait_until_idle(installation, work, DRAIN_LIMIT, report)
    if not unfinished:
        reconcile_provider(installation)
        unfinished = wait_until_idle(installation, work, DRAIN_LIMIT, report)
    return unfinished


def _report(line: str) -> None:
    sys.stderr.write(f"· {line}\n")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.agents", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="seconds in which the agents work")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="the same seed gives the same plan")
    parser.add_argument("--cases", type=int, default=200)
    parser.add_argument("--agents", type=int, default=50)
    parser.add_argument("--kills", type=int, help="number of SIGKILLs (default: one every six seconds)")
    arguments = parser.parse_args()
    kills = arguments.kills if arguments.kills is not None else max(1, int(arguments.seconds / 6))
    options = AgentOptions(arguments.seconds, arguments.seed, arguments.cases, arguments.agents, kills)
    with stop_on_signals():
        try:
            result = run_agents(options, _report)
        except AgentRunFailedError as error:
            result = error.result
            sys.stderr.write("\n".join([str(error), *error.__notes__, ""]))
    sys.stdout.write(json.dumps(result.figures(), default=str) + "\n")
    return 1 if result.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
