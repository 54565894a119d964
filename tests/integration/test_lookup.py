"""Purchase lookup: equal responses for all addresses, and an e-mailed link that works once."""

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
from records.purchase_reports import store_purchases
from tests.integration._web_fixtures import Site
from tests.sample_data import a_recent_purchase

PRIVATE_DETAILS = PurchaseDetails(
    licence_key="ADA1-8150-ENGN",
    activation_code="4711-0815",
    download_url="https://files.example.com/photo.zip?a=1&b=2",
    invoice_number="2026-1815",
    invoice_url="https://files.example.com/invoice.pdf",
    technical_support="pro@aurora.example",
    subscription=True,
)


def store_purchase(site: Site, details: PurchaseDetails = PRIVATE_DETAILS, **changes: object) -> Purchase:
    purchase = a_recent_purchase(**changes)
    with site.records.work() as work:
        store_purchases(work, [purchase])
        work.purchase_details.put([(purchase.seller_id, purchase.reference, details)])
    return purchase


def send_form(site: Site, address: str = "/lookup", **values: str) -> httpx.Response:
    return site.web.post(address, data=values, follow_redirects=False)


def claim_inquiry_emails(site: Site) -> list[InquiryEmail]:
    """Claim all inquiry e-mails, as a worker does."""
    with site.records.work() as work:
        ids = [row.id for row in work.run("select id from inquiry_emails order by created_at")]
        return work.inquiry_emails.claim(ids, seconds=60)


def create_link(site: Site, purchase: Purchase, locale: str = "en") -> tuple[UUID, str]:
    """Enqueue an inquiry e-mail, and claim it as a worker does. Return the id of the e-mail and the path of its link."""
    with site.records.work() as work:
        email_id = work.inquiry_emails.enqueue(
            kind=InquiryEmailKind.PURCHASE, email=purchase.email, reference=purchase.reference, locale=locale
        )
    with site.records.work() as work:
        work.inquiry_emails.claim([email_id], seconds=60)
    return email_id, site.link_path(Purpose.OPEN, email_id)


def all_rows(site: Site) -> list[str]:
    with site.records.work() as work:
        return [
            str(row) for table in ("inquiry_emails", "purchase_details") for row in work.run(f"select * from {table}")
        ]


# The lookup form


@pytest.mark.parametrize("kind", ["purchase", "references"])
def test_the_response_does_not_show_whether_a_purchase_was_found(site: Site, kind: str) -> None:
    purchase = store_purchase(site)
    known, unknown = (
        send_form(site, ask=kind, email=email, **({"reference": purchase.reference} if kind == "purchase" else {}))
        for email in (purchase.email, "eve@example.com")
    )
    assert known.status_code == unknown.status_code == 303
    assert known.content == unknown.content
    assert {**known.headers, "date": ""} == {**unknown.headers, "date": ""}
    assert known.headers["location"] == "/lookup/sent"
    assert {email.to: email.kind for email in claim_inquiry_emails(site)} == {
        purchase.email: kind,
        "eve@example.com": "nothing_found",
    }


def test_the_form_only_enqueues_an_inquiry_email_and_looks_nothing_up(site: Site) -> None:
    purchase = store_purchase(site)
    send_form(site, ask="purchase", email=purchase.email, reference=purchase.reference)
    with site.records.work() as work:
        (row,) = work.run("select kind, purchase_ids, expires_at, sent_at from inquiry_emails")
        assert work.outbox.queues() == {"email.inquiries"}
    assert tuple(row) == ("purchase", [], None, None)


def test_the_page_after_the_form_asks_the_customer_to_check_the_email(site: Site) -> None:
    assert "Check your email in a few minutes." in site.web.get("/lookup/sent").text


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"ask": "purchase", "email": "ada@example.com"}, "reference"),
        ({"ask": "purchase", "email": "ada@example.com", "reference": " - "}, "reference"),
        ({"ask": "purchase", "email": "ada", "reference": "MB-1"}, "email"),
        ({"ask": "references", "email": ""}, "email"),
        ({"email": "ada@example.com\x00", "reference": "MB-1"}, "email"),
    ],
)
def test_the_error_of_an_invalid_lookup_is_shown_at_the_invalid_field(
    site: Site, values: dict[str, str], field: str
) -> None:
    answer = send_form(site, **values)
    assert answer.status_code == 422
    assert f'id="{field}-error"' in answer.text
    assert all_rows(site) == []


def test_an_unknown_field_of_the_lookup_form_is_refused(site: Site) -> None:
    assert send_form(site, ask="references", email="ada@example.com", to="eve@example.com").status_code == 422
    assert all_rows(site) == []


def test_query_parameters_prefill_the_form_as_text(site: Site) -> None:
    page = site.web.get("/lookup", params={"reference": '"><b>MB-1', "email": "ada@example.com"}).text
    assert 'value="&#34;&gt;&lt;b&gt;MB-1"' in page
    assert 'value="ada@example.com"' in page


def test_the_inquiry_email_is_in_the_language_of_the_page(site: Site) -> None:
    assert (
        send_form(site, "/lookup?lang=ja", ask="references", email="ada@example.com")
        .headers["location"]
        .endswith("lang=ja")
    )
    assert claim_inquiry_emails(site)[0].locale == "ja"


# The e-mailed link


def test_a_link_shows_the_private_details_once(site: Site) -> None:
    _, link = create_link(site, store_purchase(site))
    assert "ADA1" not in site.web.get(link).text
    page = site.web.post(link)
    assert page.status_code == 200
    assert page.headers["cache-control"] == "no-store"
    assert page.headers["referrer-policy"] == "no-referrer"
    for text in (
        "ADA1-8150-ENGN",
        "4711-0815",
        "photo.zip?a=1&amp;b=2",
        "2026-1815",
        "invoice.pdf",
        "pro@aurora.example",
    ):
        assert text in page.text
    repeated = site.web.post(link)
    assert repeated.status_code == site.web.get(link).status_code == 410
    assert "ADA1" not in repeated.text
    assert 'href="/lookup"' in repeated.text


def test_a_get_or_head_request_does_not_use_up_the_link(site: Site) -> None:
    _, link = create_link(site, store_purchase(site))
    before = all_rows(site)
    for n in range(100):
        page = site.web.request("HEAD" if n % 2 else "GET", link)
        assert page.status_code == 200
        assert "ADA1" not in page.text
    assert all_rows(site) == before
    assert "ADA1-8150-ENGN" in site.web.post(link).text


def test_only_one_of_eight_concurrent_requests_opens_a_link(site: Site) -> None:
    _, link = create_link(site, store_purchase(site))
    post: Callable[[int], httpx.Response] = lambda _: site.web.post(link)  # noqa: E731
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(post, range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] + [410] * 7
    assert sum("ADA1-8150-ENGN" in answer.text for answer in answers) == 1


def test_a_link_expires_after_half_an_hour(site: Site) -> None:
    email_id, link = create_link(site, store_purchase(site))
    with site.records.work() as work:
        (is_valid,) = work.run("select expires_at - now() between '29 min' and '30 min' from inquiry_emails").one()
        assert is_valid
        work.run("update inquiry_emails set expires_at = now() where id = :id", id=email_id)
    assert site.web.get(link).status_code == site.web.post(link).status_code == 410


def test_a_link_for_another_purpose_opens_nothing(site: Site) -> None:
    email_id, link = create_link(site, store_purchase(site))
    token = site.link_path(Purpose.STATUS, email_id).rpartition("/")[2]
    for path in (f"/open/{token}", link[:-2], "/open/x", site.link_path(Purpose.OPEN, UUID(int=7))):
        assert site.web.get(path).status_code == site.web.post(path).status_code == 404
    assert "ADA1-8150-ENGN" in site.web.post(link).text


@pytest.mark.parametrize("kind", [kind for kind in InquiryEmailKind if kind is not InquiryEmailKind.PURCHASE])
def test_a_link_for_another_kind_of_email_opens_nothing(site: Site, kind: InquiryEmailKind) -> None:
    with site.records.work() as work:
        email_id = work.inquiry_emails.enqueue(kind=kind, email="ada@example.com", locale="en")
    with site.records.work() as work:
        work.inquiry_emails.claim([email_id], seconds=60)
    link = site.link_path(Purpose.OPEN, email_id)
    assert site.web.get(link).status_code == site.web.post(link).status_code == 410


def test_a_link_that_was_not_sent_yet_opens_nothing(site: Site) -> None:
    with site.records.work() as work:
        email_id = work.inquiry_emails.enqueue(
            kind=InquiryEmailKind.PURCHASE, email="ada@example.com", reference="MB-1", locale="en"
        )
    assert site.web.post(site.link_path(Purpose.OPEN, email_id)).status_code == 410


def test_the_form_on_the_page_of_the_link_accepts_no_fields(site: Site) -> None:
    _, link = create_link(site, store_purchase(site))
    assert site.web.post(link, data={"note": "other"}).status_code == 422
    assert site.web.post(link).status_code == 200


def test_after_a_refund_only_the_invoice_is_shown(site: Site) -> None:
    _, link = create_link(site, store_purchase(site, refunded=4900))
    page = site.web.post(link).text
    assert "ADA1-8150-ENGN" not in page
    assert "photo.zip" not in page
    assert "2026-1815" in page


def test_without_details_the_page_shows_a_contact(site: Site) -> None:
    _, link = create_link(site, store_purchase(site, PurchaseDetails()))
    page = site.web.post(link).text
    assert "mailto:help@aurora.example" in page
    assert "hasn’t given us a licence key" in page


def test_details_from_the_seller_are_shown_as_text(site: Site) -> None:
    _, link = create_link(
        site, store_purchase(site, PurchaseDetails(licence_key="<script>alert(1)</script>"), product="<b>Photo</b>")
    )
    page = site.web.post(link).text
    assert "<script>" not in page
    assert "<b>Photo" not in page


def test_the_page_is_in_the_language_of_the_inquiry_email(site: Site) -> None:
    _, link = create_link(site, store_purchase(site), locale="ja")
    assert re.search(r'<html lang="ja"', site.web.get(link).text)
    assert site.web.post(link).headers["content-language"] == "ja"


# Purchase details from sellers

PURCHASE_BODY = {
    "email": "ada@example.com",
    "product": "Aurora Photo 4",
    "amount": 4900,
    "currency": "EUR",
    "method": "credit_card",
    "provider": "sandbox",
    "charge": "ok_1",
    "purchased_at": "2026-06-01T12:00:00+02:00",
}


def stored_licence_keys(site: Site) -> list[object]:
    with site.records.work() as work:
        return [row.licence_key for row in work.run("select licence_key from purchase_details")]


def test_a_put_without_details_keeps_the_stored_details_and_one_with_details_replaces_them(site: Site) -> None:
    def put(**more: object) -> int:
        return site.web.put("/v1/purchases/MB-1", json=PURCHASE_BODY | more, headers=site.auth_headers()).status_code

    assert put(details={"licence_key": "ONE", "download_url": "https://files.example.com/a?b=c"}) == 201
    assert (put(), stored_licence_keys(site)) == (200, ["ONE"])
    assert (put(details={"activation_code": "2"}), stored_licence_keys(site)) == (200, [None])


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
def test_invalid_details_are_refused_and_the_error_does_not_repeat_them(site: Site, details: object) -> None:
    answer = site.web.put("/v1/purchases/MB-1", json=PURCHASE_BODY | {"details": details}, headers=site.auth_headers())
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"].startswith("#/details")
    assert "secret" not in answer.text
    assert stored_licence_keys(site) == []


def test_the_api_response_contains_no_private_detail(site: Site) -> None:
    answer = site.web.put(
        "/v1/purchases/MB-1",
        json=PURCHASE_BODY | {"details": {"licence_key": "ONE-AND-ONLY"}},
        headers=site.auth_headers(),
    )
    assert "ONE-AND-ONLY" not in answer.text
