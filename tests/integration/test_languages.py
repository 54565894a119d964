"""Every page for customers in a language that nobody speaks: what is left of English was never looked up."""

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
from tests.catalogues import collect_sentences
from tests.integration import _web_fixtures
from tests.integration._web_fixtures import Site, a_case
from tests.pseudolocale import PageText, PseudoTranslator, untranslated_words
from tests.sample_data import a_policy, a_recent_purchase, a_seller, store_seller_and_purchases

web_server, site = _web_fixtures.web_server, _web_fixtures.site

FOREIGN = PseudoTranslator()
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
def _foreign(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(templating, "translator_for", lambda _: FOREIGN)


@pytest.fixture(scope="module", autouse=True)
def _everything_was_in_the_catalogues() -> Iterator[None]:
    """What pages looked up, whichever they were, is what the catalogues translate."""
    yield
    looked_up = {sentence for sentence in FOREIGN.looked_up if re.search("[a-z] ?[a-z]", sentence)}
    assert looked_up - set(collect_sentences()) == set()


def read(answer: httpx.Response, *facts: str) -> None:
    """A page of ours, without a word of English that is no fact."""
    assert answer.headers["content-language"] == "xx", answer.status_code
    assert untranslated_words(PageText(answer.text).text, *facts) == []


@pytest.fixture
def shop(site: Site) -> Site:
    """A seller whose name is not English."""
    seller = a_seller(id="babbage", name="Бэббидж", support_email="help@babbage.example")
    store_seller_and_purchases(site.records, seller=seller, policy=a_policy(seller_id="babbage"))
    return site


@pytest.mark.parametrize("address", PAGES)
def test_a_page_says_nothing_untranslated(address: str, shop: Site) -> None:
    read(shop.web.get(address))


def test_what_was_searched_for_is_the_only_english_among_the_hits(shop: Site) -> None:
    read(shop.web.get("/?q=refund"), "refund")


def test_what_is_private_is_shown_without_an_untranslated_word(shop: Site) -> None:
    purchase = bought()
    private = PurchaseDetails(
        licence_key="417",
        activation_code="418",
        download_url="https://a.example",
        invoice_number="419",
        invoice_url="https://b.example",
        technical_support="help@babbage.example",
        subscription=True,
    )
    with shop.records.work() as work:
        work.purchases.upsert([purchase])
        work.purchase_details.put([("babbage", purchase.reference, private)])
        note = work.inquiry_emails.enqueue(
            kind=InquiryEmailKind.PURCHASE, email=purchase.email, reference=purchase.reference, locale="xx"
        )
    with shop.records.work() as work:
        assert work.inquiry_emails.claim([note], seconds=60)
    address = shop.link_path(Purpose.OPEN, note)
    for answer in (shop.web.get(address), shop.web.post(address), shop.web.get(address)):
        read(answer)
    assert "Activation code" in FOREIGN.looked_up


@pytest.mark.parametrize(("address", "typed"), FORMS)
def test_a_form_that_comes_back_says_nothing_untranslated(address: str, typed: dict[str, str], shop: Site) -> None:
    read(shop.web.post(address, data=typed or {"email": ""}))


@pytest.mark.parametrize("state", State)
def test_a_case_is_told_without_an_untranslated_word(state: State, shop: Site) -> None:
    case = a_case(shop.records, state, purchase=bought())
    read(shop.web.get(shop.link_path(Purpose.STATUS, case)))
    for way in ("", "/cancel"):
        for typed in (None, {"sure": ""}, {"sure": "yes"}):
            address = shop.link_path(Purpose.CONFIRM, case) + way
            answer = shop.web.get(address) if typed is None else shop.web.post(address, data=typed)
            if not answer.is_redirect:
                read(answer)


def test_every_reason_is_told_without_an_untranslated_word(shop: Site) -> None:
    reasons = [{"code": code.value} for code in ReasonCode]
    case = a_case(shop.records, State.WITH_SUPPORT, purchase=bought(), evidence={"reasons": reasons})
    read(shop.web.get(shop.link_path(Purpose.STATUS, case)))


def bought() -> Purchase:
    """A purchase whose facts have no Latin letter."""
    number = f"417-{next(NUMBERS)}"
    return a_recent_purchase(seller_id="babbage", reference=number, email=f"{number}@example.com", product="Φώτο")
