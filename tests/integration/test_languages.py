"""Tests every page for customers in a pseudo-language. A text that a page did not look up in the catalogues stays English."""

import re
from collections.abc import Iterator
from itertools import count

import httpx
import pytest

from config.signed_links import Purpose
from domain.inquiry_emails import InquiryEmailKind
from domain.purchase_details import PurchaseDetails
from domain.purchases import Purchase
from domain.reason_codes import ReasonCode
from domain.requests import RefundScope
from domain.states import State
from producers.web import templating
from records.purchase_reports import store_purchases
from tests.catalogues import collect_sentences
from tests.integration import _web_fixtures
from tests.integration._web_fixtures import Site, a_case
from tests.pseudolocale import PageText, PseudoTranslator, untranslated_words
from tests.sample_data import a_policy, a_recent_purchase, a_seller, store_seller_and_purchases

web_server, site = _web_fixtures.web_server, _web_fixtures.site

PSEUDO_TRANSLATOR = PseudoTranslator()
NUMBERS = count(1)
PAGES = (
    "/",
    "/?q=417",
    "/help/payment",
    "/s/babbage",
    "/s/nobody",
    "/lookup",
    "/lookup?ask=references",
    "/lookup/sent",
    "/refund",
    "/refund?seller=babbage",
    "/refund/sent",
    "/withdraw",
    "/withdraw?seller=babbage",
    "/nowhere",
    "/confirm/nonsense",
    "/open/nonsense",
)
FORMS: tuple[tuple[str, dict[str, str]], ...] = (
    ("/refund", {}),
    ("/refund", {"email": "@", "reference": "-", "reason": "x", "refund_scope": "x", "comment": "\x00", "Ш": "1"}),
    (
        "/refund",
        {"email": "a" * 400, "reference": "4" * 101, "reason": "other", "refund_scope": "full", "comment": "4" * 5000},
    ),
    *(("/refund", {"refund_scope": str(refund_scope)}) for refund_scope in RefundScope),
    ("/lookup", {}),
    ("/lookup", {"ask": "references", "email": "@"}),
    ("/lookup", {"ask": "purchase", "email": "@", "reference": "-", "Ш": "1"}),
    ("/withdraw", {}),
    ("/withdraw", {"name": "\x00", "email": "@", "reference": "-"}),
    ("/withdraw", {"name": "417", "email": "417@example.com", "reference": "417"}),
    ("/withdraw", {"name": "417", "email": "417@example.com", "reference": "417", "step": "confirm"}),
    ("/confirm/nonsense", {"sure": "yes"}),
)


@pytest.fixture(autouse=True)
def _pseudo_language(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templating, "translator_for", lambda _: PSEUDO_TRANSLATOR)


@pytest.fixture(scope="module", autouse=True)
def _catalogues_contain_all_sentences() -> Iterator[None]:
    """After all tests of this file, check that the catalogues contain every sentence that a page looked up."""
    yield
    looked_up = {sentence for sentence in PSEUDO_TRANSLATOR.looked_up if re.search("[a-z] ?[a-z]", sentence)}
    assert looked_up - set(collect_sentences()) == set()


def assert_translated(answer: httpx.Response, *facts: str) -> None:
    """Check that a page has no word in Latin letters, except the words in `facts`, such as a search query."""
    assert answer.headers["content-language"] == "xx", answer.status_code
    assert untranslated_words(PageText(answer.text).text, *facts) == []


@pytest.fixture
def cyrillic_site(site: Site) -> Site:
    """Return the site after a second seller was added. The name of this seller is in Cyrillic letters."""
    seller = a_seller(id="babbage", name="Бэббидж", support_email="help@babbage.example")
    store_seller_and_purchases(site.records, seller=seller, policy=a_policy(seller_id="babbage"))
    return site


@pytest.mark.parametrize("address", PAGES)
def test_every_page_is_translated(address: str, cyrillic_site: Site) -> None:
    assert_translated(cyrillic_site.web.get(address))


def test_the_search_results_are_translated_except_the_query(cyrillic_site: Site) -> None:
    assert_translated(cyrillic_site.web.get("/?q=refund"), "refund")


def test_the_page_with_the_private_details_of_a_purchase_is_translated(cyrillic_site: Site) -> None:
    purchase = a_cyrillic_purchase()
    details = PurchaseDetails(
        licence_key="417",
        activation_code="418",
        download_url="https://a.example",
        invoice_number="419",
        invoice_url="https://b.example",
        technical_support="help@babbage.example",
        subscription=True,
    )
    with cyrillic_site.records.work() as work:
        store_purchases(work, [purchase])
        work.purchase_details.put([("babbage", purchase.reference, details)])
        email_id = work.inquiry_emails.enqueue(
            kind=InquiryEmailKind.PURCHASE, email=purchase.email, reference=purchase.reference, locale="xx"
        )
    with cyrillic_site.records.work() as work:
        assert work.inquiry_emails.claim([email_id], seconds=60)
    address = cyrillic_site.link_path(Purpose.OPEN, email_id)
    for answer in (cyrillic_site.web.get(address), cyrillic_site.web.post(address), cyrillic_site.web.get(address)):
        assert_translated(answer)
    assert "Activation code" in PSEUDO_TRANSLATOR.looked_up


@pytest.mark.parametrize(("address", "fields"), FORMS)
def test_a_form_with_errors_is_translated(address: str, fields: dict[str, str], cyrillic_site: Site) -> None:
    assert_translated(cyrillic_site.web.post(address, data=fields or {"email": ""}))


@pytest.mark.parametrize("state", State)
def test_the_pages_of_a_case_are_translated(state: State, cyrillic_site: Site) -> None:
    case = a_case(cyrillic_site.records, state, purchase=a_cyrillic_purchase())
    assert_translated(cyrillic_site.web.get(cyrillic_site.link_path(Purpose.STATUS, case)))
    for suffix in ("", "/cancel"):
        for fields in (None, {"sure": ""}, {"sure": "yes"}):
            address = cyrillic_site.link_path(Purpose.CONFIRM, case) + suffix
            answer = cyrillic_site.web.get(address) if fields is None else cyrillic_site.web.post(address, data=fields)
            if not answer.is_redirect:
                assert_translated(answer)


def test_every_reason_on_the_status_page_is_translated(cyrillic_site: Site) -> None:
    reasons = [{"code": code.value} for code in ReasonCode]
    case = a_case(
        cyrillic_site.records, State.WITH_SUPPORT, purchase=a_cyrillic_purchase(), evidence={"reasons": reasons}
    )
    assert_translated(cyrillic_site.web.get(cyrillic_site.link_path(Purpose.STATUS, case)))


def a_cyrillic_purchase() -> Purchase:
    """Return a purchase whose reference and product have no Latin letters."""
    number = f"417-{next(NUMBERS)}"
    return a_recent_purchase(seller_id="babbage", reference=number, email=f"{number}@example.com", product="Φώτο")
