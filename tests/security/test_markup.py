"""Whatever a stranger types stays text: every page and letter has the same structure as if they had typed a word."""

import html
import re
from html.parser import HTMLParser
from itertools import count
from typing import Any

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
from tests.integration._web_fixtures import World, a_case, a_letter, served
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
"""A word as well, which we do not mail to just anybody as the name they gave."""
_numbers = count(1)


class Skeleton(HTMLParser):
    """The tags of a page with the names of their attributes, and where its links lead."""

    def __init__(self) -> None:
        super().__init__()
        self.bones: list[tuple[str, ...]] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.bones.append((tag, *(name for name, _ in attrs)))
        self.links += [value or "" for name, value in attrs if name in {"href", "src", "action", "formaction"}]

    def handle_endtag(self, tag: str) -> None:
        self.bones.append((f"/{tag}",))

    def handle_comment(self, data: str) -> None:
        self.bones.append(("comment", data))

    def handle_decl(self, decl: str) -> None:
        self.bones.append(("declaration", decl))

    def unknown_decl(self, data: str) -> None:
        self.bones.append(("unknown", data))

    def handle_pi(self, data: str) -> None:
        self.bones.append(("instruction", data))


def skeleton(page: str) -> list[tuple[str, ...]]:
    parsed = Skeleton()
    parsed.feed(page)
    parsed.close()
    assert not [
        link
        for link in parsed.links
        if link.startswith(("//", "javascript:", "data:")) or "evil" in link.partition("?")[0]
    ]
    return parsed.bones


def pages_with(world: World, typed: str) -> list[str]:
    """Every page and letter on which these words stand, having been typed wherever words can be."""
    bought = a_recent_purchase(product=typed, reference=f"MB-{next(_numbers)} {typed}")
    case = a_case(world.records, State.AWAITING_CONFIRMATION, purchase=bought)
    said = a_request(bought, comment=typed, refund_scope="partial", answers={"amount": typed, "items": typed})
    commented = intake.accept_one(world.records, intake.submission(said, Channel.WEB)).id
    with world.records.work() as work:
        view = work.case_views.get(case)
    assert view
    letter = render(DueEmail(case, EmailKind.START_REFUND), view, Links.of(world.settings), world.settings.mail_from)
    html_part = letter.get_body(("html",))
    assert html_part
    form: dict[str, Any] = {"email": typed, "reference": typed, "reason": "", "comment": typed, "refund_scope": "full"}
    fetched = [
        world.web.get(world.path(Purpose.CONFIRM, case)).text,
        world.web.get(world.path(Purpose.STATUS, case)).text,
        world.web.post("/refund", data=form).text,
        world.web.get("/refund", params={"email": typed, "reference": typed}).text,
        world.web.post("/lookup", data={"email": typed, "reference": typed}).text,
        world.web.get("/lookup", params={"email": typed, "reference": typed}).text,
        world.web.post("/withdraw", data={"name": typed, "reference": typed, "email": "ada@example.com"}).text,
        world.web.get("/", params={"q": typed}).text,
        html_part.get_content(),
    ]
    with served(desk(world.settings)) as people:
        fetched += [people.get("/").text, people.get(f"/cases/{commented}").text]
    return fetched


@pytest.mark.parametrize("typed", CORPUS)
def test_every_page_and_letter_has_the_structure_it_has_for_a_word(world: World, typed: str) -> None:
    plainly = HOST if "evil.example" in typed else WORD
    for mine, plain in zip(pages_with(world, typed), pages_with(world, plainly), strict=True):
        assert skeleton(mine) == skeleton(plain)


def test_what_was_typed_is_really_there(world: World) -> None:
    shown = [typed for page in pages_with(world, CORPUS[0]) if (typed := html.escape(CORPUS[0])) in page]
    assert len(shown) >= 6


def test_a_letter_in_the_mailbox_of_the_demo_is_text(world: World) -> None:
    assert world.settings.sent_mail_dir
    with served(app(world.settings.model_copy(update={"mailbox_page": True}))) as web:
        for typed in [WORD, *CORPUS]:
            a_letter(world.settings.sent_mail_dir, typed, f"{typed}\n")
        names = re.findall(r'href="(/mailbox/[^"]+)"', web.get("/mailbox").text)
        seen = [skeleton(web.get(name).text) for name in names]
    assert len(seen) == 1 + len(CORPUS)
    assert all(bones == seen[0] for bones in seen)


@pytest.mark.parametrize(
    "typed", ["a\r\nBcc: x@evil.example", "a\nBcc: x", "a\rBcc: x", "a\x00b", "a\u2028b", "a\x0bb"]
)
@pytest.mark.parametrize("field", ["email", "reference"])
def test_nothing_that_goes_into_a_header_holds_a_line_break(field: str, typed: str) -> None:
    values = {"email": "ada@example.com", "reference": "MB-1", "reason": "other"}
    with pytest.raises(ValidationError):
        RefundRequest.model_validate(values | {field: typed if field == "reference" else f"{typed}@example.com"})
