"""The rules of an automatic refund: each rule alone, then all rules together.

The test of a rule has the name of the rule: ``test_untouched`` tests the rule ``untouched``.
"""

import inspect
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import eligibility
from domain.eligibility import (
    RULES,
    Approve,
    Duplicate,
    EligibilityInput,
    Escalate,
    OpenCase,
    OtherPayments,
    RequireConfirmation,
    Unmatched,
    decide,
)
from domain.money import Money
from domain.policies import Category, SerialLimit, in_force
from domain.providers import Capabilities, Route, refund_window
from domain.purchases import AUTOMATIC, Dispute
from domain.reason_codes import ReasonCode
from domain.requests import RefundScope
from domain.states import OPEN_STATES, State
from tests.sample_data import NOON, a_payment, a_policy, a_purchase, a_seller, a_submitted_request, with_payment

BERLIN, APIA, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia"), ZoneInfo("America/New_York")


def an_input(**changes: Any) -> EligibilityInput:
    values: dict[str, Any] = {
        "request": a_submitted_request(),
        "purchase": a_purchase(),
        "seller": a_seller(),
        "policy": a_policy(),
    }
    window = changes.pop("window", None)
    values |= changes
    windows = {payment.id: window for payment in values["purchase"].payments if window} if values["purchase"] else {}
    return EligibilityInput(**{"provider_windows": windows} | values)


def an_open_case(**changes: Any) -> OpenCase:
    values: dict[str, Any] = {"id": uuid4(), "state": State.AWAITING_CONFIRMATION, "charged_twice": False}
    return OpenCase(**values | changes)


def codes(decision_input: EligibilityInput) -> set[ReasonCode]:
    decision = decide(decision_input)
    return {f.code for f in decision.findings if f.code} if isinstance(decision, Escalate) else set()


def test_a_recent_purchase_is_refunded_after_the_customer_confirms() -> None:
    assert isinstance(decide(an_input()), RequireConfirmation)


def test_a_signed_in_customer_need_not_confirm() -> None:
    assert isinstance(decide(an_input(request=a_submitted_request(trusted=True))), Approve)


def test_a_request_without_a_purchase_is_unmatched() -> None:
    assert decide(an_input(purchase=None, open_case=an_open_case())) == Unmatched()


def test_a_second_request_is_a_duplicate_even_if_a_rule_is_broken() -> None:
    open_case = an_open_case()
    assert decide(an_input(open_case=open_case, policy=None)) == Duplicate(open_case.id)


@pytest.mark.parametrize("state", sorted(OPEN_STATES))
def test_a_request_for_everything_does_not_join_a_case_about_the_second_charge(state: State) -> None:
    purchase = a_purchase(payments=(a_payment(), a_payment(duplicate=True)))
    open_case = an_open_case(state=state, charged_twice=True)
    assert decide(an_input(purchase=purchase, open_case=open_case)) == OtherPayments(open_case)


@pytest.mark.parametrize("state", sorted(OPEN_STATES))
def test_a_request_for_the_second_charge_joins_only_a_case_that_refunds_everything(state: State) -> None:
    purchase = a_purchase(payments=(a_payment(), a_payment(duplicate=True)))
    open_case = an_open_case(state=state)
    decision = decide(an_input(purchase=purchase, open_case=open_case, request=a_submitted_request(charged_twice=True)))
    is_certain = state not in {State.AWAITING_CONFIRMATION, State.WITH_SUPPORT}
    assert decision == (Duplicate(open_case.id) if is_certain else OtherPayments(open_case))


def test_a_repeated_request_joins_the_further_case_that_waits_with_support() -> None:
    purchase = a_purchase(payments=(a_payment(), a_payment(duplicate=True)))
    first = an_open_case(state=State.REFUNDED, charged_twice=True)
    further = an_open_case(state=State.WITH_SUPPORT)
    decision = decide(an_input(purchase=purchase, open_case=first, further_cases=(further,)))
    assert decision == Duplicate(further.id)


@pytest.mark.parametrize("state", sorted(OPEN_STATES))
@pytest.mark.parametrize("charged_twice", [False, True])
@pytest.mark.parametrize(("duplicate", "same"), [(False, False), (False, True), (True, True)])
def test_a_request_for_the_same_payments_joins_the_open_case(
    state: State, charged_twice: bool, duplicate: bool, same: bool
) -> None:
    purchase = a_purchase(payments=(a_payment(), a_payment(duplicate=duplicate)))
    open_case = an_open_case(state=state, charged_twice=charged_twice == same)
    request = a_submitted_request(charged_twice=charged_twice)
    assert decide(an_input(purchase=purchase, open_case=open_case, request=request)) == Duplicate(open_case.id)


def test_an_old_wire_transfer_goes_to_support_with_two_reasons() -> None:
    purchase = a_purchase(method="wire_transfer", purchased_at=NOON - timedelta(days=31))
    assert codes(an_input(purchase=purchase)) == {ReasonCode.METHOD_NOT_AUTOMATIC, ReasonCode.OUTSIDE_WINDOW}


def test_a_decision_has_one_finding_for_each_rule() -> None:
    decision = decide(an_input(purchase=a_purchase(method="cash")))
    assert isinstance(decision, Escalate)
    assert [finding.rule for finding in decision.findings] == [rule.__name__ for rule in RULES]


@pytest.mark.parametrize("refund_scope", [RefundScope.PARTIAL, RefundScope.VAT])
def test_full_refund(refund_scope: RefundScope) -> None:
    assert codes(an_input(request=a_submitted_request(refund_scope=refund_scope))) == {ReasonCode.FULL_REFUND_ONLY}


def test_self_service_on() -> None:
    assert codes(an_input(seller=a_seller(self_service=False))) == {ReasonCode.SELF_SERVICE_OFF}


@pytest.mark.parametrize(
    ("category", "consumer", "code"),
    [
        (Category.NO_RESTRICTIONS, True, None),
        (Category.WITHIN_DAYS, True, None),
        (Category.STATUTORY_WITHDRAWAL, True, None),
        (Category.STATUTORY_WITHDRAWAL, False, ReasonCode.APPROVAL_REQUIRED),
        (Category.APPROVAL_REQUIRED, True, ReasonCode.APPROVAL_REQUIRED),
        (Category.IN_HOUSE_SUPPORT, True, ReasonCode.IN_HOUSE_SUPPORT),
        (Category.NO_REFUNDS, True, ReasonCode.NO_REFUNDS),
    ],
)
def test_policy_allows(category: Category, consumer: bool, code: ReasonCode | None) -> None:
    policy = a_policy(category=category, days=30 if category is Category.WITHIN_DAYS else None)
    decision_input = an_input(policy=policy, purchase=a_purchase(consumer=consumer))
    assert codes(decision_input) == ({code} if code else set())


def test_without_a_policy_in_force_the_only_reason_is_no_policy() -> None:
    assert codes(an_input(policy=None)) == {ReasonCode.NO_POLICY}


def test_a_policy_is_in_force_from_its_first_instant() -> None:
    old, new = a_policy(), a_policy(version=2, in_force_from=NOON)
    assert in_force([new, old], NOON) == new
    assert in_force([new, old], NOON - timedelta(microseconds=1)) == old
    assert in_force([new, old], old.in_force_from - timedelta(microseconds=1)) is None


def test_the_start_of_a_policy_may_have_any_time_zone() -> None:
    east = a_policy(version=2, in_force_from=datetime(2026, 6, 15, 14, 0, tzinfo=BERLIN))
    assert in_force([east], NOON) == east


@pytest.mark.parametrize("method", sorted(AUTOMATIC))
def test_method_is_automatic(method: str) -> None:
    assert codes(an_input(purchase=a_purchase(method=method))) == set()


@pytest.mark.parametrize("method", ["wire_transfer", "google_pay", "seashells", ""])
def test_a_method_that_is_not_automatic_must_be_named_in_the_policy(method: str) -> None:
    purchase = a_purchase(method=method)
    assert codes(an_input(purchase=purchase)) == {ReasonCode.METHOD_NOT_AUTOMATIC}
    assert codes(an_input(purchase=purchase, policy=a_policy(methods=frozenset({method})))) == set()


@pytest.mark.parametrize(
    ("zone", "purchased_at", "requested_at", "days", "is_met"),
    [
        (BERLIN, "2026-05-16T23:59:59+02:00", "2026-06-15T23:59:59+02:00", 30, True),  # the end of the last day
        (BERLIN, "2026-05-16T23:59:59+02:00", "2026-06-16T00:00:00+02:00", 30, False),
        (BERLIN, "2026-06-15T00:00:00+02:00", "2026-06-15T23:59:59+02:00", 0, True),  # 0 days: the day of the purchase
        (BERLIN, "2026-06-15T23:59:59+02:00", "2026-06-16T00:00:00+02:00", 0, False),
        (NEW_YORK, "2026-06-15T23:00:00+00:00", "2026-06-16T03:59:00+00:00", 0, True),  # one local day, two UTC days
        (BERLIN, "2026-03-28T12:00:00+01:00", "2026-03-30T23:00:00+02:00", 2, True),  # across the clock change
        (BERLIN, "2024-02-28T12:00:00+01:00", "2024-03-01T12:00:00+01:00", 1, False),  # 29 February counts as a day
        (
            APIA,
            "2011-12-29T12:00:00-10:00",
            "2011-12-31T12:00:00+14:00",
            1,
            False,
        ),  # Apia skipped 30 December 2011; the skipped date counts as a day
    ],
)
def test_within_window(zone: ZoneInfo, purchased_at: str, requested_at: str, days: int, is_met: bool) -> None:
    decision_input = an_input(
        seller=a_seller(time_zone=zone),
        policy=a_policy(days=days, in_force_from=datetime(2000, 1, 1, tzinfo=UTC)),
        purchase=a_purchase(purchased_at=datetime.fromisoformat(purchased_at)),
        request=a_submitted_request(received_at=datetime.fromisoformat(requested_at)),
    )
    assert codes(decision_input) == (set() if is_met else {ReasonCode.OUTSIDE_WINDOW})


@pytest.mark.parametrize(("days", "is_met"), [(14, True), (15, False)])
def test_the_right_of_withdrawal_lasts_fourteen_days(days: int, is_met: bool) -> None:
    policy = a_policy(category=Category.STATUTORY_WITHDRAWAL, days=None)
    decision_input = an_input(policy=policy, purchase=a_purchase(purchased_at=NOON - timedelta(days=days)))
    assert codes(decision_input) == (set() if is_met else {ReasonCode.OUTSIDE_WINDOW})


@pytest.mark.parametrize("category", list(Category))
def test_a_purchase_in_the_future_breaks_a_rule_in_every_category(category: Category) -> None:
    policy = a_policy(category=category, days=30 if category is Category.WITHIN_DAYS else None)
    purchase = a_purchase(purchased_at=NOON + timedelta(seconds=60, microseconds=1))
    assert ReasonCode.PURCHASE_IN_FUTURE in codes(an_input(policy=policy, purchase=purchase))


@pytest.mark.parametrize("seconds", [0.001, 1, 59, 60])
def test_the_clock_of_a_shop_may_be_a_minute_ahead(seconds: float) -> None:
    purchase = a_purchase(purchased_at=NOON + timedelta(seconds=seconds))
    assert codes(an_input(policy=a_policy(), purchase=purchase)) == set()


def test_a_policy_without_restrictions_has_no_time_limit() -> None:
    policy = a_policy(category=Category.NO_RESTRICTIONS, days=None, in_force_from=datetime(1990, 1, 1, tzinfo=UTC))
    assert codes(an_input(policy=policy, purchase=a_purchase(purchased_at=datetime(1999, 1, 1, tzinfo=UTC)))) == set()


def test_the_window_of_a_renewal_starts_at_its_charge() -> None:
    first, charged = NOON - timedelta(days=400), NOON - timedelta(days=2)
    assert codes(an_input(purchase=a_purchase(purchased_at=first, charged_at=charged, renewal=True))) == set()
    assert codes(an_input(purchase=a_purchase(purchased_at=first, charged_at=charged))) == {ReasonCode.OUTSIDE_WINDOW}


def test_untouched() -> None:
    assert codes(an_input(purchase=a_purchase(refunded=1))) == {ReasonCode.ALREADY_REFUNDED}


@pytest.mark.parametrize(
    ("dispute", "code"),
    [
        (Dispute.NONE, None),
        (Dispute.WON, None),
        (Dispute.OPEN, ReasonCode.DISPUTE_OPEN),
        (Dispute.LOST, ReasonCode.DISPUTE_LOST),
    ],
)
def test_undisputed(dispute: Dispute, code: ReasonCode | None) -> None:
    assert codes(an_input(purchase=a_purchase(dispute=dispute))) == ({code} if code else set())


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(None, "EUR"), (0, "EUR"), (-1, "EUR"), (100, None), (100, "XYZ"), (100, "eur"), (1.0, "EUR"), (True, "EUR")],
)
def test_amount_is_sound(amount: Any, currency: str | None) -> None:
    assert codes(an_input(purchase=a_purchase(amount=amount, currency=currency))) == {ReasonCode.AMOUNT_INVALID}


def test_product_not_excepted() -> None:
    policy = a_policy(excluded_products=frozenset({"Aurora Photo 4"}))
    assert codes(an_input(policy=policy)) == {ReasonCode.PRODUCT_EXCLUDED}
    assert codes(an_input(policy=policy, purchase=a_purchase(product="Aurora Video"))) == set()


def test_renewal_not_excepted() -> None:
    policy = a_policy(renewals_excluded=True)
    assert codes(an_input(policy=policy, purchase=a_purchase(renewal=True))) == {ReasonCode.RENEWAL_EXCLUDED}
    assert codes(an_input(policy=policy)) == set()


@pytest.mark.parametrize(
    ("ceiling", "amount", "is_met"),
    [
        (Money(4900, "EUR"), 4900, True),
        (Money(4899, "EUR"), 4900, False),
        (Money(999_999, "USD"), 4900, False),  # amounts in different currencies cannot be compared
        (Money(0, "EUR"), 1, False),  # a ceiling of 0 is not "no ceiling"
        (None, 10**12, True),
    ],
)
def test_under_ceiling(ceiling: Money | None, amount: int, is_met: bool) -> None:
    decision_input = an_input(seller=a_seller(ceiling=ceiling), purchase=a_purchase(amount=amount))
    assert codes(decision_input) == (set() if is_met else {ReasonCode.OVER_CEILING})


def test_provider_window_open() -> None:
    policy = a_policy(category=Category.NO_RESTRICTIONS, days=None)
    window = timedelta(days=180)
    for age, is_met in ((window, True), (window + timedelta(microseconds=1), False)):
        decision_input = an_input(policy=policy, purchase=a_purchase(purchased_at=NOON - age), window=window)
        assert codes(decision_input) == (set() if is_met else {ReasonCode.PROVIDER_WINDOW_CLOSED})


def test_a_refund_window_of_the_adapter_overrides_the_default() -> None:
    assert refund_window(None, "braintree", "paypal") == timedelta(days=180)
    assert refund_window(None, "stripe", "amazon_pay") == timedelta(days=90)
    assert refund_window(None, "amazon", "amazon_pay") is None
    adapter = Capabilities(idempotency_key_ttl=timedelta(hours=24), routes={"paypal": Route(window=timedelta(days=90))})
    assert refund_window(adapter, "fastspring", "paypal") == timedelta(days=90)


@pytest.mark.parametrize(
    ("ages", "count", "is_met"),
    [
        ([], 1, True),
        ([timedelta(days=1)], 1, False),
        ([timedelta(days=90)], 1, True),  # exactly 90 days old: the refund no longer counts
        ([timedelta(days=90) - timedelta(microseconds=1)], 1, False),
        ([timedelta(days=1)] * 2, 3, True),
        ([], 0, False),  # a count of 0 is not "no limit"
    ],
)
def test_not_serial(ages: list[timedelta], count: int, is_met: bool) -> None:
    limit = SerialLimit(count=count, within=timedelta(days=90))
    decision_input = an_input(
        seller=a_seller(serial_limit=limit), refunds_of_customer=tuple(NOON - age for age in ages)
    )
    assert codes(decision_input) == (set() if is_met else {ReasonCode.SERIAL_REFUNDS})


def test_without_a_serial_limit_a_customers_refunds_are_not_counted() -> None:
    assert codes(an_input(refunds_of_customer=(NOON,) * 100)) == set()


BROKEN: dict[str, dict[str, Any]] = {
    "full_refund": {"request": a_submitted_request(refund_scope=RefundScope.PARTIAL)},
    "self_service_on": {"seller": {"self_service": False}},
    "method_is_automatic": {"purchase": {"method": "cash"}},
    "within_window": {"purchase": {"purchased_at": NOON - timedelta(days=99)}},
    "untouched": {"purchase": {"refunded": 1}},
    "undisputed": {"purchase": {"dispute": Dispute.OPEN}},
    "amount_is_sound": {"purchase": {"amount": 0}},
    "product_not_excepted": {"policy": {"excluded_products": frozenset({"Aurora Photo 4"})}},
    "renewal_not_excepted": {"policy": {"renewals_excluded": True}, "purchase": {"renewal": True}},
    "under_ceiling": {"seller": {"ceiling": Money(1, "USD")}},
    "provider_window_open": {"window": timedelta(days=-1)},
    "not_serial": {"seller": {"serial_limit": SerialLimit(count=0, within=timedelta(days=1))}},
    "policy_allows": {"policy": {"category": Category.NO_REFUNDS, "days": None}},
}


@given(broken=st.sets(st.sampled_from(sorted(BROKEN))))
def test_all_broken_rules_are_reported(broken: set[str]) -> None:
    """Every rule is evaluated. A policy that allows no refunds has no time limit either, so the rule `within_window` is met."""
    record_changes: dict[str, dict[str, Any]] = {"seller": {}, "policy": {}, "purchase": {}}
    other_facts: dict[str, Any] = {}
    for name in broken:
        for fact, changes in BROKEN[name].items():
            if fact in record_changes:
                record_changes[fact] |= changes
            else:
                other_facts[fact] = changes
    purchase = a_purchase(**record_changes["purchase"])
    decision_input = an_input(
        seller=a_seller(**record_changes["seller"]),
        policy=a_policy(**record_changes["policy"]),
        purchase=with_payment(purchase, charged_at=purchase.purchased_at),
        **other_facts,
    )
    expected = broken - ({"within_window"} if "policy_allows" in broken else set())
    decision = decide(decision_input)
    found = {f.rule for f in decision.findings if f.code} if isinstance(decision, Escalate) else set()
    assert found == expected


def test_every_rule_has_a_test_and_an_example_that_breaks_it() -> None:
    rules = {rule.__name__ for rule in RULES}
    assert set(BROKEN) == rules
    assert {f"test_{name}" for name in rules} <= set(globals())


@given(
    refund_scope=st.sampled_from(RefundScope),
    amount=st.one_of(st.none(), st.integers(-10, 10**12)),
    refunded=st.integers(0, 10),
    dispute=st.sampled_from(Dispute),
    category=st.sampled_from([c for c in Category if c is not Category.WITHIN_DAYS]),
    consumer=st.booleans(),
    hours=st.integers(-48, 24 * 400),
)
def test_every_approved_refund_is_full_undisputed_and_allowed_by_the_policy(
    refund_scope: RefundScope,
    amount: int | None,
    refunded: int,
    dispute: Dispute,
    category: Category,
    consumer: bool,
    hours: int,
) -> None:
    purchase = a_purchase(
        amount=amount,
        refunded=refunded,
        dispute=dispute,
        consumer=consumer,
        purchased_at=NOON - timedelta(hours=hours),
    )
    decision_input = an_input(
        purchase=purchase,
        policy=a_policy(category=category, days=None),
        request=a_submitted_request(refund_scope=refund_scope),
    )
    if isinstance(decide(decision_input), Approve | RequireConfirmation):
        assert refund_scope is RefundScope.FULL
        assert amount is not None
        assert amount > 0
        assert (refunded, hours >= 0) == (0, True)
        assert dispute in {Dispute.NONE, Dispute.WON}
        assert category is Category.NO_RESTRICTIONS or (category is Category.STATUTORY_WITHDRAWAL and consumer)


@given(days=st.integers(0, 60), passed=st.integers(0, 90), zone=st.sampled_from([BERLIN, APIA, NEW_YORK]))
def test_the_window_counts_local_dates(days: int, passed: int, zone: ZoneInfo) -> None:
    purchased_at = datetime(2026, 2, 20, 23, 30, tzinfo=zone)
    requested_at = datetime.combine(purchased_at.date() + timedelta(days=passed), datetime.min.time(), zone)
    requested_at = max(requested_at, purchased_at)
    decision_input = an_input(
        seller=a_seller(time_zone=zone),
        policy=a_policy(days=days),
        purchase=a_purchase(purchased_at=purchased_at),
        request=a_submitted_request(received_at=requested_at),
    )
    assert codes(decision_input) == (set() if passed <= days else {ReasonCode.OUTSIDE_WINDOW})


def test_every_reason_ends_with_a_full_stop() -> None:
    for code in ReasonCode:
        assert code.support.endswith(".")
        assert code.customer is None or code.customer.endswith(".")


def test_every_reason_code_comes_from_a_rule_or_from_the_execution_of_a_refund() -> None:
    """A code without a rule is a reason why an approved refund was not paid."""
    while_paying = {
        ReasonCode.PROVIDER_DECLINED,
        ReasonCode.PROVIDER_NOT_CONNECTED,
        ReasonCode.PAYMENT_CLAIMED,
        ReasonCode.NOT_ENOUGH_LEFT,
        ReasonCode.REFUNDED_ELSEWHERE,
        ReasonCode.OUTCOME_UNKNOWN,
        ReasonCode.RETURNED_BY_BANK,
        ReasonCode.INSUFFICIENT_BALANCE,
        ReasonCode.NOT_YET_REFUNDABLE,
        ReasonCode.PROVIDER_UNAVAILABLE,
        ReasonCode.CRASHED_WORKERS,
        ReasonCode.AMBIGUOUS_REFERENCE,
        ReasonCode.OTHER_PAYMENTS,
        ReasonCode.PURCHASE_CHANGED,
        ReasonCode.PAYMENT_NOT_AUTOMATIC,
        ReasonCode.PARTLY_REFUNDED,
        ReasonCode.REFUND_DIFFERS,
        ReasonCode.NOT_CAPTURED,
        ReasonCode.PAYMENT_DIFFERS,
        ReasonCode.OTHER_SELLER,
        ReasonCode.REFUND_CANCELLED,
        ReasonCode.FOUR_EYES_MISSING,
        ReasonCode.CUSTOMER_ANSWERED,
        ReasonCode.DECISION_UNDONE,
        ReasonCode.NOT_REFUNDED,
    }
    rules = inspect.getsource(eligibility)
    assert {code for code in ReasonCode if f"Code.{code.name}" in rules} == set(ReasonCode) - while_paying
