"""Tests of what a report changes: merging, absent fields, corrections, further payments and duplicates."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from itertools import permutations
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.purchase_reports import (
    PurchaseReport,
    Refusal,
    RefusalCode,
    merge_reports,
    new_purchase,
    report_of,
    updated_purchase,
)
from domain.purchases import Dispute, Payment, Purchase
from tests.sample_data import NOON, a_payment, a_purchase

FIELDS: Mapping[str, object] = {"email": "ada@example.com", "product": "Aurora Photo 4", "purchased_at": NOON}
CARD: Mapping[str, object] = {
    "provider": "sandbox",
    "charge": "ok_card",
    "amount": 7000,
    "currency": "EUR",
    "method": "credit_card",
}
GIFT: Mapping[str, object] = {
    "provider": "giftly",
    "charge": "GC-1",
    "amount": 3000,
    "currency": "EUR",
    "method": "gift_card",
}


def a_report(**changes: Any) -> PurchaseReport:
    values: dict[str, Any] = {
        "purchase_id": uuid4(),
        "seller_id": "aurora",
        "reference": "MB-2026-0417",
        "fields": FIELDS,
        "payments": (CARD,),
    }
    return PurchaseReport(**values | changes)


def create(report: PurchaseReport) -> Purchase:
    purchase = new_purchase(report)
    assert isinstance(purchase, Purchase), purchase
    return purchase


def update(known: Purchase, report: PurchaseReport, *, is_held: bool = False, is_fresh: bool = False) -> Purchase:
    updated = updated_purchase(known, report, is_held=is_held, is_fresh=is_fresh)
    assert isinstance(updated, Purchase), updated
    return updated


def refusal(known: Purchase, report: PurchaseReport, *, is_held: bool = False, is_fresh: bool = False) -> RefusalCode:
    refused = updated_purchase(known, report, is_held=is_held, is_fresh=is_fresh)
    assert isinstance(refused, Refusal), refused
    return refused.code


def charges(purchase: Purchase) -> list[str]:
    return [payment.charge for payment in purchase.payments]


# New purchases


@pytest.mark.parametrize("name", list(FIELDS))
def test_a_new_purchase_needs_each_field(name: str) -> None:
    refused = new_purchase(a_report(fields={key: value for key, value in FIELDS.items() if key != name}))
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.INCOMPLETE
    assert f"the field {name}." in refused.sentence


@pytest.mark.parametrize("name", list(CARD))
@pytest.mark.parametrize("with_other", [True, False])
def test_each_payment_of_a_new_purchase_needs_each_field(name: str, with_other: bool) -> None:
    part = {key: value for key, value in CARD.items() if key != name}
    refused = new_purchase(a_report(payments=(GIFT, part) if with_other else (part,)))
    assert isinstance(refused, Refusal)
    assert f"the field {name}." in refused.sentence


def test_a_refusal_names_all_missing_fields() -> None:
    refused = new_purchase(a_report(fields={"email": "ada@example.com"}, payments=()))
    assert isinstance(refused, Refusal)
    for name in ("product", "purchased_at", *CARD):
        assert f"the field {name}" in refused.sentence


def test_a_payment_was_made_at_the_time_of_the_purchase_unless_its_own_time_is_reported() -> None:
    later = NOON + timedelta(days=2)
    purchase = create(a_report(payments=(CARD, {**GIFT, "charged_at": later})))
    assert [payment.charged_at for payment in purchase.payments] == [NOON, later]


@pytest.mark.parametrize(
    "purchase", [a_purchase(), a_purchase(dispute=Dispute.OPEN, refunded=100, tax=7, renewal=True)]
)
def test_the_report_of_a_purchase_creates_the_same_purchase(purchase: Purchase) -> None:
    assert create(report_of(purchase)) == purchase


# Absent fields

CHANGES: list[dict[str, Any]] = [
    {"product": "Aurora Studio"},
    {"consumer": False},
    {"renewal": True},
    {"tax": 782},
    {"reported_dispute": Dispute.OPEN},
    {"reported_refunded": 100},
    {"purchased_at": NOON - timedelta(days=1)},
]


@pytest.mark.parametrize("changes", CHANGES)
def test_only_a_reported_field_changes(changes: dict[str, Any]) -> None:
    known = create(a_report())
    changed = update(known, a_report(fields=changes, payments=()))
    assert changed == replace(known, **changes)
    assert update(changed, a_report(fields={}, payments=())) == changed
    assert update(changed, a_report(fields={"email": "ada@example.com"})) == changed


@pytest.mark.parametrize("changes", CHANGES)
def test_a_change_of_other_fields_is_allowed_while_a_case_is_open(changes: dict[str, Any]) -> None:
    known = create(a_report())
    assert update(known, a_report(fields=changes, payments=()), is_held=True) == replace(known, **changes)


@pytest.mark.parametrize("fields", [{"method": "apple_pay"}, {"instrument": "fp_1"}, {"charged_at": NOON}, {}])
def test_a_payment_without_a_charge_is_the_only_payment(fields: dict[str, Any]) -> None:
    known = create(a_report())
    (payment,) = update(known, a_report(fields={}, payments=(fields,))).payments
    assert payment == replace(known.payments[0], **fields)


def test_what_the_provider_shows_of_a_payment_is_kept() -> None:
    shown = replace(a_payment(charge="ok_card", amount=7000), refunded=500, dispute=Dispute.WON)
    known = replace(create(a_report()), payments=(shown,))
    (payment,) = update(known, a_report(payments=({**CARD, "method": "apple_pay"},))).payments
    assert (payment.refunded, payment.dispute, payment.method) == (500, Dispute.WON, "apple_pay")


@pytest.mark.parametrize(
    "fields", [{"charge": "ok_card"}, {"provider": "sandbox"}, {"charge": "ok_card", "amount": 7000}]
)
def test_a_known_payment_may_be_named_by_a_part_of_its_id(fields: dict[str, Any]) -> None:
    known = create(a_report(payments=({**CARD, "instrument": "fp_1"},)))
    assert update(known, a_report(fields={}, payments=(fields,))) == known


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize(
    "fields",
    [{"charge": "ok_other"}, {"provider": "stripe"}, {"charge": "ok_other", "amount": 7000, "currency": "EUR"}],
)
def test_another_payment_is_named_by_its_provider_and_its_charge(fields: dict[str, Any], correct: bool) -> None:
    report = a_report(fields={}, payments=(fields,), correct=correct)
    assert refusal(create(a_report()), report) is RefusalCode.INCOMPLETE


# Corrections

CORRECTIONS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({}, {"amount": 900}, "the amount 7000 EUR, not 900 EUR"),
    ({}, {"amount": None}, "the amount 7000 EUR, not None EUR"),
    ({}, {"currency": "JPY"}, "the amount 7000 EUR, not 7000 JPY"),
    ({}, {"charge": "ok_other"}, "the payment ok_card at sandbox"),
    ({}, {"provider": "stripe"}, "the payment ok_card at sandbox"),
    ({"email": "eve@example.com"}, {}, "another e-mail address"),
    ({"email": "ada@example.org"}, {}, "another e-mail address"),
]


@pytest.mark.parametrize(("fields", "payment", "difference"), CORRECTIONS)
def test_a_correction_is_refused_unless_the_report_says_that_it_corrects(
    fields: dict[str, Any], payment: dict[str, Any], difference: str
) -> None:
    known = create(a_report())
    report = a_report(fields={**FIELDS, **fields}, payments=({**CARD, **payment},))
    refused = updated_purchase(known, report, is_held=False, is_fresh=False)
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.CORRECTION
    assert difference in refused.sentence
    corrected = update(known, replace(report, correct=True))
    assert corrected.email == {**FIELDS, **fields}["email"]
    (only,) = corrected.payments
    assert (only.provider, only.charge, only.amount, only.currency) == tuple({**CARD, **payment}.values())[:4]


@pytest.mark.parametrize(("fields", "payment", "difference"), CORRECTIONS)
@pytest.mark.parametrize("correct", [True, False])
def test_a_correction_is_refused_while_a_case_is_open(
    fields: dict[str, Any], payment: dict[str, Any], difference: str, correct: bool
) -> None:
    report = a_report(fields={**FIELDS, **fields}, payments=({**CARD, **payment},), correct=correct)
    refused = updated_purchase(create(a_report()), report, is_held=True, is_fresh=False)
    assert isinstance(refused, Refusal)
    assert refused.code is RefusalCode.HELD
    assert difference in refused.sentence


@pytest.mark.parametrize("email", ["ADA@example.com", "ada@EXAMPLE.com", " ada@example.com "])
def test_the_same_address_in_another_spelling_is_no_correction(email: str) -> None:
    assert update(create(a_report()), a_report(fields={"email": email}), is_held=True).email == email


def test_a_correction_that_lists_the_payments_removes_the_others() -> None:
    known = create(a_report(payments=(CARD, GIFT), lists_payments=True))
    assert (
        refusal(known, a_report(payments=({**CARD, "charge": "ok_new"},), lists_payments=True))
        is RefusalCode.CORRECTION
    )
    report = a_report(payments=(CARD,), lists_payments=True)
    assert charges(update(known, report)) == ["ok_card", "GC-1"], "without `correct`, no payment is removed"
    assert charges(update(known, replace(report, correct=True))) == ["ok_card"]
    assert refusal(known, replace(report, correct=True), is_held=True) is RefusalCode.HELD


# Further payments and duplicates


@pytest.mark.parametrize("is_held", [True, False])
def test_another_payment_next_to_a_known_payment_is_a_further_payment(is_held: bool) -> None:
    known = create(a_report())
    assert charges(update(known, a_report(payments=(CARD, GIFT)), is_held=is_held)) == ["ok_card", "GC-1"]
    assert charges(update(known, a_report(payments=(GIFT, CARD)), is_held=is_held)) == ["ok_card", "GC-1"]


def test_another_payment_in_a_later_row_of_the_same_file_is_a_further_payment() -> None:
    known = create(a_report())
    assert charges(update(known, a_report(payments=(GIFT,)), is_fresh=True)) == ["ok_card", "GC-1"]
    assert refusal(known, a_report(payments=(GIFT,))) is RefusalCode.CORRECTION


@pytest.mark.parametrize("fields", [{"amount": 3000}, {"amount": 3000, "method": "paypal"}, {}])
def test_a_further_payment_takes_absent_fields_from_the_first_payment_but_no_refund_and_no_dispute(
    fields: dict[str, Any],
) -> None:
    shown = Payment(**CARD, charged_at=NOON, instrument="fp_1", refunded=500, dispute=Dispute.OPEN, duplicate=True)  # type: ignore[arg-type]
    known = replace(create(a_report()), payments=(shown,))
    further = {"provider": "sandbox", "charge": "ok_second", **fields}
    _, second = update(known, a_report(payments=({"provider": "sandbox", "charge": "ok_card"}, further))).payments
    assert (second.refunded, second.dispute, second.duplicate, second.instrument) == (0, Dispute.NONE, False, None)
    assert (second.amount, second.currency) == (fields.get("amount", 7000), "EUR")


def test_a_payment_can_be_reported_later_as_the_duplicate() -> None:
    second = {**CARD, "charge": "ok_second"}
    known = create(a_report(payments=(CARD, second)))
    assert known.duplicates == ()
    told = update(known, a_report(fields={}, payments=({**second, "duplicate": True},)), is_held=True)
    assert [payment.charge for payment in told.duplicates] == ["ok_second"]
    assert told.amount == 14_000


# Merging


@pytest.mark.parametrize("order", list(permutations([CARD, GIFT, {**CARD, "charge": "ok_second"}])))
def test_rows_with_different_payments_name_each_payment(order: tuple[Mapping[str, object], ...]) -> None:
    merged = merge_reports([a_report(payments=(payment,)) for payment in order])
    assert [payment["charge"] for payment in merged.payments] == [payment["charge"] for payment in order]
    assert merged.lists_payments
    assert create(merged).amount == sum(int(str(payment["amount"])) for payment in order)


@pytest.mark.parametrize("later", [{"amount": 7100}, {"method": "apple_pay"}, {"currency": "USD"}, {"duplicate": True}])
def test_a_later_row_about_the_same_payment_replaces_the_earlier_fields(later: dict[str, Any]) -> None:
    merged = merge_reports([a_report(), a_report(payments=({**CARD, **later},))])
    assert merged.payments == ({**CARD, **later},)
    assert not merged.lists_payments


@pytest.mark.parametrize("name", ["product", "tax", "reported_dispute", "reported_refunded"])
def test_a_later_row_without_a_field_keeps_the_earlier_field(name: str) -> None:
    values: dict[str, Any] = {"product": "A", "tax": 1, "reported_dispute": Dispute.OPEN, "reported_refunded": 5}
    merged = merge_reports(
        [a_report(fields={**FIELDS, name: values[name]}), a_report(fields={"email": "ada@example.com"})]
    )
    assert merged.fields[name] == values[name]


def test_one_row_that_corrects_makes_the_merged_report_a_correction() -> None:
    assert merge_reports([a_report(), a_report(correct=True), a_report()]).correct


# Properties

amounts = st.integers(min_value=1, max_value=100_000)
payments = st.fixed_dictionaries(
    {
        "provider": st.sampled_from(["sandbox", "giftly"]),
        "charge": st.sampled_from(["ok_1", "ok_2", "ok_3"]),
        "amount": amounts,
        "currency": st.sampled_from(["EUR", "USD"]),
        "method": st.sampled_from(["credit_card", "gift_card"]),
    },
    optional={"duplicate": st.booleans()},
)
fields = st.fixed_dictionaries(
    {
        "email": st.sampled_from(["ada@example.com", "eve@example.com"]),
        "product": st.just("A"),
        "purchased_at": st.just(NOON),
    },
    optional={
        "reported_dispute": st.sampled_from(list(Dispute)),
        "reported_refunded": st.integers(0, 100),
        "tax": st.integers(0, 100),
    },
)
reports = st.builds(
    a_report,
    fields=fields,
    payments=st.lists(payments, min_size=1, max_size=3, unique_by=lambda item: (item["provider"], item["charge"])).map(
        tuple
    ),
    lists_payments=st.booleans(),
    correct=st.booleans(),
)


@given(first=reports, second=reports, is_held=st.booleans())
def test_a_report_that_is_repeated_changes_nothing(
    first: PurchaseReport, second: PurchaseReport, is_held: bool
) -> None:
    known = create(first)
    once = updated_purchase(known, second, is_held=is_held, is_fresh=False)
    if isinstance(once, Purchase):
        assert updated_purchase(once, second, is_held=is_held, is_fresh=False) == once


@given(first=reports, second=reports)
def test_while_a_case_is_open_no_known_payment_and_no_address_changes(
    first: PurchaseReport, second: PurchaseReport
) -> None:
    known = create(first)
    told = updated_purchase(known, second, is_held=True, is_fresh=False)
    if isinstance(told, Purchase):
        identities = [(payment.id, payment.amount, payment.currency) for payment in told.payments]
        assert identities[: len(known.payments)] == [(item.id, item.amount, item.currency) for item in known.payments]
        assert told.snapshot["address"] == known.snapshot["address"]


@given(first=reports, second=reports)
def test_without_a_correction_no_payment_is_lost_and_no_amount_changes(
    first: PurchaseReport, second: PurchaseReport
) -> None:
    known = create(first)
    told = updated_purchase(known, replace(second, correct=False), is_held=False, is_fresh=False)
    if isinstance(told, Purchase):
        after = {payment.id: (payment.amount, payment.currency) for payment in told.payments}
        assert {payment.id: (payment.amount, payment.currency) for payment in known.payments}.items() <= after.items()


@given(rows=st.lists(reports, min_size=1, max_size=4))
def test_the_rows_of_a_file_name_each_payment_once_and_lose_none(rows: list[PurchaseReport]) -> None:
    merged = merge_reports(rows)
    assert len(merged.payment_ids) == len(set(merged.payment_ids))
    assert set(merged.payment_ids) == {payment for row in rows for payment in row.payment_ids}
    assert merge_reports([merged, *rows[-1:]]).fields == merged.fields


@given(rows=st.lists(reports, min_size=1, max_size=4), order=st.randoms(use_true_random=False))
def test_the_order_of_rows_about_different_payments_does_not_change_the_amounts(
    rows: list[PurchaseReport], order: Any
) -> None:
    numbered = [
        replace(row, payments=tuple({**item, "charge": f"{item['charge']}-{number}"} for item in row.payments))
        for number, row in enumerate(rows)
    ]
    shuffled = order.sample(numbered, len(numbered))
    first, second = (create(merge_reports(some)) for some in (numbered, shuffled))
    assert {payment.id: payment.amount for payment in first.payments} == {
        payment.id: payment.amount for payment in second.payments
    }
