"""Judging: from a case and what is known about it to the step it takes."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from domain.cases import Case, Step
from domain.eligibility import Approve, AskFirst, Decision, Escalate, Joins, Question, Unmatched, decide
from domain.findings import Code, Finding
from domain.providers import refund_window
from domain.states import Event, State
from records import Work
from records.facts import Facts
from worker.tools import Tools


def judge(work: Work, tools: Tools, ids: Sequence[UUID]) -> list[UUID]:
    """Judges those of these cases that wait for it, and returns the ones that may be paid at once."""
    cases = work.cases.lock(ids, here=State.RECEIVED)
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
    moved = work.history.record(steps)
    return [step.case.id for step in steps if step.there is State.APPROVED and step.case.id in moved]


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
