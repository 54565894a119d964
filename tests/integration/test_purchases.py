"""Tests of the import of purchases: valid rows are stored, and invalid rows are reported with their line number."""

import json
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from config.settings import Settings
from domain.errors import UnreadableError
from producers.purchase_files.reader import Options, PurchaseFile
from producers.purchase_import import EVENT, UNKNOWN_PAYMENT, ImportResult, import_rows
from records import Records
from tests.integration.test_console import moneyback
from tests.sample_data import a_seller, store_seller_and_purchases
from tests.unit.test_purchase_files import PAYPAL_CELLS, REFUND_CELLS, STRIPE_CELLS, WOO_CELLS, table

SAMPLES = Path(__file__).parents[1] / "purchase_files"

VALID_ROW = {
    "seller": "aurora",
    "reference": "MB-1",
    "email": "ada@example.com",
    "product": "Aurora Photo 4",
    "amount": 4900,
    "currency": "EUR",
    "method": "credit_card",
    "provider": "sandbox",
    "charge": "ok_1",
    "purchased_at": "2026-06-01T12:00:00+02:00",
}


def import_file(records: Records, path: Path, **options: Any) -> ImportResult:
    """Import a file of a seller in Berlin."""
    return import_rows(records, PurchaseFile(path, Options(**options), {"aurora": ZoneInfo("Europe/Berlin")}).rows())


def stored_purchases(records: Records) -> int:
    with records.work() as work:
        return int(work.run("select count(*) from purchases").scalar_one())


def test_valid_json_lines_are_imported_and_invalid_lines_are_rejected(records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    rows = [
        json.dumps(VALID_ROW),
        "{this is no JSON",
        json.dumps(VALID_ROW | {"reference": "MB-2", "email": "not an address"}),
        json.dumps(VALID_ROW | {"reference": "MB-3", "seller": "nobody"}),
        "",
        json.dumps(VALID_ROW | {"reference": "MB-4", "amount": 49.00001}),
        json.dumps(VALID_ROW | {"reference": "MB-5", "purchased_at": "some day"}),
        json.dumps(VALID_ROW | {"reference": "MB-6", "colour": "blue"}),
        json.dumps(VALID_ROW | {"reference": "MB-7"}),
        json.dumps(["MB-8"]),
    ]
    file = tmp_path / "purchases.jsonl"
    file.write_text("\n".join(rows), encoding="utf-8")
    imported = import_file(records, file)
    assert (imported.new, imported.known) == (2, 0)
    assert [rejected_row.line for rejected_row in imported.rejected] == [2, 3, 4, 6, 7, 8, 10]
    reasons = {rejected_row.line: rejected_row.why for rejected_row in imported.rejected}
    assert "not valid JSON" in reasons[2]
    assert "e-mail address" in reasons[3]
    assert "no seller 'nobody'" in reasons[4]
    assert reasons[6] == "amount: '49.00001' has more decimals than EUR."
    assert reasons[7].startswith("purchased_at: 'some day' is not a date")
    assert reasons[8].startswith("colour: ")


def test_a_csv_file_is_imported_like_json_lines(records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    file = tmp_path / "purchases.csv"
    names = ",".join(VALID_ROW)
    valid_line, invalid_line = (
        ",".join(str(v) for v in (VALID_ROW | change).values()) for change in ({}, {"amount": "much"})
    )
    file.write_text(f"\ufeff{names}\r\n{valid_line}\r\n{invalid_line}\r\n{valid_line},and more\r\n", encoding="utf-8")
    imported = import_file(records, file)
    assert (imported.new, [rejected_row.line for rejected_row in imported.rejected]) == (1, [3, 4])


def test_a_repeated_import_updates_the_purchase(records: Records) -> None:
    store_seller_and_purchases(records)
    assert import_rows(records, [(1, VALID_ROW)]).new == 1
    with_dispute = import_rows(records, [(1, VALID_ROW | {"dispute": "open", "refunded": 10})])
    without_dispute = import_rows(records, [(1, VALID_ROW)])
    assert (with_dispute.new, with_dispute.known, without_dispute.known) == (0, 1, 1)
    with records.work() as work:
        row = work.run("select reported_dispute, reported_refunded from purchases").one()
    assert tuple(row) == ("open", 10)  # an absent field keeps its value


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    row=st.dictionaries(
        st.sampled_from([*VALID_ROW, "renewal", "consumer", "refunded", "instrument", "x"]),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    )
)
def test_an_invalid_row_does_not_stop_the_import(records: Records, row: dict[str, object]) -> None:
    store_seller_and_purchases(records)
    imported = import_rows(records, [(1, row), (2, VALID_ROW | row), (3, VALID_ROW | {"reference": "MB-last"})])
    assert imported.new + imported.known + len(imported.rejected) in {2, 3}
    assert 3 not in {rejected_row.line for rejected_row in imported.rejected}


def stored_details(records: Records) -> list[tuple[object, ...]]:
    with records.work() as work:
        return [tuple(row) for row in work.run("select licence_key, subscription from purchase_details")]


def test_private_details_are_imported_from_json_and_csv(records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    assert import_rows(records, [(1, VALID_ROW | {"details": {"licence_key": "ONE", "subscription": True}})]).new == 1
    assert stored_details(records) == [("ONE", True)]
    file = tmp_path / "purchases.csv"
    names, cells = (",".join(map(str, values)) for values in (VALID_ROW.keys(), VALID_ROW.values()))
    file.write_text(
        f"{names},details.licence_key,details.subscription\n{cells},TWO,false\n{cells},,\n", encoding="utf-8"
    )
    assert import_file(records, file).rejected == []
    assert stored_details(records) == [("TWO", False)]  # the empty cells of the last line change nothing


def test_an_error_does_not_repeat_an_invalid_private_value(records: Records) -> None:
    store_seller_and_purchases(records)
    imported = import_rows(records, [(1, VALID_ROW | {"details": {"download_url": "http://files.example.com/SECRET"}})])
    assert "https" in imported.rejected[0].why
    assert "SECRET" not in imported.rejected[0].why
    assert stored_details(records) == []


@pytest.mark.parametrize(
    ("name", "new"),
    [
        ("stripe_unified_payments.csv", 4),
        ("stripe_payments_older.csv", 2),
        ("paypal_activity_english.csv", 3),
        ("paypal_activity_german.csv", 1),
        ("woocommerce_orders.csv", 2),
        ("woocommerce_orders_tabs.csv", 2),
        ("woocommerce_orders.json", 2),
        ("shopify_orders.csv", 4),
    ],
)
def test_the_exports_of_other_systems_are_imported(records: Records, name: str, new: int) -> None:
    store_seller_and_purchases(records)
    options = {"system": name.partition("_")[0], "values": {"seller": "aurora"}}
    first, second = (import_file(records, SAMPLES / name, **options) for _ in range(2))
    assert (first.new, first.known, first.rejected) == (new, 0, [])
    assert (second.new, second.known, second.rejected) == (0, new, [])
    assert stored_purchases(records) == new


@pytest.mark.parametrize(
    "end",
    [
        b"\xff\xfe,x\n" + "für ".encode() * 3,
        b"\0\n",
        b'"aurora,MB-3\n',
        b'aurora,"MB "3"\n',
        b"aurora,MB-9,,,9.99,EUR,,,,\n",
    ],
    ids=["encoding", "NUL", "unclosed quote", "quote", "two kinds of amounts"],
)
def test_nothing_is_kept_of_a_file_with_a_fault_at_its_end(records: Records, tmp_path: Path, end: bytes) -> None:
    store_seller_and_purchases(records)
    file = tmp_path / "purchases.csv"
    lines = [",".join(str(v) for v in (VALID_ROW | {"reference": f"MB-{n}"}).values()) for n in range(2_500)]
    file.write_bytes("\n".join([",".join(VALID_ROW), *lines, ""]).encode() + end)
    with pytest.raises(UnreadableError, match=r"[Ll]ine"):
        import_file(records, file)
    assert stored_purchases(records) == 0


def import_export(records: Records, tmp_path: Path, system: str, *rows: dict[str, str], **values: str) -> ImportResult:
    """Import an export of another system with these rows."""
    (tmp_path / "export.csv").write_text(table(*rows))
    return import_file(records, tmp_path / "export.csv", system=system, values={"seller": "aurora", **values})


def what_is_known(records: Records, reference: str) -> tuple[int, str]:
    """Return the sum of the refunds and the dispute of a purchase of the seller aurora."""
    with records.work() as work:
        (purchase,) = work.purchases.with_references([("aurora", reference)])
    assert purchase is not None
    return purchase.refunded, str(purchase.dispute)


ABOUT_PAYPAL = REFUND_CELLS | {"Reference Txn ID": PAYPAL_CELLS["Transaction ID"]}
WOO_REFUND = WOO_CELLS | {"order_number": "9990", "order_id": "9990", "order_total": "-12.50"}


@pytest.mark.parametrize(
    ("system", "june", "july", "expected"),
    [
        ("paypal", PAYPAL_CELLS, [ABOUT_PAYPAL | {"Type": "Payment Refund"}], (2000, "none")),
        ("paypal", PAYPAL_CELLS, [ABOUT_PAYPAL | {"Type": "Payment Refund"}] * 2, (4000, "none")),
        ("paypal", PAYPAL_CELLS, [REFUND_CELLS | {"Type": "Payment Refund", "Reference Txn ID": ""}], (2000, "none")),
        ("paypal", PAYPAL_CELLS, [ABOUT_PAYPAL | {"Type": "Chargeback"}], (0, "lost")),
        ("paypal", PAYPAL_CELLS, [ABOUT_PAYPAL | {"Type": "Hold for Dispute Investigation"}], (0, "open")),
        (
            "paypal",
            PAYPAL_CELLS,
            [ABOUT_PAYPAL | {"Type": "Payment Refund"}, ABOUT_PAYPAL | {"Type": "Chargeback"}],
            (2000, "lost"),
        ),
        ("woocommerce", WOO_CELLS, [WOO_REFUND | {"parent_order_id": "9741"}], (1250, "none")),
        ("woocommerce", WOO_CELLS, [WOO_REFUND | {"parent_order_id": "741", "transaction_id": ""}], (1250, "none")),
        ("woocommerce", WOO_CELLS, [WOO_CELLS | {"order_total": "-49.00"}], (4900, "none")),
        ("stripe", STRIPE_CELLS, [STRIPE_CELLS | {"Amount": "-49.00"}], (4900, "none")),
        (
            "stripe",
            STRIPE_CELLS,
            [STRIPE_CELLS | {"id": "re_1", "Charge ID": "ch_1", "Amount": "-20.00"}],
            (2000, "none"),
        ),
        ("stripe", STRIPE_CELLS, [STRIPE_CELLS | {"Status": "Dispute lost"}], (0, "lost")),
    ],
)
def test_a_refund_or_dispute_in_a_later_file_is_added_to_the_known_purchase(
    records: Records,
    tmp_path: Path,
    system: str,
    june: dict[str, str],
    july: list[dict[str, str]],
    expected: tuple[int, str],
) -> None:
    store_seller_and_purchases(records)
    assert import_export(records, tmp_path, system, june).new == 1
    reference = {"paypal": "MB-1", "woocommerce": "741", "stripe": "ch_1"}[system]
    for _ in range(2):  # a file can be imported again
        imported = import_export(records, tmp_path, system, *july)
        assert (imported.new, imported.rejected) == (0, [])
        assert what_is_known(records, reference) == expected
    assert stored_purchases(records) == 1


def test_a_chargeback_that_is_reversed_in_a_later_file_is_won(records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    import_export(records, tmp_path, "paypal", PAYPAL_CELLS, ABOUT_PAYPAL | {"Type": "Chargeback", "Gross": "-49.00"})
    assert what_is_known(records, "MB-1") == (0, "lost")
    import_export(records, tmp_path, "paypal", ABOUT_PAYPAL | {"Type": "Chargeback Reversal", "Gross": "49.00"})
    assert what_is_known(records, "MB-1") == (0, "won")


def test_the_end_of_a_hold_in_a_later_file_wins_an_open_dispute_but_no_lost_dispute(
    records: Records, tmp_path: Path
) -> None:
    store_seller_and_purchases(records)
    hold = ABOUT_PAYPAL | {"Type": "Hold for Dispute Investigation"}
    end = ABOUT_PAYPAL | {"Type": "Cancellation of Hold for Dispute Resolution", "Gross": "20.00"}
    for row, dispute in ((PAYPAL_CELLS, "none"), (hold, "open"), (end, "won")):
        import_export(records, tmp_path, "paypal", row)
        assert what_is_known(records, "MB-1") == (0, dispute)
    for row in (ABOUT_PAYPAL | {"Type": "Chargeback"}, end):
        import_export(records, tmp_path, "paypal", row)
        assert what_is_known(records, "MB-1") == (0, "lost")


@pytest.mark.parametrize(
    ("system", "row"),
    [
        ("paypal", ABOUT_PAYPAL | {"Type": "Payment Refund"}),
        ("paypal", ABOUT_PAYPAL | {"Type": "Chargeback"}),
        ("woocommerce", WOO_REFUND | {"parent_order_id": "9741"}),
    ],
)
def test_a_refund_or_dispute_of_an_unknown_payment_is_counted(
    records: Records, tmp_path: Path, system: str, row: dict[str, str]
) -> None:
    store_seller_and_purchases(records)
    imported = import_export(records, tmp_path, system, row)
    assert (imported.new, imported.known, imported.rejected) == (0, 0, [])
    assert imported.no_purchases == {UNKNOWN_PAYMENT: 1}


@pytest.mark.parametrize("parent", ["", "0"])
def test_a_refund_of_woocommerce_that_names_no_order_is_refused(records: Records, tmp_path: Path, parent: str) -> None:
    store_seller_and_purchases(records)
    refund = WOO_REFUND | {"parent_order_id": parent, "transaction_id": ""}
    imported = import_export(records, tmp_path, "woocommerce", WOO_CELLS, refund)
    assert [(row.line, "Export the column parent_order_id" in row.why) for row in imported.rejected] == [(3, True)]
    assert what_is_known(records, "741") == (0, "none")


def test_a_refund_of_another_sellers_payment_changes_nothing(records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    store_seller_and_purchases(records, seller=a_seller(id="babbage"))
    import_export(records, tmp_path, "paypal", PAYPAL_CELLS)
    refund = ABOUT_PAYPAL | {"Type": "Payment Refund"}
    assert import_export(records, tmp_path, "paypal", refund, seller="babbage").no_purchases == {UNKNOWN_PAYMENT: 1}
    assert what_is_known(records, "MB-1") == (0, "none")


@pytest.mark.parametrize(
    "refund",
    [
        {},
        {"charge": "re_1"},
        {"charge": None, "provider": None},
        {"reference": "R-1"},
        {"dispute": "lost", "email": None, "product": None},
    ],
)
@pytest.mark.parametrize("is_newest_first", [False, True])
def test_a_row_with_a_negative_amount_is_the_refund_of_its_purchase(
    records: Records, refund: dict[str, object], is_newest_first: bool
) -> None:
    store_seller_and_purchases(records)
    rows = [VALID_ROW, VALID_ROW | {"amount": -2000} | refund, VALID_ROW | {"amount": -500} | refund]
    imported = import_rows(records, list(enumerate(rows[::-1] if is_newest_first else rows, start=1)))
    assert (imported.new, imported.known, imported.rejected) == (1, 0, [])
    assert imported.no_purchases == {EVENT: 2}
    assert what_is_known(records, str(VALID_ROW["reference"])) == (2500, str(refund.get("dispute", "none")))
    assert stored_purchases(records) == 1


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"amount": -4900}, "amount: The amount is negative, so the row is a refund, but its purchase is unknown."),
        ({"amount": -1, "charge": "ch_9", "reference": "MB-9"}, "amount: The amount is negative"),
        (
            {"amount": None, "charge": None, "payments": [{"provider": "sandbox", "charge": "c", "amount": -1}]},
            "payments: An amount is negative.",
        ),
    ],
)
def test_a_negative_amount_without_its_purchase_is_refused(records: Records, row: dict[str, object], why: str) -> None:
    store_seller_and_purchases(records)
    values = {name: value for name, value in (VALID_ROW | row).items() if value is not None}
    imported = import_rows(records, [(7, values)])
    assert [(rejected.line, rejected.why[: len(why)]) for rejected in imported.rejected] == [(7, why)]
    assert stored_purchases(records) == 0


def test_negative_rows_of_a_mapped_file_are_refunds(records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    order = {"Order": "17", "Mail": "ada@example.com", "Total": "49.00", "Txn": "ch_17", "Item": "Aurora Photo 4"}
    refund = order | {"Total": "-49.00"}
    (tmp_path / "orders.csv").write_text(table(refund, order, order | {"Order": "18", "Txn": "ch_18"}))
    mapping = {"reference": "Order", "email": "Mail", "amount": "Total", "charge": "Txn", "product": "Item"}
    values = {
        "seller": "aurora",
        "currency": "EUR",
        "method": "card",
        "provider": "stripe",
        "purchased_at": "2026-06-12",
    }
    imported = import_file(records, tmp_path / "orders.csv", columns=mapping, values=values)
    assert (imported.new, imported.rejected, imported.no_purchases) == (2, [], {EVENT: 1})
    assert [what_is_known(records, reference) for reference in ("17", "18")] == [(4900, "none"), (0, "none")]


def test_a_row_of_a_file_marks_the_payment_that_was_charged_twice(records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    rows = [{name: str(value) for name, value in VALID_ROW.items()} | {"duplicate": "no"}]
    rows.append(rows[0] | {"charge": "second", "duplicate": "yes"})
    (tmp_path / "purchases.csv").write_text(table(*rows))
    assert import_file(records, tmp_path / "purchases.csv").rejected == []
    with records.work() as work:
        (purchase,) = work.purchases.with_references([("aurora", str(VALID_ROW["reference"]))])
    assert purchase is not None
    assert [(payment.charge, payment.duplicate) for payment in purchase.payments] == [
        (VALID_ROW["charge"], False),
        ("second", True),
    ]
    in_payments = {"payments": [{"provider": "sandbox", "charge": "c", "amount": 1}], "duplicate": True}
    row = {name: value for name, value in VALID_ROW.items() if name not in {"amount", "charge"}} | in_payments
    assert "Mark the payment in payments" in import_rows(records, [(1, row)]).rejected[0].why


def test_the_command_counts_what_is_no_purchase_and_ends_with_exit_code_0(
    settings: Settings, records: Records, tmp_path: Path
) -> None:
    store_seller_and_purchases(records)
    paid = {"Type": "Express Checkout Payment", "Gross": "-9.00", "Invoice Number": "INV778", "Transaction ID": "8AB"}
    (tmp_path / "activity.csv").write_text(table(PAYPAL_CELLS, PAYPAL_CELLS | paid, ABOUT_PAYPAL | {"Type": "Refund"}))
    options = ("--from", "paypal", "--seller", "aurora", "--json")
    code, printed, _ = run_import(settings, tmp_path / "activity.csv", *options)
    assert code == 0
    assert json.loads(printed)["no_purchases"] == {
        "the row moves no money between you and a customer": 1,
        "the row is a refund or a dispute, and was added to the purchase of another row": 1,
    }
    (tmp_path / "activity.csv").write_text(table(ABOUT_PAYPAL | {"Type": "Chargeback"}))
    code, printed, _ = run_import(settings, tmp_path / "activity.csv", *options)
    assert (code, json.loads(printed)["no_purchases"]) == (0, {EVENT: 1})


def run_import(settings: Settings, file: Path, *options: str, **env: str) -> tuple[int, str, str]:
    run = moneyback(settings, "purchases", "import", str(file), *options, **env)
    return run.returncode, run.stdout, run.stderr


def test_the_command_imports_an_export_and_says_what_is_never_automatic(settings: Settings, records: Records) -> None:
    store_seller_and_purchases(records)
    options = ("--from", "shopify", "--seller", "aurora")
    code, printed, _ = run_import(settings, SAMPLES / "shopify_orders.csv", *options, "--dry-run")
    assert code == 0
    assert "4 new purchases, 0 known, 0 rows left out." in printed
    assert "4 of them could never be refunded automatically." in printed
    assert "'shopify_payments' is not connected" in printed
    assert "Nothing was kept" in printed
    assert stored_purchases(records) == 0
    code, printed, _ = run_import(
        settings, SAMPLES / "shopify_orders.csv", *options, "--json", MONEYBACK_PROVIDERS="paypal"
    )
    summary = json.loads(printed)
    assert (code, summary["new"], summary["dry_run"]) == (0, 4, False)
    assert summary["never_automatic"] == {"The provider 'shopify_payments' is not connected.": 3}
    assert summary["no_purchases"] == {"the order is not paid": 1}
    assert stored_purchases(records) == 4


def test_the_command_shows_the_first_refused_rows(settings: Settings, records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    file = tmp_path / "orders.csv"
    rows = "".join(f"MB-{n},ada@example.com,Aurora,{n}.00,EUR,card,Sandbox,ok_{n},not a day\n" for n in range(30))
    file.write_text(f"Order,Mail,Item,Total,Currency,Method,Provider,Charge,Date\n{rows}")
    mapping = {"reference": "Order", "email": "Mail", "product": "Item", "amount": "Total", "purchased_at": "Date"}
    options = [part for field, column in mapping.items() for part in ("--map", f"{field}={column}")]
    code, printed, _ = run_import(settings, file, "--seller", "aurora", *options)
    assert code == 1
    assert printed.count("purchased_at: 'not a day' is not a date") == 20
    assert "10 more rows are left out." in printed


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "Add --from stripe."),
        (("--from", "paypal"), "looks like the payments export of Stripe"),
        (("--map", "mail=Customer Email"), "did you mean 'email'"),
        (("--map", "email"), "has no value"),
        (("--set", "colour=blue"), "There is no field 'colour'"),
        (("--seller", "nobody"), "There is no seller 'nobody'"),
        (("--time-zone", "Berlin"), "There is no time zone 'Berlin'"),
        (("--from", "magento"), "'magento' is not one of"),
    ],
)
def test_a_fault_of_the_file_or_the_options_is_one_sentence_and_exit_code_2(
    settings: Settings, records: Records, options: tuple[str, ...], sentence: str
) -> None:
    store_seller_and_purchases(records)
    code, _, printed = run_import(settings, SAMPLES / "stripe_unified_payments.csv", *options)
    assert code == 2
    assert sentence in " ".join(printed.replace("│", " ").split())
    assert "Traceback" not in printed
    assert stored_purchases(records) == 0


def test_a_folder_or_a_missing_file_is_exit_code_2(settings: Settings, tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "missing.csv"):
        code, _, printed = run_import(settings, path)
        assert (code, "is not a file" in printed) == (2, True)
