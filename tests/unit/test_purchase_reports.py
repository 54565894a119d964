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
    EarlierRows,
    PurchaseReport,
    Refusal,
    RefusalCode,
    add_row,
    find_repeated_payment,
    new_purchase,
    report_of,
    updated_purchase,
)
from domain.purchases import Dispute, Payment, Purchase, PurchaseItem
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

ITEMS = (
    PurchaseItem(id="AP4", name="Aurora Photo 4", quantity=2, amount=6000, tax=958),
    PurchaseItem(id="AF", name="Aurora Fonts", quantity=1, amount=1000),
)


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


def update(known: Purchase, report: PurchaseReport, *, is_held: bool = False) -> Purchase:
    updated = updated_purchase(known, report, is_held=is_held, earlier=None)
    assert isinstance(updated, Purchase), updated
    return updated


def refusal(known: Purchase, report: PurchaseReport, *, is_held: bool = False) -> RefusalCode:
    refused = updated_purchase(known, report, is_held=is_held, earlier=None)
    assert isinstance(refused, Refusal), refused
    return refused.code


def read_file(*rows: PurchaseReport, known: Purchase | None = None) -> tuple[Purchase, list[str]]:
    """Return the purchase after the rows of a file, and the sentences about the refused rows."""
    earlier: EarlierRows | None = None if known else {}
    purchase = known or create(rows[0])
    refused = []
    for row in rows if known else rows[1:]:
        updated = updated_purchase(purchase, row, is_held=False, earlier=earlier)
        if isinstance(updated, Purchase):
            purchase, earlier = updated, add_row(purchase, row, earlier)
        else:
            refused.append(updated.sentence)
    return purchase, refused


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
    "purchase", [a_purchase(), a_purchase(dispute=Dispute.OPEN, refunded=100, tax=7, items=ITEMS, renewal=True)]
)
def test_the_report_of_a_purchase_creates_the_same_purchase(purchase: Purchase) -> None:
    assert create(report_of(purchase)) == purchase


# Absent fields

CHANGES: list[dict[str, Any]] = [
    {"product": "Aurora Studio"},
    {"consumer": False},
    {"renewal": True},
    {"tax": 782},
    {"items": ITEMS},
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


@pytest.mark.parametrize("items", [ITEMS[1:], ITEMS[::-1], (replace(ITEMS[0], quantity=1, amount=3000),), ()])
@pytest.mark.parametrize("is_held", [False, True])
def test_the_reported_items_replace_the_known_items_without_a_correction(
    items: tuple[PurchaseItem, ...], is_held: bool
) -> None:
    known = create(a_report(fields={**FIELDS, "items": ITEMS}))
    changed = update(known, a_report(fields={"items": items}), is_held=is_held)
    assert changed == replace(known, items=items)
    assert changed.snapshot == known.snapshot


def test_a_provider_does_not_replace_the_items_of_a_known_purchase() -> None:
    known = create(a_report(fields={**FIELDS, "items": ITEMS}))
    report = a_report(fields={**FIELDS, "items": ITEMS[:1]}, payments=(GIFT,), from_provider=True)
    assert update(known, report).items == ITEMS


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
    refused = updated_purchase(known, report, is_held=False, earlier=None)
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
    refused = updated_purchase(create(a_report()), report, is_held=True, earlier=None)
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
    purchase, _ = read_file(a_report(), a_report(payments=(GIFT,)), known=known)
    assert charges(purchase) == ["ok_card", "GC-1"]
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


def test_the_refusal_of_another_payment_says_how_to_keep_both_payments() -> None:
    refused = updated_purchase(create(a_report()), a_report(payments=(GIFT,)), is_held=False, earlier=None)
    assert isinstance(refused, Refusal)
    assert '"correct": true, which replaces the known payment' in refused.sentence
    assert "report all its payments together" in refused.sentence


@pytest.mark.parametrize("payment", [{**CARD, "amount": 900}, {**CARD, "currency": "USD"}, {**CARD, "amount": None}])
def test_the_refusal_of_another_amount_mentions_no_further_payment(payment: Mapping[str, object]) -> None:
    refused = updated_purchase(create(a_report()), a_report(payments=(payment,)), is_held=False, earlier=None)
    assert isinstance(refused, Refusal)
    assert '"correct": true, which replaces the known value' in refused.sentence
    assert "further payment" not in refused.sentence


@pytest.mark.parametrize("second", [CARD, {**CARD, "amount": 900}, {"provider": "sandbox", "charge": "ok_card"}])
@pytest.mark.parametrize("others", [(), (GIFT,)])
def test_a_report_that_lists_a_payment_twice_is_refused(
    second: Mapping[str, object], others: tuple[Mapping[str, object], ...]
) -> None:
    refused = find_repeated_payment(a_report(payments=(CARD, *others, second), lists_payments=True))
    assert refused
    assert refused.code is RefusalCode.REPEATED_PAYMENT
    assert "the payment ok_card at sandbox twice" in refused.sentence


@pytest.mark.parametrize(
    "second", [GIFT, {**CARD, "charge": "ok_second"}, {**CARD, "provider": "stripe"}, {"amount": 1}]
)
def test_a_report_may_list_different_payments(second: Mapping[str, object]) -> None:
    assert find_repeated_payment(a_report(payments=(CARD, second), lists_payments=True)) is None


# Rows of one file

SECOND: Mapping[str, object] = {**CARD, "charge": "ok_second"}


@pytest.mark.parametrize("order", list(permutations([CARD, GIFT, SECOND])))
def test_rows_with_different_payments_are_payments_of_one_order(order: tuple[Mapping[str, object], ...]) -> None:
    purchase, refused = read_file(*(a_report(payments=(payment,)) for payment in order))
    assert refused == []
    assert charges(purchase) == [payment["charge"] for payment in order]
    assert purchase.amount == sum(int(str(payment["amount"])) for payment in order)


CONTRADICTIONS: list[tuple[dict[str, Any], dict[str, Any], str]] = [
    ({"email": "bob@example.com"}, {}, "another e-mail address"),
    ({"email": "bob@example.com"}, {"charge": "ok_bob"}, "another e-mail address and the payment ok_card at sandbox"),
    ({}, {"amount": 2000}, "the amount 7000 EUR, not 2000 EUR"),
    ({}, {"amount": -7000}, "the amount 7000 EUR, not -7000 EUR"),
    ({}, {"currency": "USD"}, "the amount 7000 EUR, not 7000 USD"),
    ({}, {"method": "wire_transfer"}, "the method credit_card, not wire_transfer"),
    ({}, {"provider": "stripe"}, "the payment ok_card at sandbox"),
]


@pytest.mark.parametrize(("fields", "payment", "difference"), CONTRADICTIONS)
@pytest.mark.parametrize("is_known", [True, False])
def test_a_row_that_contradicts_an_earlier_row_is_refused_unless_it_corrects(
    fields: dict[str, Any], payment: dict[str, Any], difference: str, is_known: bool
) -> None:
    known = create(a_report()) if is_known else None
    first, later = a_report(), a_report(fields={**FIELDS, **fields}, payments=({**CARD, **payment},))
    purchase, refused = read_file(first, later, known=known)
    assert [sentence.partition(" is known with ")[2].partition(". ")[0] for sentence in refused] == [difference]
    assert replace(purchase, id=first.purchase_id) == create(first)
    corrected, refused = read_file(first, replace(later, correct=True), known=known)
    assert refused == []
    assert replace(corrected, id=later.purchase_id) == create(later)


def test_a_correction_of_one_payment_keeps_the_other_payments_of_the_file() -> None:
    moved = a_report(payments=({**CARD, "provider": "stripe"},), correct=True)
    purchase, refused = read_file(a_report(), a_report(payments=(GIFT,)), moved)
    assert (refused, [payment.id for payment in purchase.payments]) == (
        [],
        [("giftly", "GC-1"), ("stripe", "ok_card")],
    )


@pytest.mark.parametrize("name", ["product", "tax", "items", "reported_dispute", "reported_refunded"])
def test_a_later_row_without_a_field_keeps_the_earlier_field(name: str) -> None:
    values: dict[str, Any] = {
        "product": "A",
        "tax": 1,
        "items": ITEMS,
        "reported_dispute": Dispute.OPEN,
        "reported_refunded": 5,
    }
    first = a_report(fields={**FIELDS, name: values[name]})
    for payment in (CARD, GIFT):
        purchase, _ = read_file(first, a_report(fields={"email": "ada@example.com"}, payments=(payment,)))
        assert getattr(purchase, name) == values[name]


def rows_with(name: str, *values: tuple[Mapping[str, object], object]) -> list[PurchaseReport]:
    """Return a row for each payment and value. The value None is left out."""
    return [
        a_report(fields={**FIELDS, name: value} if value is not None else FIELDS, payments=(payment,))
        for payment, value in values
    ]


REFUNDED_ROWS: list[tuple[list[tuple[Mapping[str, object], object]], int]] = [
    ([(CARD, 4900), (SECOND, 0)], 4900),
    ([(CARD, 0), (SECOND, 4900)], 4900),
    ([(CARD, 4900), (SECOND, 2000), (GIFT, 1)], 6901),
    ([(CARD, 4900), (SECOND, None)], 4900),
    ([(CARD, None), (SECOND, 4900)], 4900),
    ([(CARD, 0), (SECOND, 0), (CARD, 4900)], 4900),
    ([(CARD, 4900), (SECOND, 100), (CARD, 1000)], 1100),
    ([(CARD, 4900), (CARD, 0)], 0),
]


@pytest.mark.parametrize(("values", "total"), REFUNDED_ROWS)
def test_the_refunds_of_the_payments_are_added(values: list[tuple[Mapping[str, object], object]], total: int) -> None:
    rows = rows_with("reported_refunded", *values)
    purchase, refused = read_file(*rows)
    assert (refused, purchase.reported_refunded) == ([], total)
    again, refused = read_file(*rows, known=purchase)
    assert (refused, again.reported_refunded) == ([], total), "the next import of the same rows changes nothing"


@pytest.mark.parametrize("row", [(SECOND, 0), (CARD, 0), (SECOND, 4900), (SECOND, None)])
def test_a_row_about_one_of_several_payments_does_not_lower_the_known_refunds(
    row: tuple[Mapping[str, object], object],
) -> None:
    known, _ = read_file(*rows_with("reported_refunded", (CARD, 4900), (SECOND, 0)))
    purchase, _ = read_file(*rows_with("reported_refunded", row), known=known)
    assert purchase.reported_refunded == 4900


def test_rows_about_all_payments_lower_the_known_refunds() -> None:
    known, _ = read_file(*rows_with("reported_refunded", (CARD, 4900), (SECOND, 100)))
    purchase, _ = read_file(*rows_with("reported_refunded", (CARD, 2000), (SECOND, 0)), known=known)
    assert purchase.reported_refunded == 2000


@pytest.mark.parametrize("report", [{"payments": ()}, {"payments": (CARD, SECOND), "lists_payments": True}])
@pytest.mark.parametrize("refunded", [0, 100, 9800])
def test_a_report_about_the_whole_purchase_tells_the_sum_of_the_refunds(report: dict[str, Any], refunded: int) -> None:
    known, _ = read_file(*rows_with("reported_refunded", (CARD, 4900), (SECOND, 0)))
    told = update(known, a_report(fields={"reported_refunded": refunded}, **report))
    assert told.reported_refunded == refunded


DISPUTED_ROWS: list[tuple[list[tuple[Mapping[str, object], object]], Dispute]] = [
    ([(CARD, Dispute.OPEN), (SECOND, Dispute.NONE)], Dispute.OPEN),
    ([(CARD, Dispute.OPEN), (SECOND, Dispute.WON)], Dispute.OPEN),
    ([(CARD, Dispute.LOST), (SECOND, Dispute.WON)], Dispute.LOST),
    ([(CARD, Dispute.INQUIRY), (SECOND, Dispute.WON)], Dispute.INQUIRY),
    ([(CARD, Dispute.INQUIRY), (SECOND, Dispute.LOST), (GIFT, Dispute.OPEN)], Dispute.OPEN),
    ([(CARD, Dispute.LOST), (SECOND, None)], Dispute.LOST),
    ([(CARD, Dispute.OPEN), (CARD, Dispute.WON)], Dispute.WON),
    ([(CARD, Dispute.OPEN), (SECOND, Dispute.NONE), (CARD, Dispute.NONE)], Dispute.NONE),
]


@pytest.mark.parametrize(("values", "dispute"), DISPUTED_ROWS)
def test_of_the_disputes_of_the_payments_the_most_serious_decides(
    values: list[tuple[Mapping[str, object], object]], dispute: Dispute
) -> None:
    rows = rows_with("reported_dispute", *values)
    purchase, refused = read_file(*rows)
    assert (refused, purchase.dispute) == ([], dispute)
    again, refused = read_file(*rows, known=purchase)
    assert (refused, again.dispute) == ([], dispute)


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
        "items": st.sampled_from([(), ITEMS, ITEMS[:1]]),
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
    once = updated_purchase(known, second, is_held=is_held, earlier=None)
    if isinstance(once, Purchase):
        assert updated_purchase(once, second, is_held=is_held, earlier=None) == once


@given(first=reports, second=reports)
def test_while_a_case_is_open_no_known_payment_and_no_address_changes(
    first: PurchaseReport, second: PurchaseReport
) -> None:
    known = create(first)
    told = updated_purchase(known, second, is_held=True, earlier=None)
    if isinstance(told, Purchase):
        identities = [(payment.id, payment.amount, payment.currency) for payment in told.payments]
        assert identities[: len(known.payments)] == [(item.id, item.amount, item.currency) for item in known.payments]
        assert told.snapshot["address"] == known.snapshot["address"]


@given(first=reports, second=reports)
def test_without_a_correction_no_payment_is_lost_and_no_amount_changes(
    first: PurchaseReport, second: PurchaseReport
) -> None:
    known = create(first)
    told = updated_purchase(known, replace(second, correct=False), is_held=False, earlier=None)
    if isinstance(told, Purchase):
        after = {payment.id: (payment.amount, payment.currency) for payment in told.payments}
        assert {payment.id: (payment.amount, payment.currency) for payment in known.payments}.items() <= after.items()


@given(rows=st.lists(reports, min_size=1, max_size=4))
def test_a_row_of_a_file_is_stored_or_refused(rows: list[PurchaseReport]) -> None:
    purchase, refused = read_file(*rows)
    if not refused and not any(row.correct for row in rows):
        told = {payment_id for row in rows for payment_id in row.payment_ids}
        assert {payment.id for payment in purchase.payments} == told


@given(values=st.permutations([CARD, GIFT, SECOND]), told=st.data())
def test_the_order_of_rows_about_different_payments_changes_neither_amounts_nor_refunds_nor_disputes(
    values: list[Mapping[str, object]], told: Any
) -> None:
    rows = [a_report(fields=told.draw(fields) | {"email": "ada@example.com"}, payments=(item,)) for item in values]
    forward, backward = read_file(*rows), read_file(*reversed(rows))
    assert forward[1] == backward[1] == []
    assert {item.id: item.amount for item in forward[0].payments} == {
        item.id: item.amount for item in backward[0].payments
    }
    assert (forward[0].reported_refunded, forward[0].dispute) == (backward[0].reported_refunded, backward[0].dispute)
    assert read_file(*rows, known=forward[0])[0] == forward[0]
