"""Tests of the import of purchases: valid rows are stored, and invalid rows are reported with their line number."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from producers.purchase_import import import_file, import_rows
from records import Records
from tests.sample_data import store_seller_and_purchases

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


def test_valid_json_lines_are_imported_and_invalid_lines_are_rejected(records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    rows = [
        json.dumps(VALID_ROW),
        "{this is no JSON",
        json.dumps(VALID_ROW | {"reference": "MB-2", "email": "not an address"}),
        json.dumps(VALID_ROW | {"reference": "MB-3", "seller": "nobody"}),
        "",
        json.dumps(VALID_ROW | {"reference": "MB-4", "amount": 49.00001}),
        json.dumps(VALID_ROW | {"reference": "MB-5", "purchased_at": "2026-06-01T12:00:00"}),
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
    assert reasons[6].startswith("amount: Input should be a valid integer")
    assert "timezone" in reasons[7]
    assert reasons[8].startswith("colour: ")


def test_a_csv_file_is_imported_like_json_lines(records: Records, tmp_path: Path) -> None:
    store_seller_and_purchases(records)
    file = tmp_path / "purchases.csv"
    names = ",".join(VALID_ROW)
    valid_line, invalid_line = (
        ",".join(str(v) for v in (VALID_ROW | change).values()) for change in ({}, {"amount": "49.00"})
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
