"""The decisions of support through their one door: what each decision changes, and what is refused."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import TypeAdapter

from domain.emails import EmailKind
from domain.errors import KeyReusedError, NotFoundError, NotPossibleError, OutdatedError, UnreadableError
from domain.messages import IncomingDecision
from domain.money import Money
from domain.providers import Declined, DeclineReason, NotFound, Paid, Unknown
from domain.purchases import Dispute, PurchaseItem
from domain.refund_situations import Situation
from domain.requests import Channel
from domain.states import Event
from domain.support_decisions import DecidedBy, Decision, DecisionStatus
from producers import decisions
from producers.decisions import AnswerSubmission, Submission
from producers.queue_consumer import consume
from producers.web.pages.case_status import SITUATIONS, headline
from records.case_emails import DueEmail
from records.case_views import CaseView
from records.support_decisions import StoredDecision
from tests.integration._provider_fixtures import assert_audit_is_clean
from tests.integration._refund_scenarios import (
    Knowledge,
    Scenario,
    StartScenario,
    euros,
    the_provider_reports_a_dispute,
)
from tests.sample_data import a_recent_purchase, a_seller, store_seller_and_purchases
from tests.sample_emails import bodies
from worker.emails.rendering import render

READ: TypeAdapter[Any] = TypeAdapter(Decision)
CLARA, LEA = DecidedBy(id="user:clara", name="Clara"), DecidedBy(id="user:lea", name="Lea")
DECLINED = Declined(DeclineReason.PERMANENT, "closed")
FULL = {"action": "approve", "refund": {"scope": "full"}}
OLD = datetime.now(UTC) - timedelta(days=45)


def part(minor: int, *overrules: str) -> dict[str, Any]:
    refund = {"scope": "partial", "amount": minor, "currency": "EUR"}
    return {"action": "approve", "refund": refund, "overrules": overrules, "reason": "One licence was enough."}


def overruling(*codes: str) -> dict[str, Any]:
    return FULL | {"overrules": codes, "reason": "Goodwill."}


def revision_of(scenario: Scenario) -> str:
    with scenario.context.records.work() as work:
        return str(work.support_decisions.revisions([scenario.case])[scenario.case])


def submission(scenario: Scenario, body: Mapping[str, Any], **changes: Any) -> Submission:
    values: dict[str, Any] = {
        "case_id": scenario.case,
        "decision": READ.validate_python(body),
        "source": "desk",
        "key": uuid4().hex,
        "by": CLARA,
    }
    return Submission(**({"revision": revision_of(scenario)} if "revision" not in changes else {}) | values | changes)


def decide(scenario: Scenario, body: Mapping[str, Any], **changes: Any) -> StoredDecision:
    return decisions.decide(scenario.context.records, submission(scenario, body, **changes))


def with_limits(scenario: Scenario, **limits: Money) -> None:
    with scenario.context.records.work() as work:
        work.sellers.upsert(a_seller(**limits))


def an_old_purchase(start_scenario: StartScenario, *results: object) -> Scenario:
    """Start a case about a purchase that is older than its policy allows."""
    scenario = start_scenario(results, [NotFound()] * len(results), purchased_at=OLD)
    assert (scenario.state(), scenario.reason_codes()) == ("with_support", ["outside_window"])
    return scenario


def test_an_approval_that_overrules_the_rule_is_paid(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario, Paid("re_1", euros(4900)))
    decision = decide(scenario, overruling("outside_window"))
    assert (decision.status, decision.applied_seq, decision.undo_until) == (DecisionStatus.APPLIED, 3, None)
    assert scenario.state() == "approved"
    assert scenario.process_after().state() == "refunded"
    assert (scenario.refunded, len(scenario.provider.keys)) == (4900, 1)
    assert scenario.email_kinds() == ["with_support", "approved", "refunded"]
    assert_audit_is_clean(scenario.context.records)


@pytest.mark.parametrize("codes", [(), ("over_ceiling",), ("full_refund_only", "serial_refunds")])
def test_a_rule_that_the_approval_does_not_name_still_holds(
    start_scenario: StartScenario, codes: tuple[str, ...]
) -> None:
    scenario = an_old_purchase(start_scenario)
    decide(scenario, overruling(*codes) if codes else FULL)
    assert scenario.process_after().state() == "with_support"
    assert scenario.reason_codes() == ["outside_window"]
    assert scenario.provider.keys == []


@pytest.mark.parametrize(
    "body", [FULL, {"action": "decline", "message": "No."}, {"action": "ask", "message": "Which?"}]
)
def test_while_a_decision_waits_for_a_second_person_no_other_decision_is_made(
    start_scenario: StartScenario, body: Mapping[str, Any]
) -> None:
    scenario = an_old_purchase(start_scenario)
    with_limits(scenario, four_eyes_above=euros(1000))
    proposed = decide(scenario, overruling("outside_window"))
    assert proposed.status is DecisionStatus.PROPOSED
    with pytest.raises(NotPossibleError, match="waits for a second person"):
        decide(scenario, body, by=LEA)
    decisions.reject(scenario.context.records, proposed.id, by=LEA, seller=None)
    assert decide(scenario, {"action": "decline", "message": "No."}, by=LEA).status is DecisionStatus.APPLIED


@pytest.mark.parametrize("code", ["dispute_open", "dispute_lost", "provider_window_closed", "amount_invalid"])
def test_nobody_overrules_a_dispute_or_the_provider(code: str) -> None:
    with pytest.raises(ValueError, match=f"Nobody can overrule {code}"):
        READ.validate_python(overruling(code))


@pytest.mark.parametrize(
    ("dispute", "sentence"),
    [
        (Dispute.OPEN, "A dispute of the payment is open, so the bank decides about the money."),
        (Dispute.LOST, "The bank gave the customer the money back, because the dispute was lost."),
    ],
)
def test_a_disputed_payment_is_not_approved(start_scenario: StartScenario, dispute: Dispute, sentence: str) -> None:
    scenario = an_old_purchase(start_scenario)
    scenario.learn(the_provider_reports_a_dispute(dispute))
    with pytest.raises(NotPossibleError, match=sentence):
        decide(scenario, overruling("outside_window"))
    assert scenario.state() == "with_support"


@pytest.mark.parametrize("dispute", [Dispute.OPEN, Dispute.LOST, Dispute.INQUIRY])
def test_a_dispute_after_the_approval_stops_the_refund(start_scenario: StartScenario, dispute: Dispute) -> None:
    scenario = an_old_purchase(start_scenario)
    decide(scenario, overruling("outside_window"))
    scenario.learn(the_provider_reports_a_dispute(dispute))
    assert scenario.process_after().state() == "with_support"
    assert scenario.reason_codes() == [{"inquiry": "inquiry_open"}.get(dispute, f"dispute_{dispute}")]


@pytest.mark.parametrize(
    ("results", "elapsed"),
    [((), 0.0), ((DECLINED,), 0.0), ((Unknown("The connection was lost."),), 40.0)],
    ids=["not sent", "declined", "unknown"],
)
def test_a_customer_with_the_email_approved_hears_that_the_refund_was_not_completed(
    start_scenario: StartScenario, results: tuple[object, ...], elapsed: float
) -> None:
    scenario = an_old_purchase(start_scenario, *results)
    decision = decide(scenario, part(1000, *(["outside_window"] if results else [])))
    scenario.process_after()
    if elapsed:
        scenario.process_after(days=elapsed)
    assert scenario.state() == "with_support"
    assert scenario.email_kinds() == ["with_support", "approved", "with_support"]
    email = DueEmail(scenario.case, EmailKind.WITH_SUPPORT, decided_seq=decision.applied_seq or 0)
    with scenario.context.records.work() as work:
        view = work.case_views.get(scenario.case)
        history = work.history.for_case(scenario.case)
    assert view
    message = render(email, view, scenario.context.links, "refunds@example.com")
    assert message["subject"] == f"There’s a problem with your refund for {scenario.stored.reference}"
    text = " ".join(bodies(message)[0].split())
    assert "approved a refund of €10.00 for" in text
    assert "is taking care of it and will email you" in text
    assert headline(view, history) is SITUATIONS[Situation.APPROVAL_NOT_COMPLETED]
    decide(scenario, {"action": "ask", "message": "Do you have another card?"})
    with scenario.context.records.work() as work:
        assert_situation_ended(work.case_views.get(scenario.case))


def assert_situation_ended(view: CaseView | None) -> None:
    assert view
    assert view.situation is Situation.CUSTOMER_MUST_ANSWER


def test_each_approval_that_is_not_completed_has_its_own_email(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    for _ in range(2):
        decide(scenario, FULL)
        assert scenario.process_after().state() == "with_support"
    assert scenario.email_kinds() == ["with_support", *("approved", "with_support") * 2]


def test_what_support_learns_later_sends_no_second_email(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    decide(scenario, FULL)
    scenario.process_after()
    with scenario.context.records.work() as work:
        case = work.cases.lock_one(scenario.case)
        assert case
        work.history.record([case.after(Event.PROVIDER_DECLINED, actor="provider", evidence={"reasons": []})])
    assert scenario.email_kinds() == ["with_support", "approved", "with_support"]


@pytest.mark.parametrize("minors", [(1000,), (1000, 3900), (1, 1, 4898)])
def test_parts_are_paid_one_after_another(start_scenario: StartScenario, minors: tuple[int, ...]) -> None:
    scenario = an_old_purchase(start_scenario, *(Paid(f"re_{n}", euros(minor)) for n, minor in enumerate(minors)))
    for number, minor in enumerate(minors, start=1):
        decide(scenario, part(minor, "outside_window", "already_refunded"))
        assert scenario.process_after().state() == "refunded"
        assert scenario.refunded == sum(minors[:number])
    assert scenario.email_kinds().count("refunded") == len(minors)
    assert_audit_is_clean(scenario.context.records)


@pytest.mark.parametrize("minor", [4901, 9800, 10**12])
def test_more_than_what_is_left_is_refused(start_scenario: StartScenario, minor: int) -> None:
    scenario = an_old_purchase(start_scenario)
    with pytest.raises(NotPossibleError, match=r"^49\.00 EUR of the purchase \S+ is left"):
        decide(scenario, part(minor, "outside_window"))
    assert scenario.state() == "with_support"


def test_the_tax_is_refunded_if_the_seller_reports_it(start_scenario: StartScenario) -> None:
    scenario = start_scenario([Paid("re_1", euros(782))], [NotFound()], purchased_at=OLD, tax=782)
    tax = {"action": "approve", "refund": {"scope": "vat"}, "overrules": ["outside_window"], "reason": "VAT ID valid."}
    decide(scenario, tax)
    assert scenario.process_after().state() == "refunded"
    assert scenario.refunded == 782


ITEMS = (
    PurchaseItem(id="photo", name="Aurora Photo", quantity=3, amount=4000),
    PurchaseItem(id="fonts", name="Fonts", quantity=1, amount=900),
)


def of_items(**quantities: int) -> dict[str, Any]:
    items = [{"id": id_, "quantity": quantity} for id_, quantity in quantities.items()]
    overruled = {"overrules": ["outside_window", "already_refunded"], "reason": "Not needed."}
    return {"action": "approve", "refund": {"scope": "partial", "items": items}} | overruled


def test_units_of_an_item_are_refunded_until_none_is_left(start_scenario: StartScenario) -> None:
    minors = (1333, 2667, 900)
    results = [Paid(f"re_{number}", euros(minor)) for number, minor in enumerate(minors)]
    scenario = start_scenario(results, [NotFound()] * 3, purchased_at=OLD, items=ITEMS)
    for quantities, minor in zip(({"photo": 1}, {"photo": 2}, {"fonts": 1}), minors, strict=True):
        before = scenario.refunded
        decide(scenario, of_items(**quantities))
        assert scenario.process_after().state() == "refunded"
        assert scenario.refunded - before == minor
    with pytest.raises(NotPossibleError, match="of which 3 were refunded before"):
        decide(scenario, of_items(photo=1))


def test_the_tax_of_items_that_were_refunded_is_not_refunded_again(start_scenario: StartScenario) -> None:
    items = (
        PurchaseItem(id="photo", name="Aurora Photo", quantity=2, amount=4000, tax=640),
        PurchaseItem(id="fonts", name="Fonts", quantity=1, amount=900, tax=142),
    )
    minors = (2000, 142, 320)
    results = [Paid(f"re_{number}", euros(minor)) for number, minor in enumerate(minors)]
    scenario = start_scenario(results, [NotFound()] * 3, purchased_at=OLD, items=items, tax=782)
    vat = {"action": "approve", "refund": {"scope": "vat"}, "reason": "VAT ID valid."}
    vat |= {"overrules": ["outside_window", "already_refunded"]}
    of_fonts = vat | {"refund": {"scope": "vat", "items": [{"id": "fonts"}]}}
    for body, minor in zip((of_items(photo=1), of_fonts, vat), minors, strict=True):
        before = scenario.refunded
        decide(scenario, body)
        assert scenario.process_after().state() == "refunded"
        assert scenario.refunded - before == minor
    for body in (vat, of_fonts):
        with pytest.raises(NotPossibleError, match="refunded before"):
            decide(scenario, body)


@pytest.mark.parametrize("quantities", [{"photo": 4}, {"mug": 1}, {"photo": 1, "fonts": 2}])
def test_items_that_the_purchase_does_not_have_are_refused(
    start_scenario: StartScenario, quantities: dict[str, int]
) -> None:
    scenario = start_scenario([], [], purchased_at=OLD, items=ITEMS)
    with pytest.raises(NotPossibleError):
        decide(scenario, of_items(**quantities))


def test_without_a_reported_tax_the_amount_must_be_entered(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    with pytest.raises(NotPossibleError, match="tax of the purchase MB-"):
        decide(scenario, {"action": "approve", "refund": {"scope": "vat"}})


@pytest.mark.parametrize(
    ("body", "state", "email"),
    [
        ({"action": "decline", "message": "The policy allows 30 days."}, "declined", "declined"),
        ({"action": "ask", "message": "Which licence?"}, "with_support", "question"),
        ({"action": "refunded_elsewhere", "reason": "Bank transfer of today."}, "refunded", "refunded_elsewhere"),
        ({"action": "close", "reason": "Spam."}, "closed", None),
    ],
)
def test_each_decision_moves_the_case_and_tells_the_customer(
    start_scenario: StartScenario, body: dict[str, Any], state: str, email: str | None
) -> None:
    scenario = an_old_purchase(start_scenario)
    decision = decide(scenario, body)
    assert (scenario.state(), decision.status) == (state, DecisionStatus.APPLIED)
    assert scenario.email_kinds() == ["with_support", *([email] if email else [])]
    assert_audit_is_clean(scenario.context.records)


def elsewhere(minor: int | None = None) -> dict[str, Any]:
    amount = {} if minor is None else {"amount": minor, "currency": "EUR"}
    return {"action": "refunded_elsewhere", "reason": "Bank transfer of today."} | amount


def test_what_was_refunded_another_way_is_not_refunded_again(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario, Paid("re_1", euros(3900)))
    decide(scenario, elsewhere(1000))
    assert scenario.refunded == 1000
    with pytest.raises(NotPossibleError, match=r"^39\.00 EUR of the purchase \S+ is left"):
        decide(scenario, part(3901, "outside_window", "already_refunded"))
    decide(scenario, overruling("outside_window", "already_refunded"))
    assert scenario.process_after().state() == "refunded"
    assert scenario.refunded == 4900
    assert_audit_is_clean(scenario.context.records)


def test_without_an_amount_all_that_is_left_was_refunded_another_way(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    scenario.learn(lambda work, _: work.purchases.record_external_refunds("sandbox", [scenario.by_hand(900)]))
    decide(scenario, elsewhere())
    assert scenario.refunded == 4900
    with scenario.context.records.work() as work:
        view = work.case_views.get(scenario.case)
    assert view
    assert view.another_way == euros(4000)
    with pytest.raises(NotPossibleError, match=r"^0\.00 EUR of the purchase \S+ is left"):
        decide(scenario, part(1, "outside_window", "already_refunded"))


@pytest.mark.parametrize("changes", [{"currency": "USD"}, {"amount": 0}, {"currency": None}, {"currency": "XXX"}])
def test_an_amount_elsewhere_in_another_currency_is_refused(
    start_scenario: StartScenario, changes: dict[str, Any]
) -> None:
    scenario = an_old_purchase(start_scenario)
    with pytest.raises((NotPossibleError, ValueError)):
        decide(scenario, elsewhere(1000) | changes)
    assert (scenario.state(), scenario.refunded) == ("with_support", 0)


@pytest.mark.parametrize(
    ("minor", "heading", "says"),
    [
        (1000, "Your partial refund was made another way", "has refunded €10.00 for"),
        (4900, "Your refund was made another way", "has refunded Aurora"),
    ],
)
def test_the_customer_reads_whether_all_or_a_part_was_refunded_another_way(
    start_scenario: StartScenario, minor: int, heading: str, says: str
) -> None:
    scenario = an_old_purchase(start_scenario)
    decision = decide(scenario, elsewhere(minor))
    with scenario.context.records.work() as work:
        view, history = work.case_views.get(scenario.case), work.history.for_case(scenario.case)
    assert view
    assert headline(view, history).heading == heading
    email = DueEmail(scenario.case, EmailKind.REFUNDED_ELSEWHERE, decided_seq=decision.applied_seq or 0)
    text = " ".join(bodies(render(email, view, scenario.context.links, "refunds@example.com"))[0].split())
    assert heading in text
    assert says in text


def reported(minor: int) -> Knowledge:
    return lambda work, purchase: work.run(
        "update purchases set reported_refunded = :minor where id = :id", minor=minor, id=purchase.id
    )


def told(minor: int) -> Knowledge:
    return lambda work, purchase: work.purchases.add_refund_another_way(purchase.id, minor)


@pytest.mark.parametrize("news", [reported(2000), told(1500)], ids=["reported", "another way"])
def test_a_refund_that_nobody_knew_when_the_person_decided_stops_the_approval(
    start_scenario: StartScenario, news: Knowledge
) -> None:
    scenario = an_old_purchase(start_scenario, Paid("re_1", euros(1000)))
    scenario.learn(reported(1000))
    decide(scenario, part(1000, "outside_window", "already_refunded"))
    scenario.learn(news)
    assert scenario.process_after().state() == "with_support"
    assert scenario.reason_codes() == ["already_refunded"]
    assert scenario.provider.keys == []


def test_a_refund_that_the_seller_had_reported_before_can_be_overruled(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario, Paid("re_1", euros(1000)))
    scenario.learn(reported(1000))
    decide(scenario, part(1000, "outside_window", "already_refunded"))
    assert scenario.process_after().state() == "refunded"


def test_an_answer_brings_the_case_back_with_a_new_task(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    decide(scenario, {"action": "ask", "message": "Which licence?"})
    assert scenario.query("select count(*) from support_tasks") == 1  # the question creates no task
    for _ in range(2):  # the same mail is delivered twice
        decisions.answer(
            scenario.context.records,
            AnswerSubmission(
                case_id=scenario.case, text="The second one.", channel=Channel.WEB, source="web", key="answer 1"
            ),
        )
    assert scenario.state() == "with_support"
    assert scenario.reason_codes() == ["customer_answered", "outside_window"]
    assert scenario.query("select count(*) from support_tasks") == 2
    assert scenario.email_kinds() == ["with_support", "question", "answer_received"]


def test_a_repeated_decision_changes_nothing(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    sent = submission(scenario, overruling("outside_window"))
    first = decisions.decide(scenario.context.records, sent)
    assert decisions.decide(scenario.context.records, sent) == first
    assert scenario.query("select count(*) from support_decisions") == 1
    with pytest.raises(KeyReusedError):
        decisions.decide(scenario.context.records, replace(sent, decision=READ.validate_python(FULL)))


def test_a_decision_on_an_outdated_screen_is_refused_with_what_changed(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    shown = revision_of(scenario)
    scenario.learn(lambda work, _: work.purchases.record_external_refunds("sandbox", [scenario.by_hand(500)]))
    with pytest.raises(OutdatedError, match=r"^A refund or a dispute of a payment changed\.$"):
        decide(scenario, FULL, revision=shown)
    decide(scenario, {"action": "ask", "message": "Which licence?"})
    with pytest.raises(OutdatedError, match="The history of the case has new entries"):
        decide(scenario, FULL, revision=shown)
    with pytest.raises(UnreadableError, match="not a revision"):
        decide(scenario, FULL, revision="12")
    assert scenario.query("select count(*) from support_decisions") == 1


def test_a_case_of_another_seller_is_not_found(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    with pytest.raises(NotFoundError):
        decide(scenario, FULL, seller="borealis")
    with pytest.raises(NotFoundError):
        decide(scenario, FULL, case_id=uuid4())


def test_above_the_limit_a_second_person_confirms(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario, Paid("re_1", euros(4900)))
    with_limits(scenario, four_eyes_above=euros(4899))
    proposed = decide(scenario, overruling("outside_window"))
    assert (proposed.status, scenario.state()) == (DecisionStatus.PROPOSED, "with_support")
    assert confirm_refused(scenario, proposed, CLARA) == "This is your own decision. Another person must confirm it."
    confirmed = decisions.confirm(
        scenario.context.records, proposed.id, revision=revision_of(scenario), by=LEA, seller=None
    )
    assert (confirmed.status, confirmed.confirmed_by) == (DecisionStatus.APPLIED, LEA.id)
    assert scenario.process_after().state() == "refunded"


def confirm_refused(scenario: Scenario, proposed: StoredDecision, by: DecidedBy) -> str:
    with pytest.raises(NotPossibleError) as error:
        decisions.confirm(scenario.context.records, proposed.id, revision=revision_of(scenario), by=by, seller=None)
    return str(error.value)


@pytest.mark.parametrize("limit", [Money(4900, "EUR"), Money(10_000, "EUR"), None])
def test_up_to_the_limit_one_person_decides(start_scenario: StartScenario, limit: Money | None) -> None:
    scenario = an_old_purchase(start_scenario)
    with_limits(scenario, **({"four_eyes_above": limit} if limit else {}))
    assert decide(scenario, overruling("outside_window")).status is DecisionStatus.APPLIED


def test_a_limit_in_another_currency_needs_a_four_eyes(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    with_limits(scenario, four_eyes_above=Money(100_000, "USD"))
    assert decide(scenario, overruling("outside_window")).status is DecisionStatus.PROPOSED


def test_a_batch_counts_with_its_sum(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    with_limits(scenario, four_eyes_above=euros(10_000))
    proposed = decide(scenario, overruling("outside_window"), batch_id=uuid4(), counted=euros(10_001))
    assert proposed.status is DecisionStatus.PROPOSED


def test_the_worker_checks_the_second_person_against_the_history(start_scenario: StartScenario) -> None:
    """If the limit is set after the decision, or the door is bypassed, the worker refuses the refund."""
    scenario = an_old_purchase(start_scenario)
    decide(scenario, overruling("outside_window"))
    with_limits(scenario, four_eyes_above=euros(1000))
    assert scenario.process_after().state() == "with_support"
    assert scenario.reason_codes() == ["four_eyes_missing"]
    assert scenario.provider.keys == []


def test_a_rejected_decision_can_be_replaced(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    with_limits(scenario, four_eyes_above=euros(1000))
    proposed = decide(scenario, overruling("outside_window"))
    decisions.reject(scenario.context.records, proposed.id, by=LEA, seller=None)
    assert "was rejected already" in confirm_refused(scenario, proposed, LEA)
    assert decide(scenario, part(1000, "outside_window")).status is DecisionStatus.APPLIED


def test_a_decision_above_the_limit_can_be_undone(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario, Paid("re_1", euros(4900)))
    with_limits(scenario, undo_above=euros(1000))
    decision = decide(scenario, overruling("outside_window"))
    assert decision.undo_until
    assert scenario.process_after().state() == "approved"  # the refund waits
    undone = decisions.undo(scenario.context.records, decision.id, by=CLARA, seller=None)
    assert (undone.status, scenario.state()) == (DecisionStatus.UNDONE, "with_support")
    assert scenario.reason_codes() == ["decision_undone", "outside_window"]
    assert scenario.process_after(minutes=1).state() == "with_support"
    assert scenario.provider.keys == []


def test_after_ten_seconds_the_refund_is_sent_and_cannot_be_undone(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario, Paid("re_1", euros(4900)))
    with_limits(scenario, undo_above=euros(1000))
    decision = decide(scenario, overruling("outside_window"))
    assert scenario.process_after(seconds=11).state() == "refunded"
    with pytest.raises(NotPossibleError, match="can no longer be undone"):
        decisions.undo(scenario.context.records, decision.id, by=CLARA, seller=None)


def test_no_refund_is_approved_while_the_outcome_of_another_is_unknown(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario, Unknown("The connection was lost."))
    decide(scenario, part(1000, "outside_window"))
    assert scenario.process_after().state() == "refunding"
    with pytest.raises(NotPossibleError, match="The case is refunding"):
        decide(scenario, part(1000, "outside_window"))


@pytest.mark.parametrize("reference", ["MB-2026-0418", "mb-2026-0418", " MB-2026-0418 "])
def test_the_right_purchase_is_evaluated_again(start_scenario: StartScenario, reference: str) -> None:
    scenario = an_old_purchase(start_scenario, Paid("re_1", euros(4900)))
    right = a_recent_purchase(id=UUID(int=8), reference="MB-2026-0418", email="other@example.com", payments=())
    right = replace(right, payments=(replace(scenario.stored.payments[0], charge="ok_8"),))
    store_seller_and_purchases(scenario.context.records, right)
    decide(scenario, {"action": "rematch", "reference": reference, "reason": "The customer sent the invoice."})
    assert scenario.state() == "received"
    with scenario.context.records.work() as work:
        view = work.case_views.get(scenario.case)
    assert view
    assert view.purchase == right.id


def test_an_unknown_reference_is_refused(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario)
    with pytest.raises(NotPossibleError, match="no purchase with the reference MB-1"):
        decide(scenario, {"action": "rematch", "reference": "MB-1", "reason": "A guess."})


def an_event(scenario: Scenario, body: Mapping[str, Any], **changes: Any) -> bytes:
    data = {"case_id": str(scenario.case), "revision": revision_of(scenario), "decision": body, "agent": "Clara"}
    event = {
        "specversion": "1.0",
        "id": "ticket-1",
        "source": "aurora/helpdesk",
        "type": "moneyback.support_decided.v1",
        "data": data | changes,
    }
    return json.dumps(event).encode()


def dead_letters(scenario: Scenario) -> list[str]:
    with scenario.context.records.work() as work:
        return [letter.why for letter in work.dead_letters.list_all()]


def test_a_decision_from_the_queue_that_is_delivered_twice_counts_once(start_scenario: StartScenario) -> None:
    scenario = an_old_purchase(start_scenario, Paid("re_1", euros(4900)))
    event = an_event(scenario, overruling("outside_window"))
    for _ in range(2):
        consume(scenario.context.records, IncomingDecision.queue, event)
    assert scenario.process_after().state() == "refunded"
    with scenario.context.records.work() as work:
        (decision,) = work.support_decisions.for_case(scenario.case)
    assert (decision.decided_by, decision.decided_by_name) == ("queue:aurora/helpdesk", "Clara")
    assert dead_letters(scenario) == []


@pytest.mark.parametrize(
    ("body", "changes", "why"),
    [
        ({"action": "pay"}, {}, "data.decision"),
        (FULL, {"revision": "1"}, "not a revision"),
        (FULL, {"revision": "1.0.00000000.00000000.00000000"}, "The history of the case has new entries."),
        (FULL, {"case_id": str(UUID(int=9))}, "There is no case with this id."),
        (part(4901), {}, "is left to refund"),
    ],
)
def test_a_decision_that_cannot_take_effect_becomes_a_dead_letter(
    start_scenario: StartScenario, body: Mapping[str, Any], changes: dict[str, str], why: str
) -> None:
    scenario = an_old_purchase(start_scenario)
    consume(scenario.context.records, IncomingDecision.queue, an_event(scenario, body, **changes))
    (letter,) = dead_letters(scenario)
    assert why in letter
    assert scenario.state() == "with_support"
