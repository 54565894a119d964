"""Purchase lookup: the same for everybody, and a link that opens once."""

import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import httpx
import pytest

from config.signed_links import Purpose
from domain.inquiry_emails import InquiryEmailKind
from domain.purchase_details import PurchaseDetails
from domain.purchases import Purchase
from records.inquiry_emails import InquiryEmail
from tests.integration._web_fixtures import Site
from tests.sample_data import a_recent_purchase

PRIVATE = PurchaseDetails(
    licence_key="ADA1-8150-ENGN",
    activation_code="4711-0815",
    download_url="https://files.example.com/photo.zip?a=1&b=2",
    invoice_number="2026-1815",
    invoice_url="https://files.example.com/invoice.pdf",
    technical_support="pro@aurora.example",
    subscription=True,
)


def bought(site: Site, private: PurchaseDetails = PRIVATE, **changes: object) -> Purchase:
    purchase = a_recent_purchase(**changes)
    with site.records.work() as work:
        work.purchases.upsert([purchase])
        work.purchase_details.put([(purchase.seller_id, purchase.reference, private)])
    return purchase


def ask(site: Site, address: str = "/lookup", **values: str) -> httpx.Response:
    return site.web.post(address, data=values, follow_redirects=False)


def notes(site: Site) -> list[InquiryEmail]:
    """What a worker takes."""
    with site.records.work() as work:
        ids = [row.id for row in work.run("select id from inquiry_emails order by created_at")]
        return work.inquiry_emails.claim(ids, seconds=60)


def a_link(site: Site, purchase: Purchase, locale: str = "en") -> tuple[UUID, str]:
    """The note that a worker has mailed, and where its link leads."""
    with site.records.work() as work:
        note = work.inquiry_emails.enqueue(
            kind=InquiryEmailKind.PURCHASE, email=purchase.email, reference=purchase.reference, locale=locale
        )
    with site.records.work() as work:
        work.inquiry_emails.claim([note], seconds=60)
    return note, site.link_path(Purpose.OPEN, note)


def everything(site: Site) -> list[str]:
    with site.records.work() as work:
        return [
            str(row) for table in ("inquiry_emails", "purchase_details") for row in work.run(f"select * from {table}")
        ]


# Asking


@pytest.mark.parametrize("kind", ["purchase", "references"])
def test_the_answer_is_the_same_whether_or_not_anything_is_there(site: Site, kind: str) -> None:
    purchase = bought(site)
    known, unknown = (
        ask(site, ask=kind, email=email, **({"reference": purchase.reference} if kind == "purchase" else {}))
        for email in (purchase.email, "eve@example.com")
    )
    assert known.status_code == unknown.status_code == 303
    assert known.content == unknown.content
    assert {**known.headers, "date": ""} == {**unknown.headers, "date": ""}
    assert known.headers["location"] == "/lookup/sent"
    assert {note.to: note.kind for note in notes(site)} == {purchase.email: kind, "eve@example.com": "nothing_found"}


def test_nothing_is_looked_up_before_the_answer(site: Site) -> None:
    purchase = bought(site)
    ask(site, ask="purchase", email=purchase.email, reference=purchase.reference)
    with site.records.work() as work:
        (row,) = work.run("select kind, purchase_ids, expires_at, sent_at from inquiry_emails")
        assert work.outbox.queues() == {"email.inquiries"}
    assert tuple(row) == ("purchase", [], None, None)


def test_the_page_after_it_says_nothing_about_anybody(site: Site) -> None:
    assert "Check your email in a few minutes." in site.web.get("/lookup/sent").text


@pytest.mark.parametrize(
    ("values", "bad"),
    [
        ({"ask": "purchase", "email": "ada@example.com"}, "reference"),
        ({"ask": "purchase", "email": "ada@example.com", "reference": " - "}, "reference"),
        ({"ask": "purchase", "email": "ada", "reference": "MB-1"}, "email"),
        ({"ask": "references", "email": ""}, "email"),
        ({"email": "ada@example.com\x00", "reference": "MB-1"}, "email"),
    ],
)
def test_a_form_that_is_not_right_says_so_beside_the_field(site: Site, values: dict[str, str], bad: str) -> None:
    answer = ask(site, **values)
    assert answer.status_code == 422
    assert f'id="{bad}-error"' in answer.text
    assert everything(site) == []


def test_a_field_that_the_form_does_not_have_is_refused(site: Site) -> None:
    assert ask(site, ask="references", email="ada@example.com", to="eve@example.com").status_code == 422
    assert everything(site) == []


def test_a_link_fills_the_form_in_and_what_it_holds_is_text(site: Site) -> None:
    page = site.web.get("/lookup", params={"reference": '"><b>MB-1', "email": "ada@example.com"}).text
    assert 'value="&#34;&gt;&lt;b&gt;MB-1"' in page
    assert 'value="ada@example.com"' in page


def test_the_note_is_written_in_the_language_of_the_page(site: Site) -> None:
    assert (
        ask(site, "/lookup?lang=ja", ask="references", email="ada@example.com").headers["location"].endswith("lang=ja")
    )
    assert notes(site)[0].locale == "ja"


# Opening


def test_a_link_shows_what_is_private_once(site: Site) -> None:
    _, link = a_link(site, bought(site))
    assert "ADA1" not in site.web.get(link).text
    page = site.web.post(link)
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    for private in (
        "ADA1-8150-ENGN",
        "4711-0815",
        "photo.zip?a=1&amp;b=2",
        "2026-1815",
        "invoice.pdf",
        "pro@aurora.example",
    ):
        assert private in page.text
    again = site.web.post(link)
    assert again.status_code == site.web.get(link).status_code == 410
    assert "ADA1" not in again.text
    assert 'href="/lookup"' in again.text


def test_a_mail_scanner_that_looks_a_hundred_times_opens_nothing(site: Site) -> None:
    _, link = a_link(site, bought(site))
    before = everything(site)
    for n in range(100):
        seen = site.web.request("HEAD" if n % 2 else "GET", link)
        assert seen.status_code == 200
        assert "ADA1" not in seen.text
    assert everything(site) == before
    assert "ADA1-8150-ENGN" in site.web.post(link).text


def test_of_two_that_open_a_link_at_once_one_does(site: Site) -> None:
    _, link = a_link(site, bought(site))
    post: Callable[[int], httpx.Response] = lambda _: site.web.post(link)  # noqa: E731
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(post, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 7
    assert sum("ADA1-8150-ENGN" in answer.text for answer in answers) == 1


def test_after_half_an_hour_a_link_opens_no_more(site: Site) -> None:
    note, link = a_link(site, bought(site))
    with site.records.work() as work:
        (lasts,) = work.run("select expires_at - now() between '29 min' and '30 min' from inquiry_emails").one()
        assert lasts
        work.run("update inquiry_emails set expires_at = now() where id = :id", id=note)
    assert site.web.get(link).status_code == site.web.post(link).status_code == 410


def test_a_link_made_for_something_else_opens_nothing(site: Site) -> None:
    note, link = a_link(site, bought(site))
    token = site.link_path(Purpose.STATUS, note).rpartition("/")[2]
    for wrong in (f"/open/{token}", link[:-2], "/open/x", site.link_path(Purpose.OPEN, UUID(int=7))):
        assert site.web.get(wrong).status_code == site.web.post(wrong).status_code == 404
    assert "ADA1-8150-ENGN" in site.web.post(link).text


@pytest.mark.parametrize("kind", [kind for kind in InquiryEmailKind if kind is not InquiryEmailKind.PURCHASE])
def test_a_note_of_another_kind_opens_nothing(site: Site, kind: InquiryEmailKind) -> None:
    with site.records.work() as work:
        note = work.inquiry_emails.enqueue(kind=kind, email="ada@example.com", locale="en")
    with site.records.work() as work:
        work.inquiry_emails.claim([note], seconds=60)
    link = site.link_path(Purpose.OPEN, note)
    assert site.web.get(link).status_code == site.web.post(link).status_code == 410


def test_a_link_that_was_not_mailed_yet_opens_nothing(site: Site) -> None:
    with site.records.work() as work:
        note = work.inquiry_emails.enqueue(
            kind=InquiryEmailKind.PURCHASE, email="ada@example.com", reference="MB-1", locale="en"
        )
    assert site.web.post(site.link_path(Purpose.OPEN, note)).status_code == 410


def test_a_form_of_one_button_takes_no_field(site: Site) -> None:
    _, link = a_link(site, bought(site))
    assert site.web.post(link, data={"note": "other"}).status_code == 422
    assert site.web.post(link).status_code == 200


def test_with_the_refund_the_key_is_no_longer_shown_but_the_invoice_is(site: Site) -> None:
    _, link = a_link(site, bought(site, refunded=4900))
    page = site.web.post(link).text
    assert "ADA1-8150-ENGN" not in page
    assert "photo.zip" not in page
    assert "2026-1815" in page


def test_where_the_seller_told_nothing_the_page_says_whom_to_ask(site: Site) -> None:
    _, link = a_link(site, bought(site, PurchaseDetails()))
    page = site.web.post(link).text
    assert "mailto:help@aurora.example" in page
    assert "hasn’t given us a licence key" in page


def test_what_a_seller_told_is_text_on_the_page(site: Site) -> None:
    _, link = a_link(
        site, bought(site, PurchaseDetails(licence_key="<script>alert(1)</script>"), product="<b>Photo</b>")
    )
    page = site.web.post(link).text
    assert "<script>" not in page
    assert "<b>Photo" not in page


def test_the_page_speaks_the_notes_language(site: Site) -> None:
    _, link = a_link(site, bought(site), locale="ja")
    assert re.search(r'<html lang="ja"', site.web.get(link).text)
    assert site.web.post(link).headers["content-language"] == "ja"


# What sellers tell


BOUGHT = {
    "email": "ada@example.com",
    "product": "Aurora Photo 4",
    "amount": 4900,
    "currency": "EUR",
    "method": "credit_card",
    "provider": "sandbox",
    "charge": "ok_1",
    "purchased_at": "2026-06-01T12:00:00+02:00",
}


def told(site: Site) -> list[object]:
    with site.records.work() as work:
        return [row.licence_key for row in work.run("select licence_key from purchase_details")]


def test_details_come_with_a_purchase_stay_where_they_are_left_out_and_are_replaced_whole(site: Site) -> None:
    def put(**more: object) -> int:
        return site.web.put("/v1/purchases/MB-1", json=BOUGHT | more, headers=site.auth_headers()).status_code

    assert put(details={"licence_key": "ONE", "download_url": "https://files.example.com/a?b=c"}) == 201
    assert (put(), told(site)) == (200, ["ONE"])
    assert (put(details={"activation_code": "2"}), told(site)) == (200, [None])


@pytest.mark.parametrize(
    "details",
    [
        {"download_url": "http://files.example.com/a"},
        {"download_url": "javascript:alert(1)"},
        {"download_url": "https://"},
        {"download_url": "https://ada:secret@files.example.com"},
        {"download_url": 'https://files.example.com/"onclick'},
        {"invoice_url": "//files.example.com"},
        {"technical_support": "javascript://%0aalert(1)"},
        {"technical_support": "nobody"},
        {"licence_key": "two\nlines"},
        {"licence_key": ""},
        {"subscription": "yes"},
        {"colour": "blue"},
        [],
    ],
)
def test_details_that_are_not_right_are_refused_and_not_repeated(site: Site, details: object) -> None:
    answer = site.web.put("/v1/purchases/MB-1", json=BOUGHT | {"details": details}, headers=site.auth_headers())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("#/details")
    assert "secret" not in answer.text
    assert told(site) == []


def test_a_purchase_shown_by_the_api_has_no_private_word(site: Site) -> None:
    answer = site.web.put(
        "/v1/purchases/MB-1", json=BOUGHT | {"details": {"licence_key": "ONE-AND-ONLY"}}, headers=site.auth_headers()
    )
    assert "ONE-AND-ONLY" not in answer.text
