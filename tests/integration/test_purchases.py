"""Purchases from a file: bad rows are named by line, good ones are kept."""

import json
from pathlib import Path

from hypothesis import HealthCheck, given
from hypothesis import settings as how
from hypothesis import strategies as some

from producers.purchase_import import import_file, import_rows
from records import Records
from tests.sample_data import settle_in

GOOD = {
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


def test_json_lines_keep_what_is_good_and_name_what_is_not(records: Records, tmp_path: Path) -> None:
    settle_in(records)
    rows = [
        json.dumps(GOOD),
        "{this is no JSON",
        json.dumps(GOOD | {"reference": "MB-2", "email": "not an address"}),
        json.dumps(GOOD | {"reference": "MB-3", "seller": "nobody"}),
        "",
        json.dumps(GOOD | {"reference": "MB-4", "amount": 49.00001}),
        json.dumps(GOOD | {"reference": "MB-5", "purchased_at": "2026-06-01T12:00:00"}),
        json.dumps(GOOD | {"reference": "MB-6", "colour": "blue"}),
        json.dumps(GOOD | {"reference": "MB-7"}),
        json.dumps(["MB-8"]),
    ]
    file = tmp_path / "purchases.jsonl"
    file.write_text("\n".join(rows), encoding="utf-8")
    imported = import_file(records, file)
    assert (imported.new, imported.updated) == (2, 0)
    assert [bad.line for bad in imported.rejected] == [2, 3, 4, 6, 7, 8, 10]
    whys = {bad.line: bad.why for bad in imported.rejected}
    assert "not valid JSON" in whys[2]
    assert "e-mail address" in whys[3]
    assert "no seller 'nobody'" in whys[4]
    assert whys[6].startswith("amount: Input should be a valid integer")
    assert "timezone" in whys[7]
    assert whys[8].startswith("colour: ")


def test_a_csv_file_reads_the_same(records: Records, tmp_path: Path) -> None:
    settle_in(records)
    file = tmp_path / "purchases.csv"
    names = ",".join(GOOD)
    good, bad = (",".join(str(v) for v in (GOOD | change).values()) for change in ({}, {"amount": "49.00"}))
    file.write_text(f"\ufeff{names}\r\n{good}\r\n{bad}\r\n{good},and more\r\n", encoding="utf-8")
    imported = import_file(records, file)
    assert (imported.new, [one.line for one in imported.rejected]) == (1, [3, 4])


def test_a_file_taken_in_twice_changes_nothing_and_a_newer_one_brings_up_to_date(records: Records) -> None:
    settle_in(records)
    assert import_rows(records, [(1, GOOD)]).new == 1
    again = import_rows(records, [(1, GOOD | {"dispute": "open", "refunded": 10})])
    older = import_rows(records, [(1, GOOD)])
    assert (again.new, again.updated, older.updated) == (0, 1, 1)
    with records.work() as work:
        row = work.run("select dispute, refunded from purchases").one()
    assert tuple(row) == ("none", 10)  # what was refunded never shrinks


@how(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    row=some.dictionaries(
        some.sampled_from([*GOOD, "renewal", "consumer", "refunded", "instrument", "x"]),
        some.one_of(some.none(), some.booleans(), some.integers(), some.floats(), some.text(max_size=20)),
    )
)
def test_no_row_whatever_it_holds_stops_the_others(records: Records, row: dict[str, object]) -> None:
    settle_in(records)
    imported = import_rows(records, [(1, row), (2, GOOD | row), (3, GOOD | {"reference": "MB-last"})])
    assert imported.new + imported.updated + len(imported.rejected) in {2, 3}
    assert 3 not in {bad.line for bad in imported.rejected}


def private(records: Records) -> list[tuple[object, ...]]:
    with records.work() as work:
        return [tuple(row) for row in work.run("select licence_key, subscription from purchase_details")]


def test_what_is_private_comes_with_a_line_of_json_or_in_columns_of_csv(records: Records, tmp_path: Path) -> None:
    settle_in(records)
    assert import_rows(records, [(1, GOOD | {"details": {"licence_key": "ONE", "subscription": True}})]).new == 1
    assert private(records) == [("ONE", True)]
    file = tmp_path / "purchases.csv"
    names, cells = (",".join(map(str, part)) for part in (GOOD.keys(), GOOD.values()))
    file.write_text(
        f"{names},details.licence_key,details.subscription\n{cells},TWO,false\n{cells},,\n", encoding="utf-8"
    )
    assert import_file(records, file).rejected == []
    assert private(records) == [("TWO", False)]  # the last line tells nothing, and so takes nothing away


def test_a_private_word_that_is_not_right_is_not_repeated(records: Records) -> None:
    settle_in(records)
    imported = import_rows(records, [(1, GOOD | {"details": {"download_url": "http://files.example.com/SECRET"}})])
    assert "https" in imported.rejected[0].why
    assert "SECRET" not in imported.rejected[0].why
    assert private(records) == []
