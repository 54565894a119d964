"""Files of purchases: exports of other systems, mapped files and our own format are understood, or refused with one sentence."""

import csv
import gzip
import io
import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from console.commands.purchases import System
from domain.errors import UnreadableError
from domain.payment_events import PaymentEvent
from producers.purchase_files import words
from producers.purchase_files.errors import CellError
from producers.purchase_files.own_format import DIALECT, FIELDS
from producers.purchase_files.paid_items import NOT_ADDED_UP, TOO_MANY, UNREADABLE
from producers.purchase_files.reader import EVENT, SYSTEMS, Options, PurchaseFile
from producers.purchase_import import Row

SAMPLES = Path(__file__).parents[1] / "purchase_files"
BERLIN = ZoneInfo("Europe/Berlin")
OWN_HEADER = "seller,reference,email,product,amount,currency,method,provider,charge,purchased_at"
OWN_CELLS = {
    "seller": "aurora",
    "reference": "MB-1",
    "email": "ada@example.com",
    "product": "Aurora Photo 4",
    "amount": "4900",
    "currency": "EUR",
    "method": "credit_card",
    "provider": "stripe",
    "charge": "ch_1",
    "purchased_at": "2026-06-01T12:00:00+02:00",
}
OWN_ROW = OWN_CELLS | {"amount": 4900}

Read = Callable[..., list[Any]]


def read_file(path: Path, **options: Any) -> tuple[list[Any], PurchaseFile]:
    values = {"seller": "aurora", **options.pop("values", {})} if "system" in options else options.pop("values", {})
    file = PurchaseFile(path, Options(**options, values=values), {"aurora": BERLIN})
    return list(file.rows()), file


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Return a function that writes a file and returns what is read from it."""

    def write_and_read(content: str | bytes, name: str = "orders.csv", **options: Any) -> list[Any]:
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
        return read_file(tmp_path / name, **options)[0]

    return write_and_read


def table(*rows: dict[str, str], separator: str = ",") -> str:
    """Return CSV with the columns of all rows."""
    header = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, header, delimiter=separator)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def only(rows: list[Any]) -> Any:
    ((_, row),) = rows
    return row


def cell(read: Read, field: str, text: str, **options: Any) -> Any:
    """Return the value of one cell of our own format, or the sentence with which its row is refused."""
    row = only(read(table(OWN_CELLS | {field: text}), **options))
    return row if isinstance(row, str) else row[field]


# Exports of other systems


def test_the_command_knows_every_system() -> None:
    assert {system.value for system in System} == set(SYSTEMS)


def export(name: str, system: str) -> tuple[dict[str, Any], PurchaseFile]:
    rows, file = read_file(SAMPLES / name, system=system, values={"seller": "aurora"})
    assert [row for _, row in rows if isinstance(row, str)] == []
    return {row["reference"]: row for _, row in rows}, file


def test_the_payments_export_of_stripe_is_read() -> None:
    rows, file = export("stripe_unified_payments.csv", "stripe")
    assert rows["MB-2026-0417"] == {
        "seller": "aurora",
        "reference": "MB-2026-0417",
        "email": "ada@example.com",
        "product": "Aurora Photo 4",
        "amount": 4900,
        "currency": "EUR",
        "refunded": 0,
        "method": "credit_card",
        "provider": "stripe",
        "charge": "ch_3PqLk2Auro0001",
        "instrument": "x8Qd2kFingerprnt",
        "purchased_at": "2026-06-12T12:05:11+00:00",
    }
    assert (rows["MB-2026-0418"]["amount"], rows["MB-2026-0418"]["refunded"]) == (124900, 10000)
    assert rows["MB-2026-0418"]["method"] == "apple_pay"
    assert (rows["py_3PqLk2Auro0003"]["amount"], rows["py_3PqLk2Auro0003"]["method"]) == (5000, "alipay")
    assert (rows["MB-2026-0421"]["method"], rows["MB-2026-0421"]["dispute"]) == ("direct_debit", "open")
    assert file.no_purchases.total() == 1


def test_the_older_payments_export_of_stripe_is_read() -> None:
    rows, _ = export("stripe_payments_older.csv", "stripe")
    assert [(row["amount"], row["refunded"], row["purchased_at"]) for row in rows.values()] == [
        (2900, 0, "2026-05-02T08:15:00+00:00"),
        (2900, 2900, "2026-05-02T09:15:00+00:00"),
    ]


STRIPE_CELLS = {
    "id": "ch_1",
    "Created date (UTC)": "2026-06-12 12:05:11",
    "Amount": "49.00",
    "Currency": "eur",
    "Status": "Paid",
    "Customer Email": "ada@example.com",
    "Captured": "true",
}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({}, ("credit_card", "")),
        ({"id": "py_1"}, ("unknown", "")),
        ({"id": "py_1", "Payment Source Type": "sepa_debit"}, ("direct_debit", "")),
        ({"id": "py_1", "Payment Source Type": "bancontact"}, ("bancontact", "")),
        ({"Payment Source Type": "card", "Card Tokenization Method": "android_pay"}, ("google_pay", "")),
        ({"Status": "Disputed"}, ("credit_card", "open")),
        ({"Status": "Dispute lost", "Dispute Status": ""}, ("credit_card", "lost")),
        ({"Status": "Paid", "Dispute Status": "warning_needs_response"}, ("credit_card", "inquiry")),
    ],
)
def test_method_and_dispute_of_a_payment_at_stripe(
    read: Read, cells: dict[str, str], expected: tuple[str, str]
) -> None:
    row = only(read(table(STRIPE_CELLS | cells), system="stripe"))
    assert (row["method"], row.get("dispute", "")) == expected


@pytest.mark.parametrize(
    "cells", [{"Status": "Failed"}, {"Status": "Canceled"}, {"Status": "requires_action"}, {"Captured": "FALSE"}]
)
def test_a_payment_that_was_not_captured_is_no_purchase(read: Read, cells: dict[str, str]) -> None:
    assert read(table(STRIPE_CELLS | cells), system="stripe") == []


@pytest.mark.parametrize("status", ["Zombie", "Dispute challenged", "Chargeback", "Review"])
def test_an_unknown_status_is_refused_and_not_taken_for_paid(read: Read, status: str) -> None:
    sentence = only(read(table(STRIPE_CELLS | {"Status": status}), system="stripe"))
    assert f"{status!r} of Stripe is unknown. If it is a dispute, write Disputed." in sentence


@pytest.mark.parametrize(
    ("status", "dispute"),
    [
        ("Dispute under review", "open"), ("Dispute needs response", "open"), ("Under review", "open"), ("Disputed", "open"),
        ("Dispute lost", "lost"), ("Lost", "lost"), ("charge_refunded", "lost"),
        ("Dispute won", "won"), ("Won", "won"), ("Inquiry closed", "won"), ("warning_closed", "won"),
        ("Inquiry needs response", "inquiry"), ("Inquiry under review", "inquiry"), ("Early fraud warning", "inquiry"),
        ("Refund failed", None), ("Refund pending", None), ("Refund canceled", None),
    ],
)  # fmt: skip
def test_the_status_of_stripe_shows_the_dispute(read: Read, status: str, dispute: str | None) -> None:
    row = only(read(table(STRIPE_CELLS | {"Status": status}), system="stripe"))
    assert (row["amount"], row.get("dispute")) == (4900, dispute)


@pytest.mark.parametrize(
    "cells",
    [{"Charge ID": "ch_1", "id": "re_1"}, {"PaymentIntent ID": "pi_1", "id": "pyr_1"}, {"id": "ch_1"}],
)
def test_a_negative_row_of_stripe_names_the_charge_that_was_refunded(read: Read, cells: dict[str, str]) -> None:
    row = only(read(table(STRIPE_CELLS | {"Amount": "-20.00"} | cells), system="stripe"))
    assert (row["amount"], row["charge"]) == (-2000, next(iter(cells.values())))


def test_the_english_activity_download_of_paypal_is_read() -> None:
    rows, file = export("paypal_activity_english.csv", "paypal")
    assert rows["MB-2026-0417"] == {
        "seller": "aurora",
        "reference": "MB-2026-0417",
        "email": "ada@example.com",
        "product": "Aurora Photo 4",
        "amount": 4900,
        "tax": 0,
        "currency": "USD",
        "method": "paypal",
        "provider": "paypal",
        "charge": "9AB12345CD678901E",
        "purchased_at": "2026-06-12T05:05:11-07:00",
        "dispute": "open",
    }
    assert (rows["MB-2026-0418"]["amount"], rows["MB-2026-0418"]["refunded"]) == (124900, 10000)
    assert (rows["6DE12345CD678904H"]["amount"], rows["6DE12345CD678904H"]["currency"]) == (5000, "JPY")
    assert len(rows) == 3
    assert file.no_purchases[EVENT] == 2


def test_the_german_activity_download_of_paypal_is_read() -> None:
    rows, _ = export("paypal_activity_german.csv", "paypal")
    assert list(rows) == ["MB-2026-0418"]
    assert (rows["MB-2026-0418"]["amount"], rows["MB-2026-0418"]["refunded"]) == (124900, 10000)
    assert rows["MB-2026-0418"]["purchased_at"] == "2026-06-13T11:30:00+02:00"


PAYPAL_CELLS = {
    "Date": "13/06/2026",
    "Time": "11:30:00",
    "TimeZone": "Europe/Berlin",
    "Name": "Ada Lovelace",
    "Type": "Express Checkout Payment",
    "Status": "Completed",
    "Currency": "EUR",
    "Gross": "49.00",
    "From Email Address": "ada@example.com",
    "Transaction ID": "9AB12345CD678901E",
    "Invoice Number": "MB-1",
    "Reference Txn ID": "",
}
REFUND_CELLS = PAYPAL_CELLS | {
    "Gross": "-20.00",
    "From Email Address": "shop@aurora.example",
    "Transaction ID": "7CD12345CD678903G",
}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({"Type": "Payment Refund", "Reference Txn ID": "9AB12345CD678901E"}, (2000, None)),
        ({"Type": "Payment Reversal", "Reference Txn ID": "9AB12345CD678901E"}, (2000, None)),
        ({"Type": "Rückzahlung", "Status": "Abgeschlossen", "Reference Txn ID": "9AB12345CD678901E"}, (2000, None)),
        (
            {"Type": "Remboursement de paiement", "Status": "Terminé", "Reference Txn ID": "9AB12345CD678901E"},
            (2000, None),
        ),
        ({"Type": "Refund"}, (2000, None)),  # the invoice number names the payment
        ({"Type": "Pago anulado", "Status": "Completado", "Reference Txn ID": "9AB12345CD678901E"}, (2000, None)),
        ({"Type": "Pagamento stornato", "Status": "Completata", "Reference Txn ID": "9AB12345CD678901E"}, (2000, None)),
        ({"Type": "Chargeback", "Reference Txn ID": "9AB12345CD678901E"}, (0, "lost")),
        ({"Type": "Hold on Balance for Dispute Investigation", "Reference Txn ID": "9AB12345CD678901E"}, (0, "open")),
    ],
)
def test_a_later_row_of_paypal_is_added_to_its_payment(
    read: Read, cells: dict[str, str], expected: tuple[int, str | None]
) -> None:
    for rows in ([PAYPAL_CELLS, REFUND_CELLS | cells], [REFUND_CELLS | cells, PAYPAL_CELLS]):
        row = only(read(table(*rows), system="paypal"))
        assert (row.get("refunded", 0), row.get("dispute")) == expected


@pytest.mark.parametrize(
    ("status", "refunded"),
    [("Completed", None), ("Refunded", 4900), ("Reversed", 4900), ("Zurückgezahlt", 4900), ("Cleared", None)],
)
def test_the_status_of_paypal_says_that_a_payment_is_refunded(read: Read, status: str, refunded: int | None) -> None:
    assert only(read(table(PAYPAL_CELLS | {"Status": status}), system="paypal")).get("refunded") == refunded


@pytest.mark.parametrize(
    ("kinds", "dispute"),
    [
        (("Chargeback", "Chargeback Reversal"), "won"),
        (("Rückbuchung", "Rückbuchung storniert"), "won"),
        (("Rétrofacturation", "Annulation de rétrofacturation"), "won"),
        (("Contracargo", "Reversión de contracargo"), "won"),
        (("Hold on Balance for Dispute Investigation", "Chargeback", "Chargeback Reversal"), "won"),
        (("Chargeback", "Chargeback Reversal", "Chargeback"), "lost"),
        (("Chargeback", "Chargeback Fee"), "lost"),
    ],
)
def test_a_chargeback_whose_money_came_back_is_won(read: Read, kinds: tuple[str, ...], dispute: str) -> None:
    about = REFUND_CELLS | {"Reference Txn ID": "9AB12345CD678901E"}
    came_back = {
        "Chargeback Reversal",
        "Rückbuchung storniert",
        "Annulation de rétrofacturation",
        "Reversión de contracargo",
    }
    rows = [about | {"Type": kind, "Gross": "49.00" if kind in came_back else "-49.00"} for kind in kinds]
    for order in ([PAYPAL_CELLS, *rows], [*reversed(rows), PAYPAL_CELLS]):
        row = only(read(table(*order), system="paypal"))
        assert (row["amount"], row["dispute"], row.get("refunded")) == (4900, dispute, None)


PAID_BY_THE_SHOP = {
    "From Email Address": "shop@aurora.example",
    "Gross": "-9.00",
    "Transaction ID": "8AB12345CD678901E",
}


@pytest.mark.parametrize(
    "cells",
    [
        {"Type": "PreApproved Payment Bill User Payment", "Reference Txn ID": "B-8XX12345", "Invoice Number": ""},
        {"Type": "Express Checkout Payment", "Invoice Number": "INV778"},
        {"Type": "Tax collected by partner", "Reference Txn ID": "9AB12345CD678901E"},
        {"Type": "Mobile Payment", "Invoice Number": "INV779"},
        {"Type": "PayPal Express-Zahlung", "Status": "Abgeschlossen", "Invoice Number": "RE-12"},
        {"Type": "Paiement préapprouvé", "Status": "Terminé", "Reference Txn ID": "B-8XX12345"},
        {"Type": "Pago móvil", "Status": "Completado", "Invoice Number": "F-12"},
        {"Type": "Payment Release", "Gross": "9.00"},
    ],
)
def test_what_the_shop_itself_paid_is_counted_and_is_no_purchase(tmp_path: Path, cells: dict[str, str]) -> None:
    path = tmp_path / "activity.csv"
    path.write_text(table(PAYPAL_CELLS, PAYPAL_CELLS | PAID_BY_THE_SHOP | cells))
    rows, file = read_file(path, system="paypal")
    row = only(rows)
    assert (row["charge"], row["amount"], "refunded" in row) == ("9AB12345CD678901E", 4900, False)
    assert file.no_purchases == {"the row moves no money between you and a customer": 1}


def test_rows_of_paypal_that_name_each_other_are_no_error_of_the_program(read: Read) -> None:
    cells = [("T1", "T2"), ("T2", "T1"), ("T3", "T1"), ("T4", "T3"), ("T5", "T5")]
    rows = [
        REFUND_CELLS | {"Type": "Chargeback", "Transaction ID": id_, "Reference Txn ID": named} for id_, named in cells
    ]
    events = [row for _, row in read(table(*rows), system="paypal")]
    assert sum(event.rows for event in events) == len(rows)


def test_two_refunds_of_a_payment_at_paypal_are_added_up(read: Read) -> None:
    refund = REFUND_CELLS | {"Type": "Payment Refund", "Reference Txn ID": "9AB12345CD678901E"}
    assert only(read(table(refund, PAYPAL_CELLS, refund | {"Gross": "-5.00"}), system="paypal"))["refunded"] == 2500


@pytest.mark.parametrize("names", ["the payment", "the hold"])
def test_a_dispute_whose_hold_ended_is_won(read: Read, names: str) -> None:
    hold = REFUND_CELLS | {"Type": "Hold for Dispute Investigation", "Reference Txn ID": "9AB12345CD678901E"}
    end = hold | {"Type": "Cancellation of Hold for Dispute Resolution", "Gross": "20.00", "Transaction ID": "5CD1"}
    end |= {"Reference Txn ID": hold["Transaction ID"]} if names == "the hold" else {}
    for rows in ([PAYPAL_CELLS, hold, end], [end, hold, PAYPAL_CELLS]):
        assert only(read(table(*rows), system="paypal"))["dispute"] == "won"


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"Type": "Refund", "Invoice Number": ""}, "names no payment"),
        ({"Type": "Zahlungsvorgang X", "Reference Txn ID": "9AB12345CD678901E"}, "'Zahlungsvorgang X'"),
        ({"Status": "Zombie"}, "'Zombie'"),
    ],
)
def test_an_unclear_row_of_paypal_is_refused_by_line(read: Read, cells: dict[str, str], why: str) -> None:
    rows = read(table(PAYPAL_CELLS, REFUND_CELLS | cells), system="paypal")
    assert [why in row for line, row in rows if line == 3] == [True]


def test_a_refund_of_a_payment_that_the_file_does_not_contain_is_an_event_of_this_payment(read: Read) -> None:
    refund = REFUND_CELLS | {"Type": "Refund", "Reference Txn ID": "0ZZ12345CD678903G"}
    rows = read(table(refund, refund, refund | {"Reference Txn ID": "", "Invoice Number": "MB-9"}), system="paypal")
    assert [row for _, row in rows] == [
        PaymentEvent(
            seller="aurora",
            reference="0ZZ12345CD678903G",
            provider="paypal",
            charge="0ZZ12345CD678903G",
            refunded=4000,
            rows=2,
        ),
        PaymentEvent(seller="aurora", reference="MB-9", provider="paypal", charge="", refunded=2000),
    ]


def test_the_csv_of_woocommerce_has_one_purchase_per_order() -> None:
    rows, file = export("woocommerce_orders.csv", "woocommerce")
    assert rows["731"] == {
        "seller": "aurora",
        "reference": "731",
        "email": "ada@example.com",
        "product": "Aurora Photo 4, Aurora Fonts",
        "amount": 6900,
        "currency": "EUR",
        "tax": 1102,
        "refunded": 0,
        "method": "credit_card",
        "provider": "stripe",
        "charge": "ch_3PqLk2Woo0731",
        "purchased_at": "2026-06-12T14:05:00+02:00",
    }
    assert (rows["732"]["provider"], rows["732"]["method"], rows["732"]["refunded"]) == ("paypal", "paypal", 2900)
    assert (len(rows), file.no_purchases.total()) == (2, 1)


def test_the_csv_of_another_plugin_of_woocommerce_is_read() -> None:
    rows, _ = export("woocommerce_orders_tabs.csv", "woocommerce")
    assert [(row["provider"], row["method"], row["product"]) for row in rows.values()] == [
        ("stripe", "direct_debit", "Aurora Photo 4"),
        ("paypal", "paypal", "Aurora Photo 4"),
    ]
    assert rows["741"]["charged_at"] == "2026-06-12T14:05:11+02:00"


WOO_CELLS = {
    "order_number": "741",
    "order_id": "9741",
    "status": "completed",
    "order_date": "2026-06-12 14:05",
    "billing_email": "ada@example.com",
    "order_total": "49.00",
    "order_currency": "EUR",
    "payment_method": "stripe",
    "transaction_id": "ch_1",
    "parent_order_id": "0",
}


@pytest.mark.parametrize("parent", ["741", "9741"])
def test_a_refund_of_woocommerce_is_a_row_with_a_negative_total(read: Read, parent: str) -> None:
    refund = WOO_CELLS | {"order_number": "", "order_id": "9742", "order_total": "-12.50", "parent_order_id": parent}
    orders = table(
        WOO_CELLS, WOO_CELLS | {"order_number": "742", "order_id": "9743"}, refund | {"order_number": "9742"}
    )
    rows = read(orders, system="woocommerce")
    assert [(row["reference"], row.get("refunded", 0)) for _, row in rows] == [("741", 1250), ("742", 0)]


@pytest.mark.parametrize("parent", ["", "0", "741", "9741"])
def test_a_refund_with_the_number_of_its_order_is_no_line_item(read: Read, parent: str) -> None:
    refund = WOO_CELLS | {"order_total": "-12.50", "parent_order_id": parent}
    other = WOO_CELLS | {"order_number": "742", "order_id": "9742", "transaction_id": "ch_2"}
    for rows in ([WOO_CELLS, refund, other], [WOO_CELLS, other, refund], [refund, WOO_CELLS, other]):
        read_rows = {row["reference"]: row for _, row in read(table(*rows), system="woocommerce")}
        assert {name: row.get("refunded", 0) for name, row in read_rows.items()} == {"741": 1250, "742": 0}
        assert {row["amount"] for row in read_rows.values()} == {4900}


@pytest.mark.parametrize(
    "status",
    [
        "pending", "wc-pending", "Pending payment", "wc-on-hold", "On hold", "failed", "wc-cancelled", "checkout-draft", "trash",
        "Storniert", "Fehlgeschlagen", "Zahlung ausstehend", "Ausstehend", "In Wartestellung",
        "Annulée", "Échouée", "En attente de paiement", "En attente", "Cancelado", "Fallido", "En espera", "Pendiente de pago",
        "Annullato", "Fallito", "In sospeso", "Pagamento pendente", "Malsucedido", "Aguardando", "Geannuleerd", "Mislukt",
        "In de wacht", "キャンセル", "失敗", "保留中", "支払い待ち",
    ],
)  # fmt: skip
def test_an_order_of_woocommerce_that_is_not_paid_is_no_purchase(read: Read, status: str) -> None:
    assert read(table(WOO_CELLS | {"status": status}), system="woocommerce") == []


@pytest.mark.parametrize(
    "status",
    ["wc-processing", "Processing", "In Bearbeitung", "Abgeschlossen", "Terminée", "Completado", "In lavorazione", "Voltooid",
     "Concluído", "完了"],
)  # fmt: skip
def test_an_order_of_woocommerce_that_is_paid_is_a_purchase(read: Read, status: str) -> None:
    row = only(read(table(WOO_CELLS | {"status": status}), system="woocommerce"))
    assert (row["amount"], row.get("refunded")) == (4900, None)


@pytest.mark.parametrize("status", ["Zombie", "wc-partially-paid", "pre-ordered", "Versendet", "paid?"])
def test_an_order_of_woocommerce_with_another_status_is_refused(read: Read, status: str) -> None:
    sentence = only(read(table(WOO_CELLS | {"status": status}), system="woocommerce"))
    assert f"The status {status!r} of WooCommerce is unknown, so the order may be unpaid." in sentence
    assert "write completed" in sentence


def test_an_order_without_a_status_is_refused(read: Read) -> None:
    assert "has no status" in only(read(table(WOO_CELLS | {"status": ""}), system="woocommerce"))
    assert "has no status" in only(read(table(SHOPIFY_CELLS | {"Financial Status": ""}), system="shopify"))


@pytest.mark.parametrize(
    ("cells", "refunded"),
    [
        ({"status": "refunded"}, 4900),
        ({"status": "wc-refunded"}, 4900),
        ({"status": "Rückerstattet"}, 4900),
        ({"status": "Remboursée"}, 4900),
        ({"status": "Reembolsado"}, 4900),
        ({"status": "Rimborsato"}, 4900),
        ({"status": "Terugbetaald"}, 4900),
        ({"status": "返金済み"}, 4900),
        ({"status": "Completed"}, None),
    ],
)
def test_a_refunded_order_without_an_amount_is_refunded_in_full(
    read: Read, cells: dict[str, str], refunded: int | None
) -> None:
    assert only(read(table(WOO_CELLS | cells), system="woocommerce")).get("refunded") == refunded


def test_the_json_of_woocommerces_rest_api_is_read() -> None:
    rows, file = export("woocommerce_orders.json", "woocommerce")
    assert rows["727"] == {
        "seller": "aurora",
        "reference": "727",
        "email": "ada@example.com",
        "product": "Aurora Photo 4, Aurora Fonts",
        "amount": 4900,
        "currency": "EUR",
        "tax": 782,
        "refunded": 1550,
        "method": "credit_card",
        "provider": "stripe",
        "charge": "ch_3PqLk2Woo0727",
        "purchased_at": "2026-06-12T12:05:09+00:00",
        "charged_at": "2026-06-12T12:05:11+00:00",
        "items": [
            {"id": "315", "name": "Aurora Photo 4", "quantity": 1, "amount": 2900, "tax": 463},
            {"id": "316", "name": "Aurora Fonts", "quantity": 1, "amount": 2000, "tax": 319},
        ],
    }
    assert (rows["728"]["amount"], rows["728"]["method"]) == (5000, "paypal")
    assert (len(rows), file.no_purchases.total()) == (2, 1)


REST_ORDER: dict[str, Any] = {
    "id": 1,
    "number": "1",
    "status": "processing",
    "currency": "EUR",
    "date_created_gmt": "2026-06-12T13:05:09",
    "total": "49.00",
    "billing": {"email": "ada@example.com"},
    "payment_method": "stripe",
    "transaction_id": "",
    "line_items": [{"name": "Aurora Photo 4"}],
}


@pytest.mark.parametrize(
    ("later", "expected"),
    [
        ({"meta_data": [{"key": "_stripe_charge_id", "value": "ch_2"}]}, ("ch_2", 0)),
        ({"meta_data": [{"key": "_transaction_id", "value": "tr_2"}]}, ("tr_2", 0)),
        ({"transaction_id": "ch_2", "refunds": [{"total": "-10.00"}, {"total": "-5.50"}]}, ("ch_2", 1550)),
        ({"transaction_id": "pi_2", "meta_data": [{"key": "_stripe_charge_id", "value": "ch_2"}]}, ("ch_2", 0)),
    ],
)
def test_a_later_order_of_the_rest_api_may_have_fields_that_the_first_order_lacks(
    read: Read, later: dict[str, Any], expected: tuple[str, int]
) -> None:
    orders = [REST_ORDER, REST_ORDER | {"id": 2, "number": "2"} | later]
    for content in (json.dumps(orders), "\n".join(map(json.dumps, orders))):
        (_, first), (_, second) = read(content, "orders.json", system="woocommerce")
        assert (first["charge"], second["charge"], second.get("refunded", 0)) == ("aurora 1", *expected)


@pytest.mark.parametrize("key", ["total", "_order_total", "status", "_refund_total", "_order_number", "currency"])
def test_meta_data_does_not_replace_the_fields_of_an_order(read: Read, key: str) -> None:
    order = REST_ORDER | {"meta_data": [{"key": key, "value": "1.00"}]}
    row = only(read(json.dumps([order]), "orders.json", system="woocommerce"))
    assert (row["reference"], row["amount"], row["currency"], row.get("refunded", 0)) == ("1", 4900, "EUR", 0)


def test_the_orders_export_of_shopify_is_read() -> None:
    rows, file = export("shopify_orders.csv", "shopify")
    assert rows["#1001"] == {
        "seller": "aurora",
        "reference": "#1001",
        "email": "ada@example.com",
        "product": "Aurora Photo 4, Aurora Fonts",
        "amount": 6900,
        "currency": "EUR",
        "tax": 1102,
        "refunded": 0,
        "method": "credit_card",
        "provider": "shopify_payments",
        "charge": "rAbc1.1",
        "purchased_at": "2026-06-12T14:05:09+02:00",
        "charged_at": "2026-06-12T14:05:11+02:00",
        "items": [
            {"id": "AP4", "name": "Aurora Photo 4", "quantity": 1, "amount": 4900, "tax": None},
            {"id": "AF", "name": "Aurora Fonts", "quantity": 1, "amount": 2000, "tax": None},
        ],
    }
    assert (rows["#1003"]["amount"], rows["#1003"]["provider"]) == (5000, "paypal")
    assert (len(rows), file.no_purchases.total()) == (4, 1)


def test_an_order_of_shopify_with_several_payments_names_each_of_them() -> None:
    rows, _ = export("shopify_orders.csv", "shopify")
    payments = {
        reference: [
            (payment["provider"], payment["method"], payment["charge"], payment["amount"])
            for payment in row["payments"]
        ]
        for reference, row in rows.items()
        if "payments" in row
    }
    assert payments == {
        "#1002": [
            ("shopify_payments", "credit_card", "rAbc2.1", None),
            ("shopify", "gift_card", "aurora #1002 gift card 1", None),
        ],
        "#1005": [
            ("shopify_payments", "credit_card", "rAbc5.1", None),
            ("shopify_payments", "credit_card", "rAbc5.2", None),
        ],
    }
    assert {"amount", "charge", "method", "provider", "charged_at"} & rows["#1002"].keys() == set()
    assert rows["#1002"]["refunded"] == 1000


SHOPIFY_CELLS = {
    "Name": "#1001",
    "Email": "ada@example.com",
    "Financial Status": "paid",
    "Paid at": "2026-06-12 14:05:11 +0200",
    "Currency": "EUR",
    "Total": "49.00",
    "Payment Method": "Stripe",
    "Payment Reference": "ch_1",
    "Lineitem name": "Aurora Photo 4",
}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        ({}, (4900, None)),
        ({"Financial Status": "refunded"}, (4900, 4900)),
        ({"Financial Status": "refunded", "Refunded Amount": "0.00"}, (4900, 4900)),
        ({"Financial Status": "partially_refunded", "Refunded Amount": "9.50"}, (4900, 950)),
        ({"Financial Status": "partially_paid"}, (None, None)),
    ],
)
def test_the_amounts_of_an_order_of_shopify(
    read: Read, cells: dict[str, str], expected: tuple[int | None, int | None]
) -> None:
    row = only(read(table(SHOPIFY_CELLS | cells), system="shopify"))
    assert (row["amount"], row.get("refunded")) == expected


@pytest.mark.parametrize("status", ["zombie", "payment_pending", "unpaid", "Bezahlt"])
def test_an_order_of_shopify_with_another_status_is_refused(read: Read, status: str) -> None:
    sentence = only(read(table(SHOPIFY_CELLS | {"Financial Status": status}), system="shopify"))
    assert f"The status {status!r} of Shopify is unknown, so the order may be unpaid." in sentence


@pytest.mark.parametrize("status", ["Paid", "PARTIALLY_REFUNDED", "Partially refunded", "Refunded"])
def test_the_status_of_shopify_may_have_capitals_and_spaces(read: Read, status: str) -> None:
    assert only(read(table(SHOPIFY_CELLS | {"Financial Status": status}), system="shopify"))["amount"] == 4900


@pytest.mark.parametrize("status", ["pending", "authorized", "voided", "expired", "PENDING", "Voided"])
def test_an_order_of_shopify_that_is_not_paid_is_no_purchase(read: Read, status: str) -> None:
    assert read(table(SHOPIFY_CELLS | {"Financial Status": status}), system="shopify") == []


@pytest.mark.parametrize(
    ("method", "references", "payments"),
    [
        ("gift_card + shopify_payments", "r1", ["shopify_payments r1", "shopify aurora #1001 gift card 1"]),
        ("Shopify Payments, Gift Card", "r1", ["shopify_payments r1", "shopify aurora #1001 gift card 1"]),
        ("gift_card + gift_card", "", ["shopify aurora #1001 gift card 1", "shopify aurora #1001 gift card 2"]),
        ("paypal + stripe", "r1 + r2", ["paypal r1", "stripe r2"]),
        ("paypal + stripe", "r1", ["paypal r1", "stripe aurora #1001 payment 2"]),
        ("", "r1 + r2", ["unknown r1", "unknown r2"]),
        ("Shopify Payments", "r1 + r2", ["shopify_payments r1", "shopify_payments r2"]),
    ],
)
def test_the_payments_of_an_order_of_shopify(read: Read, method: str, references: str, payments: list[str]) -> None:
    row = only(
        read(table(SHOPIFY_CELLS | {"Payment Method": method, "Payment Reference": references}), system="shopify")
    )
    assert [f"{payment['provider']} {payment['charge']}" for payment in row["payments"]] == payments
    assert [payment["amount"] for payment in row["payments"]] == [None] * len(payments)


@pytest.mark.parametrize(
    ("method", "ours"),
    [("Bank Deposit", "wire_transfer"), ("gift_card", "gift_card"), ("Cash on Delivery (COD)", "cash")],
)
def test_an_order_of_shopify_without_an_id_of_a_provider_is_a_purchase(read: Read, method: str, ours: str) -> None:
    row = only(read(table(SHOPIFY_CELLS | {"Payment Method": method, "Payment Reference": ""}), system="shopify"))
    assert (row["method"], row["charge"], row["amount"]) == (ours, "aurora #1001", 4900)


@pytest.mark.parametrize(
    ("method", "ours"), [("bacs", "wire_transfer"), ("cod", "cash"), ("cheque", "check"), ("stripe", "credit_card")]
)
def test_an_order_of_woocommerce_without_an_id_of_a_provider_is_a_purchase(read: Read, method: str, ours: str) -> None:
    row = only(read(table(WOO_CELLS | {"payment_method": method, "transaction_id": ""}), system="woocommerce"))
    assert (row["method"], row["provider"], row["charge"]) == (ours, method, "aurora 741")


def test_a_line_item_without_its_order_is_refused(read: Read) -> None:
    lines = (SAMPLES / "shopify_orders.csv").read_text().splitlines(keepends=True)
    rows = read("".join([lines[0], lines[3], lines[2]]), system="shopify")
    assert [isinstance(row, str) for _, row in rows] == [False, True]


def _order(number: int, item: str) -> dict[str, str]:
    return WOO_CELLS | {"order_number": str(number), "order_id": f"9{number}", "Item Name": item}


@pytest.mark.parametrize(
    ("rows", "products"),
    [
        ([(1, "A"), (1, "B"), (2, "C")], {"1": "A, B", "2": "C"}),
        ([(1, "A"), (2, "C"), (1, "B")], {"1": "A, B", "2": "C"}),
        ([(1, "A"), (2, "C"), (1, "B"), (2, "D"), (1, "A")], {"1": "A, B", "2": "C, D"}),
        ([(1, "A"), (2, "A"), (3, "A"), (1, "A")], {"1": "A", "2": "A", "3": "A"}),
    ],
)
def test_the_items_of_an_order_are_one_purchase_wherever_they_are(
    read: Read, rows: list[tuple[int, str]], products: dict[str, str]
) -> None:
    orders = read(table(*(_order(*row) for row in rows)), system="woocommerce")
    assert [(row["reference"], row["product"]) for _, row in orders] == [*products.items()]


def test_a_second_row_of_an_order_with_another_status_or_amount_is_no_item(read: Read) -> None:
    for cells in ({"status": "refunded"}, {"order_total": "20.00"}, {"transaction_id": "ch_2"}):
        rows = read(table(WOO_CELLS, WOO_CELLS | cells), system="woocommerce")
        assert [row["reference"] for _, row in rows] == ["741", "741"]


def test_two_refunds_of_an_order_without_ids_are_two_refunds(read: Read) -> None:
    cells = {name: text for name, text in WOO_CELLS.items() if name != "order_id"}
    refund = cells | {"order_total": "-10.00"}
    assert only(read(table(cells, refund, refund), system="woocommerce"))["refunded"] == 2000


def test_an_order_with_hundreds_of_items_has_a_product_that_can_be_stored(read: Read) -> None:
    rows = [WOO_CELLS | {"Item Name": f"Aurora Fonts, volume {number}"} for number in range(200)]
    assert len(only(read(table(*rows), system="woocommerce"))["product"]) <= 300


def test_an_option_corrects_the_columns_of_an_export(read: Read) -> None:
    cells = STRIPE_CELLS | {"shop_order (metadata)": "A-17", "Description": "Aurora"}
    row = only(
        read(
            table(cells),
            system="stripe",
            columns={"reference": "shop_order (metadata)"},
            values={"provider": "stripe:eu"},
        )
    )
    assert (row["reference"], row["provider"]) == ("A-17", "stripe:eu")


# Items of orders


def items_of(row: dict[str, Any]) -> list[tuple[str, str, int, int, int | None]]:
    names = ("id", "name", "quantity", "amount", "tax")
    return [tuple(item[name] for name in names) for item in row.get("items", ())]


SHOPIFY_ITEM = {
    "Lineitem quantity": "1",
    "Lineitem price": "49.00",
    "Lineitem sku": "AP4",
    "Lineitem discount": "0.00",
    "Shipping": "0.00",
}
SHOPIFY_ORDER = SHOPIFY_CELLS | SHOPIFY_ITEM


@pytest.mark.parametrize(
    ("cells", "item"),
    [
        ({}, ("AP4", "Aurora Photo 4", 1, 4900, None)),
        ({"Lineitem quantity": "2", "Total": "98.00"}, ("AP4", "Aurora Photo 4", 2, 9800, None)),
        (
            {"Lineitem quantity": "3", "Lineitem discount": "10.00", "Total": "137.00"},
            ("AP4", "Aurora Photo 4", 3, 13700, None),
        ),
        ({"Shipping": "4.90", "Total": "53.90"}, ("AP4", "Aurora Photo 4", 1, 4900, None)),
        ({"Lineitem price": "0.00", "Total": "0.00"}, ("AP4", "Aurora Photo 4", 1, 0, None)),
        ({"Currency": "JPY", "Lineitem price": "4900", "Total": "4900"}, ("AP4", "Aurora Photo 4", 1, 4900, None)),
        ({"Lineitem sku": ""}, ("1", "Aurora Photo 4", 1, 4900, None)),
        ({"Lineitem name": "", "Lineitem sku": "AP4"}, ("AP4", "AP4", 1, 4900, None)),
        ({"Lineitem name": "<b>Photo</b>\n4"}, ("AP4", "<b>Photo</b> 4", 1, 4900, None)),
        ({"Financial Status": "refunded"}, ("AP4", "Aurora Photo 4", 1, 4900, None)),
        ({"Payment Reference": "r1 + r2"}, ("AP4", "Aurora Photo 4", 1, 4900, None)),
    ],
)
def test_the_items_of_an_order_of_shopify_are_read(
    read: Read, cells: dict[str, str], item: tuple[str, str, int, int, int | None]
) -> None:
    assert items_of(only(read(table(SHOPIFY_ORDER | cells), system="shopify"))) == [item]


@pytest.mark.parametrize(
    ("cells", "why"),
    [
        ({"Total": "56.82"}, NOT_ADDED_UP),  # taxes that the prices do not contain
        ({"Total": "44.10"}, NOT_ADDED_UP),  # a discount on the whole order
        ({"Lineitem quantity": "2"}, NOT_ADDED_UP),
        ({"Shipping": "4.90"}, NOT_ADDED_UP),
        ({"Lineitem quantity": "0.5", "Lineitem price": "98.00"}, UNREADABLE),
        ({"Lineitem quantity": "-1"}, UNREADABLE),
        ({"Lineitem quantity": "two"}, UNREADABLE),
        ({"Lineitem quantity": "9" * 30}, UNREADABLE),
        ({"Lineitem price": "much"}, UNREADABLE),
        ({"Lineitem price": "49.001"}, UNREADABLE),
        ({"Lineitem price": "$ 49.00 USD"}, UNREADABLE),
        ({"Lineitem price": ""}, UNREADABLE),
        ({"Lineitem discount": "50.00", "Total": "-1.00"}, UNREADABLE),
        ({"Lineitem name": "", "Lineitem sku": ""}, UNREADABLE),
        ({"Lineitem sku": "S" * 101}, UNREADABLE),
        ({"Currency": "???"}, UNREADABLE),
    ],
)
def test_an_order_whose_items_are_uncertain_is_a_purchase_without_items(
    read: Read, tmp_path: Path, cells: dict[str, str], why: str
) -> None:
    assert "items" not in only(read(table(SHOPIFY_ORDER | cells), "orders.csv", system="shopify"))
    _, file = read_file(tmp_path / "orders.csv", system="shopify")
    assert file.without_items == {why: 1}


def test_an_export_without_quantities_has_no_items_and_reports_nothing(tmp_path: Path) -> None:
    (tmp_path / "orders.csv").write_text(table(SHOPIFY_CELLS))
    ((_, row),), file = read_file(tmp_path / "orders.csv", system="shopify")
    assert ("items" in row, file.without_items.total()) == (False, 0)


def test_a_column_of_items_that_occurs_twice_refuses_no_file(read: Read) -> None:
    first, second = table(SHOPIFY_ORDER).splitlines()
    rows = read(f"{first},Lineitem quantity\n{second},5\n", system="shopify")
    assert (only(rows)["amount"], items_of(only(rows))) == (4900, [])


def _further_item(name: str, sku: str, quantity: str, price: str) -> dict[str, str]:
    empty = dict.fromkeys(SHOPIFY_ORDER, "") | {"Name": "#1001"}
    return empty | {"Lineitem name": name, "Lineitem sku": sku, "Lineitem quantity": quantity, "Lineitem price": price}


@pytest.mark.parametrize(
    ("skus", "ids"),
    [
        (("AP4", "AF"), ["AP4", "AF"]),
        (("AP4", "AP4"), ["1", "2"]),
        (("AP4", " AP4"), ["1", "2"]),
        (("AP4", ""), ["1", "2"]),
        (("2", ""), ["1", "2"]),
    ],
)
def test_items_without_skus_of_their_own_are_numbered(read: Read, skus: tuple[str, str], ids: list[str]) -> None:
    order = SHOPIFY_ORDER | {"Lineitem sku": skus[0], "Total": "89.00"}
    row = only(read(table(order, _further_item("Fonts", skus[1], "2", "20.00")), system="shopify"))
    assert [item["id"] for item in row["items"]] == ids
    assert [item["amount"] for item in row["items"]] == [4900, 4000]


def test_an_item_that_was_removed_from_its_order_is_left_out(read: Read) -> None:
    row = only(read(table(SHOPIFY_ORDER, _further_item("Fonts", "AF", "0", "20.00")), system="shopify"))
    assert [item["id"] for item in row["items"]] == ["AP4"]


@pytest.mark.parametrize(("number", "why"), [(500, {}), (501, {TOO_MANY: 1}), (10_000, {TOO_MANY: 1})])
def test_an_order_has_at_most_500_items(tmp_path: Path, number: int, why: dict[str, int]) -> None:
    items = [_further_item(f"Fonts {n}", f"AF{n}", "1", "0.00") for n in range(1, number)]
    (tmp_path / "orders.csv").write_text(table(SHOPIFY_ORDER, *items))
    ((_, row),), file = read_file(tmp_path / "orders.csv", system="shopify")
    assert (row["amount"], len(row.get("items", ())), file.without_items) == (4900, 0 if why else number, why)


REST_ITEM: dict[str, Any] = {"id": 7, "name": "Aurora Photo 4", "quantity": 2, "total": "41.18", "total_tax": "7.82"}


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        ([REST_ITEM], [("7", "Aurora Photo 4", 2, 4900, 782)]),
        ([REST_ITEM | {"total": "20.00", "total_tax": "0.00"}], [("7", "Aurora Photo 4", 2, 2000, 0)]),
        ([REST_ITEM | {"total": 20, "total_tax": 0}], [("7", "Aurora Photo 4", 2, 2000, 0)]),
        ([REST_ITEM, REST_ITEM | {"id": 8, "quantity": 0}], [("7", "Aurora Photo 4", 2, 4900, 782)]),
        ([REST_ITEM | {"name": "Photo | Fonts; 4"}], [("7", "Photo | Fonts; 4", 2, 4900, 782)]),
        ([], []),
        (["x", None, 3], []),
    ],
)
def test_the_items_of_woocommerces_rest_api_include_their_tax(
    read: Read, items: list[Any], expected: list[tuple[str, str, int, int, int]]
) -> None:
    row = only(read(json.dumps([REST_ORDER | {"line_items": items}]), "orders.json", system="woocommerce"))
    assert (row["amount"], items_of(row)) == (4900, expected)


@pytest.mark.parametrize(
    "item",
    [
        REST_ITEM | {"quantity": 1.5},
        REST_ITEM | {"quantity": [1]},
        REST_ITEM | {"total": None},
        REST_ITEM | {"total": "-10.00", "total_tax": "-1.90"},
        REST_ITEM | {"total_tax": "much"},
        REST_ITEM | {"total": "9" * 40},
        REST_ITEM | {"name": "  ", "id": "  "},
        {"quantity": 1, "total_tax": "0.00"},
    ],
)
def test_a_strange_item_of_woocommerce_does_not_refuse_its_order(read: Read, item: dict[str, Any]) -> None:
    row = only(read(json.dumps([REST_ORDER | {"line_items": [item]}]), "orders.json", system="woocommerce"))
    assert (row["amount"], items_of(row)) == (4900, [])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("id:7|name:Photo|quantity:2|total:41.18|total_tax:7.82", [("7", "Photo", 2, 4900, 782)]),
        ("name:Photo | product_id:3 | quantity:1 | total:49.00", [("1", "Photo", 1, 4900, None)]),
        ("name:Photo | product_id:3 | quantity:1 | total:41.18", []),
        (
            "id:7|name:Photo|quantity:1|total:29.00|total_tax:0;id:8|name:Fonts|quantity:1|total:20.00|total_tax:0",
            [("7", "Photo", 1, 2900, 0), ("8", "Fonts", 1, 2000, 0)],
        ),
        ("name:Photo; 4|quantity:1|total:49.00", []),
        ("name:Photo|quantity:|total", []),
    ],
)
def test_the_items_in_a_cell_of_woocommerce_are_read(read: Read, text: str, expected: list[Any]) -> None:
    row = only(read(table(WOO_CELLS | {"line_items": text}), system="woocommerce"))
    assert (row["amount"], items_of(row)) == (4900, expected)


def test_the_items_in_rows_of_woocommerce_are_read_if_they_add_up(read: Read) -> None:
    rows = [
        WOO_CELLS | {"Item Name": name, "Quantity": "1", "Item Cost": cost} for name, cost in (("A", "29"), ("B", "20"))
    ]
    elsewhere = WOO_CELLS | {
        "order_number": "742",
        "order_id": "9742",
        "Item Name": "C",
        "Quantity": "1",
        "Item Cost": "9",
    }
    (_, order), (_, other) = read(table(rows[0], elsewhere, rows[1]), system="woocommerce")
    assert items_of(order) == [("1", "A", 1, 2900, None), ("2", "B", 1, 2000, None)]
    assert items_of(other) == []


@pytest.mark.parametrize("text", ["[", "x", "1", '{"id": "AP4"}', "[" * 100_000, "[NaN]"])
def test_a_cell_with_items_that_is_no_json_array_refuses_its_row(read: Read, text: str) -> None:
    assert str(cell(read, "items", text)).startswith("items: This is not ")


def test_items_of_our_own_format_are_an_array_of_json(read: Read) -> None:
    item = {"id": "AP4", "name": "Photo", "quantity": 2, "amount": 4900}
    assert cell(read, "items", json.dumps([item])) == [item]
    assert only(read(json.dumps(OWN_ROW | {"items": [item]}), "orders.jsonl"))["items"] == [item]
    decimal = OWN_ROW | {"amount": "49.00", "items": [item | {"amount": "49.00", "tax": 7.82}, 3]}
    assert only(read(json.dumps(decimal), "orders.jsonl"))["items"] == [item | {"tax": 782}, 3]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
@given(
    cells=st.dictionaries(
        st.sampled_from([*SHOPIFY_ITEM, "Lineitem name"]),
        st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=12) | st.integers(-99, 99).map(str),
    )
)
def test_whatever_the_items_are_the_order_is_a_purchase(read: Read, cells: dict[str, str]) -> None:
    row = only(read(table(SHOPIFY_ORDER | cells), system="shopify"))
    assert Row.model_validate(row).amount == 4900


# Other files, by a mapping of columns


def test_a_file_with_other_columns_is_read_by_a_mapping(read: Read) -> None:
    content = (
        "Order;Customer Email;Total;Currency;Paid with;Gateway;Payment id;Bought;Ignored\n"
        "17;ada@example.com;1.249,00;eur;Visa;Stripe;ch_17;12.06.2026 14:05;x\n"
        "18;bob@example.com;49;eur;SEPA Direct Debit;Mollie;tr_18;2.6.2026;x\n"
    )
    mapping = {
        "reference": "Order", "email": "Customer Email", "amount": "Total", "method": "Paid with", "provider": "Gateway",
        "charge": "Payment id", "purchased_at": "Bought",
    }  # fmt: skip
    (_, first), (_, second) = read(content, columns=mapping, values={"seller": "aurora", "product": "Aurora Photo 4"})
    assert first == {
        "seller": "aurora",
        "product": "Aurora Photo 4",
        "reference": "17",
        "email": "ada@example.com",
        "amount": 124900,
        "currency": "EUR",
        "method": "credit_card",
        "provider": "stripe",
        "charge": "ch_17",
        "purchased_at": "2026-06-12T14:05:00+02:00",
    }
    assert (second["amount"], second["method"], second["provider"]) == (4900, "direct_debit", "mollie")
    assert second["purchased_at"] == "2026-06-02T00:00:00+02:00"


def test_json_lines_with_other_fields_are_read_by_a_mapping(read: Read) -> None:
    order = {"no": 17, "buyer": {"mail": "ada@example.com"}, "total": 49.50, "when": 1781265911, "business": True}
    mapping = {"reference": "no", "email": "buyer.mail", "amount": "total", "purchased_at": "when"}
    values = {"seller": "aurora", "currency": "EUR", "method": "card", "provider": "stripe", "charge": "ch_1"}
    row = only(read(json.dumps(order), "orders.jsonl", columns=mapping, values=values))
    assert (row["reference"], row["email"], row["amount"]) == ("17", "ada@example.com", 4950)
    assert row["purchased_at"] == "2026-06-12T12:05:11+00:00"


@pytest.mark.parametrize("form", ["json lines", "array"])
@pytest.mark.parametrize("spelling", ["refunded", "Refunded"])
def test_a_later_object_may_have_fields_that_the_first_object_lacks(read: Read, form: str, spelling: str) -> None:
    first = {"no": "1", "mail": "ada@example.com", "total": "49.00", "when": "2026-06-12T12:00:00Z"}
    second = first | {"no": "2", "dispute": "open", spelling: "10.00", "renewal": True, "Issue": {"id": 7}}
    mapping = {"reference": "no", "email": "mail", "amount": "total", "purchased_at": "when"}
    values = {"seller": "aurora", "currency": "EUR", "method": "card", "provider": "stripe", "charge": "ch_1"}
    objects = [first, second]
    content = json.dumps(objects) if form == "array" else "\n".join(map(json.dumps, objects))
    for columns in (mapping, mapping | {"refunded": "refunded", "dispute": "dispute"}):
        (_, one), (_, two) = read(content, "orders.json", columns=columns, values=values)
        assert {"refunded", "dispute", "renewal"} & one.keys() == set()
        assert (two["refunded"], two["dispute"], two["renewal"]) == (1000, "open", True)
    with pytest.raises(UnreadableError, match=r"no column 'Issue\.no'"):
        read(content, "orders.json", columns=mapping | {"charge": "Issue.no"}, values=values)


@pytest.mark.parametrize("name", ["orders", "purchases", "data", "results"])
@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize(
    "before", [{}, {"count": 2, "next": None, "shop": "aurora"}, {"page": {"number": 1}, "last": True}]
)
def test_a_json_document_with_a_list_of_objects_is_read(
    read: Read, name: str, indent: int | None, before: dict[str, Any]
) -> None:
    objects = [OWN_ROW, OWN_ROW | {"reference": "MB-2"}]
    rows = read(json.dumps(before | {name: objects, "total": 2}, indent=indent), "orders.json")
    assert [row["reference"] for _, row in rows] == ["MB-1", "MB-2"]
    assert [row for _, row in read(json.dumps(objects, indent=indent), "orders.json")] == objects
    assert read(json.dumps({name: []}, indent=indent), "orders.json") == []
    nested = {"page": 1, "data": {"shop": "aurora", "orders": {"nodes": objects}}}
    assert [row for _, row in read(json.dumps(nested, indent=indent), "orders.json")] == objects


def test_json_lines_that_begin_with_a_list_are_read_by_line(read: Read) -> None:
    line = json.dumps({"payments": [{"provider": "stripe", "charge": "ch_1"}], "seller": "aurora", "reference": "MB-1"})
    assert [line for line, _ in read(f"{line}\n{line}", "purchases.jsonl")] == [1, 2]


# Separators and encodings


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_found_by_the_header(read: Read, separator: str) -> None:
    cells = OWN_CELLS | {"product": "Photo, 4; for | all\tof you"}
    assert only(read(table(cells, separator=separator))) == OWN_ROW | {"product": "Photo, 4; for | all of you"}


@pytest.mark.parametrize("name", ["sep=;", "SEP=;", "Sep=;", '"SEP=;"'])
def test_the_line_with_which_excel_names_the_separator_is_skipped(read: Read, name: str) -> None:
    ((line, row),) = read(f"{name}\r\n{table(OWN_CELLS, separator=';')}")
    assert (line, row) == (3, OWN_ROW)


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "cp1252", "latin-1"]
)
@pytest.mark.parametrize(
    "product", ["Für Ärzte & Köche", "Crème brûlée à la française", "Niño y São João", "Straße – 5 €"]
)
def test_the_encoding_is_recognised(read: Read, encoding: str, product: str) -> None:
    content = table(
        OWN_CELLS | {"product": product.replace("–", "-").replace("€", "x") if encoding == "latin-1" else product}
    )
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    assert "�" not in only(read(mark + content.encode(encoding)))["product"]
    assert only(read(content.encode(encoding)))["product"].split() == content.splitlines()[1].split(",")[3].split()


@pytest.mark.parametrize("line_break", ["\n", "\r\n"])
def test_blank_lines_and_line_breaks_in_cells_are_counted(read: Read, line_break: str) -> None:
    lines = [
        OWN_HEADER + ",details.licence_key",
        "",
        '"aurora",MB-1,,"A',
        'B",4900,EUR,,,,,KEY',
        ",,,,,,,,,,",
        "aurora,MB-2,,,,,,,,,",
    ]
    rows = read(line_break.join(lines))
    assert [line for line, _ in rows] == [3, 6]
    assert rows[0][1]["details"] == {"licence_key": "KEY"}


# Amounts


@pytest.mark.parametrize(
    ("text", "currency", "minor"),
    [
        ("49.00", "EUR", 4900),
        ("49,00", "EUR", 4900),
        ("49,9", "EUR", 4990),
        ("1.234,56", "EUR", 123456),
        ("1,234.56", "USD", 123456),
        ("1'234.56", "CHF", 123456),
        ("1’234.50", "CHF", 123450),
        ("1 234,56", "EUR", 123456),
        ("1\u202f234,56 €", "EUR", 123456),
        ("12,34,567.50", "INR", 123456750),
        ("1.234.567", "EUR", 123456700),
        ("1.234.567,8", "EUR", 123456780),
        ("€ 49,00", "EUR", 4900),
        ("€49.00", "EUR", 4900),
        ("49.00 EUR", "EUR", 4900),
        ("EUR 49.00", "EUR", 4900),
        ("$1,249.00", "USD", 124900),
        ("R$ 49,00", "BRL", 4900),
        ("49,00 zł", "PLN", 4900),
        ("-49.00", "EUR", -4900),
        ("−49,00", "EUR", -4900),
        ("(49.00)", "USD", -4900),
        ("49.00-", "EUR", -4900),
        ("０．５０", "EUR", 50),
        (".50", "EUR", 50),
        ("49,-", "EUR", 4900),
        ("49,– €", "EUR", 4900),
        ("Fr. 49.--", "CHF", 4900),
        ("0.500", "EUR", 50),
        ("49.00000000", "EUR", 4900),
        ("1234.500", "EUR", 123450),
        ("5000", "JPY", 5000),
        ("5,000", "JPY", 5000),
        ("¥5,000", "JPY", 5000),
        ("500.00", "JPY", 500),
        ("12.345", "KWD", 12345),
        ("1,234.500", "KWD", 1234500),
    ],
)
def test_an_amount_is_understood(read: Read, text: str, currency: str, minor: int) -> None:
    row = only(read(table(OWN_CELLS | {"amount": text, "currency": currency}), minor_units=False))
    assert row["amount"] == minor


@pytest.mark.parametrize(
    ("text", "currency", "why"),
    [
        ("49.123456", "EUR", "more decimals than EUR"),
        ("49.50", "JPY", "more decimals than JPY"),
        ("$49.00", "EUR", None),
        ("49.00 USD", "EUR", "in USD, but the currency is EUR"),
        ("£49.00", "EUR", "in GBP, but the currency is EUR"),
        ("12,34,56.7.8", "EUR", "contradict"),
        ("1,23.45", "EUR", "groups of three"),
        ("free", "EUR", "not an amount"),
        ("49.00 shells", "EUR", "not an amount"),
        ("ch_49", "EUR", "not an amount"),
    ],
)
def test_an_amount_with_several_meanings_or_none_is_refused(
    read: Read, text: str, currency: str, why: str | None
) -> None:
    row = only(read(table(OWN_CELLS | {"amount": text, "currency": currency}), minor_units=False))
    assert (row["amount"] == 4900) if why is None else (row.startswith("amount: ") and why in row)


@pytest.mark.parametrize(
    ("text", "currency"),
    [("1.234", "EUR"), ("1,234", "USD"), ("12.500", "EUR"), ("€ 49.005", "EUR"), ("-1.234", "GBP")],
)
def test_an_amount_with_several_meanings_stops_the_import(read: Read, text: str, currency: str) -> None:
    rows = table(OWN_CELLS | {"currency": currency}, OWN_CELLS | {"amount": text, "currency": currency})
    with pytest.raises(UnreadableError, match=r"^Line 3, amount: .* may be .*--decimal-separator"):
        read(rows, minor_units=False)


@pytest.mark.parametrize(("other", "minor"), [("49,00", 123400), ("1.249,50", 123400), ("7,5", 123400)])
def test_the_other_amounts_of_a_file_show_the_decimal_separator(read: Read, other: str, minor: int) -> None:
    rows = read(table(OWN_CELLS | {"amount": "1.234"}, OWN_CELLS | {"amount": other}), minor_units=False)
    assert rows[0][1]["amount"] == minor


@pytest.mark.parametrize(("separator", "minor"), [(",", 123400), (".", None)])
def test_an_option_names_the_decimal_separator(read: Read, separator: str, minor: int | None) -> None:
    amount = cell(read, "amount", "1.234", minor_units=False, decimal_separator=separator)
    assert amount == minor or "more decimals" in amount


@pytest.mark.parametrize(
    ("amount", "currency"), [("49.00 EUR", "EUR"), ("€ 49,00", "EUR"), ("49,00 zł", "PLN"), ("£49", "GBP")]
)
def test_the_amount_names_the_currency_if_no_column_does(read: Read, amount: str, currency: str) -> None:
    row = only(read(table(OWN_CELLS | {"amount": amount, "currency": ""}), minor_units=False))
    assert (row["amount"], row["currency"]) == (4900, currency)


@pytest.mark.parametrize(
    "amount",
    ["4900", "49.00", "49,00", "€ 49,00", "49,-", "49.-", "49,– €", "€ 49", "€49", "49€", "49 EUR", "EUR 49", "eur 49"],
)
def test_our_own_format_takes_minor_units_and_amounts_with_decimals(read: Read, amount: str) -> None:
    assert cell(read, "amount", amount) == 4900


@pytest.mark.parametrize(
    ("amount", "currency"), [("$ 49", "USD"), ("CHF 49.-", "CHF"), ("kr 49", "SEK"), ("49 zł", "PLN")]
)
def test_an_amount_with_a_currency_is_decimal_in_our_own_format(read: Read, amount: str, currency: str) -> None:
    assert only(read(table(OWN_CELLS | {"amount": amount, "currency": currency})))["amount"] == 4900
    assert (
        only(read(table(OWN_CELLS | {"amount": amount, "currency": ""}), values={"currency": currency}))["amount"]
        == 4900
    )


@pytest.mark.parametrize("amounts", [("5000 JPY", "¥5,000", "5000,-", "JPY 5000")])
def test_an_amount_in_yen_is_the_same_with_and_without_the_currency(read: Read, amounts: tuple[str, ...]) -> None:
    rows = read(table(*(OWN_CELLS | {"amount": amount, "currency": "JPY"} for amount in amounts)))
    assert [row["amount"] for _, row in rows] == [5000] * len(amounts)


def test_a_mapped_file_whose_amounts_have_a_currency_needs_no_option(read: Read) -> None:
    assert only(read(table(MAPPED_CELLS | {"Total": "EUR 49"}), **MAPPED))["amount"] == 4900


@pytest.mark.parametrize(
    "amounts",
    [("49.00", "50"), ("50", "49,00"), ("4900", "4900", "49.5"), ("4900", "49,-"), ("€ 49", "4900"), ("49 EUR", "50")],
)
def test_our_own_format_does_not_mix_minor_units_and_decimals(read: Read, amounts: tuple[str, ...]) -> None:
    with pytest.raises(UnreadableError, match=r"49 may be 49\.00 or 0\.49"):
        read(table(*(OWN_CELLS | {"amount": amount} for amount in amounts)))


def test_zero_and_yen_are_no_mixture(read: Read) -> None:
    rows = read(
        table(
            OWN_CELLS | {"amount": "49.00", "refunded": "0"},
            OWN_CELLS | {"amount": "5000", "currency": "JPY", "refunded": "0.00"},
        )
    )
    assert [(row["amount"], row["refunded"]) for _, row in rows] == [(4900, 0), (5000, 0)]


MAPPED = {"columns": {"amount": "Total"}}
MAPPED_CELLS = {**{name: text for name, text in OWN_CELLS.items() if name != "amount"}, "Total": "4900"}


def test_a_mapped_file_without_any_decimals_must_say_what_its_amounts_are(read: Read) -> None:
    with pytest.raises(UnreadableError, match=r"--minor-units .* --decimal-amounts"):
        read(table(MAPPED_CELLS), **MAPPED)
    assert only(read(table(MAPPED_CELLS), **MAPPED, minor_units=True))["amount"] == 4900
    assert only(read(table(MAPPED_CELLS), **MAPPED, minor_units=False))["amount"] == 490000
    assert only(read(table(MAPPED_CELLS | {"currency": "JPY"}), **MAPPED))["amount"] == 4900
    rows = read(table(MAPPED_CELLS | {"Total": "49"}, MAPPED_CELLS | {"Total": "9.50"}), **MAPPED)
    assert [row["amount"] for _, row in rows] == [4900, 950]


def test_minor_units_have_no_decimals(read: Read) -> None:
    assert "more decimals than minor units" in cell(read, "amount", "49.50", minor_units=True)


def test_an_amount_in_an_unknown_currency_is_unknown(read: Read) -> None:
    row = only(read(table(OWN_CELLS | {"amount": "49.00", "currency": "bgn"})))
    assert (row["amount"], row["currency"]) == (None, "BGN")


# Words


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("TRUE", True), ("true", True), ("yes", True), ("1", True), ("Y", True), ("ja", True), ("WAHR", True), ("VRAI", True),
        ("FALSE", False), ("no", False), ("0", False), ("nein", False), ("FALSCH", False), ("FAUX", False),
    ],
)  # fmt: skip
def test_a_truth_value_is_understood(read: Read, text: str, value: bool) -> None:
    assert cell(read, "renewal", text) is value


@pytest.mark.parametrize("text", ["maybe", "2", "x", "on hold"])
def test_another_word_is_no_truth_value(read: Read, text: str) -> None:
    assert cell(read, "consumer", text) == f"consumer: {text!r} is neither true nor false. Write true or false."


@pytest.mark.parametrize(
    ("text", "code"), [("eur", "EUR"), (" Usd ", "USD"), ("€", "EUR"), ("£", "GBP"), ("xyz", "XYZ")]
)
def test_a_currency_is_written_in_capitals(text: str, code: str) -> None:
    assert words.currency(text) == code


@pytest.mark.parametrize(
    ("text", "method"),
    [
        ("card", "credit_card"), ("Visa", "credit_card"), ("Mastercard Debit", "credit_card"),
        ("American Express", "credit_card"),
        ("Visa ending in 4242", "credit_card"), ("Credit Card (Stripe)", "credit_card"), ("stripe_cc", "credit_card"),
        ("mollie_wc_gateway_creditcard", "credit_card"), ("ppcp-credit-card-gateway", "credit_card"), ("scheme", "credit_card"),
        ("sepa_debit", "direct_debit"), ("SEPA Direct Debit", "direct_debit"), ("stripe_sepa", "direct_debit"),
        ("directdebit", "direct_debit"), ("us_bank_account", "direct_debit"), ("bacs_debit", "direct_debit"),
        ("PayPal", "paypal"), ("ppcp-gateway", "paypal"), ("PayPal Express Checkout", "paypal"), ("braintree_paypal", "paypal"),
        ("apple_pay", "apple_pay"), ("Apple Pay (Stripe)", "apple_pay"), ("applepay", "apple_pay"),
        ("Google Pay", "google_pay"), ("android_pay", "google_pay"), ("paywithgoogle", "paywithgoogle"),
        ("alipay", "alipay"), ("stripe_alipay", "alipay"), ("amazon_pay", "amazon_pay"), ("Amazon Payments", "amazon_pay"),
        ("bacs", "wire_transfer"), ("Direct bank transfer", "wire_transfer"), ("cod", "cash"), ("Cash on Delivery (COD)", "cash"),
        ("cheque", "check"), ("Invoice", "invoice"), ("bancontact", "bancontact"), ("klarna", "klarna"),
        ("mollie_wc_gateway_ideal", "ideal"), ("credit_card", "credit_card"), ("gift_card + paypal", "gift_card_paypal"),
        ("Carte de crédit", "credit_card"), ("Carte de cre\u0301dit (Stripe)", "credit_card"),
        ("Tarjeta de crédito", "credit_card"),
        ("Carta di credito", "credit_card"), ("Cartão de crédito", "credit_card"), ("Kreditkarte", "credit_card"),
        ("クレジットカード", "credit_card"), ("SEPA-Lastschrift", "direct_debit"), ("Prélèvement SEPA", "direct_debit"),
        ("PayPal Plus", "paypal"), ("Banküberweisung", "wire_transfer"), ("Virement bancaire", "wire_transfer"),
        ("Credit", "credit"), ("credit (Stripe)", "credit"), ("Store Credit", "store_credit"), ("Credit note", "credit_note"),
    ],
)  # fmt: skip
def test_the_words_of_shops_and_providers_for_a_method_are_understood(text: str, method: str) -> None:
    assert words.method(text) == method


@pytest.mark.parametrize(
    ("text", "provider"),
    [
        ("Stripe", "stripe"), ("STRIPE", "stripe"), ("Stripe (Credit Card)", "stripe"), ("stripe_sepa", "stripe"),
        ("ppcp-gateway", "paypal"), ("PayPal Express Checkout", "paypal"), ("Braintree_PayPal", "braintree"),
        ("mollie_wc_gateway_ideal", "mollie"), ("Adyen", "adyen"), ("shopify_payments", "shopify_payments"),
        ("Shopify Payments", "shopify_payments"), ("woocommerce_payments", "woocommerce_payments"), ("Square", "square"),
        ("Stripe:aurora", "stripe:aurora"), ("sandbox", "sandbox"),
    ],
)  # fmt: skip
def test_the_words_of_shops_for_a_provider_are_understood(text: str, provider: str) -> None:
    assert words.provider(text) == provider


@pytest.mark.parametrize(
    ("text", "dispute"),
    [
        ("Dispute lost", "lost"),
        ("Dispute won", "won"),
        ("Inquiry closed", "won"),
        ("Dispute under review", "open"),
        ("OPEN", "open"),
        ("needs_response", "open"),
        ("Lost", "lost"),
        ("warning_closed", "won"),
        ("none", "none"),
    ],
)
def test_the_state_of_a_dispute_is_understood(text: str, dispute: str) -> None:
    assert words.dispute(text) == dispute


def test_another_word_is_no_state_of_a_dispute() -> None:
    with pytest.raises(CellError, match="none, inquiry, open, lost or won"):
        words.dispute("angry")


# Dates


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("2026-06-12T14:05:11+02:00", "2026-06-12T14:05:11+02:00"),
        ("2026-06-12T12:05:11Z", "2026-06-12T12:05:11+00:00"),
        ("2026-06-12 14:05:11 -0500", "2026-06-12T14:05:11-05:00"),
        ("2026-06-12 14:05", "2026-06-12T14:05:00+02:00"),
        ("2026-01-12 14:05", "2026-01-12T14:05:00+01:00"),
        ("2026-06-12", "2026-06-12T00:00:00+02:00"),
        ("20260612", "2026-06-12T00:00:00+02:00"),
        ("2026/6/2 9:05", "2026-06-02T09:05:00+02:00"),
        ("12.06.2026", "2026-06-12T00:00:00+02:00"),
        ("2.6.2026 9:05", "2026-06-02T09:05:00+02:00"),
        ("12.06.2026, 14:05:11", "2026-06-12T14:05:11+02:00"),
        ("13/06/2026 14:05", "2026-06-13T14:05:00+02:00"),
        ("06/13/2026 2:05 PM", "2026-06-13T14:05:00+02:00"),
        ("6/13/2026 12:05 am", "2026-06-13T00:05:00+02:00"),
        ("06/06/2026", "2026-06-06T00:00:00+02:00"),
        ("13-06-2026", "2026-06-13T00:00:00+02:00"),
        ("June 12, 2026 2:05 pm", "2026-06-12T14:05:00+02:00"),
        ("Jun 12, 2026", "2026-06-12T00:00:00+02:00"),
        ("12 June 2026 14:05", "2026-06-12T14:05:00+02:00"),
        ("Fri, 12 Jun 2026 14:05:11 +0200", "2026-06-12T14:05:11+02:00"),
        ("13/06/2026 14:05 PDT", "2026-06-13T14:05:00-07:00"),
        ("13/06/2026 14:05 GMT+01:00", "2026-06-13T14:05:00+01:00"),
        ("13/06/2026 14:05 America/Los_Angeles", "2026-06-13T14:05:00-07:00"),
        ("1781265911", "2026-06-12T12:05:11+00:00"),
    ],
)  # fmt: skip
def test_a_date_is_understood_in_the_time_zone_of_the_seller(read: Read, text: str, instant: str) -> None:
    assert cell(read, "purchased_at", text) == instant


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("31.02.2026", "not a date of the calendar"),
        ("2026-02-30", "not a date"),
        ("13/13/2026", "not a date"),
        ("13/06/2026 14:05 IST", "Name the time zone with --time-zone"),
        ("2026-06-13 14:05 CST", "Name the time zone with --time-zone"),
        ("13.06.2026 14:05:11 XYZT", "Name the time zone with --time-zone"),
        ("12.06.26", "not a date"),
        ("46185.5", "not a date"),
        ("yesterday", "not a date"),
        ("17", "not a date"),
    ],
)
def test_a_date_with_several_meanings_or_none_is_refused(read: Read, text: str, why: str) -> None:
    refusal = cell(read, "purchased_at", text)
    assert refusal.startswith("purchased_at: ")
    assert why in refusal


@pytest.mark.parametrize(
    ("text", "example"),
    [("03/04/2026", "%d/%m/%Y"), ("03-04-2026 14:05", "%d-%m-%Y %H:%M"), ("3/4/2026 14:05:11", "%d/%m/%Y %H:%M:%S")],
)
def test_a_date_with_several_meanings_stops_the_import(read: Read, text: str, example: str) -> None:
    rows = table(OWN_CELLS, *[OWN_CELLS | {"purchased_at": text}] * 50)
    with pytest.raises(UnreadableError, match=r"^Line 3, purchased_at: .* 3 may be the day or the month") as fault:
        read(rows)
    assert f'--date-format, such as "{example}".' in str(fault.value)
    row = only(read(table(OWN_CELLS | {"purchased_at": text}), date_format=example))
    assert row["purchased_at"].startswith("2026-04-03T")


@pytest.mark.parametrize("date_format", ["%m/%d/%Y", "%m/%d/%Y %H:%M:%S"])
def test_the_format_of_the_date_is_enough_if_time_and_zone_have_columns(read: Read, date_format: str) -> None:
    row = only(read(table(PAYPAL_CELLS | {"Date": "04/03/2026"}), system="paypal", date_format=date_format))
    assert row["purchased_at"] == "2026-04-03T11:30:00+02:00"


@pytest.mark.parametrize(("other", "month"), [("13/06/2026", 4), ("06/13/2026", 3), ("28/02/2026 10:00", 4)])
def test_the_other_dates_of_a_file_show_the_order_of_day_and_month(read: Read, other: str, month: int) -> None:
    rows = read(table(OWN_CELLS | {"purchased_at": "03/04/2026"}, OWN_CELLS | {"purchased_at": other}))
    assert rows[0][1]["purchased_at"].startswith(f"2026-{month:02}-")


def test_options_name_the_format_and_the_time_zone_of_dates(read: Read) -> None:
    options = {"date_format": "%d/%m/%y %H:%M", "time_zone": ZoneInfo("Asia/Tokyo")}
    assert cell(read, "purchased_at", "03/04/26 14:05", **options) == "2026-04-03T14:05:00+09:00"
    assert "--date-format" in cell(read, "purchased_at", "2026-04-03", **options)


@pytest.mark.parametrize("abbreviation", ["CST", "IST", "HKT", "SGT", "PKT", "AWST", "XYZT"])
def test_the_named_time_zone_decides_about_an_unclear_abbreviation(read: Read, abbreviation: str) -> None:
    cells = PAYPAL_CELLS | {"TimeZone": abbreviation}
    assert "--time-zone America/Chicago" in only(read(table(cells), system="paypal"))
    row = only(read(table(cells), system="paypal", time_zone=ZoneInfo("Asia/Hong_Kong")))
    assert row["purchased_at"] == "2026-06-13T11:30:00+08:00"


@pytest.mark.parametrize(
    ("zone", "offset"), [("AEST", "+10:00"), ("CEST", "+02:00"), ("PST", "-08:00"), ("UTC", "+00:00")]
)
def test_the_named_time_zone_does_not_replace_a_clear_abbreviation(read: Read, zone: str, offset: str) -> None:
    row = only(read(table(PAYPAL_CELLS | {"TimeZone": zone}), system="paypal", time_zone=ZoneInfo("Asia/Tokyo")))
    assert row["purchased_at"] == f"2026-06-13T11:30:00{offset}"


@pytest.mark.parametrize(
    ("column", "text", "instant"),
    [
        ("Date (UTC)", "2026-06-12 01:00 CEST", "2026-06-12T01:00:00+02:00"),
        ("Datum (UTC+2)", "12.06.2026 01:00", "2026-06-12T01:00:00+02:00"),
        ("Date (UTC-05:00)", "2026-06-12 01:00:30", "2026-06-12T01:00:30-05:00"),
        ("Created (GMT+05:30)", "2026-06-12", "2026-06-12T00:00:00+05:30"),
        ("Date UTC−3", "06/13/2026 2:05 PM", "2026-06-13T14:05:00-03:00"),
        ("Date (+0900)", "2026-06-12 01:00", "2026-06-12T01:00:00+09:00"),
        ("Date (UTC)", "2026-06-12 01:00", "2026-06-12T01:00:00+00:00"),
        ("Datum (UTC+2)", "2026-06-12T01:00:00Z", "2026-06-12T01:00:00+00:00"),
        ("Order date", "2026-06-12 01:00", "2026-06-12T01:00:00+02:00"),
        ("Date (-7 days)", "2026-06-12 01:00", "2026-06-12T01:00:00+02:00"),
    ],
)
def test_the_offset_in_the_name_of_a_column_counts(read: Read, column: str, text: str, instant: str) -> None:
    cells = {name: value for name, value in OWN_CELLS.items() if name != "purchased_at"} | {
        column: text,
        "amount": "49.00",
    }
    assert only(read(table(cells), columns={"purchased_at": column}))["purchased_at"] == instant


def test_a_date_without_an_offset_needs_a_time_zone(read: Read) -> None:
    row = only(read(table(OWN_CELLS | {"seller": "nobody", "purchased_at": "2026-06-12 14:05"})))
    assert "--time-zone" in row


# Faults of the whole file


def _xlsx() -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("xl/workbook.xml", "<workbook/>")
    return content.getvalue()


LINE = ",".join(OWN_CELLS.values())
TWO_LINES = f"{OWN_HEADER}\n{LINE}\n".encode()
FAULTS: dict[str, tuple[bytes, str]] = {
    "an empty file": (b"", "is empty"),
    "only blanks": (b" \r\n\n", "is empty"),
    "only a byte order mark": ("\ufeff".encode(), "The header"),
    "an Excel workbook": (_xlsx(), "Save the table as CSV"),
    "an old Excel workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1", "Save the table as CSV"),
    "a gzip file": (gzip.compress(TWO_LINES), "gzip"),
    "a PDF": (b"%PDF-1.7 ...", "PDF"),
    "a web page": (b"<!DOCTYPE html><html>", "HTML"),
    "an SQLite database": (b"SQLite format 3\0...", "SQLite"),
    "a NUL byte": (TWO_LINES + b"aurora,MB-2,\0\n", "Line 3"),
    "NUL bytes at the end": (TWO_LINES + b"\0" * 100, "Line 3"),
    "an invalid byte in UTF-8": (TWO_LINES + "für,für,für,".encode() + b"\xff\n", "Line 3"),
    "a cut character at the end": (TWO_LINES + "für ".encode() * 3 + b"\xc3", "Line 3"),
    "half a character in UTF-16": (TWO_LINES.decode().encode("utf-16") + b"\x00\xd8a\x00", "UTF-16"),
    "Shift JIS": (TWO_LINES + "オーロラ写真,東京都千代田区\n".encode("shift_jis"), "Save the file as UTF-8"),
    "Windows-1251": (TWO_LINES + "Аврора Фото для всех\n".encode("cp1251"), "Save the file as UTF-8"),
    "Windows-1250": (TWO_LINES + "Paweł Wałęsa, Łódź, żółw\n".encode("cp1250"), "Save the file as UTF-8"),
    "Mac OS Roman": (TWO_LINES + "Schöne Grüße für Jürgen\n".encode("mac-roman"), "Save the file as UTF-8"),
    "MS-DOS": (TWO_LINES + "Schöne Größe\n".encode("cp437"), "Save the file as UTF-8"),
    "Greek": (TWO_LINES + "Φωτογραφία για όλους\n".encode("iso-8859-7"), "Save the file as UTF-8"),
    "GBK": (TWO_LINES + "极光照片,北京市朝阳区\n".encode("gbk"), "Save the file as UTF-8"),
    "EUC-KR": (TWO_LINES + "오로라 사진\n".encode("euc-kr"), "Save the file as UTF-8"),
    "an unclosed quote": (TWO_LINES + b'aurora,"MB-2,ada\naurora,MB-3,\n', "never closed"),
    "a quote inside a quoted cell": (TWO_LINES + b'aurora,"MB "2"",\n', "line 3 on. A quotation mark inside"),
    "a header without needed columns": (b"amount,currency\n4900,EUR\n", "Missing: seller (add --seller ID), reference"),
    "no header": (f"{LINE}\n{LINE}\n".encode(), "Unknown columns"),
    "a sentence": (b"The export failed. Please try again later.", "does not fit our own format"),
    "a column twice": (b"seller,reference,amount,amount\naurora,MB-1,1,2\n", "'amount' occurs twice"),
    "an array that ends early": (b'[{"seller": "aurora", "reference": "MB-1"},', "not valid JSON"),
    "an object over several lines": (b'{\n"seller": "aurora"\n}', "Write each object on one line"),
    "an array with a mistake": (b'[{"seller": "aurora" "reference": "MB-1"}]', "not valid JSON from line 1"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_of_the_whole_file_is_one_sentence(read: Read, name: str) -> None:
    content, why = FAULTS[name]
    with pytest.raises(UnreadableError, match=r"^[A-Z]") as fault:
        read(content)
    assert why in str(fault.value)
    assert "\n" not in str(fault.value)
    assert len(str(fault.value)) < 700


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(UnreadableError, match="is not a file"):
        read_file(tmp_path)


@pytest.mark.parametrize(
    ("cells", "hint"),
    [
        ({"Mail": "x"}, "did you mean 'email'"),
        ({"Customer Email": "x"}, "did you mean 'email'"),
        ({"curency": "x"}, "did you mean 'currency'"),
        ({"Total": "x"}, "did you mean 'amount'"),
        ({"purchase_at": "x"}, "did you mean 'purchased_at'"),
        ({"colour": "x"}, "Unknown columns: 'colour'."),
    ],
)
def test_an_unknown_column_is_one_message_for_the_header(read: Read, cells: dict[str, str], hint: str) -> None:
    with pytest.raises(UnreadableError) as fault:
        read(table(*[OWN_CELLS | cells] * 50))
    assert hint in str(fault.value)
    assert "--map" in str(fault.value)


@pytest.mark.parametrize(
    ("name", "system"),
    [
        ("stripe_unified_payments.csv", "stripe"),
        ("stripe_payments_older.csv", "stripe"),
        ("paypal_activity_english.csv", "paypal"),
        ("paypal_activity_german.csv", "paypal"),
        ("woocommerce_orders.csv", "woocommerce"),
        ("woocommerce_orders_tabs.csv", "woocommerce"),
        ("woocommerce_orders.json", "woocommerce"),
        ("shopify_orders.csv", "shopify"),
    ],
)
def test_an_export_without_its_option_is_recognised(name: str, system: str) -> None:
    with pytest.raises(UnreadableError, match=f"Add --from {system}"):
        read_file(SAMPLES / name)


def test_an_export_lacks_a_column(read: Read) -> None:
    cells = {name: text for name, text in STRIPE_CELLS.items() if name != "Customer Email"} | {
        "Customer Mail": "ada@example.com"
    }
    with pytest.raises(
        UnreadableError,
        match=r"Missing: email \(usually the column 'Customer Email'\)\. .*--map email=\"Customer Mail\"",
    ):
        read(table(cells), system="stripe")


@pytest.mark.parametrize(
    "column", ["payment_method", "Payment Method Title", "transaction_status", "Payment", "Shipping Charge", "Gateway"]
)
def test_no_column_is_suggested_that_would_give_all_orders_one_charge(read: Read, column: str) -> None:
    cells = {name: text for name, text in WOO_CELLS.items() if name != "transaction_id"} | {column: "stripe"}
    with pytest.raises(UnreadableError, match='--map charge="COLUMN"') as fault:
        read(table(cells), system="woocommerce")
    assert "--set" not in str(fault.value)


@pytest.mark.parametrize("column", ["Payment ID", "Transaction", "txn_number", "Charge reference"])
def test_a_column_that_may_contain_the_charge_is_suggested(read: Read, column: str) -> None:
    cells = {name: text for name, text in WOO_CELLS.items() if name != "transaction_id"} | {column: "ch_1"}
    with pytest.raises(UnreadableError, match=f'--map charge="{column}"'):
        read(table(cells), system="woocommerce")


@pytest.mark.parametrize("name", ["stripe_unified_payments.csv", "woocommerce_orders.json", "shopify_orders.csv"])
def test_an_export_needs_a_seller(name: str) -> None:
    system = name.partition("_")[0]
    with pytest.raises(UnreadableError, match=r"Missing: seller \(add --seller ID\)\.$"):
        PurchaseFile(SAMPLES / name, Options(system=system), {})


@pytest.mark.parametrize(
    ("columns", "hint"),
    [
        ({"amount": "Totals"}, "'Totals' (did you mean 'Total'?)"),
        ({"amount": "Total", "email": "Mail"}, "no column 'Mail'"),
    ],
)
def test_a_mapped_column_that_does_not_exist_is_named(read: Read, columns: dict[str, str], hint: str) -> None:
    with pytest.raises(UnreadableError) as fault:
        read(table(MAPPED_CELLS), columns=columns)
    assert hint in str(fault.value)


# Rows of our own format


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (f"{LINE},and more", "11 cells, but the header has 10"),
        ("aurora,MB-2", "2 cells, but the header has 10"),
        (LINE.replace("4900", "free"), "amount: 'free' is not an amount"),
        (LINE.replace("EUR", "USD").replace("4900", "EUR 49.00"), "in EUR, but the currency is USD"),
    ],
)
def test_a_line_that_cannot_be_read_is_refused_alone(read: Read, line: str, why: str) -> None:
    rows = read(f"{OWN_HEADER}\n{line}\n{LINE}\n")
    assert why in rows[0][1]
    assert rows[1] == (3, OWN_ROW)


@pytest.mark.parametrize(
    ("text", "reference"),
    [('="00417"', "00417"), ("'-417", "-417"), ("'@417", "@417"), ("'417", "'417"), ("=417", "=417")],
)
def test_a_cell_that_is_protected_from_spreadsheets_is_unpacked(read: Read, text: str, reference: str) -> None:
    assert cell(read, "reference", text) == reference


def test_a_refund_that_woocommerce_protects_from_spreadsheets_is_a_refund(read: Read) -> None:
    refund = WOO_CELLS | {
        "order_number": "9742",
        "order_id": "9742",
        "order_total": "'-12.50",
        "parent_order_id": "9741",
    }
    assert only(read(table(WOO_CELLS, refund), system="woocommerce"))["refunded"] == 1250


@pytest.mark.parametrize("text", ["NULL", "\\N", "N/A", "#N/A", "NaN", "  "])
def test_an_empty_cell_is_not_reported(read: Read, text: str) -> None:
    row = only(read(table(OWN_CELLS | {"charge": text, "amount": text, "charged_at": text})))
    assert {"charge", "amount", "charged_at"} & row.keys() == set()


@pytest.mark.parametrize(
    ("text", "product"),
    [
        ("Aurora\nPhoto 4", "Aurora Photo 4"),
        ("Aurora\r\n\tPhoto  4\n", "Aurora Photo 4"),
        ("Aurora\u2028Photo\x0b4", "Aurora Photo 4"),
        ("x" * 300, "x" * 300),
        ("x" * 301, "x" * 298 + " …"),
        ("Aurora\n" * 400, ("Aurora " * 400)[:298] + " …"),
    ],
)
def test_a_product_is_one_line_that_can_be_stored(read: Read, text: str, product: str) -> None:
    for content, name, system in (
        (table(OWN_CELLS | {"product": text}), "orders.csv", None),
        (json.dumps(OWN_ROW | {"product": text}), "orders.json", None),
        (table(STRIPE_CELLS | {"Description": text}), "orders.csv", "stripe"),
        (table(PAYPAL_CELLS | {"Item Title": text}), "orders.csv", "paypal"),
        (table(WOO_CELLS | {"Item Name": text}), "orders.csv", "woocommerce"),
        (table(SHOPIFY_CELLS | {"Lineitem name": text}), "orders.csv", "shopify"),
    ):
        assert only(read(content, name, **({"system": system} if system else {})))["product"] == product


def test_a_row_of_our_own_format_may_mark_the_duplicate(read: Read) -> None:
    rows = read(table(OWN_CELLS | {"duplicate": "no"}, OWN_CELLS | {"charge": "ch_2", "duplicate": "yes"}))
    assert [row["duplicate"] for _, row in rows] == [False, True]
    assert "duplicate: 'perhaps' is neither true nor false" in cell(read, "duplicate", "perhaps")
    assert only(read(json.dumps(OWN_ROW | {"duplicate": True}), "purchases.jsonl"))["duplicate"] is True
    assert only(read(table(MAPPED_CELLS | {"duplicate": "1"}), **MAPPED, minor_units=True))["duplicate"] is True


@pytest.mark.parametrize("text", ["4.71E+11", "1,23457E+15", "9.0E+5"])
def test_a_number_that_a_spreadsheet_rounded_is_refused(read: Read, text: str) -> None:
    assert "rounded" in cell(read, "reference", text)
    assert "rounded" in cell(read, "charge", text)


def test_spaces_around_cells_do_not_matter(read: Read) -> None:
    row = only(read('"seller", "reference",  amount \n"aurora", "MB, 1", 4900 \n'))
    assert row == {"seller": "aurora", "reference": "MB, 1", "amount": 4900}


def test_empty_cells_at_the_end_of_a_line_are_ignored(read: Read) -> None:
    assert only(read(f"{OWN_HEADER}\n{LINE},,\n")) == OWN_ROW


def test_json_lines_keep_their_values(read: Read) -> None:
    values = OWN_ROW | {"renewal": True, "amount": None, "details": {"licence_key": "KEY"}, "currency": "eur"}
    assert only(read(json.dumps(values), "purchases.jsonl")) == values | {"currency": "EUR"}


def test_the_payments_of_a_json_line_are_understood_too(read: Read) -> None:
    values = {
        "seller": "aurora",
        "reference": "MB-1",
        "currency": "eur",
        "payments": [
            {
                "provider": "Stripe",
                "charge": "ch_1",
                "amount": 7000,
                "method": "Visa",
                "charged_at": "2026-06-12 14:05",
            },
            {"provider": "shop", "charge": "gift 1", "amount": "30.00", "method": "gift_card", "duplicate": "no"},
        ],
    }
    assert only(read(json.dumps(values), "purchases.jsonl"))["payments"] == [
        {
            "currency": "EUR", "provider": "stripe", "charge": "ch_1", "amount": 7000, "method": "credit_card",
            "charged_at": "2026-06-12T14:05:00+02:00",
        },
        {"currency": "EUR", "provider": "shop", "charge": "gift 1", "amount": 3000, "method": "gift_card", "duplicate": False},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("{this is no JSON", "not valid JSON"),
        ('["MB-8"]', "not a JSON object"),
        ('{"seller": "aurora", "reference": "MB-1", "amount": NaN}', "not valid JSON"),
        ('{"seller": "aurora", "reference": "MB-1", "colour": "blue"}', "colour: There is no such field"),
        ('{"seller": "aurora", "reference": "MB-1", "mail": "x"}', "did you mean 'email'"),
        ("[" * 100_000, "not valid JSON"),
    ],
)
def test_a_bad_json_line_is_refused_alone(read: Read, line: str, why: str) -> None:
    rows = read(f"{json.dumps(OWN_ROW)}\n{line}\n\n{json.dumps(OWN_ROW)}", "purchases.jsonl")
    assert [line for line, _ in rows] == [1, 2, 4]
    assert why in rows[1][1]


def test_json_with_the_fields_of_another_system_is_one_message(read: Read) -> None:
    with pytest.raises(UnreadableError, match=r"Unknown columns: 'order'.*--map"):
        read('{"order": "17", "total": 4900}\n' * 3, "orders.jsonl")


@pytest.mark.parametrize(
    ("content", "name"), [("[]", "orders.json"), ("[ ]\n", "orders.txt"), (f"{OWN_HEADER}\n", "orders.csv")]
)
def test_a_file_without_purchases_is_no_fault(read: Read, content: str, name: str) -> None:
    assert read(content, name) == []


def test_every_column_of_our_format_is_a_field() -> None:
    assert tuple(DIALECT.columns) == FIELDS


def test_a_file_is_read_row_by_row(tmp_path: Path) -> None:
    path = tmp_path / "large.csv"
    path.write_text(f"{OWN_HEADER}\n" + f"{LINE}\n" * 20_000)
    file = PurchaseFile(path, Options(), {})
    rows = file.rows()
    next(rows)
    assert 0 < file.file.position < path.stat().st_size / 10
    assert sum(1 for _ in rows) == 19_999
    assert file.file.position == path.stat().st_size


CELLS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(
        ["49,00", "1.234", "-5", "03/04/2026", "12.06.2026 14:05 PST", "paid", "Refund", "Visa", '="1"', "+", "'-"]
    ),
)
HEADERS = [OWN_HEADER.split(","), [*STRIPE_CELLS], [*PAYPAL_CELLS], [*WOO_CELLS], [*SHOPIFY_CELLS]]


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(
    system=st.sampled_from([None, *SYSTEMS]),
    header=st.sampled_from(HEADERS),
    rows=st.lists(st.lists(CELLS, min_size=8, max_size=12), max_size=4),
)
def test_no_cell_is_an_error_of_the_program(
    read: Read, system: str | None, header: list[str], rows: list[list[str]]
) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([header, *[(row * 2)[: len(header)] for row in rows]])
    _read_anything(read, text.getvalue().encode(errors="ignore"), "orders.csv", system)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | CELLS,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*OWN_CELLS, "payments", "details", "x"]), inner)
    ),
    max_leaves=8,
)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(system=st.sampled_from([None, "woocommerce"]), values=st.lists(JSON_VALUES, max_size=4), is_array=st.booleans())
def test_no_json_is_an_error_of_the_program(read: Read, system: str | None, values: list[Any], is_array: bool) -> None:
    content = json.dumps(values) if is_array else "\n".join(map(json.dumps, values))
    _read_anything(read, content.encode(), "orders.json", system)


@hypothesis_settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=100, deadline=None)
@given(content=st.binary(max_size=200), begin=st.sampled_from([b"", TWO_LINES, b"[{", b"\xff\xfe"]))
def test_no_bytes_are_an_error_of_the_program(read: Read, content: bytes, begin: bytes) -> None:
    _read_anything(read, begin + content, "orders.csv", None)


def _read_anything(read: Read, content: bytes, name: str, system: str | None) -> None:
    """Read a file, which is read or refused with a sentence."""
    with suppress(UnreadableError):
        rows = read(content, name, **({"system": system} if system else {}))
        assert all(isinstance(row, dict | PaymentEvent | str) for _, row in rows)
