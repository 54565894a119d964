"""The reports of the desk: their numbers, their months, their formats, and who may read which sellers."""

import csv
import io
import re
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID
from zoneinfo import ZoneInfo

import httpx
import pytest

from domain.desk_roles import Permission, Role
from domain.states import State
from producers.desk import reports as pages
from producers.desk.reports import REPORT_PAGES, month_range
from producers.web.problems import ProblemError
from records import Records
from records.reports import (
    TOP_PRODUCTS,
    AutomaticShare,
    EscalationReason,
    OpenMoney,
    ReasonOfProduct,
    RefundedMoney,
    ReportFilter,
    TimeToMoney,
)
from tests.integration._desk_fixtures import Desk
from tests.integration._web_fixtures import a_case
from tests.sample_data import a_policy, a_recent_purchase, a_seller, store_seller_and_purchases

MARCH = datetime(2026, 3, 10, 12, tzinfo=UTC)
YEAR = ReportFilter(None, date(2026, 1, 1), date(2027, 1, 1))


@pytest.fixture
def sellers(records: Records) -> Records:
    """Store the sellers aurora in Berlin, babbage in New York, and chisel in Sydney. Return the records."""
    for id_, zone in (("aurora", "Europe/Berlin"), ("babbage", "America/New_York"), ("chisel", "Australia/Sydney")):
        seller = a_seller(id=id_, time_zone=ZoneInfo(zone))
        store_seller_and_purchases(records, seller=seller, policy=a_policy(seller_id=id_))
    return records


def case(
    records: Records,
    state: State,
    *,
    at: datetime = MARCH,
    seller: str = "aurora",
    decided: bool = False,
    paid_after: timedelta | None = None,
    status: str = "paid",
    amount: int = 4900,
    currency: str = "EUR",
    **changes: Any,
) -> UUID:
    """Store a case that was received `at` an instant. With `paid_after`, it has a refund operation."""
    reason = changes.pop("reason", None)
    id_ = a_case(records, state, purchase=a_recent_purchase(seller_id=seller, **changes))
    with records.work() as work:
        work.run(
            "update cases set received_at = :at, decided_seq = case when :decided then seq else 0 end,"
            " reason = coalesce(cast(:reason as text), reason) where id = :id",
            at=at,
            decided=decided,
            reason=reason,
            id=id_,
        )
        if paid_after is not None:
            work.run(
                "insert into refund_operations (case_id, provider, charge, amount, currency, key, payload_hash, first_sent_at,"
                "  last_sent_at, status, refund_id, paid_at, paid_amount)"
                " values (:id, 'sandbox', :key, :amount, :currency, :key, '', :at, :at, :status, :key, :paid_at,"
                "  case when :status = 'paid' then :amount else 0 end)",
                id=id_,
                key=id_.hex,
                amount=amount,
                currency=currency,
                status=status,
                at=at,
                paid_at=at + paid_after if status == "paid" else None,
            )
    return id_


HOUR = timedelta(hours=1)


def test_the_automatic_share_counts_refunds_without_a_decision_of_a_person(sellers: Records) -> None:
    for _ in range(5):
        case(sellers, State.REFUNDED, paid_after=HOUR)
    case(sellers, State.REFUNDED, paid_after=HOUR, decided=True)
    case(sellers, State.REFUNDED)  # support refunded the payment at the provider
    for state in (State.DECLINED, State.CLOSED, State.EXPIRED, State.CANCELLED, State.WITH_SUPPORT, State.APPROVED):
        case(sellers, state)
    case(sellers, State.DUPLICATE)
    with sellers.work() as work:
        rows = work.reports.automatic_share(YEAR)
    assert rows == [
        AutomaticShare(
            seller="aurora",
            month="2026-03",
            share=Decimal("55.6"),  # 5 of 9
            automatic=5,
            by_support=2,
            not_refunded=2,
            given_up=2,
            without_decision=1,
            open=2,
        )
    ]


def test_without_an_ended_case_there_is_no_share(sellers: Records) -> None:
    case(sellers, State.WITH_SUPPORT)
    with sellers.work() as work:
        [row] = work.reports.automatic_share(YEAR)
    assert (row.share, row.open) == (None, 1)


def test_the_time_to_money_is_from_receipt_to_the_last_payment(sellers: Records) -> None:
    for hours in range(1, 12):
        case(sellers, State.REFUNDED, paid_after=hours * HOUR)
    case(sellers, State.REFUNDED, paid_after=100 * HOUR, decided=True)
    case(sellers, State.REFUNDED)  # without an instant of payment
    case(sellers, State.DECLINED, paid_after=HOUR, status="failed")
    with sellers.work() as work:
        rows = work.reports.time_to_money(YEAR)
    assert rows == [
        TimeToMoney("aurora", "2026-03", "rules", 11, Decimal("6.0"), Decimal("10.0"), Decimal("10.5")),
        TimeToMoney("aurora", "2026-03", "support", 1, Decimal("100.0"), Decimal("100.0"), Decimal("100.0")),
    ]


def test_the_reasons_of_the_products_with_the_most_cases_are_named(sellers: Records) -> None:
    for reason in ("other", "other", "dissatisfied"):
        case(sellers, State.CANCELLED, product="Often returned", reason=reason)
    case(sellers, State.REFUNDED, paid_after=HOUR, product="Often returned", reason="other")
    for number in range(TOP_PRODUCTS + 1):
        case(sellers, State.CANCELLED, product=f"Product {number:02}", reason="not_delivered")
    case(sellers, State.UNMATCHED)
    with sellers.work() as work:
        work.run("update cases set seller_id = 'aurora' where state = 'unmatched'")
        rows = work.reports.reasons_by_product(YEAR)
    assert rows[:2] == [
        ReasonOfProduct("aurora", "Often returned", "other", 3, 1),
        ReasonOfProduct("aurora", "Often returned", "dissatisfied", 1, 0),
    ]
    assert [row.product for row in rows[2:-2]] == [f"Product {number:02}" for number in range(TOP_PRODUCTS - 1)]
    assert rows[-2:] == [
        ReasonOfProduct("aurora", "other products", "not_delivered", 2, 0),
        ReasonOfProduct("aurora", "no purchase found", "dissatisfied", 1, 0),
    ]


def test_the_escalation_reasons_show_approvals_and_opinions(sellers: Records) -> None:
    cases = [case(sellers, State.WITH_SUPPORT) for _ in range(4)]
    with sellers.work() as work:
        for number, (action, status) in enumerate(
            [("approve", "applied"), ("approve", "undone"), ("decline", "applied")]
        ):
            work.run(
                "insert into support_decisions (id, case_id, source, key, digest, revision, decision, status, decided_by,"
                " decided_by_name) values (gen_random_uuid(), :case, 'desk', :key, '', '', jsonb_build_object('action',"
                " cast(:action as text)), :status, 'user:clara', 'Clara')",
                case=cases[number],
                key=str(number),
                action=action,
                status=status,
            )
        work.desk.save_opinion(cases[0], "outside_window", was_right=False, agent="user:clara")
        work.desk.save_opinion(cases[1], "outside_window", was_right=True, agent="user:clara")
        work.desk.save_opinion(cases[2], "outside_window", was_right=True, agent="user:clara")
        rows = work.reports.escalation_reasons(YEAR)
    assert rows == [
        EscalationReason("aurora", "outside_window", 4, 1, 2, 1),
        EscalationReason("aurora", "serial_refunds", 4, 1, 0, 0),
    ]


def test_a_case_that_went_to_support_twice_for_a_reason_counts_once(sellers: Records) -> None:
    case_id = case(sellers, State.WITH_SUPPORT)
    with sellers.work() as work:
        work.run(
            "insert into support_tasks (id, case_id, seq, reasons, closed_at, closed_by, outcome)"
            " select gen_random_uuid(), case_id, seq + 10, reasons, now(), 'x', 'x' from support_tasks where case_id = :case",
            case=case_id,
        )
        assert [row.cases for row in work.reports.escalation_reasons(YEAR)] == [1, 1]


def test_the_refunded_money_is_never_added_across_currencies(sellers: Records) -> None:
    for currency, amount in (("EUR", 4900), ("EUR", 100), ("JPY", 500), ("BHD", 1250)):
        case(sellers, State.REFUNDED, paid_after=HOUR, currency=currency, amount=amount)
    case(sellers, State.DECLINED, paid_after=HOUR, status="failed")
    case(sellers, State.REFUNDED, paid_after=HOUR, seller="babbage", amount=300)
    with sellers.work() as work:
        rows = work.reports.refunded_money(YEAR)
    assert rows == [
        RefundedMoney("aurora", "2026-03", "BHD", 1, 1250),
        RefundedMoney("aurora", "2026-03", "EUR", 2, 5000),
        RefundedMoney("aurora", "2026-03", "JPY", 1, 500),
        RefundedMoney("babbage", "2026-03", "EUR", 1, 300),
    ]


def test_the_open_money_is_reserved_until_the_outcome_is_known(sellers: Records) -> None:
    for status, amount in (("sent", 1), ("unknown", 20), ("waiting_for_approval", 300), ("pending", 4000)):
        case(sellers, State.REFUND_PENDING, paid_after=HOUR, status=status, amount=amount)
    for status in ("paid", "declined", "failed", "absent"):
        case(sellers, State.REFUNDED, paid_after=HOUR, status=status)
    case(sellers, State.REFUND_PENDING, paid_after=HOUR, status="unknown", currency="JPY", amount=7, at=MARCH - HOUR)
    long_ago = ReportFilter(None, date(2020, 1, 1), date(2020, 2, 1))
    with sellers.work() as work:
        rows = work.reports.open_money(long_ago)
    assert rows == [
        OpenMoney("aurora", "EUR", 4, 4321, 1, 20, MARCH),
        OpenMoney("aurora", "JPY", 1, 7, 1, 7, MARCH - HOUR),
    ]


@pytest.mark.parametrize(
    ("seller", "at", "month"),
    [
        # Berlin: UTC+1 until the last Sunday of March and from the last Sunday of October, else UTC+2
        ("aurora", "2026-02-28T22:59:59Z", "2026-02"),
        ("aurora", "2026-02-28T23:00:00Z", "2026-03"),
        ("aurora", "2026-03-31T21:59:59Z", "2026-03"),
        ("aurora", "2026-03-31T22:00:00Z", "2026-04"),
        ("aurora", "2026-10-31T22:59:59Z", "2026-10"),
        ("aurora", "2026-10-31T23:00:00Z", "2026-11"),
        # New York: UTC-5 until the second Sunday of March and from the first Sunday of November, else UTC-4
        ("babbage", "2026-03-01T04:59:59Z", "2026-02"),
        ("babbage", "2026-03-01T05:00:00Z", "2026-03"),
        ("babbage", "2026-04-01T03:59:59Z", "2026-03"),
        ("babbage", "2026-04-01T04:00:00Z", "2026-04"),
        ("babbage", "2026-11-01T03:59:59Z", "2026-10"),
        ("babbage", "2026-11-01T04:00:00Z", "2026-11"),
        # Sydney: UTC+11 until the first Sunday of April and from the first Sunday of October, else UTC+10
        ("chisel", "2026-03-31T12:59:59Z", "2026-03"),
        ("chisel", "2026-03-31T13:00:00Z", "2026-04"),
        ("chisel", "2026-04-30T13:59:59Z", "2026-04"),
        ("chisel", "2026-04-30T14:00:00Z", "2026-05"),
    ],
)
def test_a_month_begins_and_ends_in_the_time_zone_of_the_seller(
    sellers: Records, seller: str, at: str, month: str
) -> None:
    received = datetime.fromisoformat(at)
    case(sellers, State.REFUNDED, seller=seller, at=received, paid_after=timedelta(0))
    first = date.fromisoformat(f"{month}-01")
    end = (first + timedelta(days=31)).replace(day=1)
    before = (first - timedelta(days=1)).replace(day=1)
    with sellers.work() as work:
        of_month, earlier = ReportFilter(None, first, end), ReportFilter(None, before, first)
        later = ReportFilter(None, end, (end + timedelta(days=31)).replace(day=1))
        for read in (work.reports.automatic_share, work.reports.time_to_money, work.reports.refunded_money):
            assert [row.month for row in read(of_month)] == [month]
            assert read(earlier) == read(later) == []
        assert [row.cases for row in work.reports.reasons_by_product(of_month)] == [1]
        assert work.reports.reasons_by_product(earlier) == work.reports.reasons_by_product(later) == []


def test_a_report_is_about_the_chosen_sellers(sellers: Records) -> None:
    for seller in ("aurora", "babbage", "chisel"):
        case(sellers, State.REFUNDED, paid_after=HOUR, seller=seller)
        case(sellers, State.REFUND_PENDING, paid_after=HOUR, seller=seller, status="unknown")
        case(sellers, State.WITH_SUPPORT, seller=seller)
    for chosen in ({"aurora", "chisel"}, {"babbage"}, set[str]()):
        with sellers.work() as work:
            filters = replace(YEAR, sellers=chosen)
            for report in REPORT_PAGES.values():
                assert {row.seller for row in report.read(work.reports, filters)} == chosen


EVIL = "=HYPERLINK(\"https://evil.example\")<script>alert('x')</script>"


@pytest.fixture
def filled(desk: Desk) -> Desk:
    """Return a desk with cases of two sellers that every report is about."""
    now = datetime.now(UTC) - timedelta(days=1)  # no refund is paid in the future
    for seller in ("aurora", "babbage"):
        case(desk.records, State.REFUNDED, paid_after=HOUR, at=now, seller=seller, product=EVIL)
        case(desk.records, State.REFUNDED, paid_after=HOUR, at=now, seller=seller, currency="JPY", amount=500)
        case(desk.records, State.REFUND_PENDING, paid_after=HOUR, at=now, seller=seller, status="unknown")
        case(desk.records, State.WITH_SUPPORT, at=now, seller=seller)
    return desk


def read_csv(response: httpx.Response) -> list[dict[str, str]]:
    assert response.headers["content-type"] == "text/csv; charset=utf-8; header=present"
    assert response.content.startswith(b"\xef\xbb\xbf"), "Excel needs the byte order mark."
    assert response.content.count(b"\n") == response.content.count(b"\r\n"), "RFC 4180 ends a line with CRLF."
    return list(csv.DictReader(io.StringIO(response.content.decode("utf-8-sig"), newline="")))


@pytest.mark.parametrize("name", REPORT_PAGES)
def test_page_csv_and_json_show_the_same_rows(filled: Desk, name: str) -> None:
    client = filled.sign_in(Role.AUDITOR)
    page = client.get(f"/reports/{name}")
    rows = client.get(f"/reports/{name}.json").json()["rows"]
    cells = read_csv(client.get(f"/reports/{name}.csv"))
    assert rows
    assert len(cells) == len(rows) == page.text.count("<tr>") - 1
    for row, row_of_csv in zip(rows, cells, strict=True):
        assert list(row) == list(row_of_csv) == list(REPORT_PAGES[name].columns)
        for column, value in row.items():
            text = "" if value is None else str(value)
            assert row_of_csv[column] == (f"'{text}" if text.startswith("=") else text)
    for column, definition in REPORT_PAGES[name].columns.items():
        assert f'<dt class="code">{column}</dt><dd>{definition}</dd>' in page.text


@pytest.mark.parametrize("name", REPORT_PAGES)
def test_a_page_has_a_chart_without_styles_and_scripts(filled: Desk, name: str) -> None:
    page = filled.sign_in(Role.LEAD, "aurora").get(f"/reports/{name}").text
    [svg] = re.findall(r"<svg viewBox=.*?</svg>", page, re.DOTALL)
    rows = page.count("<tr>") - 1
    assert svg.count("<rect") == rows > 0
    assert not re.search(r"style|script|onload|href", svg)
    assert " style=" not in page
    assert "<script>alert" not in page


def test_amounts_have_the_decimals_of_their_currency(filled: Desk) -> None:
    rows = filled.sign_in(Role.AUDITOR, "aurora").get("/reports/refunded-money.json").json()["rows"]
    assert [(row["currency"], row["amount"], row["amount_minor"]) for row in rows] == [
        ("EUR", "49.00", 4900),
        ("JPY", "500", 500),
    ]
    [row] = filled.sign_in(Role.AUDITOR, "babbage").get("/reports/open-money.json").json()["rows"]
    assert (row["reserved"], row["unknown"], row["seller"]) == ("49.00", "49.00", "babbage")
    assert pages._major(1250, "BHD") == Decimal("1.250")
    assert str(pages._major(-5, "EUR")) == "-0.05"


@pytest.mark.parametrize("name", REPORT_PAGES)
@pytest.mark.parametrize("ending", ["", ".csv", ".json"])
def test_a_user_reads_only_the_reports_of_the_own_sellers(filled: Desk, name: str, ending: str) -> None:
    client = filled.sign_in(Role.SELLER_ADMIN, "aurora")
    path = f"/reports/{name}{ending}"
    assert "aurora" in client.get(path).text
    assert "babbage" not in client.get(path).text
    assert client.get(path, params={"seller": "aurora"}).status_code == 200
    assert client.get(path, params={"seller": "babbage"}).status_code == 404
    assert client.get(path, params={"seller": "nobody"}).status_code == 404
    assert filled.sign_in(Role.AGENT, "aurora").get(path).status_code == 403
    everything = filled.sign_in(Role.AUDITOR).get(path, params={"seller": "babbage"}).text
    assert "babbage" in everything.partition("<tbody>")[2] or ending


def test_the_navigation_has_the_reports_for_those_who_may_read_them(filled: Desk) -> None:
    for role in Role:
        page = filled.sign_in(role, "aurora").get("/").text
        may_read = role in {Role.LEAD, Role.SELLER_ADMIN, Role.AUDITOR}
        assert ('<a href="/reports">Reports</a>' in page) == may_read, role
    assert Permission.READ_REPORTS


@pytest.mark.parametrize(
    "query",
    [
        {"from": "2026-3"},
        {"from": "March"},
        {"to": "2026-13"},
        {"to": "0000-01"},
        {"from": "2026-05", "to": "2026-04"},
        {"from": "2020-01", "to": "2026-04"},
        {"from": "９９９９-01"},
    ],
)
def test_a_period_that_is_none_is_refused_with_a_sentence(desk: Desk, query: dict[str, str]) -> None:
    client = desk.sign_in(Role.AUDITOR)
    for ending in ("", ".csv", ".json"):
        response = client.get(f"/reports/time-to-money{ending}", params=query)
        assert response.status_code == 422
        assert "month" in response.text
    assert client.get("/reports/unknown").status_code == 404
    assert client.get("/reports/unknown.csv").status_code == 404


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("2025-12", "2026-11")),
        ({"from": "2026-02", "to": "2026-02"}, ("2026-02", "2026-02")),
        ({"to": "2026-01"}, ("2025-02", "2026-01")),
        ({"from": "2023-12"}, ("2023-12", "2026-11")),
        ({"from": "", "to": ""}, ("2025-12", "2026-11")),
    ],
)
def test_the_default_period_is_the_last_twelve_months(values: dict[str, str], expected: tuple[str, str]) -> None:
    first, last = month_range(values, date(2026, 11, 30))
    assert (f"{first:%Y-%m}", f"{last:%Y-%m}") == expected


def test_at_most_36_months_are_read() -> None:
    with pytest.raises(ProblemError):
        month_range({"from": "2023-11"}, date(2026, 11, 30))


def test_a_report_without_rows_says_so(desk: Desk) -> None:
    client = desk.sign_in(Role.AUDITOR)
    page = client.get("/reports").text
    assert "There is nothing to report" in page
    assert "<svg viewBox" not in page
    assert client.get("/reports/open-money.json").json()["rows"] == []
