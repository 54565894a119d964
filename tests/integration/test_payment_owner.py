"""A payment has one seller, and is refunded only if the provider shows it as the seller tells it."""

from typing import Any

import pytest

from config.signed_links import Purpose
from tests.integration._shop_fixtures import EMAIL, SELLERS, Shop, a_body, a_charge, amounts_on, several_payments

EVE = "eve@example.com"

# Another seller's payment


@pytest.mark.parametrize(
    "changes",
    [
        {"email": EVE},
        {"email": EVE, "amount": 1},
        {"email": EVE, "correct": True},
        {"email": EVE, "product": "Difference Engine", "method": "paypal"},
        {},
    ],
)
@pytest.mark.parametrize("reference", ["MB-2026-0417", "DE-1"])
def test_another_sellers_payment_cannot_be_told(shop: Shop, reference: str, changes: dict[str, Any]) -> None:
    charge = shop.tell("MB-2026-0417")
    answer = shop.put(reference, "babbage", **a_body(charge=charge) | changes)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "purchase_differs")
    assert "belongs to another seller" in answer.json()["detail"]
    assert "aurora" not in answer.text.lower()
    case = shop.ask(reference, EVE, seller="babbage", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge), shop.purchases("babbage")) == ("unmatched", [], [])
    evidence = {"provider": "sandbox", "charge": charge}
    assert shop.tasks("payment_of_other_seller") == [
        {"seller": "aurora"} | evidence,
        {"seller": "babbage", "reference": reference} | evidence,
    ]


@pytest.mark.parametrize("way", ["a further payment", "a correction", "a list of payments", "an import"])
def test_another_sellers_payment_cannot_join_a_known_purchase(shop: Shop, way: str) -> None:
    charge = shop.tell("MB-2026-0417")
    body = a_body(email=EVE)
    shop.put("DE-1", "babbage", **body)
    own = {name: body[name] for name in ("provider", "charge", "amount")}
    foreign = own | {"charge": charge}
    if way == "an import":
        assert len(shop.import_rows(body | {"reference": "DE-1", "charge": charge}, seller="babbage").rejected) == 1
    else:
        told: dict[str, Any] = {"payments": [own, foreign] if way == "a list of payments" else [foreign]}
        told |= {"correct": True} if way == "a correction" else {}
        assert shop.put("DE-1", "babbage", **told).status_code == 409
    assert [payment.charge for payment in shop.purchase("DE-1", "babbage").payments] == [body["charge"]]
    assert len(shop.tasks("payment_of_other_seller")) == 2


@pytest.mark.parametrize("correct", [True, False])
@pytest.mark.parametrize("named_by", ["charge", "provider"])
def test_another_sellers_payment_cannot_be_named_by_half_of_its_id(shop: Shop, named_by: str, correct: bool) -> None:
    charge = shop.tell("MB-2026-0417")
    body = a_body(email=EVE) if named_by == "charge" else a_body(email=EVE, provider="giftly", charge=charge)
    shop.put("DE-1", "babbage", **body)
    half = {"charge": charge} if named_by == "charge" else {"provider": "sandbox"}
    assert shop.put("DE-1", "babbage", **half, correct=correct).status_code == 422
    assert len(shop.import_rows({"reference": "DE-1", "correct": correct} | half, seller="babbage").rejected) == 1
    case = shop.ask("DE-1", EVE, seller="babbage", trusted=True)
    shop.process()
    assert shop.refunds(charge) == []
    assert shop.purchase("DE-1", "babbage").payments[0].id == (body["provider"], body["charge"])
    assert shop.state(case) == ("refunded" if named_by == "charge" else "with_support")


@pytest.mark.parametrize("owner", list(SELLERS))
def test_the_provider_decides_whose_a_payment_is_that_the_wrong_seller_told_first(shop: Shop, owner: str) -> None:
    (wrong,) = SELLERS.keys() - {owner}
    charge = shop.register(a_charge(), metadata={"seller": owner})
    shop.tell("DE-1", wrong, email=EVE, charge=charge)
    assert shop.put("MB-2026-0417", owner, **a_body(charge=charge)).status_code == 409
    case = shop.ask("DE-1", EVE, seller=wrong, trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["other_seller"])
    assert shop.refunds(charge) == []


@pytest.mark.parametrize("seller", ["closed-shop", "AURORA", "aurora-eu", "babbage "])
def test_a_payment_whose_metadata_names_another_seller_is_not_refunded(shop: Shop, seller: str) -> None:
    charge = shop.register(a_charge(), metadata={"seller": seller})
    shop.tell("MB-2026-0417", charge=charge)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case), shop.refunds(charge)) == ("with_support", ["other_seller"], [])


@pytest.mark.parametrize(
    "refused",
    [
        {"email": EVE, "product": None},  # a new purchase needs a product
        {"email": EVE, "purchased_at": None},
        {"email": EVE, "amount": None, "currency": None},
    ],
)
def test_a_refused_purchase_takes_no_payment_from_its_seller(shop: Shop, refused: dict[str, Any]) -> None:
    charge = a_charge()
    assert shop.put("DE-1", "babbage", **a_body(**refused | {"charge": charge})).status_code == 422
    shop.tell("MB-2026-0417", charge=charge)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])


@pytest.mark.parametrize("changes", [{"email": EVE}, {"amount": 900}, {"charge": None, "payments": "another"}])
def test_a_refused_correction_takes_no_payment_from_its_seller(shop: Shop, changes: dict[str, Any]) -> None:
    charge, body = a_charge(), a_body()
    shop.put("DE-1", "babbage", **body)
    told = body | changes | {"charge": charge}
    if changes.get("payments"):
        told = {
            "email": EVE,
            "payments": [{"provider": "sandbox", "charge": charge, "amount": 4900, "currency": "EUR"}],
        }
    assert shop.put("DE-1", "babbage", **told).status_code == 409
    assert shop.put("MB-2026-0417", **a_body(charge=charge)).status_code == 201


@pytest.mark.parametrize("lists_payments", [True, False])
def test_a_seller_who_corrects_the_charge_gives_the_payment_to_its_true_seller(
    shop: Shop, lists_payments: bool
) -> None:
    charge, body = a_charge(), a_body(email=EVE)
    shop.put("DE-1", "babbage", **body | {"charge": charge})
    assert shop.put("MB-2026-0417", **a_body(charge=charge)).status_code == 409
    own = {name: body[name] for name in ("provider", "charge", "amount", "currency", "method")}
    corrected: dict[str, Any] = {"payments": [own]} if lists_payments else own
    assert shop.put("DE-1", "babbage", **corrected, correct=True).status_code == 200
    assert shop.put("MB-2026-0417", **a_body(charge=charge)).status_code == 201
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])


@pytest.mark.parametrize("amount", [4900, 1000])
def test_a_payment_with_a_refund_keeps_its_seller_after_a_correction(shop: Shop, amount: int) -> None:
    charge = shop.register(a_charge())
    shop.tell("DE-1", "babbage", charge=charge)
    shop.refund_by_hand(charge, amount)
    assert shop.put("DE-1", "babbage", provider="sandbox", charge=a_charge(), correct=True).status_code == 200
    assert shop.put("MB-2026-0417", **a_body(charge=charge)).status_code == 409


# What the provider shows


@pytest.mark.parametrize(
    ("told", "shown"),
    [
        ((1, "EUR"), (4900, "EUR")),
        ((4899, "EUR"), (4900, "EUR")),
        ((4_900_000, "EUR"), (4900, "EUR")),
        ((4900, "EUR"), (4900, "JPY")),
        ((4900, "USD"), (4900, "EUR")),
        ((4500, "EUR"), (4900, "USD")),
        ((4900, "JPY"), (4900, "EUR")),
    ],
)
def test_another_amount_or_currency_than_the_provider_shows_is_not_refunded(
    shop: Shop, told: tuple[int, str], shown: tuple[int, str]
) -> None:
    charge = shop.register(a_charge(), *shown)
    shop.tell("MB-2026-0417", charge=charge, amount=told[0], currency=told[1])
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["payment_differs"])
    assert shop.refunds(charge) == []


@pytest.mark.parametrize("told", ["credit_card", "paypal", "apple_pay"])
@pytest.mark.parametrize("shown", ["direct_debit", "invoice", "wire_transfer", "konbini"])
def test_a_payment_that_the_provider_shows_with_a_method_of_other_rules_is_not_refunded(
    shop: Shop, told: str, shown: str
) -> None:
    charge = shop.register(a_charge(), method=shown)
    shop.tell("MB-2026-0417", charge=charge, method=told)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case), shop.refunds(charge)) == ("with_support", ["payment_differs"], [])


@pytest.mark.parametrize(
    ("told", "shown"),
    [("credit_card", "credit_card"), ("credit_card", None), ("credit_card", "apple_pay"), ("apple_pay", "credit_card")],
)
def test_the_name_of_a_wallet_or_its_card_stops_no_refund(shop: Shop, told: str, shown: str | None) -> None:
    charge = shop.register(a_charge(), method=shown)
    shop.tell("MB-2026-0417", charge=charge, method=told)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])


@pytest.mark.parametrize("status", ["voided", "authorized", "failed"])
@pytest.mark.parametrize("is_registered", [True, False])
def test_a_payment_that_was_not_captured_is_named_at_once(shop: Shop, status: str, is_registered: bool) -> None:
    behaviour = {"failed": "unpaid"}.get(status, status)
    charge = shop.register(a_charge(), status=status) if is_registered else a_charge(behaviour)
    shop.tell("MB-2026-0417", charge=charge)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case), shop.details(case)) == ("with_support", ["not_captured"], status)


def test_a_payment_that_the_provider_does_not_know_is_named_at_once(shop: Shop) -> None:
    charge = shop.tell("MB-2026-0417", charge=a_charge("missing"))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case), shop.refunds(charge)) == ("with_support", ["provider_declined"], [])


@pytest.mark.parametrize("amount", [1000, 1, 4899])
def test_support_sees_the_part_that_was_refunded_by_hand(shop: Shop, amount: int) -> None:
    charge = shop.register(a_charge())
    shop.tell("MB-2026-0417", charge=charge)
    shop.post_to_sandbox("/v1/dashboard/refunds", {"charge": charge, "amount": amount, "currency": "EUR"})
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["refunded_elsewhere"])
    assert f"{amount / 100:.2f} EUR" in shop.details(case)
    assert shop.refunds(charge) == [(amount, "succeeded")]
    shop.process_again()
    assert shop.purchase("MB-2026-0417").refunded == amount


def test_only_the_part_of_an_order_that_differs_stops_the_order(shop: Shop) -> None:
    first, second = shop.register(a_charge(), 3000), shop.register(a_charge(), 7001)
    parts = [
        {"provider": "sandbox", "charge": charge, "amount": sum_} for charge, sum_ in ((first, 3000), (second, 7000))
    ]
    shop.put("MB-2026-0417", **several_payments(*parts))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["payment_differs"])
    assert (shop.refunds(first), shop.refunds(second)) == ([(3000, "succeeded")], [])


# Two sellers with the same reference, and requests that join


@pytest.mark.parametrize(("first", "second"), [("1001", "1001"), ("INV-1001", "inv 1001"), ("#1001", "1001")])
def test_the_common_form_asks_both_sellers_that_know_the_reference_and_the_address(
    shop: Shop, first: str, second: str
) -> None:
    charges = [shop.tell(first), shop.tell(second, "babbage", product="Difference Engine", amount=9900)]
    asked = shop.ask("1001" if "I" not in first else "inv1001", seller=None)
    shop.process()
    with shop.records.work() as work:
        cases = {row.seller_id: row.id for row in work.run("select id, seller_id from cases")}
    assert asked in cases.values()
    assert {seller: shop.state(case) for seller, case in cases.items()} == dict.fromkeys(
        SELLERS, "awaiting_confirmation"
    )
    mails = shop.mails()
    assert len(mails) == 2
    for name in SELLERS.values():
        assert [name in mail for mail in mails].count(True) == 1
    assert amounts_on(shop.page(Purpose.CONFIRM, cases["babbage"])) == {"€99.00"}
    shop.confirm(cases["babbage"])
    shop.process()
    assert [shop.refunds(charge) for charge in charges] == [[], [(9900, "succeeded")]]


def test_the_form_of_a_seller_asks_only_this_seller(shop: Shop) -> None:
    shop.tell("1001")
    shop.tell("1001", "babbage")
    case = shop.ask("1001", seller="babbage")
    shop.process()
    with shop.records.work() as work:
        assert [(row.id, row.seller_id) for row in work.run("select id, seller_id from cases")] == [(case, "babbage")]


@pytest.mark.parametrize("seller", ["aurora", None])
def test_a_trusted_request_joins_and_confirms_a_waiting_anonymous_request(shop: Shop, seller: str | None) -> None:
    charge = shop.tell("MB-2026-0417")
    waiting = shop.ask("MB-2026-0417", seller=seller)
    shop.process()
    assert shop.state(waiting) == "awaiting_confirmation"
    trusted = shop.ask("mb 2026 0417", trusted=True)
    shop.process()
    assert (shop.state(waiting), shop.state(trusted)) == ("refunded", "duplicate")
    assert shop.refunds(charge) == [(4900, "succeeded")]


@pytest.mark.parametrize("email", [EVE, "ada+1@example.com"])
def test_a_trusted_request_with_another_address_confirms_nothing(shop: Shop, email: str) -> None:
    charge = shop.tell("MB-2026-0417")
    waiting = shop.waiting_case("MB-2026-0417")
    trusted = shop.ask("MB-2026-0417", email, trusted=True)
    shop.process()
    assert (shop.state(waiting), shop.state(trusted)) == ("awaiting_confirmation", "unmatched")
    assert shop.refunds(charge) == []


def tell_a_double_charge(shop: Shop) -> list[str]:
    """Tell a purchase with two payments, the second of which is a duplicate. Return the charges."""
    charges = [a_charge(), a_charge()]
    parts = [
        {"provider": "sandbox", "charge": charge, "amount": 4900, "duplicate": charge == charges[1]}
        for charge in charges
    ]
    shop.put("MB-2026-0417", **several_payments(*parts))
    return charges


@pytest.mark.parametrize(
    ("asked", "state", "refunded"),
    [
        ({"refund_scope": "partial"}, "with_support", []),
        ({"refund_scope": "vat"}, "with_support", []),
        ({"reason": "duplicate_order"}, "refunded", [1]),
        ({"refund_scope": "partial", "reason": "duplicate_order"}, "with_support", []),
    ],
)
def test_a_trusted_request_for_less_confirms_no_anonymous_request_for_all(
    shop: Shop, asked: dict[str, Any], state: str, refunded: list[int]
) -> None:
    charges = tell_a_double_charge(shop)
    waiting = shop.waiting_case("MB-2026-0417")
    trusted = shop.ask("MB-2026-0417", trusted=True, **asked)
    shop.process()
    assert (shop.state(trusted), shop.state(waiting)) == (state, "duplicate")
    assert [number for number, charge in enumerate(charges) if shop.refunds(charge)] == refunded
    assert shop.confirm(waiting).status_code == 409


def test_a_trusted_request_for_all_is_not_reduced_to_an_anonymous_request_for_the_duplicate(shop: Shop) -> None:
    charges = tell_a_double_charge(shop)
    waiting = shop.ask("MB-2026-0417", reason="duplicate_order")
    shop.process()
    trusted = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(trusted), shop.state(waiting)) == ("refunded", "duplicate")
    assert [shop.refunds(charge) for charge in charges] == [[(4900, "succeeded")], [(4900, "succeeded")]]


@pytest.mark.parametrize("scope", ["partial", "vat"])
@pytest.mark.parametrize("seller", ["aurora", None])
def test_an_anonymous_request_for_a_part_holds_no_trusted_request_up(
    shop: Shop, seller: str | None, scope: str
) -> None:
    charge = shop.tell("MB-2026-0417")
    anonymous = shop.ask("MB-2026-0417", seller=seller, refund_scope=scope)
    shop.process()
    assert shop.state(anonymous) == "with_support"
    trusted = shop.ask("MB-2026-0417", EMAIL, trusted=True)
    shop.process()
    assert (shop.state(trusted), shop.state(anonymous)) == ("refunded", "duplicate")
    assert shop.refunds(charge) == [(4900, "succeeded")]
    assert shop.open_tasks() == []


def test_a_trusted_request_for_a_part_is_not_superseded(shop: Shop) -> None:
    charge = shop.tell("MB-2026-0417")
    first = shop.ask("MB-2026-0417", trusted=True, refund_scope="partial")
    second = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(first), shop.state(second), shop.refunds(charge)) == ("with_support", "duplicate", [])
