"""Planted mistakes: each takes one safeguard out of the product's own code. A simulation that does not find them proves nothing.

Where another safeguard stands behind the one taken out, both are: the pair says which two cover each other.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import count
from typing import Any
from unittest.mock import patch
from uuid import UUID, uuid5

from domain.eligibility import Approve
from domain.findings import Code
from domain.providers import Absent, Declined, Elsewhere, Failed, Paid, Pending, Refusal, Unknown
from domain.states import State
from records.cases import Cases
from records.facts import FactsOf
from records.history import History
from records.intake import Intake
from records.letters import Due, Letters
from records.notices import Notices
from records.operations import Operations
from tests.simulation.memory import tables
from worker import answers, asking, disputes, hearing, lanes, paying, settling
from worker.hearing import Verdict
from worker.relay import Relay
from worker.sweep import Sweep

Plant = Callable[[], AbstractContextManager[object]]


@dataclass(frozen=True, slots=True)
class Mistake:
    """One safeguard that is missing, or two that cover each other."""

    name: str
    plants: tuple[Plant, ...]
    rates: Mapping[str, float] = field(default_factory=dict)
    """Faults that bring it to light."""
    forced: Mapping[str, Any] = field(default_factory=dict)


def instead(owner: Any, name: str, other: Any) -> Plant:
    """Puts something else in a name's place."""
    return lambda: patch.object(owner, name, other)


def around(owner: Any, name: str, make: Callable[[Any], Any]) -> Plant:
    """Puts a function in a name's place that may call what was there."""
    return lambda: patch.object(owner, name, make(getattr(owner, name)))


@contextmanager
def without(index: str) -> Iterator[None]:
    """The database forgot one of its indexes."""
    tables.enforced.discard(index)
    try:
        yield
    finally:
        tables.enforced.add(index)


def no_index(index: str) -> Plant:
    """Without this index."""
    return lambda: without(index)


# The mistakes


def _another_key(real: Any) -> Any:
    """Each call has a key of its own."""
    return lambda tools, operation, *, until: real(
        tools, replace(operation, key=f"{operation.key}_{tools.monotonic()}"), until=until
    )


def _pay_first(tools: Any, ids: Sequence[UUID]) -> None:
    """The provider is called before the intent is committed."""
    with tools.records.work() as work:
        calls = paying.prepare(work, tools, ids)
        said = [(call, asking.refund(tools, call.operation, until=paying.sending_ends(tools))) for call in calls]
        paying.record_sent(work, tools, said)


def _timeout_is_a_failure(real: Any) -> Any:
    def step_of(case: Any, operation: Any, answer: Any, timers: Any) -> Any:
        answer = Declined(Refusal.PERMANENT, answer.why) if isinstance(answer, Unknown) else answer
        return real(case, operation, answer, timers)

    return step_of


def _pending_is_paid(real: Any) -> Any:
    def step_of(case: Any, operation: Any, answer: Any, timers: Any) -> Any:
        answer = Paid(answer.refund_id, answer.amount) if isinstance(answer, Pending) else answer
        return real(case, operation, answer, timers)

    return step_of


def _whoever_comes(real: Any) -> Any:
    """Steps are recorded by whoever comes, whether the case is still theirs or not."""

    def record(self: History, steps: Sequence[Any]) -> set[UUID]:
        fresh = []
        for step in steps:
            now = Cases(self._work).wait(step.case.id)
            same = now is not None and now.state is step.case.state
            fresh.append(replace(step, case=replace(now, asked=step.case.asked)) if now and same else step)
        taken: set[UUID] = real(self, fresh)
        return taken

    return record


def _any_stamp(real: Any) -> Any:
    """A call is stamped by whoever comes."""

    def stamp(self: Operations, calls: Sequence[Any]) -> set[str]:
        stamped: set[str] = real(self, [(Cases(self._work).wait(case.id), operation) for case, operation in calls])
        return stamped

    return stamp


def _ours_it_is(real: Any) -> Any:
    def look_up(tools: Any, operation: Any, *, until: float) -> Any:
        found = real(tools, operation, until=until)
        return Paid(found.refund_id, operation.amount) if isinstance(found, Elsewhere) else found

    return look_up


def _absent_is_proof(tools: Any, call: Any, now: Any) -> bool:  # noqa: ARG001  # as settling._proven_absent
    return call.case.state is State.REFUNDING


def _no_late_failure(real: Any) -> Any:
    return lambda call, found: (
        real(call, found) and not (isinstance(found, Failed) and call.case.state is State.REFUNDED)
    )


def _explains_itself(real: Any) -> Any:
    return lambda heard, found: Verdict("Nothing is there.", True) if isinstance(found, Absent) else real(heard, found)


def _wherever_it_stands(real: Any) -> Any:
    """A message is believed: what it names is worked on, wherever it stands."""

    def lock(self: Cases, ids: Sequence[UUID], *, here: State) -> Any:
        return [case for one in dict.fromkeys(ids) if (case := self.wait(one))] or real(self, ids, here=here)

    return lock


def _uncounted(tools: Any, ids: Sequence[UUID], here: Any) -> Iterator[Sequence[UUID]]:  # noqa: ARG001  # as lanes._begun
    yield ids


def _done_when_taken(real: Any) -> Any:
    """A notice is crossed off before it was looked into."""

    def claim(self: Notices, ids: Sequence[UUID], *, seconds: float) -> Any:
        heard = real(self, ids, seconds=seconds)
        self.done([(one, "taken") for one in heard])
        return heard

    return claim


def _blind(real: Any) -> Any:
    """Prepares without asking the rules again."""

    def decide(question: Any) -> Any:
        decision = real(question)
        return Approve(decision.findings)

    return decide


def _unclaimed(real: Any) -> Any:  # noqa: ARG001  # it is left out
    def claim(self: Letters, cases: Sequence[UUID], *, seconds: float) -> Any:  # noqa: ARG001
        found = self._work.tables.letters.values()  # type: ignore[attr-defined]
        return [Due(one.case_id, one.stage) for one in found if one.case_id in cases and not one.sent_at]

    return claim


def _unbooked(real: Any) -> Any:
    """Answers are written to operations, and not to purchases."""

    def answered(self: Operations, told: Sequence[Any]) -> None:
        rows = self._work.tables.purchases.values()  # type: ignore[attr-defined]  # the simulation's
        before = {row.id: row.refunded for row in rows}
        real(self, told)
        for row in rows:
            row.refunded = before[row.id]

    return answered


def _no_live_case(real: Any) -> Any:
    return lambda self, purchases: {one: replace(known, live_case=None) for one, known in real(self, purchases).items()}


def _a_definite_no(real: Any) -> Any:
    def to_people(case: Any, event: Any, reason: Code, detail: str) -> Any:
        return real(case, event, Code.PROVIDER_DECLINED if reason is Code.OUTCOME_UNKNOWN else reason, detail)

    return to_people


def _always_another(real: Any) -> Any:
    """Every request is a case of its own."""
    numbers = count(1)

    def accept(self: Intake, arrivals: Sequence[Any]) -> Any:
        return real(self, [replace(one, id=uuid5(one.id, str(n := next(numbers))), key=f"{n}") for one in arrivals])

    return accept


def _arrivals_forgotten(real: Any) -> Any:
    return lambda self, outcomes: real(self, [(replace(heard, arrivals=10**6), why) for heard, why in outcomes])


OUTCOMES = {"lost_after": 0.2, "lost_before": 0.1, "carried_out_late": 0.15, "error_after": 0.1}
STALE = {"refused_for_now": 1.0, "long_pause": 0.5, "lost_after": 0.5, "kill": 0.0, "pause": 0.0}
AFTER_THE_CALL = {"pauses": {"after the call": "long_pause"}}
LIES = {"look_up_empty": 0.5, "look_up_failed": 0.05}

MISTAKES = (
    Mistake(
        "no look for a live case, and no index of them",
        (around(FactsOf, "about", _no_live_case), no_index(tables.ONE_LIVE_CASE)),
    ),
    Mistake("no look for a live case", (around(FactsOf, "about", _no_live_case),)),
    Mistake(
        "no payment claim",
        (instead(Operations, "claim", lambda self, operations: {one.case for one in operations}),),  # noqa: ARG005
    ),
    Mistake(
        "no payment claim, and no index of open operations",
        (
            instead(Operations, "claim", lambda self, operations: {one.case for one in operations}),  # noqa: ARG005
            no_index(tables.ONE_OPEN),
        ),
    ),
    Mistake("a key for each attempt", (around(asking, "refund", _another_key),)),
    Mistake("timeout taken for a failure", (around(paying, "step_of", _timeout_is_a_failure),), OUTCOMES),
    Mistake("pending taken for paid", (around(paying, "step_of", _pending_is_paid),)),
    Mistake("called before the intent is committed", (instead(lanes, "pay", _pay_first),)),
    Mistake(
        "repeats are not stamped",
        (instead(Operations, "stamp", lambda self, calls: {one.key for _, one in calls}),),  # noqa: ARG005
        OUTCOMES | LIES,
    ),
    Mistake(
        "no fence",
        (around(History, "record", _whoever_comes), around(Operations, "stamp", _any_stamp)),
        STALE,
        AFTER_THE_CALL,
    ),
    Mistake(
        "leases on the workers' own clocks, and no fence",
        (around(History, "record", _whoever_comes), around(Operations, "stamp", _any_stamp)),
        STALE,
        AFTER_THE_CALL | {"skewed": True},
    ),
    Mistake(
        "repeated after the key was forgotten",
        (instead(settling, "_safe_for", lambda _: timedelta(days=99)),),
        OUTCOMES | LIES,
    ),
    Mistake(
        "a new key when a look-up is empty",
        (instead(settling, "_proven_absent", _absent_is_proof), instead(settling, "_may_repeat", lambda *_: False)),
        OUTCOMES | LIES,
    ),
    Mistake(
        "somebody else's refund taken for ours", (around(asking, "look_up", _ours_it_is),), OUTCOMES, {"foreign": 0.5}
    ),
    Mistake(
        "somebody else's refund taken for the end while ours is under way",
        (instead(settling, "_is_final", lambda *_: True),),
        {"carried_out_late": 0.4},
    ),
    Mistake("a late failure is not heard", (around(settling, "_is_news", _no_late_failure),), {"late_failure": 0.5}),
    Mistake(
        "a webhook is believed",
        (instead(settling, "_cannot_be_asked", lambda *_: True),),
        {"webhook_lies": 0.5, "late_failure": 0.3} | OUTCOMES,
    ),
    Mistake(
        "an empty look-up explains a notice",
        (around(hearing, "_explained", _explains_itself),),
        {"late_failure": 0.5, "look_up_empty": 0.5},
    ),
    Mistake(
        "a notice is crossed off when it is taken",
        (around(Notices, "claim", _done_when_taken),),
        {"late_failure": 0.5, "kill": 0.03},
        {"lists": 0.0},
    ),
    Mistake(
        "what arrived meanwhile is crossed off too",
        (around(Notices, "done", _arrivals_forgotten),),
        {"late_failure": 0.8},
        {"lists": 0.0, "repeats": 1.0},
    ),
    Mistake("no sweep", (instead(Sweep, "run_once", lambda _: 0),), {"message_lost": 0.3}),
    Mistake("no work without a broker", (instead(Relay, "_direct", lambda *_: None),), {}, {"dead_broker": True}),
    Mistake(
        "a message is believed",
        (around(Cases, "lock", _wherever_it_stands),),
        {"message_repeated": 0.3, "message_forged": 0.2},
    ),
    Mistake(
        "the amount is not looked at",
        (instead(asking, "_of_this_amount", lambda said, _: said),),
        {"other_amount": 0.3},
    ),
    Mistake(
        "a final refusal is tried again under a new key",
        (instead(answers, "FOR_NOW", set(Refusal)),),
        {"declined": 0.5, "failed_at_once": 0.3},
    ),
    Mistake("deliveries are not counted", (instead(lanes, "_begun", _uncounted),), {}, {"poison": 0.5}),
    Mistake("the rules are not asked again before paying", (around(paying, "decide", _blind),), {}, {"disputes": 0.7}),
    Mistake(
        "a dispute after our refund is told to nobody",
        (instead(disputes, "OPEN", set()),),
        {},
        {"disputes": 0.7},
    ),
    Mistake("a purchase does not know what was paid back", (around(Operations, "answered", _unbooked),)),
    Mistake("letters are not claimed", (around(Letters, "claim", _unclaimed),), {"message_repeated": 0.4}),
    Mistake(
        "the unknown is told as a refusal",
        (around(settling, "_to_people", _a_definite_no),),
        {"error_stored": 0.2} | OUTCOMES | LIES,
    ),
    Mistake(
        "a request that is sent again is another one",
        (around(Intake, "accept", _always_another),),
    ),
)
"""What must be found."""
