"""Tables for spreadsheet programs."""

import csv
import io

import pytest

from producers.desk.csv_response import csv_response, safe_cell


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_a_cell_never_runs_as_a_formula(text: str) -> None:
    assert safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "applied", "49.00", "a=b", "'=1"])
def test_other_cells_stay_as_they_are(text: str) -> None:
    assert safe_cell(text) == text


def test_a_table_is_read_back_as_it_was_written() -> None:
    rows = [('He said "no", then\nleft.', "1,000"), ("=cmd", "")]
    response = csv_response("report.csv", ("outcome", "sum"), rows)
    assert response.headers["content-disposition"] == 'attachment; filename="report.csv"'
    read = list(csv.reader(io.StringIO(bytes(response.body).decode())))
    assert read == [["outcome", "sum"], ['He said "no", then\nleft.', "1,000"], ["'=cmd", ""]]
