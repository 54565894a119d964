"""A purchase keeps its identity, its money and its address, whatever is told of other purchases or told again of this one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from config.signed_links import Purpose
from domain.messages import RefundRequested
from producers import purchase_import
from producers.purchase_import import BATCH_SIZE
from records.purchase_reports import store_purchases
from tests.integration._provider_fixtures import expire_leases
from tests.integration._shop_fixtures import EMAIL, SELLERS, Shop, a_body, a_charge, amounts_on, several_payments
from tests.sample_data import a_recent_purchase
from worker.dispatch import handle
from worker.sweep import Sweep

BOB = "bob@example.com"

SAME_FOLD = [
    ("2026-1-15", "2026-11-5"),
    ("INV.1.12", "INV.11.2"),
    ("#1001-1", "#100-11"),
    ("AB 12 345", "AB 123 45"),
    ("R-2026.04", "R-20260.4"),
    ("MB\u20131\u201323", "MB\u201312\u20133"),  # en dashes
    ("４７-11", "4-711"),  # full-width digits
    ("Straße-1", "STRASSE 1"),  # case folding makes two letters of one
]
"""Pairs of different references with the same letters and digits in the same order."""


@pytest.mark.parametrize("way", ["PUT", "one file", "two files"])
@pytest.mark.parametrize(("first", "second"), SAME_FOLD)
def test_two_references_with_the_same_letters_are_two_purchases(shop: Shop, first: str, second: str, way: str) -> None:
    ada = a_body(product="Aurora Photo 4")
    bob = a_body(email=BOB, product="Aurora Studio", amount=99_900)
    if way == "PUT":
        assert shop.put(first, **ada).json()["created"]
        assert shop.put(second, **bob).json()["created"]
    else:
        rows = [ada | {"reference": first}, bob | {"reference": second}]
        results = [shop.import_rows(*rows)] if way == "one file" else [shop.import_rows(row) for row in rows]
        assert sum(result.new for result in results) == 2
        assert [row for result in results for row in result.rejected] == []
    for reference, body in ((first, ada), (second, bob)):
        purchase = shop.purchase(reference)
        (payment,) = purchase.payments
        told = (purchase.email, purchase.product, payment.charge, payment.amount)
        assert told == (body["email"], body["product"], body["charge"], body["amount"])


@pytest.mark.parametrize(("first", "second"), SAME_FOLD)
def test_a_customer_who_waits_sees_and_gets_her_own_purchase(shop: Shop, first: str, second: str) -> None:
    charge = shop.tell(first, product="Aurora Photo 4")
    case = shop.waiting_case(first)
    other = shop.tell(second, email=BOB, product="Aurora Studio", amount=99_900)
    page = shop.page(Purpose.CONFIRM, case)
    assert "Aurora Photo 4" in page
    assert "Aurora Studio" not in page
    assert amounts_on(page) == {"€49.00"}
    shop.confirm(case)
    shop.process()
    assert (shop.state(case), shop.refunds(charge), shop.refunds(other)) == ("refunded", [(4900, "succeeded")], [])
    bob = shop.waiting_case(second, BOB)
    assert "Aurora Studio" in shop.page(Purpose.CONFIRM, bob)


@pytest.mark.parametrize(
    ("told", "asked"),
    [
        (("2026-1-15", "2026-11-5"), "2026-11-5"),
        (("INV.1.12", "INV.11.2"), " inv.11.2 "),
        (("#1001-1", "#100-11"), "#１00-11"),
        (("AB 12 345", "AB 123 45"), "ab 123 45"),
    ],
)
def test_of_two_purchases_of_one_customer_the_literal_reference_decides(
    shop: Shop, told: tuple[str, str], asked: str
) -> None:
    charges = [shop.tell(reference, amount=amount) for reference, amount in zip(told, (4900, 9900), strict=True)]
    case = shop.ask(asked, trusted=True)
    shop.process()
    assert shop.state(case) == "refunded"
    assert [shop.refunds(charge) for charge in charges] == [[], [(9900, "succeeded")]]


@pytest.mark.parametrize("asked", ["2026115", "2026 1 15", "#2026-115", "202.6115", "２０２６115"])
def test_a_reference_that_may_be_either_of_two_purchases_goes_to_support(shop: Shop, asked: str) -> None:
    charges = [shop.tell(reference) for reference in ("2026-1-15", "2026-11-5")]
    case = shop.ask(asked)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["ambiguous_reference"])
    assert {"2026-1-15", "2026-11-5"} == set(shop.details(case).split(", "))
    assert shop.open_tasks() == [("aurora", ["ambiguous_reference"])]
    assert [shop.refunds(charge) for charge in charges] == [[], []]


def test_a_reference_that_may_be_either_of_two_purchases_of_different_customers_is_found_by_the_address(
    shop: Shop,
) -> None:
    shop.tell("2026-1-15")
    charge = shop.tell("2026-11-5", email=BOB)
    case = shop.ask("2026115", BOB, trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])


@pytest.mark.parametrize(
    "again",
    [
        "mb-2026-0417",
        " MB-2026-0417 ",
        "ＭＢ-２０２６-０４１７",
        "Mb-2026-0417\u00a0",
        "\ufeffMB-2026-0417",
        "MB-2026-0417\u200b",
        "MB-2026\u00ad-0417",
        "\u202aMB-2026-0417\u202c",
    ],
)
def test_another_spelling_of_the_same_reference_is_the_same_purchase(shop: Shop, again: str) -> None:
    body = a_body()
    shop.put("MB-2026-0417", **body)
    assert shop.put(again, **body).json()["created"] is False
    assert shop.import_rows(body | {"reference": again}).known == 1
    assert shop.put(again, **body | {"amount": 900}).status_code == 409
    assert len(shop.purchases()) == 1


CORRECTIONS: list[dict[str, Any]] = [
    {"amount": 900},
    {"amount": 9900},
    {"currency": "USD"},
    {"email": "eve@example.com"},
    {"charge": "ok_another"},
    {"amount": 9900, "charge": "ok_another", "email": "eve@example.com"},
]


def stored(shop: Shop, reference: str) -> tuple[Any, ...]:
    purchase = shop.purchase(reference)
    payments = [(payment.charge, payment.amount, payment.currency) for payment in purchase.payments]
    return purchase.email, purchase.product, payments


@pytest.mark.parametrize("changes", CORRECTIONS)
def test_another_amount_charge_currency_or_address_is_refused_unless_it_is_a_correction(
    shop: Shop, changes: dict[str, Any]
) -> None:
    body = a_body()
    shop.put("MB-2026-0417", **body)
    before = stored(shop, "MB-2026-0417")
    answer = shop.put("MB-2026-0417", **body | changes | {"product": "Aurora Studio"})
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "purchase_differs")
    assert '"correct": true' in answer.json()["detail"]
    imported = shop.import_rows(body | changes | {"reference": "MB-2026-0417"})
    (bad,) = imported.rejected
    assert (imported.new, imported.known) == (0, 0)
    assert '"correct": true' in bad.why
    assert stored(shop, "MB-2026-0417") == before
    assert shop.put("MB-2026-0417", **body | changes, correct=True).status_code == 200
    told = body | changes
    payments = [(told["charge"], told["amount"], told["currency"])]
    assert stored(shop, "MB-2026-0417") == (told["email"], told["product"], payments)


OPEN_STATES = {
    "awaiting_confirmation": ("ok", False),
    "approved": ("broke", True),
    "refunding": ("lost500", True),
    "waiting_for_approval": ("approval", True),
    "refund_pending": ("pending", True),
    "refunded": ("ok", True),
    "with_support": ("declined", True),
}
"""For each open state: the behaviour of a charge and the trust in the request that lead to the state."""


@pytest.mark.parametrize("state", OPEN_STATES)
@pytest.mark.parametrize("changes", CORRECTIONS)
def test_a_purchase_with_an_open_case_cannot_be_corrected(shop: Shop, state: str, changes: dict[str, Any]) -> None:
    behaviour, trusted = OPEN_STATES[state]
    body = a_body(charge=a_charge(behaviour))
    shop.put("MB-2026-0417", **body)
    case = shop.ask("MB-2026-0417", trusted=trusted)
    shop.process()
    assert shop.state(case) == state
    before = stored(shop, "MB-2026-0417")
    answer = shop.put("MB-2026-0417", **body | changes, correct=True)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (409, "purchase_differs")
    assert "open refund request" in answer.json()["detail"]
    assert stored(shop, "MB-2026-0417") == before


@pytest.mark.parametrize("ending", ["cancelled", "expired"])
def test_a_purchase_can_be_corrected_after_its_case_has_ended(shop: Shop, ending: str) -> None:
    body = a_body()
    shop.put("MB-2026-0417", **body)
    case = shop.waiting_case("MB-2026-0417")
    if ending == "cancelled":
        shop.web.post(f"{shop.link(Purpose.CONFIRM, case)}/cancel", data={"sure": "yes"})
    else:
        expire_leases(shop.records)
        Sweep(shop.records).run_once()
    assert shop.state(case) == ending
    assert shop.put("MB-2026-0417", **body | {"amount": 900}, correct=True).status_code == 200
    again = shop.waiting_case("MB-2026-0417")
    assert amounts_on(shop.page(Purpose.CONFIRM, again)) == {"€9.00"}


def test_a_field_that_is_not_told_again_keeps_its_value(shop: Shop) -> None:
    body = a_body(dispute="open", refunded=1000, tax=782, consumer=False, details={"licence_key": "ADA1-8150-ENGN"})
    body["items"] = [{"id": "AP4", "name": "Aurora Photo 4", "quantity": 1, "amount": 4900}]
    shop.put("MB-2026-0417", **body)
    again = {
        name: body[name] for name in ("email", "amount", "currency", "method", "provider", "charge", "purchased_at")
    }
    for told in (again, {}, {"product": None, "dispute": None, "refunded": None, "items": None, "details": None}):
        assert shop.put("MB-2026-0417", **told).status_code == 200
        assert shop.import_rows(told | {"reference": "MB-2026-0417"}).known == 1
    purchase = shop.purchase("MB-2026-0417")
    kept = (purchase.product, purchase.dispute, purchase.refunded, purchase.tax, purchase.consumer)
    assert kept == ("Aurora Photo 4", "open", 1000, 782, False)
    assert [item.id for item in purchase.items] == ["AP4"]
    with shop.records.work() as work:
        (shown,) = work.purchase_details.get_many([purchase.id])
    assert shown.details.licence_key == "ADA1-8150-ENGN"
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(body["charge"])) == ("with_support", [])


@pytest.mark.parametrize(
    ("name", "before", "after"),
    [
        ("dispute", "open", "none"),
        ("dispute", "open", "won"),
        ("refunded", 1000, 0),
        ("product", "Aurora Photo 4", "Aurora Photo 4.1"),
        ("consumer", False, True),
        ("renewal", True, False),
        ("tax", 782, 0),
    ],
)
def test_a_value_changes_only_if_another_value_is_told(shop: Shop, name: str, before: Any, after: Any) -> None:
    stored_name = {"dispute": "reported_dispute", "refunded": "reported_refunded"}.get(name, name)
    shop.put("MB-2026-0417", **a_body() | {name: before})
    shop.put("MB-2026-0417")
    assert getattr(shop.purchase("MB-2026-0417"), stored_name) == before
    shop.put("MB-2026-0417", **{name: after})
    assert getattr(shop.purchase("MB-2026-0417"), stored_name) == after


@pytest.mark.parametrize("amount", [1, 900, 9900, 4_900_000])
@pytest.mark.parametrize("correct", [False, True])
def test_the_confirmed_amount_is_paid_whatever_is_told_before_the_payment(
    shop: Shop, amount: int, correct: bool
) -> None:
    body = a_body()
    shop.put("MB-2026-0417", **body)
    case = shop.waiting_case("MB-2026-0417")
    assert shop.put("MB-2026-0417", **body | {"amount": amount}, correct=correct).status_code == 409
    shop.confirm(case)
    assert shop.put("MB-2026-0417", **body | {"amount": amount}, correct=correct).status_code == 409
    shop.process()
    assert (shop.state(case), shop.refunds(body["charge"])) == ("refunded", [(4900, "succeeded")])


@pytest.mark.parametrize("moment", ["before the confirmation", "after the confirmation"])
def test_a_payment_that_is_added_to_a_confirmed_order_goes_to_support(shop: Shop, moment: str) -> None:
    body = a_body()
    shop.put("MB-2026-0417", **body)
    case = shop.waiting_case("MB-2026-0417")
    further = {"provider": "sandbox", "charge": a_charge(), "amount": 900, "currency": "EUR"}
    payments = [{name: body[name] for name in ("provider", "charge", "amount", "currency")}, further]
    if moment == "after the confirmation":
        shop.confirm(case)
    assert shop.put("MB-2026-0417", payments=payments).status_code == 200
    if moment == "before the confirmation":
        shop.confirm(case)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["purchase_changed"])
    assert [shop.refunds(payment["charge"]) for payment in payments] == [[], []]


# Several rows about one purchase


@pytest.fixture(params=[BATCH_SIZE, 1], ids=["one batch", "a batch for each row"])
def batches(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with all rows in one batch, and with each row in its own batch."""
    monkeypatch.setattr(purchase_import, "BATCH_SIZE", request.param)


IN_ANY_BATCHES = pytest.mark.usefixtures("batches")

CONTRADICTIONS: list[tuple[dict[str, Any], str]] = [
    ({"email": BOB}, "another e-mail address"),
    ({"email": BOB, "charge": "ok_bob", "amount": 99_900}, "another e-mail address"),
    ({"amount": 2000}, "the amount 4900 EUR, not 2000 EUR"),
    ({"amount": 9900}, "the amount 4900 EUR, not 9900 EUR"),
    ({"currency": "USD"}, "the amount 4900 EUR, not 4900 USD"),
    ({"method": "wire_transfer"}, "the method credit_card, not wire_transfer"),
    ({"provider": "stripe"}, "at sandbox"),
]


@IN_ANY_BATCHES
@pytest.mark.parametrize("is_known", [True, False])
@pytest.mark.parametrize(("changes", "difference"), CONTRADICTIONS)
def test_a_row_that_contradicts_an_earlier_row_is_refused_by_its_line(
    shop: Shop, changes: dict[str, Any], difference: str, is_known: bool
) -> None:
    body = a_body(reference="1001")
    if is_known:
        shop.import_rows(body)
    imported = shop.import_rows(body, body | changes)
    (bad,) = imported.rejected
    assert (imported.new, imported.known) == (0, 1) if is_known else (1, 0)
    assert bad.line == 2
    assert difference in bad.why
    assert '"correct": true' in bad.why
    assert stored(shop, "1001") == (EMAIL, body["product"], [(body["charge"], 4900, "EUR")])


@pytest.mark.parametrize(("changes", "difference"), CONTRADICTIONS[2:5])
def test_the_row_that_contradicts_the_known_purchase_is_refused_wherever_it_is(
    shop: Shop, changes: dict[str, Any], difference: str
) -> None:
    body = a_body(reference="1001")
    shop.import_rows(body)
    imported = shop.import_rows(body | changes, body)
    assert (imported.known, [bad.line for bad in imported.rejected]) == (1, [1])
    assert difference in imported.rejected[0].why
    assert stored(shop, "1001")[2] == [(body["charge"], 4900, "EUR")]


@IN_ANY_BATCHES
@pytest.mark.parametrize(("changes", "_"), CONTRADICTIONS[:5])
def test_a_later_row_may_correct_an_earlier_row(shop: Shop, changes: dict[str, Any], _: str) -> None:
    body = a_body(reference="1001")
    told = body | changes
    imported = shop.import_rows(body, told | {"correct": True})
    assert (imported.new, imported.known, imported.rejected) == (1, 0, [])
    assert stored(shop, "1001") == (
        told["email"],
        told["product"],
        [(told["charge"], told["amount"], told["currency"])],
    )


def test_a_payment_that_a_later_row_replaces_can_be_reported_by_another_seller(shop: Shop) -> None:
    body = a_body(reference="1001")
    shop.import_rows(body, body | {"email": BOB, "charge": "ok_bob", "correct": True})
    assert shop.put("B-1", "babbage", **a_body(charge=body["charge"])).status_code == 201


@IN_ANY_BATCHES
def test_of_two_customers_with_one_reference_the_second_never_gets_the_payment_of_the_first(shop: Shop) -> None:
    ada, bob = a_body(reference="1001"), a_body(reference="1001", email=BOB, amount=99_900)
    imported = shop.import_rows(ada, bob)
    assert len(imported.rejected) == 1
    cases = [shop.ask("1001", EMAIL, trusted=True), shop.ask("1001", BOB, trusted=True)]
    shop.process()
    assert [shop.state(case) for case in cases] == ["refunded", "unmatched"]
    assert [shop.refunds(body["charge"]) for body in (ada, bob)] == [[(4900, "succeeded")], []]


@IN_ANY_BATCHES
@pytest.mark.parametrize("known", ["nothing", "the first row", "the second row", "both rows"])
def test_rows_with_different_payments_of_an_order_are_one_purchase(shop: Shop, known: str) -> None:
    """An export may list the newest payment first, so the known payment may come last."""
    rows = [a_body(reference="1001"), a_body(reference="1001", amount=900)]
    before = {"nothing": [], "the first row": rows[:1], "the second row": rows[1:], "both rows": rows}[known]
    shop.import_rows(*before)
    imported = shop.import_rows(rows[0], rows[1])
    assert (imported.new, imported.known, imported.rejected) == ((0, 1, []) if before else (1, 0, []))
    payments = {(payment.charge, payment.amount) for payment in shop.purchase("1001").payments}
    assert payments == {(row["charge"], row["amount"]) for row in rows}


@IN_ANY_BATCHES
def test_a_further_payment_is_added_while_a_request_is_open_wherever_the_known_payment_is(shop: Shop) -> None:
    first, further = a_body(reference="1001"), a_body(reference="1001")
    shop.import_rows(first)
    shop.waiting_case("1001")
    assert shop.import_rows(further, first).rejected == []
    assert len(shop.purchase("1001").payments) == 2


@pytest.mark.parametrize("correct", [True, False])
def test_a_single_further_payment_replaces_the_known_payment_or_is_refused_with_the_way_to_keep_both(
    shop: Shop, correct: bool
) -> None:
    first, second = a_body(reference="1001"), a_body(reference="1001")
    shop.import_rows(first)
    imported = shop.import_rows(second | {"correct": correct})
    if correct:
        assert stored(shop, "1001")[2] == [(second["charge"], 4900, "EUR")]
        return
    answer = shop.put("1001", **{name: value for name, value in second.items() if name != "reference"})
    assert answer.status_code == 409
    for sentence in (imported.rejected[0].why, answer.json()["detail"]):
        assert '"correct": true, which replaces the known payment.' in sentence
        assert "report all its payments together" in sentence
    assert shop.import_rows(first, second).rejected == [], "the sentence is true"
    assert len(shop.purchase("1001").payments) == 2


@IN_ANY_BATCHES
@pytest.mark.parametrize(
    ("values", "refunded"), [((4900, 0), 4900), ((0, 4900), 4900), ((4900, None), 4900), ((1000, 2000), 3000)]
)
def test_the_refunds_of_the_rows_are_added_and_the_next_import_changes_nothing(
    shop: Shop, values: tuple[int | None, int | None], refunded: int
) -> None:
    rows = [
        a_body(reference="1001") | ({} if value is None else {"refunded": value, "dispute": "none"}) for value in values
    ]
    for _ in range(2):
        assert shop.import_rows(rows[0], rows[1]).rejected == []
        assert shop.purchase("1001").refunded == refunded
    case = shop.ask("1001", trusted=True)
    shop.process()
    assert (shop.state(case), [shop.refunds(row["charge"]) for row in rows]) == ("with_support", [[], []])


@IN_ANY_BATCHES
@pytest.mark.parametrize(
    ("values", "dispute"),
    [
        (("open", "none"), "open"),
        (("lost", "won"), "lost"),
        (("won", "inquiry"), "inquiry"),
        (("open", None), "open"),
    ],
)
def test_the_most_serious_dispute_of_the_rows_decides_and_the_next_import_changes_nothing(
    shop: Shop, values: tuple[str, str | None], dispute: str
) -> None:
    rows = [a_body(reference="1001") | ({} if value is None else {"dispute": value}) for value in values]
    for _ in range(2):
        assert shop.import_rows(rows[0], rows[1]).rejected == []
        assert shop.purchase("1001").dispute == dispute


@pytest.mark.parametrize("second", [{"amount": 4900}, {"amount": 1900}, {"amount": None}, {"duplicate": True}])
@pytest.mark.parametrize("is_known", [True, False])
def test_a_purchase_that_lists_a_payment_twice_is_refused_by_every_way(
    shop: Shop, second: dict[str, Any], is_known: bool
) -> None:
    part = a_part(4900)
    if is_known:
        shop.put("1001", **several_payments(part))
    before = shop.purchases()
    body = several_payments(part, part | second)
    answer = shop.put("1001", **body, correct=True)
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == (422, "validation_failed")
    imported = shop.import_rows(a_body(reference="1000"), body | {"reference": "1001"}, a_body(reference="1002"))
    assert (imported.new, [bad.line for bad in imported.rejected]) == (2, [2])
    for sentence in (answer.json()["detail"], imported.rejected[0].why):
        assert f"lists the payment {part['charge']} at sandbox twice" in sentence
    assert [purchase for purchase in shop.purchases() if purchase.reference == "1001"] == before


# Unmatched requests whose purchase arrives later


WAYS = ("PUT", "import", "payment webhook")


def bring(shop: Shop, way: str, reference: str, seller: str = "aurora", **fields: Any) -> str:
    """Bring the purchase that a customer has asked about. Return its charge."""
    body = a_body(**fields)
    if way == "PUT":
        assert shop.put(reference, seller, **body).status_code == 201
    elif way == "import":
        assert shop.import_rows(body | {"reference": reference}, seller=seller).new == 1
    else:
        created = datetime.fromisoformat(body["purchased_at"]).timestamp()
        shop.register(
            body["charge"],
            body["amount"],
            email=body["email"],
            reference=reference,
            product=body["product"],
            method="credit_card",
            created=int(created),
            metadata={"seller": seller},
        )
        shop.notify("payment.succeeded", {"charge": body["charge"]})
    shop.process()
    return str(body["charge"])


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("seller", ["aurora", None])
def test_a_request_is_judged_again_when_its_purchase_arrives(shop: Shop, way: str, seller: str | None) -> None:
    case = shop.ask("2026 0417", seller=seller)
    shop.process()
    assert shop.state(case) == "unmatched"
    shop.age(case, days=29, hours=23)
    old = (datetime.now(UTC) - timedelta(days=50)).isoformat()
    charge = bring(shop, way, "2026-0417", purchased_at=old)
    assert shop.state(case) == "awaiting_confirmation", "on the day of the request, the purchase was 20 days old"
    shop.confirm(case)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])


@pytest.mark.parametrize(("asked", "seller"), [("2026-0417", "aurora"), ("2026 0417", None), ("2026.04.17", "aurora")])
@pytest.mark.parametrize("purchases", [1, 3])
def test_a_request_that_comes_during_the_import_of_its_purchase_is_judged_by_the_next_sweep(
    shop: Shop, asked: str, seller: str | None, purchases: int
) -> None:
    """The evaluation does not see the purchase yet, and the import does not see the unmatched case."""
    others = [a_recent_purchase() for _ in range(purchases - 1)]
    with shop.records.work() as work:
        store_purchases(work, [a_recent_purchase(reference="2026-0417", email=EMAIL), *others])
        case = shop.ask(asked, seller=seller)
        shop.process()
        assert shop.state(case) == "unmatched"
    assert Sweep(shop.records).run_once() == 1
    shop.process()
    assert shop.state(case) == "awaiting_confirmation"
    assert Sweep(shop.records).run_once() == 0


def test_the_sweep_leaves_requests_unmatched_that_match_no_purchase(shop: Shop) -> None:
    shop.tell("2026-0417")
    cases = [shop.ask("2026-0418"), shop.ask("2026-0417", BOB), shop.ask("2026-0417", seller="babbage")]
    shop.process()
    assert Sweep(shop.records).run_once() == 0
    assert {shop.state(case) for case in cases} == {"unmatched"}


@pytest.mark.parametrize("other", ["2026-11-5", "2026 115", "20261-15"])
@pytest.mark.parametrize("trusted", [True, False])
def test_a_request_that_is_evaluated_again_stays_with_its_purchase(shop: Shop, other: str, trusted: bool) -> None:
    charge = shop.tell("2026-1-15", product="Aurora Photo 4")
    dispute = shop.set_dispute(charge, "open")
    shop.notify("dispute.opened", dispute)
    case = shop.ask("2026115", trusted=trusted)
    shop.process()
    assert shop.reasons(case) == ["dispute_open"]
    shop.tell(other, product="Aurora Studio", amount=99_900)
    shop.notify("dispute.won", shop.set_dispute(charge, "won", dispute["id"]))
    shop.process()
    if not trusted:
        assert "Aurora Studio" not in shop.page(Purpose.CONFIRM, case)
        shop.confirm(case)
        shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(4900, "succeeded")])


@pytest.mark.parametrize("way", WAYS)
def test_a_request_that_came_too_late_is_not_judged_as_of_today(shop: Shop, way: str) -> None:
    case = shop.ask("2026-0417")
    shop.process()
    old = (datetime.now(UTC) - timedelta(days=31)).isoformat()
    bring(shop, way, "2026-0417", purchased_at=old)
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["outside_window"])


@pytest.mark.parametrize("way", WAYS)
def test_a_request_of_31_days_ago_stays_unmatched(shop: Shop, way: str) -> None:
    case = shop.ask("2026-0417")
    shop.process()
    shop.age(case, days=31)
    bring(shop, way, "2026-0417")
    assert shop.state(case) == "unmatched"


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("email", "seller"), [(BOB, "aurora"), (EMAIL, "babbage")])
def test_a_purchase_of_another_customer_or_seller_matches_no_waiting_request(
    shop: Shop, way: str, email: str, seller: str
) -> None:
    case = shop.ask("2026-0417", email, seller=seller)
    shop.process()
    bring(shop, way, "2026-0417")
    assert shop.state(case) == "unmatched"


ANONYMOUS: list[dict[str, Any]] = [
    {},
    {"refund_scope": "partial"},
    {"refund_scope": "vat", "seller": None},
    {"reason": "duplicate_order", "seller": None},
]
"""Requests that anyone can send."""


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("anonymous", ANONYMOUS)
def test_a_signed_in_request_is_paid_when_its_purchase_arrives_whatever_others_asked_before(
    shop: Shop, way: str, anonymous: dict[str, Any]
) -> None:
    other = shop.ask("2026-0417", **anonymous)
    shop.process()
    case = shop.ask("2026-0417", trusted=True)
    shop.process()
    assert [shop.state(other), shop.state(case)] == ["unmatched", "unmatched"]
    charge = bring(shop, way, "2026-0417")
    assert [shop.state(other), shop.state(case)] == ["duplicate", "refunded"]
    assert shop.refunds(charge) == [(4900, "succeeded")]


@pytest.mark.parametrize("anonymous", ANONYMOUS)
@pytest.mark.parametrize("order", [1, -1])
def test_a_signed_in_request_is_paid_if_each_request_is_judged_in_its_own_batch(
    shop: Shop, anonymous: dict[str, Any], order: int
) -> None:
    cases = [shop.ask("2026-0417", **anonymous), shop.ask("2026-0417", trusted=True)]
    shop.process()
    charge = shop.tell("2026-0417")
    for case in cases[::order]:
        handle(shop.context, RefundRequested, [case])
    shop.process()
    assert "refunded" in [shop.state(case) for case in cases]
    assert shop.refunds(charge) == [(4900, "succeeded")]


@pytest.mark.parametrize("anonymous", ANONYMOUS)
def test_a_signed_in_request_in_the_same_batch_is_not_held_up_by_an_anonymous_request(
    shop: Shop, anonymous: dict[str, Any]
) -> None:
    charge = shop.tell("2026-0417")
    other, case = shop.ask("2026-0417", **anonymous), shop.ask("2026-0417", trusted=True)
    shop.process()
    assert [shop.state(other), shop.state(case)] == ["duplicate", "refunded"]
    assert shop.refunds(charge) == [(4900, "succeeded")]


def cases_by_seller(shop: Shop) -> dict[str | None, list[str]]:
    """Return the states of the cases of each seller, oldest first."""
    states: dict[str | None, list[str]] = {}
    with shop.records.work() as work:
        for view in reversed(work.case_views.search()):
            states.setdefault(view.seller, []).append(view.state)
    return states


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("sellers", [("aurora", "babbage"), ("babbage", "aurora")])
def test_a_request_that_named_no_seller_is_a_case_of_each_seller_whenever_their_purchases_arrive(
    shop: Shop, way: str, sellers: tuple[str, str]
) -> None:
    case = shop.ask("2026 0417", seller=None)
    shop.process()
    for seller in sellers:
        bring(shop, way, "2026-0417", seller)
    assert shop.state(case) == "awaiting_confirmation"
    assert cases_by_seller(shop) == {seller: ["awaiting_confirmation"] for seller in sellers}
    assert {mail.splitlines()[0] for mail in shop.mails()} >= {"Please confirm your refund for 2026-0417"}
    assert {name for name in SELLERS.values() if any(f"Seller: {name}" in mail for mail in shop.mails())} == set(
        SELLERS.values()
    )
    with shop.records.work() as work:
        numbers = {view.number for view in work.case_views.search()}
    assert len(numbers) == len(sellers)
    assert all(any(f"case number {number}." in mail for mail in shop.mails()) for number in numbers)


def test_the_other_seller_gets_one_copy_however_often_its_purchases_are_reported(shop: Shop) -> None:
    shop.tell("2026-0417")
    shop.waiting_case("2026-0417", seller=None)
    body = a_body()
    for fields in (body, body | {"product": "Aurora Studio"}, body | {"dispute": "won"}):
        shop.put("2026-0417", "babbage", **fields)
        shop.process()
    shop.tell("2026.0417", "babbage")
    shop.process()
    assert Sweep(shop.records).run_once() == 0
    assert cases_by_seller(shop) == {"aurora": ["awaiting_confirmation"], "babbage": ["awaiting_confirmation"]}


@pytest.mark.parametrize("ending", ["refunded", "cancelled", "with_support"])
def test_the_other_seller_gets_a_copy_also_after_the_first_case_has_ended(shop: Shop, ending: str) -> None:
    charge = shop.tell("2026-0417", **({"dispute": "open"} if ending == "with_support" else {}))
    case = shop.ask("2026-0417", seller=None)
    shop.process()
    if ending == "refunded":
        shop.confirm(case)
        shop.process()
    elif ending == "cancelled":
        shop.web.post(f"{shop.link(Purpose.CONFIRM, case)}/cancel", data={"sure": "yes"})
    other = shop.tell("2026-0417", "babbage")
    shop.process()
    assert cases_by_seller(shop) == {"aurora": [ending], "babbage": ["awaiting_confirmation"]}
    assert (len(shop.refunds(charge)), shop.refunds(other)) == (ending == "refunded", [])


@pytest.mark.parametrize(
    ("email", "asked", "days"),
    [
        (EMAIL, "aurora", 0),  # the request named its seller
        (BOB, None, 0),
        (EMAIL, None, 31),
        (EMAIL, None, 5),  # the customer bought two days after the request
    ],
)
def test_a_purchase_that_the_request_was_not_about_is_no_case_of_the_other_seller(
    shop: Shop, email: str, asked: str | None, days: int
) -> None:
    shop.tell("2026-0417")
    case = shop.waiting_case("2026-0417", seller=asked)
    shop.age(case, days=days)
    shop.tell("2026-0417", "babbage", email=email)
    shop.process()
    assert Sweep(shop.records).run_once() == 0
    assert cases_by_seller(shop) == {"aurora": ["awaiting_confirmation"]}


def test_a_request_that_is_judged_during_the_import_of_another_seller_is_copied_by_the_next_sweep(shop: Shop) -> None:
    """The evaluation does not see the other seller's purchase yet, and the import does not see the evaluation."""
    shop.tell("2026-0417")
    with shop.records.work() as work:
        store_purchases(work, [a_recent_purchase(reference="2026-0417", email=EMAIL, seller_id="babbage")])
        shop.waiting_case("2026-0417", seller=None)
    assert Sweep(shop.records).run_once() == 1
    shop.process()
    assert cases_by_seller(shop) == {"aurora": ["awaiting_confirmation"], "babbage": ["awaiting_confirmation"]}
    assert Sweep(shop.records).run_once() == 0


def test_two_purchases_that_arrive_together_and_match_one_request_go_to_support(shop: Shop) -> None:
    case = shop.ask("2026115")
    shop.process()
    rows = [a_body() | {"reference": reference} for reference in ("2026-1-15", "2026-11-5")]
    assert shop.import_rows(*rows).new == 2
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["ambiguous_reference"])


def test_a_corrected_address_makes_a_waiting_request_match(shop: Shop) -> None:
    body = a_body(email="ada@exmaple.com")
    shop.put("2026-0417", **body)
    case = shop.ask("2026-0417")
    shop.process()
    assert shop.state(case) == "unmatched"
    shop.put("2026-0417", **body | {"email": EMAIL}, correct=True)
    shop.process()
    assert shop.state(case) == "awaiting_confirmation"


@pytest.mark.parametrize(("seconds", "state"), [(1, "refunded"), (50, "refunded"), (90, "with_support")])
def test_the_clock_of_a_shop_may_be_a_minute_ahead(shop: Shop, seconds: int, state: str) -> None:
    ahead = (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()
    shop.tell("MB-2026-0417", purchased_at=ahead)
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == state


# Orders with several payments


def a_part(amount: int, **fields: Any) -> dict[str, Any]:
    return {"provider": "sandbox", "charge": a_charge(), "amount": amount} | fields


@pytest.mark.parametrize(
    "methods", [("credit_card", "credit_card"), ("paypal", "credit_card"), ("apple_pay", "paypal")]
)
@pytest.mark.parametrize("told", ["together", "apart", "in two rows"])
def test_each_payment_of_an_order_is_refunded(shop: Shop, methods: tuple[str, str], told: str) -> None:
    parts = [a_part(amount, method=method) for amount, method in zip((3000, 7000), methods, strict=True)]
    if told == "in two rows":
        rows = [a_body(reference="MB-2026-0417") | part for part in parts]
        assert [shop.import_rows(*rows).rejected] == [[]]
    else:
        shop.put("MB-2026-0417", **several_payments(*(parts if told == "together" else parts[:1])))
        assert shop.put("MB-2026-0417", payments=parts).status_code == 200
    case = shop.waiting_case("MB-2026-0417")
    assert "€100.00" in amounts_on(shop.page(Purpose.CONFIRM, case))
    shop.confirm(case)
    shop.process()
    assert shop.state(case) == "refunded"
    assert [shop.refunds(part["charge"]) for part in parts] == [[(3000, "succeeded")], [(7000, "succeeded")]]
    assert shop.purchase("MB-2026-0417").refunded == 10_000


@pytest.mark.parametrize("method", ["gift_card", "store_credit", "invoice"])
@pytest.mark.parametrize("order", [1, -1])
def test_a_payment_that_cannot_be_refunded_is_named_and_the_others_are_refunded(
    shop: Shop, method: str, order: int
) -> None:
    card, other = a_part(7000), a_part(3000, provider="giftly", charge="GC-77-1204", method=method)
    shop.put("MB-2026-0417", **several_payments(*[other, card][::order]))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["payment_not_automatic"])
    assert shop.details(case) == f"GC-77-1204 at giftly ({method})"
    assert shop.refunds(card["charge"]) == [(7000, "succeeded")]
    assert shop.purchase("MB-2026-0417").refunded == 7000


@pytest.mark.parametrize(
    ("behaviours", "paid"),
    [
        (["declined", "ok"], [1]),
        (["declined", "ok", "ok"], [1, 2]),
        (["ok", "declined", "ok"], [0, 2]),
        (["declined", "declined", "ok"], [2]),
        (["declined", "declined"], []),
    ],
)
def test_a_declined_payment_is_named_and_the_others_are_refunded(
    shop: Shop, behaviours: list[str], paid: list[int]
) -> None:
    parts = [a_part(1000 + number, charge=a_charge(behaviour)) for number, behaviour in enumerate(behaviours)]
    shop.put("MB-2026-0417", **several_payments(*parts))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    declined = [part["charge"] for number, part in enumerate(parts) if number not in paid]
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["provider_declined"] * len(declined))
    refunded = sum(parts[number]["amount"] for number in paid)
    for charge in declined:
        assert f"{charge} at sandbox (credit_card); refunded so far: {refunded / 100:.2f} EUR" in shop.details(case)
    assert [bool(shop.refunds(part["charge"])) for part in parts] == [number in paid for number in range(len(parts))]
    mail = " ".join(shop.mails()[-1].split())
    assert "We couldn’t send the refund to your original payment method." in mail
    assert ("Part of your refund was sent" in mail) == bool(paid)
    shop.process_again()
    assert sum(len(shop.refunds(part["charge"])) for part in parts) == len(paid)


def test_a_payment_that_the_provider_no_longer_refunds_is_named_and_the_others_are_refunded(shop: Shop) -> None:
    parts = [a_part(3000, charge=a_charge("closed")), a_part(7000)]
    shop.put("MB-2026-0417", **several_payments(*parts))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["provider_window_closed"])
    assert parts[0]["charge"] in shop.details(case)
    assert shop.refunds(parts[1]["charge"]) == [(7000, "succeeded")]


def test_a_declined_payment_and_a_gift_card_are_both_named(shop: Shop) -> None:
    gift = a_part(500, provider="giftly", charge="GC-77-1204", method="gift_card")
    parts = [a_part(3000, charge=a_charge("declined")), a_part(7000), gift]
    shop.put("MB-2026-0417", **several_payments(*parts))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.reasons(case) == ["provider_declined", "payment_not_automatic"]
    assert "GC-77-1204 at giftly (gift_card)" in shop.details(case)
    assert shop.refunds(parts[1]["charge"]) == [(7000, "succeeded")]
    page = shop.page(Purpose.STATUS, case)
    assert "The payment provider couldn’t refund one of your payments." in page
    assert {"€30.00", "€70.00", "€5.00"} <= amounts_on(page)


def test_after_the_refund_of_the_declined_payment_by_hand_the_case_is_refunded(shop: Shop) -> None:
    parts = [a_part(3000, charge=shop.register(a_charge("declined"), 3000)), a_part(7000)]
    shop.put("MB-2026-0417", **several_payments(*parts))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == "with_support"
    shop.refund_by_hand(parts[0]["charge"], 3000)
    assert shop.state(case) == "refunded"


@pytest.mark.parametrize(
    ("first", "code"),
    [
        ("disputed", "dispute_open"),
        ("chargeback", "dispute_open"),
        ("inquiry", "inquiry_open"),
        ("lost", "dispute_lost"),
        ("voided", "not_captured"),
    ],
)
def test_a_payment_that_may_already_be_back_stops_the_other_refunds(shop: Shop, first: str, code: str) -> None:
    parts = [a_part(3000, charge=a_charge(first)), a_part(7000)]
    shop.put("MB-2026-0417", **several_payments(*parts))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", [code])
    assert shop.refunds(parts[1]["charge"]) == []


@pytest.mark.parametrize("position", [0, 1])
def test_of_a_double_charge_only_the_duplicate_is_refunded(shop: Shop, position: int) -> None:
    parts = [a_part(4900, duplicate=number == position) for number in range(2)]
    body = several_payments(*parts, details={"licence_key": "ADA1-8150-ENGN"})
    shop.put("MB-2026-0417", **body)
    case = shop.ask("MB-2026-0417", reason="duplicate_order")
    shop.process()
    assert amounts_on(shop.page(Purpose.CONFIRM, case)) == {"€49.00"}
    shop.confirm(case)
    shop.process()
    assert shop.state(case) == "refunded"
    refunds = [shop.refunds(part["charge"]) for part in parts]
    assert refunds == [[(4900, "succeeded")] if number == position else [] for number in range(2)]
    assert shop.keeps_details("MB-2026-0417"), "the customer has paid once, and keeps the product"


def test_a_double_charge_is_refunded_whole_if_the_customer_wants_no_product(shop: Shop) -> None:
    parts = [a_part(4900), a_part(4900, duplicate=True)]
    shop.put("MB-2026-0417", **several_payments(*parts))
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert shop.state(case) == "refunded"
    assert [shop.refunds(part["charge"]) for part in parts] == [[(4900, "succeeded")]] * 2
    assert not shop.keeps_details("MB-2026-0417")


def charge_twice(shop: Shop, reference: str = "MB-2026-0417") -> tuple[str, str]:
    """Tell a purchase that was charged twice. Return the charges: the right charge, and the duplicate."""
    parts = [a_part(4900), a_part(4900, duplicate=True)]
    shop.put(reference, **several_payments(*parts))
    return parts[0]["charge"], parts[1]["charge"]


LATER_REQUESTS: list[dict[str, Any]] = [
    {},
    {"trusted": True},
    {"seller": None},
    {"refund_scope": "partial"},
]
"""Requests about the whole purchase, from a customer who said before that the order was charged twice."""


@pytest.mark.parametrize("later", LATER_REQUESTS)
@pytest.mark.parametrize("trusted", [False, True])
def test_a_request_for_the_product_after_the_second_charge_went_back_goes_to_support(
    shop: Shop, later: dict[str, Any], trusted: bool
) -> None:
    right, duplicate = charge_twice(shop)
    first = shop.ask("MB-2026-0417", reason="duplicate_order", trusted=trusted)
    shop.process()
    if not trusted:
        shop.confirm(first)
        shop.process()
    assert shop.state(first) == "refunded"
    case = shop.ask("MB-2026-0417", **later)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["other_payments"])
    assert f"The case {first} (refunded) is about {duplicate} at sandbox" in shop.details(case)
    assert shop.open_tasks() == [("aurora", ["other_payments"])]
    assert (shop.refunds(right), shop.refunds(duplicate)) == ([], [(4900, "succeeded")])
    mail = shop.mails()[-1]
    assert mail.startswith("Your refund request is with our support team")
    assert "was sent" not in mail
    assert "We passed your request to our support team." in shop.page(Purpose.STATUS, case)


@pytest.mark.parametrize("batches", [1, 3])
@pytest.mark.parametrize("reasons", [["duplicate_order", "dissatisfied"], ["dissatisfied", "duplicate_order"]])
def test_a_request_that_waits_with_support_is_joined_by_its_repetitions(
    shop: Shop, reasons: list[str], batches: int
) -> None:
    charge_twice(shop)
    first = shop.ask("MB-2026-0417", reason=reasons[0])
    shop.process()
    again = []
    for _ in range(batches):
        again += [shop.ask("MB-2026-0417", reason=reasons[1]) for _ in range(3)]
        shop.process()
    assert shop.state(first) == "awaiting_confirmation"
    assert [shop.state(case) for case in again] == ["with_support"] + ["duplicate"] * (3 * batches - 1)
    assert len(shop.open_tasks()) == 1
    subjects = [mail.splitlines()[0] for mail in shop.mails()]
    assert subjects.count("Your refund request is with our support team") == 2, "one, and one a day for repetitions"


def test_repetitions_do_not_join_a_request_that_may_be_about_another_purchase(shop: Shop) -> None:
    charge_twice(shop, "2026-1-15")
    shop.tell("2026-11-5")
    ambiguous = shop.ask("2026115")
    shop.process()
    assert shop.reasons(ambiguous) == ["ambiguous_reference"]
    cases = [shop.ask("2026-1-15", reason=reason) for reason in ("duplicate_order", "dissatisfied")]
    shop.process()
    assert [shop.state(case) for case in cases] == ["awaiting_confirmation", "with_support"]


def test_a_request_for_the_product_does_not_join_a_confirmation_of_the_second_charge(shop: Shop) -> None:
    right, duplicate = charge_twice(shop)
    first = shop.ask("MB-2026-0417", reason="duplicate_order")
    shop.process()
    case = shop.ask("MB-2026-0417")
    shop.process()
    assert [shop.state(first), shop.state(case)] == ["awaiting_confirmation", "with_support"]
    shop.confirm(first)
    shop.process()
    assert [shop.state(first), shop.state(case)] == ["refunded", "with_support"]
    assert (shop.refunds(right), shop.refunds(duplicate)) == ([], [(4900, "succeeded")])


def test_a_signed_in_request_for_the_product_replaces_a_confirmation_of_the_second_charge(shop: Shop) -> None:
    charges = charge_twice(shop)
    first = shop.ask("MB-2026-0417", reason="duplicate_order")
    shop.process()
    case = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    assert [shop.state(first), shop.state(case)] == ["duplicate", "refunded"]
    assert [shop.refunds(charge) for charge in charges] == [[(4900, "succeeded")]] * 2


@pytest.mark.parametrize("scope", ["full", "partial"])
def test_a_customer_who_was_charged_twice_does_not_join_a_case_that_may_refund_nothing(shop: Shop, scope: str) -> None:
    charges = charge_twice(shop)
    first = shop.ask("MB-2026-0417", refund_scope=scope)
    shop.process()
    case = shop.ask("MB-2026-0417", reason="duplicate_order")
    shop.process()
    waits = "awaiting_confirmation" if scope == "full" else "with_support"
    assert [shop.state(first), shop.state(case)] == [waits, "with_support"]
    assert shop.reasons(case) == ["other_payments"]
    assert charges[0] in shop.details(case)
    assert [shop.refunds(charge) for charge in charges] == [[], []]


def test_a_customer_who_was_charged_twice_joins_a_case_that_refunded_everything(shop: Shop) -> None:
    charge_twice(shop)
    first = shop.ask("MB-2026-0417", trusted=True)
    shop.process()
    case = shop.ask("MB-2026-0417", reason="duplicate_order")
    shop.process()
    assert [shop.state(first), shop.state(case)] == ["refunded", "duplicate"]
    assert "Amount: €98.00" in shop.mails()[-1]


@pytest.mark.parametrize("reasons", [["duplicate_order", "dissatisfied"], ["dissatisfied", "duplicate_order"]])
def test_of_two_requests_in_one_batch_for_different_payments_one_goes_to_support(
    shop: Shop, reasons: list[str]
) -> None:
    charge_twice(shop)
    cases = [shop.ask("MB-2026-0417", reason=reason) for reason in reasons]
    shop.process()
    assert [shop.state(case) for case in cases] == ["awaiting_confirmation", "with_support"]


def a_cart(shop: Shop, *amounts: int) -> str:
    """Tell purchases that one payment paid, named MB-1, MB-2 and so on. Return the charge."""
    charge = shop.register(a_charge(), sum(amounts))
    for number, amount in enumerate(amounts, start=1):
        shop.tell(f"MB-{number}", amount=amount, charge=charge, details={"licence_key": f"KEY-{number}"})
    return charge


@pytest.mark.parametrize(("first", "second"), [(4900, 2900), (2900, 4900), (1000, 1)])
def test_each_purchase_of_a_cart_costs_its_own_amount(shop: Shop, first: int, second: int) -> None:
    charge = a_cart(shop, first, second)
    case = shop.ask("MB-1", trusted=True)
    shop.process()
    assert (shop.state(case), shop.refunds(charge)) == ("refunded", [(first, "succeeded")])
    assert [shop.keeps_details(reference) for reference in ("MB-1", "MB-2")] == [False, True]
    other = shop.ask("MB-2", trusted=True)
    shop.process()
    assert (shop.state(other), shop.refunds(charge)) == ("with_support", [(first, "succeeded")])


@pytest.mark.parametrize(("first", "second"), [(4900, 2900), (2900, 4900), (2500, 2500)])
def test_a_refund_by_hand_of_one_purchase_of_a_cart_blocks_the_other_and_hides_nothing(
    shop: Shop, first: int, second: int
) -> None:
    charge = a_cart(shop, first, second)
    shop.refund_by_hand(charge, first)
    assert shop.keeps_details("MB-2")
    case = shop.ask("MB-2", trusted=True)
    shop.process()
    assert (shop.state(case), shop.reasons(case)) == ("with_support", ["already_refunded"])
    assert shop.refunds(charge) == [(first, "succeeded")]
    assert shop.keeps_details("MB-2")
