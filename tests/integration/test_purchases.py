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
from producers.purchase_import import ImportResult, import_rows
from records import Records
from tests.integration.test_console import moneyback
from tests.sample_data import store_seller_and_purchases

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
