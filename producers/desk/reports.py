"""The reports of the desk, as pages with a chart and a table, as CSV, and as JSON. All three show the same rows."""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, date
from decimal import Decimal
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from domain.csv_cells import csv_cell
from domain.desk_roles import Permission
from domain.desk_users import DeskUser
from domain.money import Money
from domain.reason_codes import ReasonCode
from domain.refund_reasons import RefundReason
from producers.desk import charts
from producers.desk.accounts.access import require
from producers.desk.charts import Value
from producers.web.dependencies import PageDep, RecordsDep
from producers.web.problems import ProblemCode, ProblemError
from producers.web.templating import READ_METHODS
from records import Records
from records.reports import (
    TOP_PRODUCTS,
    EscalationReason,
    OpenMoney,
    ReasonOfProduct,
    RefundedMoney,
    ReportFilter,
    Reports,
)

router = APIRouter(include_in_schema=False)

REPORTS = "/reports"
MAX_MONTHS = 36
DEFAULT_MONTHS = 12
_YEARS = range(1970, 9_999)  # Python has dates until the year 9999
_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])", re.ASCII)

ReaderDep = Annotated[DeskUser, Depends(require(Permission.READ_REPORTS))]

Cell = str | int | Decimal | None
Row = Mapping[str, Cell]


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A report: how it is read, and how it is shown."""

    title: str
    lead: str
    columns: Mapping[str, str]
    """What each column says, by its name in CSV and JSON."""
    read: Callable[[Reports, ReportFilter], Sequence[Any]]
    row: Callable[[Any], Row]
    value: Callable[[Row], Value]
    """The bar of a row."""
    chart_title: str
    has_months: bool = True
    """False if the report is about now, whatever the months of the filter are."""


def _fields_of(row: Any) -> Row:  # noqa: ANN401  # a row of records/reports.py
    return {field.name: getattr(row, field.name) for field in fields(row)}


def _described_reason(row: ReasonOfProduct) -> Row:
    known = RefundReason.__members__.values()
    sentence = next((reason.sentence for reason in known if reason.value == row.reason), "")
    return {**_fields_of(row), "sentence": sentence}


def _described_code(row: EscalationReason) -> Row:
    sentence = next((code.support for code in ReasonCode if code.value == row.code), "")
    return {**_fields_of(row), "sentence": sentence}


def _refunded(row: RefundedMoney) -> Row:
    return {**_fields_of(row), "amount": _major(row.amount_minor, row.currency)}


def _open(row: OpenMoney) -> Row:
    return {
        "seller": row.seller,
        "currency": row.currency,
        "refunds": row.refunds,
        "reserved": _major(row.reserved_minor, row.currency),
        "reserved_minor": row.reserved_minor,
        "unknown_refunds": row.unknown_refunds,
        "unknown": _major(row.unknown_minor, row.currency),
        "unknown_minor": row.unknown_minor,
        "oldest": row.oldest.astimezone(UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
    }


def _major(minor: int, currency: str) -> Decimal:
    """Return an amount in units of the currency, with the decimals of the currency: 500 yen, 19.99 euros, 1.250 dinars."""
    return Decimal(str(Money(minor, currency)).partition(" ")[0])


_SELLER = "the seller"
_MONTH_RECEIVED = "the month in which the requests were received, in the time zone of the seller"

REPORT_PAGES: Mapping[str, Report] = {
    "automatic-share": Report(
        title="Automatic share",
        lead="How many refunds needed no decision of a person.",
        columns={
            "seller": _SELLER,
            "month": _MONTH_RECEIVED,
            "share": "percent: automatic ÷ (automatic + by_support + not_refunded), of the cases that have ended so far",
            "automatic": "cases that ended refunded by Moneyback without a decision of a person",
            "by_support": "cases that ended refunded after a decision of a person, or by a refund that was made elsewhere",
            "not_refunded": "cases that support declined or closed",
            "given_up": "cases that the customer cancelled or did not confirm in time; they do not count in the share",
            "without_decision": "second requests for a purchase, and requests without a purchase; they do not count",
            "open": "cases that have not ended yet; they do not count until they end",
        },
        read=Reports.automatic_share,
        row=_fields_of,
        value=lambda row: Value(f"{row['seller']}, {row['month']}", _number(row["share"]), _percent(row["share"])),
        chart_title="Automatic share in percent",
    ),
    "time-to-money": Report(
        title="Time to money",
        lead="How long customers waited for their refund.",
        columns={
            "seller": _SELLER,
            "month": _MONTH_RECEIVED,
            "decided_by": "rules: no person decided; support: a person decided",
            "refunds": "refunded cases whose payment Moneyback recorded; refunds that were made elsewhere are not in it",
            "p50_hours": "hours from the receipt of the request until its last refund was paid: half of the cases were faster",
            "p90_hours": "the same time: 90 percent of the cases were faster",
            "p95_hours": "the same time: 95 percent of the cases were faster",
        },
        read=Reports.time_to_money,
        row=_fields_of,
        value=lambda row: Value(
            f"{row['seller']}, {row['month']}, {row['decided_by']}", _number(row["p50_hours"]), f"{row['p50_hours']} h"
        ),
        chart_title="Hours within which half of the customers were paid (p50_hours)",
    ),
    "reasons-by-product": Report(
        title="Reasons by product",
        lead="Why customers want their money back.",
        columns={
            "seller": _SELLER,
            "product": f"the product of the purchase; the {TOP_PRODUCTS} products of a seller with the most cases are named",
            "reason": "the code of the reason that the customer chose",
            "sentence": "the reason as the customer reads it",
            "cases": "cases that were received in these months, without second requests for a purchase",
            "refunded": "those of the cases that are refunded",
        },
        read=Reports.reasons_by_product,
        row=_described_reason,
        value=lambda row: Value(
            f"{row['seller']}, {row['product']}, {row['reason']}", _number(row["cases"]), str(row["cases"])
        ),
        chart_title="Cases by product and reason",
    ),
    "escalation-reasons": Report(
        title="Escalation reasons",
        lead="Why cases went to support, and whether the rules were right.",
        columns={
            "seller": _SELLER,
            "code": "the code of the reason",
            "sentence": "the reason as support reads it",
            "cases": "cases that were received in these months and went to support for this reason; a case may have more reasons",
            "approved": "those of the cases that support approved anyway",
            "right_opinions": "cases for which an agent said that the rule was right to stop them",
            "wrong_opinions": "cases for which an agent said that the rule was wrong",
        },
        read=Reports.escalation_reasons,
        row=_described_code,
        value=lambda row: Value(f"{row['seller']}, {row['code']}", _number(row["cases"]), str(row["cases"])),
        chart_title="Cases by escalation reason",
    ),
    "refunded-money": Report(
        title="Refunded money",
        lead="What Moneyback paid back.",
        columns={
            "seller": _SELLER,
            "month": "the month in which the refund was paid, in the time zone of the seller",
            "currency": "the currency; amounts of different currencies are never added",
            "refunds": "refunds that Moneyback made, without refunds that failed later or were made elsewhere",
            "amount": "the sum that was paid, in units of the currency",
            "amount_minor": "the same sum in minor units, such as cents",
        },
        read=Reports.refunded_money,
        row=_refunded,
        value=lambda row: Value(
            f"{row['seller']}, {row['month']}",
            _number(row["amount"]),
            f"{row['amount']} {row['currency']}",
            str(row["currency"]),
        ),
        chart_title="Refunded money; each currency has its own scale",
    ),
    "open-money": Report(
        title="Open money",
        lead="What is reserved for refunds whose outcome is open at this moment. The months do not matter here.",
        columns={
            "seller": _SELLER,
            "currency": "the currency; amounts of different currencies are never added",
            "refunds": "refunds that were sent or are about to be sent, and are neither paid nor certainly not made",
            "reserved": "the sum of these refunds, in units of the currency; nothing else can be refunded from this money",
            "reserved_minor": "the same sum in minor units",
            "unknown_refunds": "those of the refunds of which the provider has not said whether they were made",
            "unknown": "the sum of the refunds of unknown outcome, in units of the currency",
            "unknown_minor": "the same sum in minor units",
            "oldest": "when the oldest of these refunds was first sent (UTC)",
        },
        read=Reports.open_money,
        row=_open,
        value=lambda row: Value(
            f"{row['seller']}, {row['currency']}",
            _number(row["reserved"]),
            f"{row['reserved']} {row['currency']}",
            str(row["currency"]),
        ),
        chart_title="Reserved money; each currency has its own scale",
        has_months=False,
    ),
}
"""The reports by their names in addresses."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """What the reader chose: a seller or none, and the first and the last month as ``YYYY-MM``."""

    seller: str
    first: str
    last: str
    sellers: Sequence[str]
    """The sellers of whom the reader may choose one."""

    @property
    def query(self) -> str:
        """The choice as the query of an address."""
        return urlencode({"seller": self.seller, "from": self.first, "to": self.last})


@router.api_route(REPORTS, methods=READ_METHODS)
def show_first_report(request: Request, user: ReaderDep, page: PageDep, records: RecordsDep) -> Response:
    """Show the first report, with links to the others."""
    return show_report(next(iter(REPORT_PAGES)), request, user, page, records)


@router.api_route(REPORTS + "/{report}.csv", methods=READ_METHODS)
def download_csv(report: str, request: Request, user: ReaderDep, records: RecordsDep) -> Response:
    """Return the rows of a report as CSV (RFC 4180). The byte order mark tells Excel that the file is UTF-8."""
    chosen, rows = _read(report, request, user, records)
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(_find(report).columns)
    writer.writerows([csv_cell(_decimal(row[name])) for name in _find(report).columns] for row in rows)
    return Response(
        file.getvalue().encode("utf-8-sig"),
        media_type="text/csv; charset=utf-8; header=present",
        headers=_as_file(report, chosen, "csv"),
    )


@router.api_route(REPORTS + "/{report}.json", methods=READ_METHODS)
def download_json(report: str, request: Request, user: ReaderDep, records: RecordsDep) -> Response:
    """Return the rows of a report as JSON. Numbers with decimals are texts, because JSON's numbers are often read as floats."""
    chosen, rows = _read(report, request, user, records)
    content = {
        "report": report,
        "seller": chosen.seller or None,
        "from": chosen.first,
        "to": chosen.last,
        "rows": [
            {name: str(row[name]) if isinstance(row[name], Decimal) else row[name] for name in _find(report).columns}
            for row in rows
        ],
    }
    return JSONResponse(content, headers=_as_file(report, chosen, "json"))


@router.api_route(REPORTS + "/{report}", methods=READ_METHODS)
def show_report(report: str, request: Request, user: ReaderDep, page: PageDep, records: RecordsDep) -> Response:
    """Show a report with a chart and a table."""
    chosen, rows = _read(report, request, user, records)
    shown = _find(report)
    return page.render(
        "reports.html",
        user=user,
        name=report,
        report=shown,
        reports=REPORT_PAGES,
        rows=rows,
        chart=charts.draw([shown.value(row) for row in rows]),
        chosen=chosen,
        sellers=chosen.sellers,
        charts=charts,
    )


def month_range(values: Mapping[str, str], today: date) -> tuple[date, date]:
    """Return the first days of the chosen months. Without a choice, these are the last twelve months.

    Raise ProblemError if a month is not written as ``YYYY-MM``, or if the period is empty or too long.
    """
    last = _parse_month(values.get("to", ""), date(today.year, today.month, 1))
    first = _parse_month(values.get("from", ""), _add_months(last, 1 - DEFAULT_MONTHS))
    months = (last.year - first.year) * 12 + last.month - first.month + 1
    if not 1 <= months <= MAX_MONTHS:
        raise ProblemError(
            ProblemCode.VALIDATION_FAILED,
            f"Choose from 1 to {MAX_MONTHS} months. The first month must not be after the last month.",
        )
    return first, last


def _parse_month(text: str, default: date) -> date:
    match = _MONTH.fullmatch(text)
    if text and (match is None or int(match[1]) not in _YEARS):
        raise ProblemError(ProblemCode.VALIDATION_FAILED, "Write months as year and month, such as 2026-03.")
    return date(int(match[1]), int(match[2]), 1) if match else default


def _add_months(month: date, number: int) -> date:
    years, index = divmod(month.month - 1 + number, 12)
    return date(month.year + years, index + 1, 1)


def _find(report: str) -> Report:
    if report not in REPORT_PAGES:
        raise ProblemError(ProblemCode.NOT_FOUND, "This report doesn’t exist.")
    return REPORT_PAGES[report]


def _read(report: str, request: Request, user: DeskUser, records: Records) -> tuple[Chosen, list[Row]]:
    """Return the choice of the reader, and the rows of the report."""
    shown, seller = _find(report), request.query_params.get("seller", "")
    with records.work() as work:
        readable = {
            item.id: item.time_zone for item in work.sellers.list_all() if user.may(Permission.READ_REPORTS, item.id)
        }
        if seller and seller not in readable:
            raise ProblemError(ProblemCode.NOT_FOUND, "This seller doesn’t exist.")
        today = max((work.now.astimezone(zone).date() for zone in readable.values()), default=work.now.date())
        first, last = month_range(request.query_params, today)
        filters = ReportFilter([seller] if seller else list(readable), first, _add_months(last, 1))
        rows = [shown.row(row) for row in shown.read(work.reports, filters)]
    return Chosen(seller, f"{first:%Y-%m}", f"{last:%Y-%m}", list(readable)), rows


def _as_file(report: str, chosen: Chosen, ending: str) -> dict[str, str]:
    """Return the header that makes a browser store the report. The name has only ASCII letters, digits and dashes."""
    return {
        "content-disposition": f'attachment; filename="{report}-{chosen.first}-{chosen.last}.{ending}"',
        "cache-control": "no-store",
    }


def _number(cell: Cell) -> Decimal | int:
    return cell if isinstance(cell, Decimal | int) else 0


def _decimal(cell: Cell) -> str | Decimal | None:
    return Decimal(cell) if isinstance(cell, int) else cell


def _percent(cell: Cell) -> str:
    return "–" if cell is None else f"{cell} %"
