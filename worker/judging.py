"""Judging: from a case and what is known about it to the step it takes."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from domain.cases import Case, Step
from domain.eligibility import Approve, AskFirst, Decision, Escalate, Joins, Question, Unmatched, decide
from domain.findings import Code, Finding, Trouble
from domain.providers import refund_window
from domain.states import Event, State
from records import Work
from records.facts import Facts
from worker.declared import declarations
from worker.tools import Tools

DAY = 86_400.0  # seconds
LETTERS_A_DAY = {
    State.DUPLICATE: 1,  # a purchase: that it was asked for already is as true the second time
    State.UNMATCHED: 5,  # an address: a few slips of the pen, and no mailbox of a stranger's is filled
}
"""So many letters at the most say that a case ended here, whoever asks however often."""


DECLARED = {
    State.UNMATCHED: Trouble.WITHDRAWAL_UNMATCHED,
    State.DUPLICATE: Trouble.WITHDRAWAL_DECLARED,
    State.WITH_SUPPORT: Trouble.WITHDRAWAL_DECLARED,
}
"""Where a declaration ends that a person must answer."""


def judge(work: Work, tools: Tools, cases: Sequence[Case]) -> list[UUID]:
    """Judges these cases, which were received and are locked, and returns the ones that may be paid at once."""
    if not cases:
        return []
    matches = work.facts.matches([case.id for case in cases])
    alone = {case: found[0] for case, found in matches.items() if len(found) == 1}
    facts = work.facts.about(list(alone.values())) if alone else {}
    taken: dict[UUID, UUID] = {}  # purchases that an earlier case of this very batch takes
    steps = []
    for case in cases:
        known = facts[alone[case.id].id] if case.id in alone else None
        if known and known.purchase.id in taken:
            known = replace(known, live_case=taken[known.purchase.id])
        decision = decide(question(case, known, tools))
        steps.append(_step(case, decision, known))
        if known and not isinstance(decision, Joins):
            taken[known.purchase.id] = case.id
    moved = work.history.record(spared(work, steps))
    _report_declarations(work, steps)
    return [step.case.id for step in steps if step.there is State.APPROVED and step.case.id in moved]


def _report_declarations(work: Work, steps: Sequence[Step]) -> None:
    """A withdrawal by law that does not go on by itself is told to a person as what it is, and not as any request."""
    declared = work.withdrawals.these([step.case.id for step in steps if step.there in DECLARED])
    for trouble in set(DECLARED.values()):
        ended = [step.case for step in steps if DECLARED.get(step.there) is trouble]
        work.tasks.report(declarations(trouble, ended, declared))


def spared(work: Work, steps: Sequence[Step]) -> list[Step]:
    """These steps, those quiet whose letter would be one too many: whoever asks a hundred times fills nobody's mailbox."""
    joins = [step for step in steps if step.there is State.DUPLICATE and step.purchase]
    misses = [step.case.id for step in steps if step.there is State.UNMATCHED]
    told: Counter[UUID | str] = Counter()
    about: dict[UUID, UUID | str] = {step.case.id: step.purchase for step in joins if step.purchase}
    if joins:
        told.update(work.letters.about_purchases([p for step in joins if (p := step.purchase)], seconds=DAY))
    if misses:
        addresses, letters = work.letters.to_addresses(misses, seconds=DAY)
        about |= addresses
        told.update(letters)
    return [_spared(step, about.get(step.case.id), told) for step in steps]


def _spared(step: Step, about: UUID | str | None, told: Counter[UUID | str]) -> Step:
    if about is None:
        return step
    told[about] += 1
    if told[about] <= LETTERS_A_DAY[step.there]:
        return step
    return replace(step, quiet=True, evidence={**step.evidence, "letter": "told often enough today"})


def question(case: Case, known: Facts | None, tools: Tools, *, at: datetime | None = None) -> Question:
    """Everything the decision about this case needs; ``at`` is the instant the provider would be asked, if not at once."""
    if known is None:
        return Question(asked=case.asked, purchase=None, seller=None, policy=None)
    bought = known.purchase
    adapter = tools.provider(bought.provider)
    return Question(
        asked=case.asked,
        purchase=bought,
        seller=known.seller,
        policy=known.policy,
        live_case=known.live_case,
        provider_window=refund_window(adapter.capabilities if adapter else None, bought.provider, bought.method),
        refunds_of_customer=known.refunds,
        paid_at=at,
    )


def reasons(findings: Sequence[Finding]) -> list[dict[str, str]]:
    """Failed findings as people read them, on a task and in history."""
    return [
        {"code": finding.code, "sentence": finding.code.support, "detail": finding.detail}
        for finding in findings
        if finding.code
    ]


def because(code: Code, detail: str = "") -> dict[str, object]:
    """The evidence of a step that has one reason, found while paying."""
    return {"reasons": reasons([Finding("payment", code, detail)])}


_EVENTS: dict[type[Decision], Event] = {
    Approve: Event.FOUND_ELIGIBLE_AND_TRUSTED,
    AskFirst: Event.FOUND_ELIGIBLE,
    Escalate: Event.FOUND_NOT_ELIGIBLE,
    Joins: Event.FOUND_LIVE_CASE,
    Unmatched: Event.FOUND_NO_PURCHASE,
}


def _step(case: Case, decision: Decision, known: Facts | None) -> Step:
    evidence: dict[str, object] = {}
    why = ""
    if isinstance(decision, Approve | AskFirst | Escalate):
        evidence["rules"] = {finding.rule: finding.code or "kept" for finding in decision.findings}
        evidence["policy_version"] = known.policy.version if known and known.policy else None
    if isinstance(decision, Escalate):
        evidence["reasons"] = reasons(decision.findings)
        why = " ".join(finding.code.support for finding in decision.reasons if finding.code)
    if isinstance(decision, Joins):
        evidence["joins"] = str(decision.case)
    step = case.after(_EVENTS[type(decision)], actor="rules", why=why, evidence=evidence)
    handed_on = step.there is State.APPROVED  # the same task goes straight on with it
    if known is None:
        return step
    return replace(step, purchase=known.purchase.id, seller=known.seller.id, handed_on=handed_on)
