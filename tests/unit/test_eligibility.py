"""The rules of an automatic refund: each one alone, then all of them together."""

import inspect
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as some

from domain import eligibility
from domain.eligibility import (
    RULES,
    Approve,
    Duplicate,
    EligibilityInput,
    Escalate,
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
from tests.sample_data import NOON, a_policy, a_purchase, a_seller, asked

BERLIN, APIA, NEW_YORK = ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia"), ZoneInfo("America/New_York")


def a_question(**changes: Any) -> EligibilityInput:
    values: dict[str, Any] = {
        "request": asked(),
        "purchase": a_purchase(),
        "seller": a_seller(),
        "policy": a_policy(),
    }
    return EligibilityInput(**values | changes)


def codes(question: EligibilityInput) -> set[ReasonCode]:
    decision = decide(question)
    return {f.code for f in decision.findings if f.code} if isinstance(decision, Escalate) else set()


def test_a_fresh_purchase_is_refunded_once_its_customer_confirms() -> None:
    assert isinstance(decide(a_question()), RequireConfirmation)


def test_a_customer_known_to_be_signed_in_need_not_confirm() -> None:
    assert isinstance(decide(a_question(request=asked(trusted=True))), Approve)


def test_without_a_purchase_nothing_else_is_asked() -> None:
    assert decide(a_question(purchase=None, open_case=uuid4())) == Unmatched()


def test_a_second_request_joins_the_live_case_whatever_the_rules_say() -> None:
    live = uuid4()
    assert decide(a_question(open_case=live, policy=None)) == Duplicate(live)


def test_an_old_wire_transfer_reaches_support_with_both_reasons() -> None:
    bought = a_purchase(method="wire_transfer", purchased_at=NOON - timedelta(days=31))
    assert codes(a_question(purchase=bought)) == {ReasonCode.METHOD_NOT_AUTOMATIC, ReasonCode.OUTSIDE_WINDOW}


def test_every_rule_leaves_one_finding_kept_or_not() -> None:
    decision = decide(a_question(purchase=a_purchase(method="cash")))
    assert isinstance(decision, Escalate)
    assert [finding.rule for finding in decision.findings] == [rule.__name__ for rule in RULES]


@pytest.mark.parametrize("refund_scope", [RefundScope.PARTIAL, RefundScope.VAT])
def test_full_refund(refund_scope: RefundScope) -> None:
    assert codes(a_question(request=asked(refund_scope=refund_scope))) == {ReasonCode.FULL_REFUND_ONLY}


def test_self_service_on() -> None:
    assert codes(a_question(seller=a_seller(self_service=False))) == {ReasonCode.SELF_SERVICE_OFF}


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
    question = a_question(policy=policy, purchase=a_purchase(consumer=consumer))
    assert codes(question) == ({code} if code else set())


def test_no_policy_was_in_force() -> None:
    assert codes(a_question(policy=None)) == {ReasonCode.NO_POLICY}


def test_the_policy_of_the_purchase_counts_its_first_instant_included() -> None:
    old, new = a_policy(), a_policy(version=2, in_force_from=NOON)
    assert in_force([new, old], NOON) == new
    assert in_force([new, old], NOON - timedelta(microseconds=1)) == old
    assert in_force([new, old], old.in_force_from - timedelta(microseconds=1)) is None


def test_versions_are_compared_as_instants_not_as_local_times() -> None:
    east = a_policy(version=2, in_force_from=datetime(2026, 6, 15, 14, 0, tzinfo=BERLIN))
    assert in_force([east], NOON) == east


@pytest.mark.parametrize("method", sorted(AUTOMATIC))
def test_method_is_automatic(method: str) -> None:
    assert codes(a_question(purchase=a_purchase(method=method))) == set()


@pytest.mark.parametrize("method", ["wire_transfer", "google_pay", "seashells", ""])
def test_another_method_is_refunded_only_if_the_policy_names_it(method: str) -> None:
    bought = a_purchase(method=method)
    assert codes(a_question(purchase=bought)) == {ReasonCode.METHOD_NOT_AUTOMATIC}
    assert codes(a_question(purchase=bought, policy=a_policy(methods=frozenset({method})))) == set()


@pytest.mark.parametrize(
    ("zone", "bought", "requested", "days", "kept"),
    [
        (BERLIN, "2026-05-16T23:59:59+02:00", "2026-06-15T23:59:59+02:00", 30, True),  # the last day until its end
        (BERLIN, "2026-05-16T23:59:59+02:00", "2026-06-16T00:00:00+02:00", 30, False),
        (BERLIN, "2026-06-15T00:00:00+02:00", "2026-06-15T23:59:59+02:00", 0, True),  # 0 days is the same day
        (BERLIN, "2026-06-15T23:59:59+02:00", "2026-06-16T00:00:00+02:00", 0, False),
        (NEW_YORK, "2026-06-15T23:00:00+00:00", "2026-06-16T03:59:00+00:00", 0, True),  # one day there, two in UTC
        (BERLIN, "2026-03-28T12:00:00+01:00", "2026-03-30T23:00:00+02:00", 2, True),  # across the clock change
        (BERLIN, "2024-02-28T12:00:00+01:00", "2024-03-01T12:00:00+01:00", 1, False),  # a leap day is a day
        (
            APIA,
            "2011-12-29T12:00:00-10:00",
            "2011-12-31T12:00:00+14:00",
            1,
            False,
        ),  # a date that was skipped is one, too
    ],
)
def test_within_window(zone: ZoneInfo, bought: str, requested: str, days: int, kept: bool) -> None:
    question = a_question(
        seller=a_seller(time_zone=zone),
        policy=a_policy(days=days, in_force_from=datetime(2000, 1, 1, tzinfo=UTC)),
        purchase=a_purchase(purchased_at=datetime.fromisoformat(bought)),
        request=asked(received_at=datetime.fromisoformat(requested)),
    )
    assert codes(question) == (set() if kept else {ReasonCode.OUTSIDE_WINDOW})


@pytest.mark.parametrize(("days", "kept"), [(14, True), (15, False)])
def test_the_right_of_withdrawal_lasts_fourteen_days(days: int, kept: bool) -> None:
    policy = a_policy(category=Category.STATUTORY_WITHDRAWAL, days=None)
    question = a_question(policy=policy, purchase=a_purchase(purchased_at=NOON - timedelta(days=days)))
    assert codes(question) == (set() if kept else {ReasonCode.OUTSIDE_WINDOW})


@pytest.mark.parametrize("category", list(Category))
def test_a_purchase_in_the_future_is_wrong_under_every_category(category: Category) -> None:
    policy = a_policy(category=category, days=30 if category is Category.WITHIN_DAYS else None)
    bought = a_purchase(purchased_at=NOON + timedelta(microseconds=1))
    assert ReasonCode.PURCHASE_IN_FUTURE in codes(a_question(policy=policy, purchase=bought))


def test_no_restrictions_has_no_window() -> None:
    policy = a_policy(category=Category.NO_RESTRICTIONS, days=None, in_force_from=datetime(1990, 1, 1, tzinfo=UTC))
    assert codes(a_question(policy=policy, purchase=a_purchase(purchased_at=datetime(1999, 1, 1, tzinfo=UTC)))) == set()


def test_a_renewal_counts_from_its_own_charge() -> None:
    first, charged = NOON - timedelta(days=400), NOON - timedelta(days=2)
    assert codes(a_question(purchase=a_purchase(purchased_at=first, charged_at=charged, renewal=True))) == set()
    assert codes(a_question(purchase=a_purchase(purchased_at=first, charged_at=charged))) == {ReasonCode.OUTSIDE_WINDOW}


def test_untouched() -> None:
    assert codes(a_question(purchase=a_purchase(refunded=1))) == {ReasonCode.ALREADY_REFUNDED}


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
    assert codes(a_question(purchase=a_purchase(dispute=dispute))) == ({code} if code else set())


@pytest.mark.parametrize(
    ("amount", "currency"),
    [(None, "EUR"), (0, "EUR"), (-1, "EUR"), (100, None), (100, "XYZ"), (100, "eur"), (1.0, "EUR"), (True, "EUR")],
)
def test_amount_is_sound(amount: Any, currency: str | None) -> None:
    assert codes(a_question(purchase=a_purchase(amount=amount, currency=currency))) == {ReasonCode.AMOUNT_INVALID}


def test_product_not_excepted() -> None:
    policy = a_policy(excluded_products=frozenset({"Aurora Photo 4"}))
    assert codes(a_question(policy=policy)) == {ReasonCode.PRODUCT_EXCLUDED}
    assert codes(a_question(policy=policy, purchase=a_purchase(product="Aurora Video"))) == set()


def test_renewal_not_excepted() -> None:
    policy = a_policy(renewals_excluded=True)
    assert codes(a_question(policy=policy, purchase=a_purchase(renewal=True))) == {ReasonCode.RENEWAL_EXCLUDED}
    assert codes(a_question(policy=policy)) == set()


@pytest.mark.parametrize(
    ("ceiling", "amount", "kept"),
    [
        (Money(4900, "EUR"), 4900, True),
        (Money(4899, "EUR"), 4900, False),
        (Money(999_999, "USD"), 4900, False),  # another currency cannot be compared
        (Money(0, "EUR"), 1, False),  # a ceiling of 0 is a ceiling
        (None, 10**12, True),
    ],
)
def test_under_ceiling(ceiling: Money | None, amount: int, kept: bool) -> None:
    question = a_question(seller=a_seller(ceiling=ceiling), purchase=a_purchase(amount=amount))
    assert codes(question) == (set() if kept else {ReasonCode.OVER_CEILING})


def test_provider_window_open() -> None:
    policy = a_policy(category=Category.NO_RESTRICTIONS, days=None)
    window = timedelta(days=180)
    for age, kept in ((window, True), (window + timedelta(microseconds=1), False)):
        question = a_question(policy=policy, purchase=a_purchase(purchased_at=NOON - age), provider_window=window)
        assert codes(question) == (set() if kept else {ReasonCode.PROVIDER_WINDOW_CLOSED})


def test_paypal_closes_after_180_days_and_amazon_pay_through_stripe_after_90_unless_the_adapter_knows_better() -> None:
    assert refund_window(None, "braintree", "paypal") == timedelta(days=180)
    assert refund_window(None, "stripe", "amazon_pay") == timedelta(days=90)
    assert refund_window(None, "amazon", "amazon_pay") is None
    better = Capabilities(idempotency_key_ttl=timedelta(hours=24), routes={"paypal": Route(window=timedelta(days=90))})
    assert refund_window(better, "fastspring", "paypal") == timedelta(days=90)


@pytest.mark.parametrize(
    ("ages", "count", "kept"),
    [
        ([], 1, True),
        ([timedelta(days=1)], 1, False),
        ([timedelta(days=90)], 1, True),  # exactly that old: it no longer counts
        ([timedelta(days=90) - timedelta(microseconds=1)], 1, False),
        ([timedelta(days=1)] * 2, 3, True),
        ([], 0, False),  # a count of 0 is a limit
    ],
)
def test_not_serial(ages: list[timedelta], count: int, kept: bool) -> None:
    limit = SerialLimit(count=count, within=timedelta(days=90))
    question = a_question(seller=a_seller(serial_limit=limit), refunds_of_customer=tuple(NOON - age for age in ages))
    assert codes(question) == (set() if kept else {ReasonCode.SERIAL_REFUNDS})


def test_without_a_limit_refunds_are_not_counted() -> None:
    assert codes(a_question(refunds_of_customer=(NOON,) * 100)) == set()


BROKEN: dict[str, dict[str, Any]] = {
    "full_refund": {"request": asked(refund_scope=RefundScope.PARTIAL)},
    "self_service_on": {"seller": {"self_service": False}},
    "method_is_automatic": {"purchase": {"method": "cash"}},
    "within_window": {"purchase": {"purchased_at": NOON - timedelta(days=99)}},
    "untouched": {"purchase": {"refunded": 1}},
    "undisputed": {"purchase": {"dispute": Dispute.OPEN}},
    "amount_is_sound": {"purchase": {"amount": 0}},
    "product_not_excepted": {"policy": {"excluded_products": frozenset({"Aurora Photo 4"})}},
    "renewal_not_excepted": {"policy": {"renewals_excluded": True}, "purchase": {"renewal": True}},
    "under_ceiling": {"seller": {"ceiling": Money(1, "USD")}},
    "provider_window_open": {"provider_window": timedelta(days=-1)},
    "not_serial": {"seller": {"serial_limit": SerialLimit(count=0, within=timedelta(days=1))}},
    "policy_allows": {"policy": {"category": Category.NO_REFUNDS, "days": None}},
}


@given(broken=some.sets(some.sampled_from(sorted(BROKEN))))
def test_any_set_of_broken_rules_is_reported_whole(broken: set[str]) -> None:
    """Every rule is asked whatever the others say; only a policy that forbids refunds has no window to be outside of."""
    parts: dict[str, dict[str, Any]] = {"seller": {}, "policy": {}, "purchase": {}}
    whole: dict[str, Any] = {}
    for name in broken:
        for part, changes in BROKEN[name].items():
            if part in parts:
                parts[part] |= changes
            else:
                whole[part] = changes
    bought = a_purchase(**parts["purchase"])
    bought = replace(bought, charged_at=bought.purchased_at)
    question = a_question(
        seller=a_seller(**parts["seller"]), policy=a_policy(**parts["policy"]), purchase=bought, **whole
    )
    expected = broken - ({"within_window"} if "policy_allows" in broken else set())
    decision = decide(question)
    found = {f.rule for f in decision.findings if f.code} if isinstance(decision, Escalate) else set()
    assert found == expected


def test_each_rule_can_be_broken_and_is_tested_alone() -> None:
    rules = {rule.__name__ for rule in RULES}
    assert set(BROKEN) == rules
    assert {f"test_{name}" for name in rules} <= set(globals())


@given(
    refund_scope=some.sampled_from(RefundScope),
    amount=some.one_of(some.none(), some.integers(-10, 10**12)),
    refunded=some.integers(0, 10),
    dispute=some.sampled_from(Dispute),
    category=some.sampled_from([c for c in Category if c is not Category.WITHIN_DAYS]),
    consumer=some.booleans(),
    hours=some.integers(-48, 24 * 400),
)
def test_we_never_approve_anything_but_a_sound_untouched_undisputed_full_amount(
    refund_scope: RefundScope,
    amount: int | None,
    refunded: int,
    dispute: Dispute,
    category: Category,
    consumer: bool,
    hours: int,
) -> None:
    bought = a_purchase(
        amount=amount,
        refunded=refunded,
        dispute=dispute,
        consumer=consumer,
        purchased_at=NOON - timedelta(hours=hours),
    )
    question = a_question(
        purchase=bought, policy=a_policy(category=category, days=None), request=asked(refund_scope=refund_scope)
    )
    if isinstance(decide(question), Approve | RequireConfirmation):
        assert refund_scope is RefundScope.FULL
        assert amount is not None
        assert amount > 0
        assert (refunded, hours >= 0) == (0, True)
        assert dispute in {Dispute.NONE, Dispute.WON}
        assert category is Category.NO_RESTRICTIONS or (category is Category.STATUTORY_WITHDRAWAL and consumer)


@given(days=some.integers(0, 60), passed=some.integers(0, 90), zone=some.sampled_from([BERLIN, APIA, NEW_YORK]))
def test_the_window_counts_local_dates_and_nothing_else(days: int, passed: int, zone: ZoneInfo) -> None:
    bought_at = datetime(2026, 2, 20, 23, 30, tzinfo=zone)
    asked_at = datetime.combine(bought_at.date() + timedelta(days=passed), datetime.min.time(), zone)
    asked_at = max(asked_at, bought_at)
    question = a_question(
        seller=a_seller(time_zone=zone),
        policy=a_policy(days=days),
        purchase=a_purchase(purchased_at=bought_at),
        request=asked(received_at=asked_at),
    )
    assert codes(question) == (set() if passed <= days else {ReasonCode.OUTSIDE_WINDOW})


def test_every_sentence_is_one() -> None:
    for code in ReasonCode:
        assert code.support.endswith(".")
        assert code.customer is None or code.customer.endswith(".")


def test_no_code_is_forgotten() -> None:
    """Each is told by a rule, or found while paying."""
    while_paying = {
        ReasonCode.PROVIDER_DECLINED,
        ReasonCode.PROVIDER_NOT_CONNECTED,
        ReasonCode.PAYMENT_CLAIMED,
        ReasonCode.REFUNDED_ELSEWHERE,
        ReasonCode.OUTCOME_UNKNOWN,
        ReasonCode.RETURNED_BY_BANK,
        ReasonCode.INSUFFICIENT_BALANCE,
        ReasonCode.NOT_YET_REFUNDABLE,
        ReasonCode.PROVIDER_UNAVAILABLE,
        ReasonCode.CRASHED_WORKERS,
    }
    rules = inspect.getsource(eligibility)
    assert {code for code in ReasonCode if f"Code.{code.name}" in rules} == set(ReasonCode) - while_paying
