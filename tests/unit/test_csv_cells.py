"""The cells of CSV files: no text becomes a formula, and a number stays a number."""

import csv
import io
from decimal import Decimal

import pytest

from domain.csv_cells import csv_cell, escape_formula


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        '=HYPERLINK("https://evil.example","refund")',
        "=cmd|' /C calc'!A0",
        "+49 30 1234",
        "-2+3",
        "@SUM(A1:A9)",
        "\t=1+1",
        "\r=1+1",
        "\n=1+1",
        "\0=1+1",
        "   =1+1",
        "\u00a0=1+1",
        "\u3000@SUM(A1)",
        "＝１＋１",
        "＋1",
        "－1",
        "＠SUM(A1)",
        "\tplain",
        "\r\n",
    ],
)
def test_a_text_that_a_spreadsheet_could_run_gets_an_apostrophe(text: str) -> None:
    assert escape_formula(text) == csv_cell(text) == f"'{text}"


@pytest.mark.parametrize(
    "text", ["", "Aurora Photo 4", "1+1=2", "a@b.example", "'=1+1", '"=1+1"', "€ 5", "注文", "10 %", "a\tb", "x\n=y"]
)
def test_any_other_text_is_unchanged(text: str) -> None:
    assert escape_formula(text) == csv_cell(text) == text


@pytest.mark.parametrize(
    ("number", "cell"),
    [
        (Decimal("-19.99"), "-19.99"),
        (Decimal(-5), "-5"),
        (Decimal("1.250"), "1.250"),
        (Decimal(500), "500"),
        (Decimal(0), "0"),
        (None, ""),
    ],
)
def test_a_number_is_no_text(number: Decimal | None, cell: str) -> None:
    assert csv_cell(number) == cell


def test_the_cells_are_read_as_they_were_written() -> None:
    cells = ['a "quoted" word', "a, b", "two\r\nlines", "=1+1", "", "'", "ü", "－1"]
    file = io.StringIO()
    csv.writer(file).writerow([csv_cell(cell) for cell in cells])
    [row] = csv.reader(io.StringIO(file.getvalue(), newline=""))
    assert [cell.removeprefix("'") if cell != "'" else cell for cell in row] == cells
    assert file.getvalue().endswith("\r\n")
