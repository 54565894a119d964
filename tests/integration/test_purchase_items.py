"""The items of a purchase arrive by API and in files, are stored with the purchase, and are there when support decides."""

import json
from pathlib import Path
from typing import Any

import pytest

from domain.money import Money
from domain.purchases import PurchaseItem
from domain.refund_parts import RefundedParts, amount_of_items, left_of_purchase, split
from producers.purchase_files.paid_items import NOT_ADDED_UP
from producers.purchase_schema import MAX_ITEMS
from tests.integration._shop_fixtures import Shop, a_body
from tests.integration.test_purchases import SAMPLES, import_file, run_import
from tests.unit.test_purchase_files import SHOPIFY_ORDER, table

PHOTO = {"id": "AP4", "name": "Aurora Photo 4", "quantity": 2, "amount": 2900, "tax": 463}
FONTS = {"id": "AF", "name": "Aurora Fonts", "quantity": 1, "amount": 2000}
STORED = (
    PurchaseItem(id="AP4", name="Aurora Photo 4", quantity=2, amount=2900, tax=463),
    PurchaseItem(id="AF", name="Aurora Fonts", quantity=1, amount=2000),
)


@pytest.mark.parametrize("way", ["API", "import"])
def test_the_items_of_a_purchase_are_stored(shop: Shop, way: str) -> None:
    body = a_body(items=[PHOTO, FONTS])
    if way == "API":
        assert shop.put("MB-1", **body).status_code == 201
    else:
        assert shop.import_rows(body | {"reference": "MB-1"}).new == 1
    assert shop.purchase("MB-1").items == STORED


def test_items_are_replaced_as_a_whole_and_removed_by_an_empty_list(shop: Shop) -> None:
    body = a_body(items=[PHOTO, FONTS])
    shop.put("MB-1", **body)
    assert shop.put("MB-1", items=[FONTS]).status_code == 200
    assert shop.purchase("MB-1").items == STORED[1:]
    shop.put("MB-1", items=[])
    assert shop.purchase("MB-1").items == ()


def test_items_change_while_a_refund_request_is_open_and_the_refund_stays(shop: Shop) -> None:
    body = a_body(items=[PHOTO, FONTS])
    shop.put("MB-1", **body)
    case = shop.waiting_case("MB-1")
    assert shop.put("MB-1", items=[PHOTO | {"amount": 990_000}]).status_code == 200
    shop.confirm(case)
    assert shop.put("MB-1", items=[]).status_code == 200
    shop.process()
    assert (shop.state(case), shop.refunds(body["charge"])) == ("refunded", [(4900, "succeeded")])


def test_a_decision_has_the_items_of_its_purchase(shop: Shop) -> None:
    shop.put("MB-1", **a_body(items=[PHOTO, FONTS]))
    case = shop.waiting_case("MB-1")
    with shop.records.work() as work:
        assert work.decision_inputs.purchases([case])[case].items == STORED
        assert work.decision_inputs.matches([case])[case][0].items == STORED
        purchase = work.purchases.get(shop.purchase("MB-1").id)
        assert purchase
        half = amount_of_items(purchase, {"AP4": 1}, RefundedParts())
    (refund,) = split(half, purchase)
    assert (refund.amount, refund.refunded_before) == (Money(1450, "EUR"), 0)


@pytest.mark.parametrize(
    ("reserved", "refunded", "elsewhere", "left"),
    [
        (0, 0, 0, 4900),
        (900, 0, 0, 4000),
        (900, 900, 0, 4000),
        (1900, 900, 500, 2500),
        (900, 1000, 0, 3900),
        (4900, 0, 0, 0),
    ],
)
def test_what_is_left_of_a_payment_is_what_may_still_be_reserved(
    shop: Shop, reserved: int, refunded: int, elsewhere: int, left: int
) -> None:
    shop.put("MB-1", **a_body())
    with shop.records.work() as work:
        work.run(
            "update payments set captured = 4900, reserved = :reserved, refunded = :refunded, refunded_elsewhere = :elsewhere",
            reserved=reserved, refunded=refunded, elsewhere=elsewhere,
        )  # fmt: skip
    assert left_of_purchase(shop.purchase("MB-1")) == Money(left, "EUR")


INVALID: list[tuple[Any, str, str]] = [
    ([PHOTO | {"quantity": 0}], "#/items/0/quantity", "This must be 1 or more."),
    ([PHOTO | {"quantity": -1}], "#/items/0/quantity", "This must be 1 or more."),
    ([PHOTO | {"quantity": 1.5}], "#/items/0/quantity", "This must be a whole number."),
    ([PHOTO | {"quantity": "2"}], "#/items/0/quantity", "This must be a whole number."),
    ([PHOTO | {"quantity": True}], "#/items/0/quantity", "This must be a whole number."),
    ([PHOTO | {"amount": -1}], "#/items/0/amount", "This must be 0 or more."),
    ([PHOTO | {"amount": 29.0}], "#/items/0/amount", "This must be a whole number."),
    ([PHOTO | {"amount": 2**63}], "#/items/0/amount", "This must be 9223372036854775807 or less."),
    ([PHOTO | {"tax": 2901}], "#/items/0", "The tax of the item is more than its amount. The amount includes the tax."),
    ([FONTS, {"name": "No id", "quantity": 1, "amount": 1}], "#/items/1/id", "This is missing."),
    ([PHOTO | {"id": " "}], "#/items/0/id", "This must not be empty."),
    ([PHOTO | {"id": None}], "#/items/0/id", "This must be text."),
    (
        [PHOTO, FONTS | {"id": " AP4 "}],
        "#/items",
        "Two items have the id AP4. Give each item of the purchase another id.",
    ),
    ([PHOTO | {"name": "A" * 301}], "#/items/0/name", "This is too long: at most 300 characters."),
    ([PHOTO | {"currency": "USD"}], "#/items/0/currency", "This field is unknown. Leave it out."),
    (
        [FONTS | {"id": str(n), "name": "F"} for n in range(MAX_ITEMS + 1)],
        "#/items",
        "This has too many entries: at most 500.",
    ),
    (["AP4"], "#/items/0", ""),
    ({"AP4": 2}, "#/items", ""),
]


@pytest.mark.parametrize(("items", "pointer", "sentence"), INVALID)
def test_invalid_items_are_refused_with_a_sentence_and_lose_nothing(
    shop: Shop, items: Any, pointer: str, sentence: str
) -> None:
    body = a_body(items=[PHOTO, FONTS])
    shop.put("MB-1", **body)
    refused = shop.put("MB-1", **body | {"items": items, "product": "Another"})
    assert refused.status_code == 422
    (error,) = refused.json()["errors"]
    assert (error["pointer"], sentence in error["detail"]) == (pointer, True), error
    result = shop.import_rows(
        body | {"items": items, "reference": "MB-1", "product": "Another"}, a_body(reference="MB-2", items=[FONTS])
    )
    ((line, why),) = [(row.line, row.why) for row in result.rejected]
    assert (line, why.startswith("items")) == (1, True), why
    purchase = shop.purchase("MB-1")
    assert (purchase.product, purchase.items) == ("Aurora Photo 4", STORED)
    assert shop.purchase("MB-2").items == STORED[1:]


@pytest.mark.parametrize(
    "items",
    [
        [PHOTO | {"amount": 990_000}],  # more than the purchase: only the payments limit a refund
        [PHOTO | {"amount": 0, "tax": 0}],
        [PHOTO | {"quantity": 2**63 - 1}],
        [PHOTO | {"name": "<b>Photo</b> & 'Fonts' \\u0000 {{ 7 * 7 }} '; drop table purchases; --"}],
        [PHOTO | {"id": "写真/4 \U0001f4f7", "name": "写真"}],
        [FONTS | {"id": str(number), "name": "F"} for number in range(MAX_ITEMS)],
    ],
)
def test_strange_items_are_stored_as_they_are(shop: Shop, items: list[dict[str, Any]]) -> None:
    assert shop.put("MB-1", **a_body(items=items)).status_code == 201
    assert shop.purchase("MB-1").items == tuple(PurchaseItem(**item) for item in items)


def test_ten_thousand_items_are_too_many_for_a_call(shop: Shop) -> None:
    items = [FONTS | {"id": str(number)} for number in range(10_000)]
    assert shop.put("MB-1", **a_body(items=items)).status_code == 413


def test_a_column_of_a_csv_file_contains_items_as_json(shop: Shop, tmp_path: Path) -> None:
    row = {name: str(value) for name, value in a_body(seller="aurora", amount="49.00").items()}
    items = [PHOTO | {"amount": "29.00", "tax": "4.63"}, FONTS | {"amount": 20.00}]
    rows = [row | {"reference": "MB-1", "items": json.dumps(items)}]
    rows += [row | {"reference": "MB-2", "charge": "ok_2", "items": ""}]
    rows += [row | {"reference": "MB-3", "charge": "ok_3", "items": "2 x Aurora Photo 4"}]
    (tmp_path / "purchases.csv").write_text(table(*rows))
    result = import_file(shop.records, tmp_path / "purchases.csv")
    assert [(bad.line, bad.why.split(":")[0]) for bad in result.rejected] == [(4, "items")]
    assert "This is not valid JSON" in result.rejected[0].why
    assert (shop.purchase("MB-1").items, shop.purchase("MB-2").items) == (
        (STORED[0], PurchaseItem(id="AF", name="Aurora Fonts", quantity=1, amount=2000)),
        (),
    )


@pytest.mark.parametrize(
    ("name", "system", "reference", "ids"),
    [
        ("shopify_orders.csv", "shopify", "#1001", ["AP4", "AF"]),
        ("woocommerce_orders.json", "woocommerce", "727", ["315", "316"]),
        ("woocommerce_orders.csv", "woocommerce", "731", []),  # its prices are without tax
    ],
)
def test_the_items_of_an_export_are_stored(shop: Shop, name: str, system: str, reference: str, ids: list[str]) -> None:
    for _ in range(2):
        result = import_file(shop.records, SAMPLES / name, system=system, values={"seller": "aurora"})
        assert result.rejected == []
        assert [item.id for item in shop.purchase(reference).items] == ids


def test_an_export_with_uncertain_items_keeps_the_items_that_are_known(shop: Shop, tmp_path: Path) -> None:
    options = {"system": "shopify", "values": {"seller": "aurora"}}
    (tmp_path / "orders.csv").write_text(table(SHOPIFY_ORDER))
    import_file(shop.records, tmp_path / "orders.csv", **options)
    (tmp_path / "orders.csv").write_text(table(SHOPIFY_ORDER | {"Lineitem price": "40.00"}))
    assert import_file(shop.records, tmp_path / "orders.csv", **options).known == 1
    assert [item.amount for item in shop.purchase("#1001").items] == [4900]


def test_the_command_says_how_many_orders_have_no_items(shop: Shop, tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(table(SHOPIFY_ORDER | {"Total": "56.82"}))
    options = ("--from", "shopify", "--seller", "aurora", "--dry-run")
    code, printed, _ = run_import(shop.settings, tmp_path / "orders.csv", *options, "--json")
    assert (code, json.loads(printed)["without_items"]) == (0, {NOT_ADDED_UP: 1})
    _, printed, _ = run_import(shop.settings, tmp_path / "orders.csv", *options)
    assert "Purchases without their items" in printed
