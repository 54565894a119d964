"""Answers with a table as CSV (RFC 4180), which a spreadsheet program opens without running what a stranger typed."""

import csv
import io
from collections.abc import Iterable, Sequence

from starlette.responses import Response

_STARTS_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet program takes a cell that begins with one of these characters as a formula (OWASP, "CSV Injection")."""


def csv_response(name: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> Response:
    """Return the response with which a browser saves the rows as the file ``name``."""
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(header)
    writer.writerows([safe_cell(cell) for cell in row] for row in rows)
    headers = {"content-disposition": f'attachment; filename="{name}"'}
    return Response(text.getvalue(), media_type="text/csv; charset=utf-8", headers=headers)


def safe_cell(text: str) -> str:
    """Return the text of a cell. An apostrophe marks a text that a spreadsheet program would otherwise run as a formula."""
    return f"'{text}" if text.startswith(_STARTS_FORMULA) else text
