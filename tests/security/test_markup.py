"""Tests that markup which a customer types stays text.

Each page and e-mail must have the same HTML structure as if the customer had typed a plain word.
"""

import html
import re
from contextlib import ExitStack
from html.parser import HTMLParser
from itertools import count
from typing import Any
from uuid import uuid4

import pytest
from pydantic import ValidationError

from config.signed_links import Links, Purpose
from domain.emails import EmailKind
from domain.requests import Channel, RefundRequest
from domain.states import State
from producers import intake
from producers.desk.app import app as desk
from producers.web.app import app
from records.case_emails import DueEmail
from tests.integration._desk_fixtures import Desk
from tests.integration._web_fixtures import Site, a_case, serve, store_email
from tests.sample_data import a_recent_purchase, a_request
from worker.emails.rendering import render

CORPUS = [
    "<script>alert(1)</script>",
    '"><script>alert(1)</script>',
    "'><img src=x onerror=alert(1)>",
    '" autofocus onfocus=alert(1) x="',
    "<svg/onload=alert(1)>",
    "</title></textarea></style><script>alert(1)</script>",
    "<iframe srcdoc='&lt;script&gt;alert(1)&lt;/script&gt;'>",
    '<a href="javascript:alert(1)">x</a>',
    "<meta http-equiv=refresh content='0;url=//evil.example'>",
    "<base href=//evil.example>",
    "<!--", "]]>", "<![CDATA[<script>]]>", "<?xml version='1.0'?>",
    "{{ 7*7 }}", "{% raw %}", "${7*7}", "%(name)s", "{name}", "{0.__class__}",
    "＜script＞alert(1)＜/script＞", "\u202e<b>txt", "&lt;script&gt;", "&#60;script&#62;", '\\"><script>',
    "[click](javascript:alert(1))", "<b>bold</b>", "<form action=//evil.example><input name=a>", "`onload=alert(1)",
]  # fmt: skip
WORD = "word"
HOST = "word.example"
"""The plain text for comparison, if the typed text contains the host name `evil.example`.

A form refuses a name with a host name, so the plain text must contain one, too.
"""
_numbers = count(1)


class StructureParser(HTMLParser):
    """Collects the tags of a page, the names of the tags' attributes, and the targets of the page's links."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, ...]] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, *(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action", "formaction"}]

    def handle_endtag(self, tag: str) -> None:
        self.tags.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.tags.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.tags.append(("declaration", decl))

    def unknown_decl(self, data: str) -> None:
        self.tags.append(("unknown", data))

    def handle_pi(self, data: str) -> None:
        self.tags.append(("instruction", data))


def structure_of(page: str) -> list[tuple[str, ...]]:
    parsed = StructureParser()
    parsed.feed(page)
    parsed.close()
    assert not [
        link
        for link in parsed.links
        if link.startswith(("//", "javascript:", "data:")) or "evil" in link.partition("?")[0]
    ]
    return parsed.tags


def pages_with(site: Site, typed: str) -> list[str]:
    """Type a text into every field, and return every page and e-mail that shows the text."""
    purchase = a_recent_purchase(product=typed, reference=f"MB-{next(_numbers)} {typed}")
    case = a_case(site.records, State.AWAITING_CONFIRMATION, purchase=purchase)
    request = a_request(purchase, comment=typed, refund_scope="partial", answers={"amount": typed, "items": typed})
    commented_case = intake.accept_one(site.records, intake.submission(request, Channel.WEB)).id
    with site.records.work() as work:
        view = work.case_views.get(case)
    assert view
    email = render(DueEmail(case, EmailKind.START_REFUND), view, Links.of(site.settings), site.settings.mail_from)
    html_part = email.get_body(("html",))
    assert html_part
    form: dict[str, Any] = {"email": typed, "reference": typed, "reason": "", "comment": typed, "refund_scope": "full"}
    fetched = [
        site.web.get(site.link_path(Purpose.CONFIRM, case)).text,
        site.web.get(site.link_path(Purpose.STATUS, case)).text,
        site.web.post("/refund", data=form).text,
        site.web.get("/refund", params={"email": typed, "reference": typed}).text,
        site.web.post("/lookup", data={"email": typed, "reference": typed}).text,
        site.web.get("/lookup", params={"email": typed, "reference": typed}).text,
        site.web.post("/withdraw", data={"name": typed, "reference": typed, "email": "ada@example.com"}).text,
        site.web.get("/", params={"q": typed}).text,
        html_part.get_content(),
    ]
    with serve(desk(site.settings)) as web, ExitStack() as clients:
        support = Desk(site.settings, site.records, web, clients).sign_in(email=f"{uuid4()}@desk.example")
        fetched += [support.get("/").text, support.get(f"/cases/{commented_case}").text]
    return fetched


@pytest.mark.parametrize("typed", CORPUS)
def test_typed_markup_does_not_change_a_page_or_email(site: Site, typed: str) -> None:
    plain_word = HOST if "evil.example" in typed else WORD
    for page, plain_page in zip(pages_with(site, typed), pages_with(site, plain_word), strict=True):
        assert structure_of(page) == structure_of(plain_page)


def test_the_typed_text_is_shown(site: Site) -> None:
    pages = [typed for page in pages_with(site, CORPUS[0]) if (typed := html.escape(CORPUS[0])) in page]
    assert len(pages) >= 6


def test_the_demo_mailbox_shows_an_email_as_text(site: Site) -> None:
    assert site.settings.sent_mail_dir
    with serve(app(site.settings.model_copy(update={"mailbox_page": True}))) as web:
        for typed in [WORD, *CORPUS]:
            store_email(site.settings.sent_mail_dir, typed, f"{typed}\n")
        names = re.findall(r'href="(/mailbox/[^"]+)"', web.get("/mailbox").text)
        structures = [structure_of(web.get(name).text) for name in names]
    assert len(structures) == 1 + len(CORPUS)
    assert all(tags == structures[0] for tags in structures)


@pytest.mark.parametrize(
    "typed", ["a\r\nBcc: x@evil.example", "a\nBcc: x", "a\rBcc: x", "a\x00b", "a\u2028b", "a\x0bb"]
)
@pytest.mark.parametrize("field", ["email", "reference"])
def test_email_and_reference_refuse_line_breaks(field: str, typed: str) -> None:
    values = {"email": "ada@example.com", "reference": "MB-1", "reason": "other"}
    with pytest.raises(ValidationError):
        RefundRequest.model_validate(values | {field: typed if field == "reference" else f"{typed}@example.com"})
